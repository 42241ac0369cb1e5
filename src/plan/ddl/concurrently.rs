//! CREATE and DROP INDEX CONCURRENTLY on a table that is partitioned by the rules. PostgreSQL does neither
//! on a partitioned table: each shard's index is made by itself and attached to the table's.

use crate::model::{Code, Fault, NodeId};
use crate::topology::Layout;
use crate::topology::placement::{Scheme, physical_name};

use super::super::analyze::{Located, locate};
use super::super::compile::{Compiler, Route};
use super::super::query::{Name, Span};
use super::super::scope::Home;
use super::super::splice::Splice;
use super::shards_at_start;

/// PostgreSQL cuts longer names off.
const LONGEST_NAME: usize = 63;

impl Compiler<'_> {
    /// None: it is another statement, or about another table.
    pub(super) fn index_concurrently(&self, names: &[Name], first: &str) -> Result<Option<Route>, Fault> {
        let ("create", [table]) = (first, names) else {
            return Ok(None);
        };
        let located = locate(table, self.view);
        let (Home::Sharded(sharding), Some(rule)) = (&located.home, &located.rule) else {
            return Ok(None);
        };
        let Some(word) = self.word_concurrently() else {
            return Ok(None);
        };
        if sharding.layout != Layout::Partitioned {
            return Ok(None);
        }
        if matches!(sharding.scheme, Scheme::Time(_)) {
            return Err(Fault::new(
                Code::UNSUPPORTED_STATEMENT,
                format!(
                    "an index can't be made concurrently on {}, whose periods come and go",
                    located.name
                ),
            )
            .hint("CREATE INDEX without CONCURRENTLY makes it on each period in turn."));
        }
        let Some(index) = self.created_index() else {
            return Err(Fault::new(
                Code::UNSUPPORTED_STATEMENT,
                format!("an index made concurrently on {} needs a name", located.name),
            )
            .hint("CREATE INDEX CONCURRENTLY name ON …"));
        };
        let mut parts: Vec<(NodeId, String)> = self.shell_part().into_iter().collect();
        let parent = format!("\"{}\".\"{}\"", rule.name.schema, index.last());
        let on_parent = self.splice(vec![
            Splice::replace(self.shape.range(word), ""),
            Splice::insert(self.shape.position(table.span.start), "ONLY "),
        ]);
        for &node in &sharding.nodes {
            parts.push((node, on_parent.clone()));
            let all = shards_at_start(sharding, 0).into_iter();
            for shard in all.filter(|s| sharding.node_of(*s) == node) {
                let physical = physical_name(rule, shard);
                let mut own = format!("{physical}_{}", index.last());
                while own.len() > LONGEST_NAME {
                    own.pop();
                }
                let text = self.splice(vec![
                    Splice::replace(self.shape.range(index.span), format!("\"{own}\"")),
                    Splice::replace(
                        self.shape.range(table.span),
                        format!("\"{}\".\"{physical}\"", rule.name.schema),
                    ),
                ]);
                parts.push((node, text));
                parts.push((
                    node,
                    format!(
                        "ALTER INDEX {parent} ATTACH PARTITION \"{}\".\"{own}\"",
                        rule.name.schema
                    ),
                ));
            }
        }
        Ok(Some(Route::Parts(parts)))
    }

    fn word_concurrently(&self) -> Option<Span> {
        let token = self.tokens.iter().find(|t| t.is_word(self.sql, "concurrently"))?;
        Some(Span {
            start: token.start,
            end: token.end,
        })
    }

    /// DROP, ALTER and REINDEX of indexes, by their tables. A partitioned index is dropped in one
    /// transaction: that takes its lock for a moment only.
    pub(in super::super) fn on_index_tables(
        &self,
        tables: &[Name],
        located: &Located,
        first: &str,
    ) -> Result<Route, Fault> {
        let route = self.on_relations(tables, first)?;
        let partitioned = matches!(&located.home, Home::Sharded(s) if s.layout == Layout::Partitioned);
        match (route, self.word_concurrently()) {
            (Route::Same { nodes }, Some(word)) if partitioned && first == "drop" => {
                let text = self.splice(vec![Splice::replace(self.shape.range(word), "")]);
                let shell = self.view.database.shell;
                let parts = nodes.into_iter().map(|node| {
                    let text = if Some(node) == shell {
                        self.sql.to_owned()
                    } else {
                        text.clone()
                    };
                    (node, text)
                });
                Ok(Route::Parts(parts.collect()))
            }
            (route, _) => Ok(route),
        }
    }
}
