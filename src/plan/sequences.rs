//! `nextval()` and `setval()` in a statement without tables: they go to the node that has the sequence.
//!
//! The sequence of a table that is on several nodes is on each of them and counts on none: only `setval()` is
//! let through, to all of them, so that what one of them says is what the one sequence would say.

use crate::model::{Code, Fault, NodeId, TableName};

use super::analyze::{Analysis, sequence_home};
use super::compile::Compiler;
use super::lex::{self, Kind};
use super::query::Span;
use super::reader::Reader;

/// Functions that read or move sequences.
pub(super) fn moves_sequence(name: &str) -> bool {
    matches!(name, "nextval" | "setval" | "currval" | "lastval")
}

impl Compiler<'_> {
    /// Where the sequence is whose name a call has as a literal, with the place of the literal. None: where
    /// statements go that name no table.
    pub(super) fn sequence(&self, analysis: &Analysis) -> Result<Option<(Vec<NodeId>, Span)>, Fault> {
        if self.view.database.shell.is_none()
            || !analysis.facts.refs.is_empty()
            || !analysis.calls.iter().any(|c| moves_sequence(c.name.last()))
        {
            return Ok(None);
        }
        let mut found: Option<(Vec<NodeId>, Span)> = None;
        for (at, token) in self.tokens.iter().enumerate() {
            let called = token.is_word(self.sql, "nextval") || token.is_word(self.sql, "setval");
            let literal = self.tokens.get(at + 2).filter(|t| t.kind == Kind::String);
            let (true, Some(literal)) = (called, literal) else {
                continue;
            };
            let Some((name, nodes)) = self.sequence_named(literal.text(self.sql)) else {
                continue;
            };
            let sets_alike = token.is_word(self.sql, "setval") && analysis.calls.len() == 1;
            if nodes.len() > 1 && !sets_alike {
                return Err(Fault::new(
                    Code::FUNCTION_ACROSS_NODES,
                    format!("each node counts {name} by itself"),
                )
                .hint("Let Margay make the ids: generate: {column: snowflake}."));
            }
            if found.as_ref().is_some_and(|(other, _)| *other != nodes) {
                return Err(Fault::new(
                    Code::FUNCTION_ACROSS_NODES,
                    "the sequences in this statement are on different nodes",
                )
                .hint("Write a statement per sequence."));
            }
            let span = Span {
                start: literal.start,
                end: literal.end,
            };
            found = Some((nodes, span));
        }
        Ok(found)
    }

    fn sequence_named(&self, literal: &str) -> Option<(TableName, Vec<NodeId>)> {
        let catalog = &self.view.database.catalog;
        let text = literal.trim_matches('\'').replace("''", "'");
        let tokens = lex::tokens(&text, true);
        let name = Reader::new(&text, &tokens).name()?;
        let name = self.find(&name, |n| catalog.sequences.contains_key(n))?;
        let nodes = self.nodes_of_home(&sequence_home(&name, self.view)?);
        Some((name, nodes))
    }
}
