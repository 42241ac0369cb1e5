//! `nextval()` and `setval()` in a statement without tables: they go to the node that has the sequence.

use crate::model::{Code, Fault, NodeId};

use super::analyze::{Analysis, locate};
use super::compile::Compiler;
use super::lex::{self, Kind};
use super::query::{Name, Span};
use super::reader::Reader;
use super::scope::Home;

/// Functions that read or move sequences.
pub(super) fn moves_sequence(name: &str) -> bool {
    matches!(name, "nextval" | "setval" | "currval" | "lastval")
}

impl Compiler<'_> {
    /// Where the sequence is whose name a call has as a literal, with the place of the literal. None: where
    /// statements go that name no table.
    pub(super) fn sequence(&self, analysis: &Analysis) -> Result<Option<(NodeId, Span)>, Fault> {
        if self.view.database.shell.is_none()
            || !analysis.facts.refs.is_empty()
            || !analysis.calls.iter().any(|c| moves_sequence(c.name.last()))
        {
            return Ok(None);
        }
        let mut found: Option<(NodeId, Span)> = None;
        for (at, token) in self.tokens.iter().enumerate() {
            let called = token.is_word(self.sql, "nextval") || token.is_word(self.sql, "setval");
            let literal = self.tokens.get(at + 2).filter(|t| t.kind == Kind::String);
            let (true, Some(literal)) = (called, literal) else {
                continue;
            };
            let Some(node) = self.sequence_named(literal.text(self.sql))? else {
                continue;
            };
            if found.is_some_and(|(other, _)| other != node) {
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
            found = Some((node, span));
        }
        Ok(found)
    }

    fn sequence_named(&self, literal: &str) -> Result<Option<NodeId>, Fault> {
        let catalog = &self.view.database.catalog;
        let text = literal.trim_matches('\'').replace("''", "'");
        let tokens = lex::tokens(&text, true);
        let name = Reader::new(&text, &tokens).name();
        let Some(sequence) = name.and_then(|n| self.find(&n, |n| catalog.sequences.contains_key(n))) else {
            return Ok(None);
        };
        let Some(Some(owner)) = catalog.sequences.get(&sequence) else {
            return Ok(Some(self.view.database.anywhere));
        };
        let owner = Name {
            parts: vec![owner.schema.clone(), owner.table.clone()],
            span: Span::default(),
        };
        let nodes = match locate(&owner, self.view).home {
            Home::Node(node) => vec![node],
            Home::Everywhere(list) => list,
            Home::Sharded(s) => s.nodes.clone(),
            Home::System => Vec::new(),
        };
        match nodes.as_slice() {
            [one] => Ok(Some(*one)),
            _ => Err(Fault::new(
                Code::FUNCTION_ACROSS_NODES,
                format!("each node counts {sequence} by itself"),
            )
            .hint("Let Margay make the ids: generate: {column: snowflake}.")),
        }
    }
}
