//! `ALTER SEQUENCE … OWNED BY` and `CREATE SEQUENCE … OWNED BY`: a sequence is where its owner is, so a new
//! owner may move it. pg_dump writes every serial column this way: the sequence first, its owner behind the table.
//!
//! Only a sequence that hasn't counted yet moves: its place in the count can't be carried over in one statement.

use crate::model::catalog::SequenceInfo;
use crate::model::{Code, Fault, NodeId, TableName};

use super::super::analyze::{locate, sequence_home};
use super::super::compile::{Compiler, Route};
use super::super::query::Name;
use super::super::reader::Reader;
use super::super::scope::Home;
use super::unsupported;

impl Compiler<'_> {
    /// The nodes of the table behind OWNED BY. None: there is no OWNED BY.
    fn owner_nodes(&self) -> Option<Vec<NodeId>> {
        let at = self.tokens.windows(2).position(|pair| {
            let [owned, by] = pair else { return false };
            owned.is_word(self.sql, "owned") && by.is_word(self.sql, "by")
        })?;
        let mut r = Reader::new(self.sql, self.tokens);
        r.at = at + 2;
        let mut name = r.name()?;
        if name.parts.len() == 1 && name.last() == "none" {
            return Some(vec![self.view.database.anywhere]);
        }
        name.parts.pop();
        Some(self.nodes_of_home(&locate(&name, self.view).home))
    }

    /// CREATE SEQUENCE: with its owner, or where statements go that name no table.
    pub(super) fn create_sequence(&self) -> Route {
        let nodes = self.owner_nodes();
        Route::Same {
            nodes: self.with_shell(nodes.unwrap_or_else(|| vec![self.view.database.anywhere])),
        }
    }

    /// ALTER SEQUENCE that gives it an owner on other nodes. None: it stays where it is.
    pub(super) fn moved_sequence(&self, names: &[Name]) -> Result<Option<Route>, Fault> {
        let catalog = &self.view.database.catalog;
        let is_alter = Reader::new(self.sql, self.tokens).take_all(&["alter", "sequence"]);
        let ([name], true, Some(new)) = (names, is_alter, self.owner_nodes()) else {
            return Ok(None);
        };
        let Some(sequence) = self.find(name, |n| catalog.sequences.contains_key(n)) else {
            // Made in this transaction, perhaps: what the catalog doesn't know can't be made elsewhere.
            return if new == [self.view.database.anywhere] {
                Ok(None)
            } else {
                Err(
                    unsupported("giving a sequence an owner on other nodes in the transaction that made it")
                        .hint(
                            "Commit after CREATE SEQUENCE, or declare the column serial or as an identity.",
                        ),
                )
            };
        };
        let old = sequence_home(&sequence, self.view).map_or(Vec::new(), |home| match home {
            Home::Node(node) => vec![node],
            Home::Everywhere(list) => list,
            Home::Sharded(s) => s.nodes.clone(),
            Home::System => Vec::new(),
        });
        let Some(info) = catalog.sequences.get(&sequence).filter(|_| old != new) else {
            return Ok(None);
        };
        Ok(Some(Route::Parts(self.move_parts(&sequence, info, &old, &new))))
    }

    fn move_parts(
        &self,
        sequence: &TableName,
        info: &SequenceInfo,
        old: &[NodeId],
        new: &[NodeId],
    ) -> Vec<(NodeId, String)> {
        let mut parts: Vec<(NodeId, String)> = self.shell_part().into_iter().collect();
        for node in old {
            let then = if new.contains(node) { "" } else { "DROP SEQUENCE " };
            parts.push((*node, leave(sequence, then)));
        }
        for node in new {
            if !old.contains(node) {
                parts.push((*node, block(&info.definition)));
            }
            parts.push((*node, self.sql.to_owned()));
        }
        parts
    }
}

/// Ends with an error if the sequence has counted; `then`: what to do with it otherwise.
fn leave(sequence: &TableName, then: &str) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let name = format!("{}.{}", quoted(&sequence.schema), quoted(&sequence.table));
    let literal = name.replace('\'', "''");
    let fault = Fault::new(
        Code::FUNCTION_ACROSS_NODES,
        format!("{sequence} has counted already, so it can't move to the nodes of its new owner"),
    );
    let message = format!("{} [{}]", fault.message, fault.code.name).replace('\'', "''");
    let then = match then {
        "" => String::new(),
        verb => format!(" {verb}{name};"),
    };
    block(&format!(
        "IF (SELECT c.is_called OR c.last_value <> s.seqstart FROM {name} c, pg_catalog.pg_sequence s \
            WHERE s.seqrelid = '{literal}'::pg_catalog.regclass) THEN \
         RAISE EXCEPTION USING ERRCODE = '{}', MESSAGE = '{message}', \
            HINT = 'Make a new sequence with that owner, and set it with setval().'; END IF;{then}",
        fault.state(),
    ))
}

/// Several statements as one.
fn block(statements: &str) -> String {
    let mut tag = String::from("$margay");
    while statements.contains(&tag) {
        tag.push('_');
    }
    format!("DO {tag}$ BEGIN {statements} END {tag}$")
}
