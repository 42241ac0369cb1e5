//! Notes on each node under which placement its tables were filled, and notices when the rules
//! now say something else: a row would then be looked for where it isn't. Must not move rows, nor
//! overwrite a note while the table is there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::join_all;
use sha2::{Digest, Sha256};

use crate::model::catalog::Catalog;
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

/// Notes and compares the placement of every sharded table of a database on each of its nodes. Tables
/// whose note differs are refused from then on (`Catalog::misplaced`).
pub async fn note(shared: &Shared, database: &str) {
    let snapshot = shared.snapshot();
    let Some(rules) = snapshot.database(database) else {
        return;
    };
    let mut misplaced: HashMap<TableName, Box<str>> = HashMap::new();
    let asked = rules.nodes().into_iter().map(|id| {
        let node = snapshot.node(id);
        let tables = tables_on(&snapshot, rules, node);
        async move {
            if tables.is_empty() {
                return (node, Some(Vec::new()));
            }
            // Down, or schema margay isn't there yet: both are reported by who watches for them.
            (node, note_on(shared, database, node, &tables).await.ok())
        }
    });
    for (node, differing) in join_all(asked).await {
        let prefix = format!("{database}/{}/", node.name);
        let Some(differing) = differing else {
            // What was known of tables that it may hold stays.
            let holds = |name: &TableName| match rules.tables.get(name).map(|t| &t.spread) {
                Some(Spread::Sharded(sharding)) => sharding.nodes.contains(&node.id),
                Some(Spread::Whole(_) | Spread::Broadcast) | None => false,
            };
            let known = rules.catalog.misplaced.iter().filter(|(name, _)| holds(name));
            misplaced.extend(known.map(|(name, why)| (name.clone(), why.clone())));
            continue;
        };
        let text = format!(
            "{}: the rules place this table otherwise than when it was filled; it is not served",
            Code::PLACEMENT_MISMATCH.name
        );
        let problems: BTreeMap<String, String> = differing
            .iter()
            .map(|table| (format!("{prefix}{table}"), text.clone()))
            .collect();
        for name in rules
            .tables
            .keys()
            .filter(|name| differing.contains(&name.to_string()))
        {
            misplaced.insert(
                name.clone(),
                format!("node {} says so in margay.placement", node.name).into(),
            );
        }
        shared.problems.replace(
            Watch::Placement,
            |subject| subject.starts_with(&prefix),
            &problems,
        );
    }
    shared.snapshots.rcu(|current| match current.database(database) {
        // New rules came meanwhile: they are noted anew.
        Some(now) if current.epoch == snapshot.epoch && now.catalog.misplaced != misplaced => {
            with_misplaced(current, database, &misplaced)
        }
        Some(_) | None => current.clone(),
    });
}

/// The same rules, with other tables that are not served.
fn with_misplaced(
    snapshot: &Snapshot,
    database: &str,
    misplaced: &HashMap<TableName, Box<str>>,
) -> Arc<Snapshot> {
    let mut snapshot = snapshot.clone();
    if let Some(rules) = snapshot.databases.iter_mut().find(|d| &*d.name == database) {
        let catalog = Catalog {
            epoch: rules.catalog.epoch + 1,
            misplaced: misplaced.clone(),
            ..(*rules.catalog).clone()
        };
        *rules = Arc::new(Database {
            catalog: Arc::new(catalog),
            ..(**rules).clone()
        });
    }
    Arc::new(snapshot)
}

/// Tables that new rules place otherwise than the present ones do: they are not served until the nodes
/// were asked under which of the two they were filled.
pub fn moved(current: &Snapshot, fresh: &Snapshot, database: &str) -> HashMap<TableName, Box<str>> {
    let (Some(old), Some(new)) = (current.database(database), fresh.database(database)) else {
        return HashMap::new();
    };
    let place = |snapshot: &Snapshot, rules: &Database, name: &TableName| match rules
        .tables
        .get(name)
        .map(|table| &table.spread)
    {
        Some(Spread::Sharded(sharding)) => Some(describe(snapshot, sharding)),
        Some(Spread::Whole(_) | Spread::Broadcast) | None => None,
    };
    let changed = new.tables.keys().filter(|name| {
        let now = place(fresh, new, name);
        now.is_some() && now != place(current, old, name)
    });
    changed
        .map(|name| {
            (
                name.clone(),
                "the rules have just changed and the nodes were not asked yet".into(),
            )
        })
        .collect()
}

/// Name, name of a physical table that tells whether it is there, fingerprint. None: the rules don't
/// split the table, so that a note of any kind differs.
type Noted = (String, String, Option<String>);

fn tables_on(snapshot: &Snapshot, database: &Database, node: &Node) -> Vec<Noted> {
    let mut tables: Vec<Noted> = database
        .tables
        .values()
        .filter_map(|table| match &table.spread {
            Spread::Sharded(sharding) if sharding.nodes.contains(&node.id) => {
                let physical = physical(table, sharding, node.id);
                let print = fingerprint(&describe(snapshot, sharding));
                Some((table.name.to_string(), quoted(&physical), Some(print)))
            }
            Spread::Sharded(_) => None,
            Spread::Whole(_) | Spread::Broadcast => Some((table.name.to_string(), quoted(&table.name), None)),
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
            let print = print.as_deref().map_or("NULL::text".to_owned(), literal);
            format!("({}, {}, {print})", literal(name), literal(physical))
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
            SELECT {database}, name, print FROM there WHERE print IS NOT NULL ON CONFLICT DO NOTHING) \
         SELECT t.name FROM there t JOIN margay.placement p ON p.database_name = {database} \
            AND p.table_name = t.name AND p.fingerprint IS DISTINCT FROM t.print",
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
