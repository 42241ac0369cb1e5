//! Carries out `retire:` of time shards: periods older than the rules keep are detached or dropped,
//! by whichever proxy gets there first. Never without that word in the rules, nor by one clock
//! alone: a period must be old by the proxy's and by the server's, since what is dropped is gone.
//! Must not touch a table that isn't a partition of the logical one.

use std::collections::BTreeMap;

use crate::model::{NodeId, ShardId, TableName};
use crate::topology::placement::{RetireAction, Scheme, Time, physical_name};
use crate::topology::{Engine, Layout, Sharding, Snapshot, Spread, Table};

use super::bootstrap::LOCK_TIME_SHARDS;
use super::connect::{Link, LinkError, identifier, literal};
use super::periods::{self, Recorded};
use super::placement::quoted;
use super::problems::Watch;
use super::shared::Shared;
use super::time_shards::LOCK_TIMEOUT;

/// Periods before the rules' first one that are looked for: `outside: create` may have made them.
const PERIODS_BEFORE: i32 = 120;

/// A table whose old periods go.
struct Old<'a> {
    table: &'a Table,
    sharding: &'a Sharding,
    time: &'a Time,
    action: RetireAction,
}

/// Retires what is due in a database. What can't be is a problem in the list.
pub async fn retire_due(shared: &Shared, database: &str, now_us: i64) {
    let snapshot = shared.snapshot();
    let Some(rules) = snapshot
        .database(database)
        .filter(|d| d.engine == Engine::Postgres)
    else {
        return;
    };
    let misplaced = &rules.catalog.misplaced;
    let tables = rules
        .tables
        .values()
        .filter(|table| !misplaced.contains_key(&table.name));
    let mut problems = BTreeMap::new();
    for old in tables.filter_map(|table| old(table)) {
        for node in &old.sharding.nodes {
            match retire_on(shared, &snapshot, database, &old, *node, now_us).await {
                // That the node is down is reported by health.
                Ok(()) | Err(LinkError::NoPrimary(_)) => {}
                Err(error) => {
                    let subject = format!(
                        "{database} old periods/{}/{}",
                        snapshot.node(*node).name,
                        old.table.name
                    );
                    problems.insert(subject, format!("they can't be retired: {error}"));
                }
            }
        }
    }
    let prefix = format!("{database} old periods/");
    shared.problems.replace(
        Watch::TimeShards,
        |subject| subject.starts_with(&prefix),
        &problems,
    );
}

fn old(table: &Table) -> Option<Old<'_>> {
    let Spread::Sharded(sharding) = &table.spread else {
        return None;
    };
    let Scheme::Time(time) = &sharding.scheme else {
        return None;
    };
    let action = time.retire?.action;
    (sharding.layout == Layout::Partitioned).then_some(Old {
        table,
        sharding,
        time,
        action,
    })
}

async fn retire_on(
    shared: &Shared,
    snapshot: &Snapshot,
    database: &str,
    old: &Old<'_>,
    node: NodeId,
    now_us: i64,
) -> Result<(), LinkError> {
    let node = snapshot.node(node);
    let name = &old.table.name;
    let mut held = shared.primary(node).await?;
    let link = held.link();
    let now_us = now_us.min(server_now(link).await?);
    let first = *old.time.wanted(now_us).start();
    let periods = (-PERIODS_BEFORE..first)
        .map(ShardId)
        .filter(|period| old.sharding.node_of(*period) == node.id);
    let due: Vec<String> = periods.map(|period| physical_name(old.table, period)).collect();
    if partitions(link, name, &due).await?.is_empty() {
        return Ok(());
    }
    let records = periods::is_prepared(link).await?;
    // Looked at again under the lock: another proxy may be doing the same.
    link.ask(&format!(
        "BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SELECT pg_advisory_xact_lock({LOCK_TIME_SHARDS})"
    ))
    .await?;
    let there = partitions(link, name, &due).await?;
    let parent = quoted(name);
    let mut sql = String::new();
    if records && !there.is_empty() {
        let table = name;
        sql += &Recorded { database, table }.retire_sql(&there);
    }
    for partition in &there {
        let child = format!("{}.{}", identifier(&name.schema), identifier(partition));
        sql += &format!("ALTER TABLE {parent} DETACH PARTITION {child}; ");
        match old.action {
            RetireAction::Detach => {}
            RetireAction::Drop => sql += &format!("DROP TABLE {child}; "),
        }
    }
    link.ask(&(sql + "COMMIT")).await?;
    let action = match old.action {
        RetireAction::Detach => "detached",
        RetireAction::Drop => "dropped",
    };
    tracing::warn!(node = %node.name, table = %name, periods = there.join(", "), "old periods were {action}, as the rules say");
    Ok(())
}

/// Microseconds since 2000-01-01 UTC by the server's clock.
async fn server_now(link: &mut Link) -> Result<i64, LinkError> {
    let sql = "SELECT (extract(epoch FROM clock_timestamp() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint";
    let text = link.ask_one(sql).await?;
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| LinkError::Answer("the server's clock could not be read".into()))
}

/// Those of `names` that are partitions of the table, in the same schema.
async fn partitions(link: &mut Link, table: &TableName, names: &[String]) -> Result<Vec<String>, LinkError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = names.iter().map(|name| literal(name)).collect();
    let sql = format!(
        "SELECT k.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_inherits i ON i.inhparent = c.oid JOIN pg_class k ON k.oid = i.inhrelid \
         WHERE n.nspname = {} AND c.relname = {} AND c.relkind = 'p' AND k.relnamespace = c.relnamespace \
           AND k.relname IN ({}) ORDER BY 1",
        literal(&table.schema),
        literal(&table.table),
        names.join(", ")
    );
    let sets = link.ask(&sql).await?;
    Ok(sets
        .iter()
        .flatten()
        .filter_map(|row| row.get(0))
        .map(str::to_owned)
        .collect())
}
