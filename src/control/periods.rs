//! Which periods of a time-sharded table have been on a node (`margay.period`). One that was there and
//! isn't any more, though no rule retired it, is lost: it isn't made anew, since an empty table would
//! answer for the rows that were in the old one. Must not create or drop a period's table.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::catalog::Absent;
use crate::model::{Code, NodeId, ShardId, TableName};
use crate::topology::placement::{Time, physical_name};
use crate::topology::{Node, Table};

use super::connect::{Link, LinkError, literal};
use super::placement::quoted;

/// A table of a logical database, as the records name it.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    pub database: &'a str,
    pub table: &'a TableName,
}

/// Periods that were there and aren't any more.
#[derive(Debug, Default)]
pub struct Gone {
    /// No rule retired them.
    pub lost: BTreeMap<String, ShardId>,
    pub retired: BTreeMap<String, ShardId>,
}

impl Gone {
    /// As a table's present rules see it: what they would retire now is not lost, and what was retired
    /// is theirs no more only while they retire at all.
    pub fn by_rules(mut self, table: &Table, time: &Time, now_us: i64) -> Gone {
        let first_kept = *time.wanted(now_us).start();
        // A record of another numbering tells nothing.
        self.lost
            .retain(|name, period| *name == physical_name(table, *period));
        match time.retire {
            None => self.retired.clear(),
            Some(_) => {
                let all = std::mem::take(&mut self.lost).into_iter();
                let (old, kept) = all.partition(|(_, period)| period.0 < first_kept);
                self.lost = kept;
                self.retired.extend::<BTreeMap<String, ShardId>>(old);
            }
        }
        self
    }
}

impl Recorded<'_> {
    /// The rows of one table. A table that was dropped and created again is another one.
    fn of_present(&self) -> String {
        format!(
            "{} AND parent = to_regclass({})::oid::int8",
            self.key(),
            literal(&quoted(self.table))
        )
    }

    fn key(&self) -> String {
        format!(
            "database_name = {} AND table_name = {}",
            literal(self.database),
            literal(&self.table.to_string())
        )
    }

    /// Names and numbers of the periods that were there and are gone.
    pub async fn gone(&self, link: &mut Link) -> Result<Gone, LinkError> {
        let mut gone = Gone::default();
        if !is_prepared(link).await? {
            return Ok(gone);
        }
        let sql = format!(
            "SELECT p.period, p.shard, p.retired FROM margay.period p WHERE {} AND NOT EXISTS \
             (SELECT FROM pg_inherits i JOIN pg_class k ON k.oid = i.inhrelid WHERE i.inhparent = p.parent AND k.relname = p.period)",
            self.of_present()
        );
        for row in link.ask(&sql).await?.iter().flatten() {
            let shard = row.get(1).and_then(|text| text.parse().ok()).map(ShardId);
            if let (Some(name), Some(shard)) = (row.get(0), shard) {
                let into = match row.get(2) {
                    Some("t") => &mut gone.retired,
                    Some(_) | None => &mut gone.lost,
                };
                into.insert(name.to_owned(), shard);
            }
        }
        Ok(gone)
    }

    /// Records periods that are there. What is recorded of an earlier table of that name is forgotten.
    pub async fn adopt(&self, link: &mut Link, there: &BTreeMap<String, ShardId>) -> Result<(), LinkError> {
        if !is_prepared(link).await? {
            return Ok(());
        }
        let known = format!(
            "SELECT period FROM margay.period WHERE {} AND NOT retired",
            self.of_present()
        );
        let sets = link.ask(&known).await?;
        let known: BTreeSet<&str> = sets.iter().flatten().filter_map(|row| row.get(0)).collect();
        let fresh: Vec<(&String, &ShardId)> = there
            .iter()
            .filter(|(name, _)| !known.contains(&***name))
            .collect();
        if fresh.is_empty() {
            return Ok(());
        }
        link.ask(&self.record_sql(fresh.into_iter())).await?;
        Ok(())
    }

    /// The statements that record periods; part of the transaction that creates them.
    pub fn record_sql<'b>(&self, periods: impl Iterator<Item = (&'b String, &'b ShardId)>) -> String {
        let rows: Vec<String> = periods
            .map(|(name, shard)| format!("({}, {})", literal(name), shard.0))
            .collect();
        if rows.is_empty() {
            return String::new();
        }
        format!(
            "DELETE FROM margay.period WHERE {} AND parent <> to_regclass({relation})::oid::int8; \
             INSERT INTO margay.period (database_name, table_name, period, shard, parent) \
             SELECT {}, {}, p, s, to_regclass({relation})::oid::int8 FROM (VALUES {}) v(p, s) \
             ON CONFLICT (database_name, table_name, period) DO UPDATE SET retired = false, shard = excluded.shard; ",
            self.key(),
            literal(self.database),
            literal(&self.table.to_string()),
            rows.join(", "),
            relation = literal(&quoted(self.table)),
        )
    }

    /// The statement that records that periods go because the rules say so.
    pub fn retire_sql(&self, names: &[String]) -> String {
        let names: Vec<String> = names.iter().map(|name| literal(name)).collect();
        format!(
            "UPDATE margay.period SET retired = true WHERE {} AND period IN ({}); ",
            self.key(),
            names.join(", ")
        )
    }

    /// What an operator types who knows that the rows are gone for good.
    pub fn forget_sql(&self, lost: &BTreeMap<String, ShardId>) -> String {
        let names: Vec<String> = lost.keys().map(|name| literal(name)).collect();
        format!(
            "DELETE FROM margay.period WHERE {} AND period IN ({})",
            self.key(),
            names.join(", ")
        )
    }

    pub fn problem(&self, lost: &BTreeMap<String, ShardId>) -> String {
        format!(
            "{}: periods that were there are gone, and no rule retired them: {}; statements that need them are refused. \
             Bring them back (a backup, ATTACH PARTITION); or, if their rows shall be gone for good, type on this node: {}",
            Code::PLACEMENT_MISMATCH.name,
            names(lost),
            self.forget_sql(lost)
        )
    }
}

/// Whether there are records at all: schema margay is prepared.
pub async fn is_prepared(link: &mut Link) -> Result<bool, LinkError> {
    Ok(link
        .ask_one("SELECT to_regclass('margay.period')")
        .await?
        .is_some())
}

fn names(lost: &BTreeMap<String, ShardId>) -> String {
    lost.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Lost periods of a table on one node, for statements.
pub fn absent(node: &Node, lost: &BTreeMap<String, ShardId>) -> Absent {
    Absent {
        shards: lost.values().copied().collect(),
        nodes: BTreeSet::new(),
        why: format!(
            "node {}: periods that were there are gone: {}",
            node.name,
            names(lost)
        )
        .into(),
    }
}

/// What is lost on several nodes.
pub fn join(all: Vec<Absent>) -> Option<Absent> {
    let why: Vec<&str> = all.iter().map(|a| &*a.why).collect();
    (!all.is_empty()).then(|| Absent {
        shards: all.iter().flat_map(|a| a.shards.iter().copied()).collect(),
        nodes: BTreeSet::new(),
        why: why.join("; ").into(),
    })
}

/// Of what was known to be lost, what is on a node that can't be asked now.
pub fn of_silent(known: &Absent, is_silent: impl Fn(ShardId) -> bool) -> Option<Absent> {
    let shards: BTreeSet<ShardId> = known
        .shards
        .iter()
        .copied()
        .filter(|shard| is_silent(*shard))
        .collect();
    (!shards.is_empty()).then(|| Absent {
        shards,
        nodes: BTreeSet::<NodeId>::new(),
        why: known.why.clone(),
    })
}
