//! The text of a statement with its tokens: pieces of it, compared and copied by position.

use super::super::lex::{self, Token};
use super::super::query::Span;

/// The text of a statement with its tokens.
pub struct Source<'a> {
    pub sql: &'a str,
    pub tokens: &'a [Token],
}

impl Source<'_> {
    pub(super) fn text(&self, span: Span) -> &str {
        self.sql.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    pub(super) fn within(&self, span: Span) -> impl Iterator<Item = &Token> {
        self.tokens
            .iter()
            .filter(move |t| t.start >= span.start && t.end <= span.end)
    }

    /// The text with blanks, comments and case of words evened out, for comparing expressions.
    pub(super) fn even(&self, span: Span) -> String {
        let words: Vec<String> = self
            .within(span)
            .map(|t| match t.kind {
                lex::Kind::Word => t.text(self.sql).to_ascii_lowercase(),
                _ => t.text(self.sql).to_string(),
            })
            .collect();
        words.join(" ")
    }

    /// From a function's name to the end of its call, FILTER included.
    pub(super) fn call_end(&self, name: Span) -> Option<u32> {
        let mut i = self.tokens.iter().position(|t| t.start >= name.end)?;
        i = self.past_parens(i)?;
        if self.tokens.get(i).is_some_and(|t| t.is_word(self.sql, "filter")) {
            i = self.past_parens(i + 1)?;
        }
        Some(self.tokens.get(i - 1)?.end)
    }

    pub(super) fn past_parens(&self, mut i: usize) -> Option<usize> {
        if !self.tokens.get(i)?.is_punct(self.sql, '(') {
            return None;
        }
        let mut depth = 0;
        loop {
            let t = self.tokens.get(i)?;
            if t.is_punct(self.sql, '(') {
                depth += 1;
            } else if t.is_punct(self.sql, ')') {
                depth -= 1;
            }
            i += 1;
            if depth == 0 {
                return Some(i);
            }
        }
    }
}
