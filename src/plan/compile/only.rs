//! ONLY in a query or a write. A logical table has no descendants, so it says nothing; on a node whose shards
//! are partitions it would leave all rows out. It is taken out of the text, with its parentheses.

use crate::model::Fault;

use super::super::analyze::Analysis;
use super::super::lex::Kind;
use super::super::query::Span;
use super::Compiler;
use super::names::only_of_partitioned;

impl Compiler<'_> {
    /// The words to take out, in the shape's coordinates.
    pub(super) fn only_words(&self, analysis: &Analysis) -> Result<Vec<Span>, Fault> {
        let mut out = Vec::new();
        for name in &analysis.only_of_partitioned {
            // A view's own words aren't in the text.
            out.extend(self.only_before(*name).ok_or_else(only_of_partitioned)?);
        }
        Ok(out)
    }

    fn only_before(&self, name: Span) -> Option<Vec<Span>> {
        let first = self.tokens.iter().position(|t| t.start == name.start)?;
        let before = first.checked_sub(1)?;
        let parens = self.tokens.get(before)?.is_punct(self.sql, '(');
        let only = if parens { before.checked_sub(1)? } else { before };
        let token = self.tokens.get(only)?;
        if token.kind != Kind::Word || !token.is_word(self.sql, "only") {
            return None;
        }
        let mut spans = vec![Span {
            start: token.start,
            end: self.tokens.get(before)?.end,
        }];
        if parens {
            let close = self.tokens.iter().find(|t| t.start >= name.end)?;
            if !close.is_punct(self.sql, ')') {
                return None;
            }
            spans.push(Span {
                start: close.start,
                end: close.end,
            });
        }
        Some(spans.into_iter().map(|span| self.shape.range(span)).collect())
    }
}
