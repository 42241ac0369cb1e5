//! Notes on each node under which placement its tables were filled, and notices when the rules
//! now say something else: a row would then be looked for where it isn't. Must not move rows, nor
//! overwrite a note while the table is there.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::model::{Code, NodeId, ShardId, TableName};
use crate::topology::placement::{self, Scheme};
use crate::topology::{Database, Layout, Node, Sharding, Snapshot, Spread, Table};

use super::connect::{LinkError, identifier, literal};
use super::problems::Watch;
use super::shared::Shared;

/// Everything that decides which row is where, as a line of text. The first word is the version of
/// this description: fingerprints of different versions must not be compared.
pub fn describe(snapshot: &Snapshot, sharding: &Sharding) -> String {
    let key: Vec<&str> = sharding.key.iter().map(|k| &*k.column).collect();
    let scheme = match &sharding.scheme {
        Scheme::Hash(hash) => format!("hash {} {}", hash.function.name(), hash.count),
        Scheme::Time(time) => {
            format!(
                "time {} {} {}",
                time.every.name(),
                time.zone.iana_name().unwrap_or("fixed"),
                time.from
            )
        }
        Scheme::Range(range) => {
            let bounds: Vec<String> = range.bounds.iter().map(ToString::to_string).collect();
            format!("range {}", bounds.join(","))
        }
        Scheme::List(list) => {
            let mut values: Vec<String> = list
                .values
                .iter()
                .map(|(value, shard)| format!("{value}={shard}"))
                .collect();
            values.sort();
            format!("list {}", values.join(","))
        }
    };
    let layout = match sharding.layout {
        Layout::PerNode => "per_node",
        Layout::Partitioned => "partitioned",
        Layout::Separate => "separate",
    };
    let place: Vec<&str> = sharding
        .place
        .iter()
        .map(|id| &*snapshot.node(*id).name)
        .collect();
    format!(
        "1 key({}) {scheme} {layout} place({})",
        key.join(","),
        place.join(",")
    )
}

/// A short form of `describe`, for comparing.
pub fn fingerprint(description: &str) -> String {
    let digest = Sha256::digest(description.as_bytes());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Notes and compares the placement of every sharded table of a database on each of its nodes.
pub async fn note(shared: &Shared, database: &str) {
    let snapshot = shared.snapshot();
    let Some(rules) = snapshot.database(database) else {
        return;
    };
    for id in rules.nodes() {
        let node = snapshot.node(id);
        let tables = tables_on(&snapshot, rules, node);
        if tables.is_empty() {
            continue;
        }
        let Ok(differing) = note_on(shared, database, node, &tables).await else {
            // Down, or schema margay isn't there yet: both are reported by who watches for them.
            continue;
        };
        let prefix = format!("{database}/{}/", node.name);
        let problems: BTreeMap<String, String> = differing
            .into_iter()
            .map(|table| {
                let text = format!(
                    "{}: the rules place this table otherwise than when it was filled; rows would not be found",
                    Code::PLACEMENT_MISMATCH.name
                );
                (format!("{prefix}{table}"), text)
            })
            .collect();
        shared.problems.replace(
            Watch::Placement,
            |subject| subject.starts_with(&prefix),
            &problems,
        );
    }
}

/// Name, name of a physical table that tells whether it is there, fingerprint.
type Noted = (String, String, String);

fn tables_on(snapshot: &Snapshot, database: &Database, node: &Node) -> Vec<Noted> {
    let mut tables: Vec<Noted> = database
        .tables
        .values()
        .filter_map(|table| match &table.spread {
            Spread::Sharded(sharding) if sharding.nodes.contains(&node.id) => {
                let physical = physical(table, sharding, node.id);
                let print = fingerprint(&describe(snapshot, sharding));
                Some((table.name.to_string(), quoted(&physical), print))
            }
            Spread::Sharded(_) | Spread::Whole(_) | Spread::Broadcast => None,
        })
        .collect();
    tables.sort();
    tables
}

/// The table on the node that bears the logical table's columns.
pub fn physical(table: &Table, sharding: &Sharding, node: NodeId) -> TableName {
    match sharding.layout {
        Layout::PerNode | Layout::Partitioned => table.name.clone(),
        Layout::Separate => {
            let shard = sharding.place.iter().position(|id| *id == node).unwrap_or(0);
            TableName::new(
                table.name.schema.clone(),
                placement::physical_name(table, ShardId(shard as i32)),
            )
        }
    }
}

/// A table's name in SQL.
pub fn quoted(name: &TableName) -> String {
    format!("{}.{}", identifier(&name.schema), identifier(&name.table))
}

/// The tables whose note differs.
async fn note_on(
    shared: &Shared,
    database: &str,
    node: &Node,
    tables: &[Noted],
) -> Result<Vec<String>, LinkError> {
    let rows: Vec<String> = tables
        .iter()
        .map(|(name, physical, print)| {
            format!("({}, {}, {})", literal(name), literal(physical), literal(print))
        })
        .collect();
    let database = literal(database);
    // The inner statements don't see each other's effects: what is noted now can't differ.
    let sql = format!(
        "WITH mine(name, physical, print) AS (VALUES {rows}), \
         there AS (SELECT name, print FROM mine WHERE to_regclass(physical) IS NOT NULL), \
         gone AS (DELETE FROM margay.placement p USING mine m WHERE p.database_name = {database} \
            AND p.table_name = m.name AND to_regclass(m.physical) IS NULL), \
         noted AS (INSERT INTO margay.placement (database_name, table_name, fingerprint) \
            SELECT {database}, name, print FROM there ON CONFLICT DO NOTHING) \
         SELECT t.name FROM there t JOIN margay.placement p ON p.database_name = {database} \
            AND p.table_name = t.name AND p.fingerprint <> t.print",
        rows = rows.join(", "),
    );
    let mut held = shared.primary(node).await?;
    let sets = held.link().ask(&sql).await?;
    Ok(sets
        .iter()
        .flatten()
        .filter_map(|row| row.get(0))
        .map(str::to_owned)
        .collect())
}
