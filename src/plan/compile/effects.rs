//! What a statement does besides its rows: who may run it, what it writes or leaves behind, and what no
//! route may do.

use crate::model::{Code, Fault, TableName};
use crate::topology::Layout;

use super::super::analyze::Analysis;
use super::super::functions::{self, Effect};
use super::super::scope::{Home, TableRef};
use super::super::types::{ReadHint, Role};
use super::{Compiled, Compiler, Route, key_update};

impl Compiler<'_> {
    /// A view on a node sees that node's rows alone, and what it reads isn't known here.
    pub(super) fn refuse_view(&self, name: &TableName) -> Result<(), Fault> {
        let is_view = self.db().catalog.tables.get(name).is_some_and(|t| t.is_view);
        if !is_view || self.single_node().is_some() {
            return Ok(());
        }
        Err(Fault::new(
            Code::FUNCTION_ACROSS_NODES,
            format!("what the view {name} reads isn't known"),
        )
        .hint("Write the view's query out in the statement."))
    }

    /// What no route may do, not even one to a single node.
    pub(super) fn check_once(&self, analysis: &Analysis) -> Result<(), Fault> {
        let refs = &analysis.facts.refs;
        for table in refs {
            self.refuse_view(&table.name)?;
        }
        let partitioned = |t: &TableRef| matches!(&t.home, Home::Sharded(s) if s.layout != Layout::PerNode);
        if analysis.system_column && refs.iter().any(partitioned) {
            return Err(Fault::new(
                Code::UNSUPPORTED_STATEMENT,
                "system columns such as ctid and tableoid are those of a shard, not of the table",
            ));
        }
        let separate = |t: &TableRef| matches!(&t.home, Home::Sharded(s) if s.layout == Layout::Separate);
        if analysis.qualified_columns && refs.iter().any(separate) {
            return Err(Fault::new(
                Code::UNSUPPORTED_STATEMENT,
                "columns qualified by a schema can't be used with a table whose shards are separate tables",
            )
            .hint("Qualify the column by the table's name or alias alone."));
        }
        if self.single_node().is_some() {
            return Ok(());
        }
        if analysis.into {
            return Err(Fault::new(
                Code::UNSUPPORTED_STATEMENT,
                "SELECT INTO isn't supported on a database of several nodes",
            )
            .hint("Create the table first, then insert its rows."));
        }
        for (at, set) in &analysis.nested_writes {
            let target = &refs[*at];
            if matches!(&target.home, Home::Everywhere(nodes) if nodes.len() > 1) {
                return Err(Fault::new(
                    Code::WRITE_ACROSS_NODES,
                    format!(
                        "a WITH can't write the broadcast table {}, which is on several nodes",
                        target.name
                    ),
                )
                .hint("Write it in a statement of its own."));
            }
            if let Home::Sharded(sharding) = &target.home
                && let Some(key) = sharding.key.iter().find(|k| set.contains(&k.column))
            {
                return Err(key_update(target, &key.column));
            }
        }
        for call in &analysis.calls {
            if functions::runs_text(call.name.last()) {
                return Err(Fault::new(
                    Code::FUNCTION_ACROSS_NODES,
                    format!("what {}() reads is not for this proxy to see", call.name.last()),
                ));
            }
        }
        Ok(())
    }

    /// Every copy of a broadcast row must get the same values, whichever node computes them.
    pub(super) fn check_copies(&self, target: &TableRef, analysis: &Analysis) -> Result<(), Fault> {
        let catalog = &self.db().catalog;
        let refuse = |what: String| {
            Err(Fault::new(
                Code::BROADCAST_DIVERGES,
                format!(
                    "{what} might give each copy of a row of {} another value",
                    target.name
                ),
            )
            .hint("Compute the value first and pass it as a constant."))
        };
        let mut calls = analysis.calls.iter();
        if let Some(call) = calls.find(|c| !functions::copies_alike(c, catalog)) {
            return refuse(format!("{}()", call.name.last()));
        }
        if let Some(cast) = analysis.casts.iter().find(|c| functions::of_catalog(c)) {
            return refuse(format!("a cast to {cast}"));
        }
        let mut columns = target.info.iter().flat_map(|i| &i.columns);
        match columns.find(|c| functions::of_catalog(&c.type_name)) {
            Some(column) => refuse(format!("column {} of type {}", column.name, column.type_name)),
            None => Ok(()),
        }
    }

    /// Role, writes and session effects.
    pub(super) fn effects(
        &self,
        analysis: &Analysis,
        is_query: bool,
        compiled: &mut Compiled,
    ) -> Result<(), Fault> {
        let catalog = &self.db().catalog;
        let mut may_write = analysis.writes || !is_query;
        let several = self.single_node().is_none();
        let in_place = matches!(compiled.route, Route::Fixed(node) if node == self.db().anywhere);
        for call in &analysis.calls {
            let name = call.name.last();
            let meets = is_advisory(name) && name != "pg_advisory_unlock_all" || name == "pg_notify";
            if several && meets && !in_place {
                return Err(not_in_place(name));
            }
            match functions::effect(name, catalog) {
                Effect::Reads => {}
                Effect::Session if name == "set_config" && !compiled.sets.is_empty() => {}
                Effect::MayWrite => may_write = true,
                // Nothing is locked by it: drivers send it between users.
                Effect::Session if several && name == "pg_advisory_unlock_all" => {}
                // All clients' locks must meet on one server: on one node.
                Effect::Session if several && is_advisory(name) && in_place => {
                    compiled.pins = true;
                    may_write = true;
                }
                Effect::Session if several => {
                    return Err(Fault::new(
                        Code::SESSION_STATE,
                        format!("{name}() leaves state in one server's session, which can't be kept over several nodes"),
                    )
                    .hint(if name == "pg_export_snapshot" {
                        "No snapshot is one of several servers: use pg_dump without -j."
                    } else {
                        "For settings use SET."
                    }));
                }
                Effect::Session => {
                    compiled.pins = true;
                    may_write = true;
                }
            }
            if several && functions::hides_reads(name, catalog) {
                return Err(Fault::new(
                    Code::FUNCTION_ACROSS_NODES,
                    format!("what the function {name}() reads isn't known"),
                )
                .hint("Declare it IMMUTABLE if it reads no table; otherwise write its query out."));
            }
        }
        compiled.writes = may_write;
        let hint = self.hints.read.or(self.view.read_hint);
        compiled.role = if may_write || analysis.locks || hint == Some(ReadHint::Primary) {
            Role::Primary
        } else {
            Role::Any
        };
        Ok(())
    }
}

fn is_advisory(name: &str) -> bool {
    name.starts_with("pg_advisory_") || name.starts_with("pg_try_advisory_")
}

fn not_in_place(name: &str) -> Fault {
    Fault::new(
        Code::SESSION_STATE,
        format!("{name}() in a statement about tables would take effect on their node, where other clients don't meet it"),
    )
    .hint(format!("Call it in a statement of its own, with values: SELECT {name}(…)."))
}
