//! DDL and other utility statements about tables, views and sequences: where each of them is, and what of
//! a list goes to which node.

use crate::model::{Code, Fault, NodeId, TableName};
use crate::topology::Layout;

use super::super::analyze::{Located, locate, sequence_home};
use super::super::compile::{Compiler, Route};
use super::super::query::{Name, Span};
use super::super::reader::Reader;
use super::super::scope::Home;
use super::super::splice::Splice;
use super::unsupported;

impl Compiler<'_> {
    pub(in super::super) fn on_relations(&self, names: &[Name], first: &str) -> Result<Route, Fault> {
        let mut places: Vec<(&Name, Vec<NodeId>)> = Vec::new();
        let mut separate = None;
        let passed_over = names.iter().any(|n| !self.is_nothing(n));
        for name in names {
            if first == "drop" && passed_over && self.is_nothing(name) {
                continue;
            }
            let located = locate(name, self.view);
            if first == "alter" {
                self.guard_alter(&located)?;
                self.guard_move(&located)?;
            }
            if matches!(first, "alter" | "create") {
                self.guard_foreign_keys(&located)?;
            }
            if let Home::Sharded(s) = &located.home
                && s.layout == Layout::Separate
            {
                separate = Some(located.name.clone());
            }
            let on = self.nodes_of(name, &located)?;
            places.push((name, on));
        }
        if let Some(name) = separate {
            return self.on_separate(names, &name.to_string());
        }
        // What is about rows has nothing to do in the shell, but that a view has been filled is told there.
        let of_schema = matches!(
            first,
            "create" | "alter" | "drop" | "comment" | "grant" | "revoke" | "refresh"
        );
        let all = |nodes: Vec<NodeId>| if of_schema { self.with_shell(nodes) } else { nodes };
        let Some((_, nodes)) = places.first() else {
            return Ok(Route::Same {
                nodes: all(self.view.database.nodes()),
            });
        };
        if places.iter().all(|(_, on)| on == nodes) {
            return Ok(Route::Same {
                nodes: all(nodes.clone()),
            });
        }
        if !matches!(
            first,
            "drop" | "truncate" | "lock" | "vacuum" | "analyze" | "analyse" | "grant" | "revoke"
        ) {
            return Err(unsupported("a statement about tables of different nodes")
                .hint("Write one statement per table."));
        }
        let mut parts: Vec<(NodeId, String)> = Vec::new();
        if of_schema {
            parts.extend(self.shell_part());
        }
        let mut nodes: Vec<NodeId> = places.iter().flat_map(|(_, on)| on.iter().copied()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        for node in nodes {
            let here: Vec<&Name> = places
                .iter()
                .filter(|(_, on)| on.contains(&node))
                .map(|(name, _)| *name)
                .collect();
            parts.push((node, self.only_these(names, &here)));
        }
        Ok(Route::Parts(parts))
    }

    /// The statement with a part of its list of names.
    fn only_these(&self, all: &[Name], some: &[&Name]) -> String {
        let (Some(first), Some(last)) = (all.first(), all.last()) else {
            return self.sql.to_owned();
        };
        let list: Vec<&str> = some
            .iter()
            .map(|n| &self.sql[n.span.start as usize..n.span.end as usize])
            .collect();
        let span = Span {
            start: first.span.start,
            end: last.span.end,
        };
        self.splice(vec![Splice::replace(self.shape.range(span), list.join(", "))])
    }

    /// Where a table, view or sequence is, each node once.
    fn nodes_of(&self, name: &Name, located: &Located) -> Result<Vec<NodeId>, Fault> {
        let catalog = &self.view.database.catalog;
        if let Some(view) = self.find(name, |n| catalog.views.contains_key(n)) {
            return self.nodes_of_view(&view);
        }
        if let Some(home) = self
            .find(name, |n| catalog.sequences.contains_key(n))
            .and_then(|sequence| sequence_home(&sequence, self.view))
        {
            return Ok(self.nodes_of_home(&home));
        }
        Ok(self.nodes_of_home(&located.home))
    }

    pub(in super::super) fn nodes_of_home(&self, home: &Home) -> Vec<NodeId> {
        match home {
            Home::Node(n) => vec![*n],
            Home::Everywhere(list) => list.clone(),
            Home::Sharded(s) => s.nodes.clone(),
            Home::System => vec![self.view.database.anywhere],
        }
    }

    /// A name as the server finds it, where `known` says that it is there.
    pub(in super::super) fn find(
        &self,
        name: &Name,
        known: impl Fn(&TableName) -> bool,
    ) -> Option<TableName> {
        let hit = |schema: &str, table: &str| Some(TableName::new(schema, table)).filter(|n| known(n));
        match name.parts.as_slice() {
            [.., schema, table] => hit(schema, table),
            [table] => self.view.search_path.iter().find_map(|s| hit(s, table)),
            [] => None,
        }
    }

    /// The rules know tables by their names: what they name keeps it, and nothing else takes it.
    fn guard_move(&self, located: &Located) -> Result<(), Fault> {
        if !Reader::new(self.sql, self.tokens).take_all(&["alter", "table"]) {
            return Ok(());
        }
        let word = |at: usize, w: &str| self.tokens.get(at).is_some_and(|t| t.is_word(self.sql, w));
        let mut depth = 0;
        for at in 0..self.tokens.len() {
            if self.tokens[at].is_punct(self.sql, '(') {
                depth += 1;
            } else if self.tokens[at].is_punct(self.sql, ')') {
                depth -= 1;
            }
            if depth != 0 {
                continue;
            }
            let rename = word(at, "rename") && word(at + 1, "to");
            let schema = word(at, "set") && word(at + 1, "schema");
            let parted = word(at, "attach") && word(at + 1, "partition")
                || word(at, "detach") && word(at + 1, "partition")
                || word(at, "inherit");
            if parted && located.rule.is_some() {
                return Err(unsupported(&format!(
                    "changing what {} is made of, which the rules split,",
                    located.name
                )));
            }
            if !rename && !schema {
                continue;
            }
            if located.rule.is_some() {
                return Err(
                    unsupported(&format!("renaming {}, which the rules name,", located.name)).hint(
                        "Only tables that no rule names can be renamed: a rule would look for it under its old name.",
                    ),
                );
            }
            let mut r = Reader::new(self.sql, self.tokens);
            r.at = at + 2;
            let Some(new) = r.ident() else { continue };
            let target = if rename {
                TableName::new(located.name.schema.clone(), new)
            } else {
                TableName::new(new, located.name.table.clone())
            };
            if self.view.database.tables.contains_key(&target) {
                return Err(Fault::new(
                    Code::UNSUPPORTED_STATEMENT,
                    format!("{target} is a table of the rules, which place it elsewhere"),
                )
                .hint("Create it under its own name and insert the rows."));
            }
        }
        Ok(())
    }
}
