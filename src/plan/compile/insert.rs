//! INSERT: which way its rows go, and what can't be split.

use crate::model::catalog::ColumnDefault;
use crate::model::{Code, Fault};
use crate::topology::Layout;

use super::super::analyze::Analysis;
use super::super::insert;
use super::super::query::{Assignment, Conflict, Expr, Insert, InsertSource, Lowered, Span};
use super::super::reader::Reader;
use super::super::scope::{Home, TableRef};
use super::{Compiler, InsertRoute, Route, target};

impl Compiler<'_> {
    pub(super) fn insert(&self, i: &Insert, lowered: &Lowered, analysis: &Analysis) -> Result<Route, Fault> {
        let Some(target) = target(analysis, &i.table.name) else {
            return Err(Fault::internal("the target of the INSERT was not found"));
        };
        if let Some(conflict) = &i.conflict {
            // What conflicts equals what is there: `SET key = EXCLUDED.key` leaves the row where it is.
            let keeps = |a: &Assignment| match (a.columns.as_slice(), &a.value) {
                ([column], Expr::Column(name)) => {
                    let parts: Vec<&str> = name.parts.iter().map(|p| &**p).collect();
                    parts == ["excluded", column] && conflict.columns.contains(column)
                }
                (_, _) => false,
            };
            self.refuse_key_update(target, conflict.set.iter().filter(|a| !keeps(a)))?;
            self.check_conflict(target, conflict)?;
        }
        let generates = target.rule.as_ref().is_some_and(|r| !r.generate.is_empty());
        match (&i.source, &target.home) {
            (InsertSource::Values(values), Home::Sharded(_) | Home::Everywhere(_)) => {
                self.rows(i, values, target, lowered, analysis)
            }
            (InsertSource::Values(values), Home::Node(_)) if generates => {
                self.rows(i, values, target, lowered, analysis)
            }
            // Defaults that may have to be filled: where that can't be done, `unfixed` says so.
            (InsertSource::Values(values), Home::Node(_)) if of_session(target) => self
                .rows(i, values, target, lowered, analysis)
                .or_else(|_| self.tables(lowered, analysis, true)),
            (InsertSource::Query(_) | InsertSource::DefaultValues, Home::Node(_))
                if generates && !lists_generated(i, target) =>
            {
                Err(Fault::new(
                    Code::KEY_MISSING,
                    format!("ids of {} are generated for rows of VALUES only", target.name),
                )
                .hint("Name the generated column and give its values, or insert the rows as VALUES."))
            }
            (_, Home::Node(_) | Home::System) => self.tables(lowered, analysis, true),
            (InsertSource::Query(q), Home::Everywhere(nodes)) => {
                if q.is_limited() && nodes.len() > 1 {
                    return Err(Fault::new(
                        Code::BROADCAST_DIVERGES,
                        "INSERT … SELECT … LIMIT may pick other rows on each node",
                    ));
                }
                if nodes.len() > 1 {
                    let listed = |column: &str| i.columns.iter().any(|c| c.last() == column);
                    self.refuse_defaults(target, &|column| !listed(column))?;
                }
                self.same_everywhere(nodes, target, lowered, analysis)
            }
            (InsertSource::DefaultValues, Home::Everywhere(nodes)) if nodes.len() == 1 => {
                Ok(Route::Fixed(nodes[0]))
            }
            (InsertSource::Query(_) | InsertSource::DefaultValues, Home::Sharded(s))
                if s.nodes.len() == 1 && s.layout != Layout::Separate =>
            {
                self.tables(lowered, analysis, true)
            }
            (InsertSource::DefaultValues, Home::Sharded(_) | Home::Everywhere(_)) => Err(Fault::new(
                Code::KEY_MISSING,
                format!("INSERT INTO {} DEFAULT VALUES gives no sharding key", target.name),
            )),
            (InsertSource::Query(_), Home::Sharded(_)) => Err(Fault::new(
                Code::WRITE_ACROSS_NODES,
                format!(
                    "INSERT INTO {} … SELECT can't be split over its nodes",
                    target.name
                ),
            )
            .hint("Read the rows first and insert them as VALUES.")),
        }
    }

    /// A conflict is only seen within a shard: its target must hold the key wherever the server
    /// doesn't demand that anyway.
    pub(super) fn check_conflict(&self, target: &TableRef, conflict: &Conflict) -> Result<(), Fault> {
        let Home::Sharded(sharding) = &target.home else {
            return Ok(());
        };
        let unique_holds_key =
            |columns: &[Box<str>]| sharding.key.iter().all(|k| columns.contains(&k.column));
        let safe = match sharding.layout {
            // The server refuses unique keys without the partition key.
            Layout::Partitioned => true,
            Layout::PerNode | Layout::Separate => {
                if conflict.columns.is_empty() {
                    target
                        .info
                        .as_ref()
                        .is_some_and(|i| i.unique.iter().all(|u| unique_holds_key(u)))
                } else {
                    unique_holds_key(&conflict.columns)
                }
            }
        };
        if safe || sharding.place.len() == 1 {
            return Ok(());
        }
        Err(Fault::new(
            Code::WRITE_ACROSS_NODES,
            "ON CONFLICT must name columns that include the sharding key",
        )
        .hint("A row that conflicts may be on another node, where it would not be seen."))
    }

    /// `ON CONFLICT ON CONSTRAINT name`.
    fn conflict_constraint(&self) -> Option<(Span, Box<str>)> {
        let mut r = Reader::new(self.sql, self.tokens);
        while !r.done() {
            if r.take_all(&["on", "conflict", "on", "constraint"]) {
                let name = r.name()?;
                return Some((self.shape.range(name.span), name.last().into()));
            }
            r.at += 1;
        }
        None
    }

    pub(super) fn rows(
        &self,
        i: &Insert,
        values: &[Vec<Expr>],
        target: &TableRef,
        lowered: &Lowered,
        analysis: &Analysis,
    ) -> Result<Route, Fault> {
        let others = analysis
            .facts
            .refs
            .iter()
            .filter(|r| r.span != target.span)
            .count();
        if others > 0 || !i.ctes.is_empty() {
            let one = match &target.home {
                Home::Everywhere(nodes) if nodes.len() == 1 => Some(nodes[0]),
                Home::Sharded(s) if s.nodes.len() == 1 => Some(s.nodes[0]),
                Home::Node(n) => Some(*n),
                Home::Everywhere(_) | Home::Sharded(_) | Home::System => None,
            };
            if one.is_none() {
                return Err(Fault::new(
                    Code::WRITE_ACROSS_NODES,
                    format!(
                        "INSERT INTO {} with subqueries can't be split over its nodes",
                        target.name
                    ),
                )
                .hint("Read the values first and pass them as constants."));
            }
            return self.tables(lowered, analysis, true);
        }
        if let Home::Everywhere(nodes) = &target.home
            && nodes.len() > 1
        {
            self.check_copies(target, analysis)?;
        }
        let rows = insert::rows(i, values, target, self.sql, self.tokens)?;
        let replaced: Vec<Vec<Span>> = rows
            .rows
            .iter()
            .map(|r| r.replaced.iter().map(|r| self.shape.range(r.at)).collect())
            .collect();
        Ok(Route::Insert(Box::new(InsertRoute {
            table: self.named(target, analysis),
            list_at: self.shape.position(rows.list_at),
            spans: rows.rows.iter().map(|r| self.shape.range(r.span)).collect(),
            replaced,
            constraint: self.conflict_constraint(),
            rows,
        })))
    }
}

/// Has it a default made of the transaction's time or the session's names?
fn of_session(target: &TableRef) -> bool {
    let columns = target.info.iter().flat_map(|i| &i.columns);
    columns
        .into_iter()
        .any(|c| matches!(c.default, ColumnDefault::OfSession(_)))
}

fn lists_generated(i: &Insert, target: &TableRef) -> bool {
    let mut generated = target.rule.iter().flat_map(|r| &r.generate);
    generated.all(|g| i.columns.iter().any(|c| c.last() == &*g.column))
}
