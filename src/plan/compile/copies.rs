//! Copies of broadcast tables are equal only if every node carries writes out in the same order, each upon the
//! same rows. Row locks alone don't see to that: of two transactions one may find the other's commit on one
//! node and not yet on the next. So what writes by what it finds takes a lock first, on one node after the
//! other, and keeps it until it has committed there.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::model::{TableName, identifier};

use super::super::analyze::Analysis;
use super::super::query::Root;
use super::super::scope::{Home, TableRef};
use super::{Compiler, target};

impl Compiler<'_> {
    /// The statement to be run before this one on each node. None: it writes no copies, or only rows of its
    /// own: of these the unique indexes give the order.
    pub(super) fn lock_of_copies(&self, root: &Root, analysis: &Analysis) -> Option<Arc<str>> {
        let refs = &analysis.facts.refs;
        let target = match root {
            Root::Query(_) => None,
            Root::Insert(_) if refs.len() == 1 => None,
            Root::Insert(i) => target(analysis, &i.table.name),
            Root::Update(w) | Root::Delete(w) => target(analysis, &w.table.name),
        };
        target.filter(|t| has_copies(t))?;
        let names: BTreeSet<&TableName> = refs.iter().filter(|t| has_copies(t)).map(|t| &t.name).collect();
        let mut sql = String::from("LOCK TABLE ");
        for (i, name) in names.into_iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            // Writing to a String can't fail.
            let _ = write!(
                sql,
                "{comma}{}.{}",
                identifier(&name.schema),
                identifier(&name.table)
            );
        }
        sql.push_str(" IN SHARE ROW EXCLUSIVE MODE");
        Some(sql.into())
    }
}

fn has_copies(table: &TableRef) -> bool {
    matches!(&table.home, Home::Everywhere(nodes) if nodes.len() > 1)
}
