//! The tables of the admin console. Each is made from what is known at this moment; only
//! `shards` asks the servers.

use std::collections::HashMap;
use std::time::SystemTime;

use futures_util::future::join_all;

use crate::backend::{Health, Role};
use crate::model::admin::{Grid, SharedSessions};
use crate::model::{NodeId, ShardId, TableName};
use crate::topology::placement::{Scheme, physical_name};
use crate::topology::{Database, Node, Sharding, Snapshot, Spread, Table};

use super::catalog::default_node;
use super::figures::{Kind, figures, idle, role_name};
use super::recovery::Counts;
use super::shared::Shared;

/// A table of the console.
pub fn of(columns: &[&str], rows: Vec<Vec<Option<String>>>) -> Grid {
    Grid {
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        rows,
        tag: "SHOW".to_owned(),
    }
}

fn text(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

/// RFC 3339, to the millisecond, UTC.
pub fn moment(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at)
        .map(|at| format!("{at:.3}"))
        .unwrap_or_default()
}

pub fn nodes(shared: &Shared) -> Grid {
    let mut rows = Vec::new();
    for node in shared.fleet.nodes().iter() {
        for server in &node.servers {
            let up = match server.health() {
                Health::Unknown => None,
                Health::Up => text(true),
                Health::Down => text(false),
            };
            let lag = (server.role() == Role::Replica).then(|| server.lag()).flatten();
            let address = server.server();
            rows.push(vec![
                text(&node.name),
                text(server.label()),
                text(role_name(server.role())),
                up,
                lag.map(|lag| lag.as_millis().to_string()),
                text(server.open_connections()),
                text(server.queries()),
                text(format_args!(
                    "{}:{}/{}",
                    address.host, address.port, address.database
                )),
                server
                    .last_error()
                    .filter(|_| server.health() == Health::Down)
                    .map(|e| e.to_string()),
            ]);
        }
    }
    let columns = [
        "node",
        "server",
        "role",
        "up",
        "lag_ms",
        "connections",
        "queries",
        "address",
        "error",
    ];
    of(&columns, rows)
}

pub fn pools(shared: &Shared) -> Grid {
    let limit = shared.snapshot().pool.max_connections;
    let nodes = shared.fleet.nodes();
    let rows = nodes
        .iter()
        .flat_map(|node| node.servers.iter().map(move |server| (node, server)));
    let rows = rows.map(|(node, server)| {
        vec![
            text(&node.name),
            text(server.label()),
            text(server.active()),
            text(idle(server)),
            text(server.waiting()),
            text(limit),
            text(server.errors()),
        ]
    });
    of(
        &[
            "node",
            "server",
            "in_use",
            "idle",
            "waiting",
            "max_connections",
            "errors",
        ],
        rows.collect(),
    )
}

pub fn clients(sessions: Option<&SharedSessions>) -> Grid {
    let rows = sessions
        .map(|s| s.clients())
        .unwrap_or_default()
        .into_iter()
        .map(|client| {
            vec![
                text(client.id),
                text(client.user),
                text(client.database),
                text(client.application),
                text(client.peer),
                text(client.state),
                text(moment(client.connected_at)),
                text(client.queries),
            ]
        });
    let columns = [
        "id",
        "user",
        "database",
        "application",
        "peer",
        "state",
        "connected_at",
        "queries",
    ];
    of(&columns, rows.collect())
}

pub fn recent(sessions: Option<&SharedSessions>) -> Grid {
    let rows = sessions
        .map(|s| s.recent())
        .unwrap_or_default()
        .into_iter()
        .map(|query| {
            vec![
                text(moment(query.at)),
                text(query.database),
                text(query.user),
                text(query.servers.join(", ")),
                text(query.tier),
                text(query.duration.as_micros()),
                text(query.rows),
                text(query.sql),
                query.error.map(str::to_owned),
            ]
        });
    let columns = [
        "at",
        "database",
        "user",
        "servers",
        "tier",
        "duration_us",
        "rows",
        "sql",
        "error",
    ];
    of(&columns, rows.collect())
}

