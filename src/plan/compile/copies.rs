//! Copies of broadcast tables are equal only if every node carries writes out in the same order, each upon the
//! same rows. Row locks alone don't see to that: of two transactions one may find the other's commit on one
//! node and not yet on the next. So what writes by what it finds takes a lock first, on one node after the
//! other, and keeps it until it has committed there.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::model::{Code, Fault, NodeId, TableName, identifier};

use super::super::analyze::Analysis;
use super::super::query::Root;
use super::super::reader::Reader;
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
    copies(&table.home).is_some()
}

impl Compiler<'_> {
    /// A lock on a row of one copy keeps nobody away from the others: all who lock rows of a broadcast table must
    /// do so on the same node, which they don't where another table decides on the node.
    pub(super) fn check_row_locks(&self, analysis: &Analysis) -> Result<(), Fault> {
        let refs = &analysis.facts.refs;
        let lists: BTreeSet<&[NodeId]> = refs.iter().filter_map(|t| copies(&t.home)).collect();
        let decides = |t: &TableRef| match &t.home {
            Home::Node(_) => true,
            Home::Sharded(sharding) => sharding.nodes.len() > 1,
            Home::Everywhere(_) | Home::System => false,
        };
        let elsewhere = lists.len() > 1 || refs.iter().any(decides);
        if !analysis.locks || !elsewhere || self.single_node().is_some() {
            return Ok(());
        }
        let locked = self.locked();
        let is_locked = |t: &&TableRef| locked.as_ref().is_none_or(|of| of.contains(&self.alias(t)));
        match refs.iter().filter(|t| has_copies(t)).find(is_locked) {
            None => Ok(()),
            Some(table) => Err(Fault::new(
                Code::UNSUPPORTED_STATEMENT,
                format!(
                    "rows of the broadcast table {} would be locked in one of its copies only",
                    table.name
                ),
            )
            .hint("Name the tables whose rows are to be locked: FOR UPDATE OF …")),
        }
    }

    /// The names behind `FOR … OF`. None: rows of all tables are locked, or it isn't known of which.
    fn locked(&self) -> Option<Vec<Box<str>>> {
        let is = |at: usize, word: &str| self.tokens.get(at).is_some_and(|t| t.is_word(self.sql, word));
        let begins = |at: &usize| {
            is(*at, "for")
                && ["update", "share", "no", "key"]
                    .iter()
                    .any(|word| is(*at + 1, word))
        };
        let mut found = (0..self.tokens.len()).filter(begins);
        let (Some(at), None) = (found.next(), found.next()) else {
            return None;
        };
        let of = (at..self.tokens.len()).find(|at| is(*at, "of"))?;
        let mut names = Vec::new();
        let mut reader = Reader::new(self.sql, self.tokens.get(of + 1..)?);
        loop {
            names.push(reader.ident()?);
            if !reader.take_punct(',') {
                return Some(names);
            }
        }
    }

    /// As the statement calls it.
    fn alias(&self, table: &TableRef) -> Box<str> {
        let behind = self.tokens.partition_point(|t| t.start < table.span.end);
        let mut reader = Reader::new(self.sql, self.tokens.get(behind..).unwrap_or_default());
        let named = table.has_alias && {
            reader.take("as");
            true
        };
        let alias = named.then(|| reader.ident()).flatten();
        alias.unwrap_or_else(|| table.name.table.clone())
    }
}

fn copies(home: &Home) -> Option<&[NodeId]> {
    match home {
        Home::Everywhere(nodes) if nodes.len() > 1 => Some(nodes),
        Home::Everywhere(_) | Home::Node(_) | Home::Sharded(_) | Home::System => None,
    }
}
