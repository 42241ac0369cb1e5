//! CREATE FUNCTION and what else is alike on every node. A function's body is checked in the shell, where
//! all tables are; on the nodes it isn't, since each has only some of them. What it reads is judged when
//! it is called.

use crate::model::Fault;

use super::super::compile::{Compiler, Route};
use super::super::query::Name;
use super::super::reader::Reader;
use super::super::splice::Splice;
use super::unsupported;

/// They look at the row that they are called for, and at nothing else.
const HARMLESS_TRIGGERS: [&str; 3] = [
    "suppress_redundant_updates_trigger",
    "tsvector_update_trigger",
    "tsvector_update_trigger_column",
];

const UNCHECKED: &str = "SET LOCAL check_function_bodies = off";

impl Compiler<'_> {
    pub(super) fn create_function(&self) -> Route {
        let Some(shell) = self.shell_part() else {
            return Route::Same {
                nodes: self.view.database.nodes(),
            };
        };
        let mut parts = vec![shell];
        for node in self.view.database.nodes() {
            parts.push((node, UNCHECKED.to_owned()));
            parts.push((node, self.sql.to_owned()));
        }
        Route::Parts(parts)
    }

    /// A trigger's function may read and write what is on other nodes, or only one copy of what is on many.
    pub(super) fn guard_trigger(&self, table: &Name) -> Result<(), Fault> {
        let execute = self.tokens.iter().position(|t| t.is_word(self.sql, "execute"));
        let mut r = Reader::new(self.sql, self.tokens);
        r.at = execute.map_or(self.tokens.len(), |at| at + 2);
        let name = r.name();
        let name = name.as_ref().map_or("", |n| n.last());
        if HARMLESS_TRIGGERS.contains(&name) {
            return Ok(());
        }
        self.trigger_runs_on(name, table)
    }

    /// The rules know tables by their schemas.
    pub(super) fn guard_schema(&self, first: &str) -> Result<(), Fault> {
        let mut r = Reader::new(self.sql, self.tokens);
        if first != "alter" || !r.take_all(&["alter", "schema"]) {
            return Ok(());
        }
        let Some(name) = r.ident() else { return Ok(()) };
        let renames = r.take_all(&["rename", "to"]);
        let new = r.ident().unwrap_or_default();
        let mut tables = self.view.database.tables.keys();
        if renames && tables.any(|t| t.schema == name || t.schema == new) {
            return Err(unsupported("renaming a schema whose tables the rules name"));
        }
        Ok(())
    }

    /// What is said about the logical database is kept with the shell's own.
    pub(super) fn on_own_database(&self, name: &Name) -> Result<Route, Fault> {
        let database = &self.view.database;
        let own = database
            .catalog
            .system
            .values()
            .next()
            .map(|relation| &relation.own);
        match (database.shell, own) {
            (Some(shell), Some(own)) if name.last() == &*database.name => {
                let own = format!("\"{}\"", own.replace('"', "\"\""));
                let text = self.splice(vec![Splice::replace(self.shape.range(name.span), own)]);
                Ok(Route::Parts(vec![(shell, text)]))
            }
            (_, _) => Err(unsupported("a statement about another database")),
        }
    }
}