pub fn stats(shared: &Shared, sessions: Option<&SharedSessions>, recovery: &Counts) -> Grid {
    let mut rows = Vec::new();
    for figure in figures(shared, sessions, recovery) {
        for (labels, value) in figure.samples {
            let labels: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let name = match figure.kind {
                Kind::Gauge => figure.name.to_owned(),
                Kind::Counter => format!("{}_total", figure.name),
            };
            rows.push(vec![Some(name), text(labels.join(" ")), text(value)]);
        }
    }
    of(&["name", "labels", "value"], rows)
}

pub fn problems(shared: &Shared) -> Grid {
    let rows = shared.problems.list().into_iter();
    let rows = rows.map(|p| {
        vec![
            text(moment(p.since)),
            text(p.watch.name()),
            Some(p.subject),
            Some(p.text),
        ]
    });
    of(&["since", "watch", "subject", "problem"], rows.collect())
}

/// How the rules spread each table.
pub fn rules(shared: &Shared) -> Grid {
    let snapshot = shared.snapshot();
    let mut rows = Vec::new();
    for database in &snapshot.databases {
        for table in sorted_tables(database) {
            let names = |ids: &[NodeId]| -> String {
                ids.iter()
                    .map(|id| &*snapshot.node(*id).name)
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let (spread, key, nodes) = match &table.spread {
                Spread::Whole(node) => ("whole".to_owned(), None, names(&[*node])),
                Spread::Broadcast => (
                    "broadcast".to_owned(),
                    None,
                    names(&database.domain(table.domain).nodes),
                ),
                Spread::Sharded(sharding) => {
                    let key: Vec<&str> = sharding.key.iter().map(|k| &*k.column).collect();
                    (scheme(sharding), Some(key.join(", ")), names(&sharding.nodes))
                }
            };
            rows.push(vec![
                text(&database.name),
                text(&database.domain(table.domain).name),
                text(&table.name),
                Some(spread),
                key,
                Some(nodes),
            ]);
        }
    }
    of(&["database", "domain", "table", "spread", "key", "nodes"], rows)
}

fn scheme(sharding: &Sharding) -> String {
    match &sharding.scheme {
        Scheme::Hash(hash) => format!("hash {} {}", hash.function.name(), hash.count),
        Scheme::Time(time) => format!("time every {}", time.every.name()),
        Scheme::Range(_) => format!("range {}", sharding.place.len()),
        Scheme::List(_) => format!("list {}", sharding.place.len()),
    }
}

fn sorted_tables(database: &Database) -> Vec<&Table> {
    let mut tables: Vec<&Table> = database.tables.values().map(|table| &**table).collect();
    tables.sort_by(|a, b| (a.domain, &a.name).cmp(&(b.domain, &b.name)));
    tables
}

/// Live rows of every physical table, as the node's statistics have it; None: the node is down.
type Rows = HashMap<TableName, Option<String>>;

/// Statistics are counted per physical table; a table without any yet was maybe analyzed.
const LIVE_ROWS: &str = "SELECT n.nspname, c.relname, \
     coalesce(nullif(s.n_live_tup, 0), greatest(c.reltuples, 0)::int8) \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid \
     WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'margay')";

/// Which node holds which shard, with the servers' own estimate of the rows in it.
pub async fn shards(shared: &Shared, now_us: i64) -> Grid {
    let snapshot = shared.snapshot();
    let asked = snapshot
        .nodes
        .iter()
        .map(|node| async move { (node.id, live_rows(shared, node).await) });
    let live: HashMap<NodeId, Option<Rows>> = join_all(asked).await.into_iter().collect();
    let mut rows = Vec::new();
    for database in &snapshot.databases {
        for place in places(&snapshot, database, now_us, &live) {
            let physical = TableName::new(place.table.schema.clone(), place.physical.clone());
            let count = live
                .get(&place.node)
                .and_then(Option::as_ref)
                .and_then(|rows| rows.get(&physical));
            rows.push(vec![
                text(&database.name),
                text(place.table),
                place.shard.map(|shard| shard.to_string()),
                text(&snapshot.node(place.node).name),
                text(&physical),
                count.cloned().flatten(),
            ]);
        }
    }
    of(&["database", "table", "shard", "node", "physical", "rows"], rows)
}

/// Where a piece of a table is.
struct Place<'a> {
    table: &'a TableName,
    shard: Option<ShardId>,
    node: NodeId,
    physical: String,
}

/// Every shard of every table, and the tables of no rule.
fn places<'a>(
    snapshot: &'a Snapshot,
    database: &'a Database,
    now_us: i64,
    live: &HashMap<NodeId, Option<Rows>>,
) -> Vec<Place<'a>> {
    let mut places = Vec::new();
    let whole = |table: &'a TableName, node| Place {
        table,
        shard: None,
        node,
        physical: table.table.to_string(),
    };
    for name in sorted_tables(database).into_iter().map(|table| &table.name) {
        let table = &database.tables[name];
        match &table.spread {
            Spread::Whole(node) => places.push(whole(name, *node)),
            Spread::Broadcast => {
                places.extend(
                    database
                        .domain(table.domain)
                        .nodes
                        .iter()
                        .map(|node| whole(name, *node)),
                );
            }
            Spread::Sharded(sharding) => {
                for shard in shards_of(sharding, table, now_us, live) {
                    let node = sharding.node_of(shard);
                    places.push(Place {
                        table: name,
                        shard: Some(shard),
                        node,
                        physical: physical_name(table, shard),
                    });
                }
            }
        }
    }
    if let Some(node) = default_node(database).filter(|node| node.index() < snapshot.nodes.len()) {
        let mut loose: Vec<&TableName> = database
            .catalog
            .tables
            .iter()
            .filter(|(name, info)| !info.is_view && !database.tables.contains_key(*name))
            .map(|(name, _)| name)
            .collect();
        loose.sort();
        places.extend(loose.into_iter().map(|name| whole(name, node)));
    }
    places
}

/// Periods looked for before a time-sharded table's first one.
const PERIODS_BEFORE: i32 = 120;

/// The shards of a table: all of them, or the periods that should be there or are.
fn shards_of(
    sharding: &Sharding,
    table: &Table,
    now_us: i64,
    live: &HashMap<NodeId, Option<Rows>>,
) -> Vec<ShardId> {
    match &sharding.scheme {
        Scheme::Hash(_) | Scheme::Range(_) | Scheme::List(_) => {
            (0..sharding.place.len() as i32).map(ShardId).collect()
        }
        Scheme::Time(time) => {
            let wanted = time.wanted(now_us);
            let is_there = |shard: ShardId| {
                let rows = live.get(&sharding.node_of(shard)).and_then(Option::as_ref);
                let physical = TableName::new(table.name.schema.clone(), physical_name(table, shard));
                rows.is_none_or(|rows| rows.contains_key(&physical))
            };
            let before = (-PERIODS_BEFORE..0).map(ShardId).filter(|shard| {
                // Only those that are seen: nobody said that they should be there.
                live.get(&sharding.node_of(*shard)).is_some_and(Option::is_some) && is_there(*shard)
            });
            before
                .chain(wanted.map(ShardId).filter(|shard| is_there(*shard)))
                .collect()
        }
    }
}

async fn live_rows(shared: &Shared, node: &Node) -> Option<Rows> {
    let mut held = shared.primary(node).await.ok()?;
    let sets = held.link().ask(LIVE_ROWS).await.ok()?;
    let row = |row: &tokio_postgres::SimpleQueryRow| {
        Some((
            TableName::new(row.get(0)?, row.get(1)?),
            row.get(2).map(str::to_owned),
        ))
    };
    Some(sets.iter().flatten().filter_map(row).collect())
}
