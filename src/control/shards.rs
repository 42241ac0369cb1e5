//! Which shards a node has of a table and which the rules say it has. A shard that is gone would
//! answer with nothing as if nothing had ever been in it. Must not ask a server: `catalog_sql` did.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::catalog::Absent;
use crate::model::{Code, NodeId, ShardId, TableName};
use crate::topology::placement::{Hash, HashFunction, Scheme, physical_name};
use crate::topology::{Database, Layout, Sharding, Spread, Table};

use super::catalog::{Answers, NodeTables};

/// Something about the shards of a table on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardFault {
    pub node: NodeId,
    /// Statements that need these are refused.
    pub shards: BTreeSet<ShardId>,
    /// So are those that need anything of the table on this node.
    pub whole: bool,
    pub text: String,
}

impl ShardFault {
    pub fn refuses(&self) -> bool {
        self.whole || !self.shards.is_empty()
    }

    /// For operators.
    pub fn problem(&self) -> String {
        match self.refuses() {
            true => format!(
                "{}: {}; statements that need them are refused",
                Code::PLACEMENT_MISMATCH.name,
                self.text
            ),
            false => self.text.clone(),
        }
    }
}

/// What is wrong with the shards of a table on the nodes that answered. Periods of time come and go, and
/// are watched by `periods`.
pub fn faults(table: &Table, answers: &Answers) -> Vec<ShardFault> {
    let Spread::Sharded(sharding) = &table.spread else {
        return Vec::new();
    };
    let asked: Vec<(NodeId, &NodeTables)> = sharding
        .nodes
        .iter()
        .filter_map(|node| Some((*node, answers.get(node)?)))
        .collect();
    // Not created yet, or dropped as a whole.
    if !asked
        .iter()
        .any(|(node, tables)| has_any(table, sharding, *node, tables))
    {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (node, tables) in asked {
        if !has_any(table, sharding, node, tables) {
            found.push(ShardFault {
                node,
                shards: BTreeSet::new(),
                whole: true,
                text: "the table and all of its shards are missing there".to_owned(),
            });
            continue;
        }
        if matches!(sharding.scheme, Scheme::Time(_)) {
            found.extend(not_partitioned(table, sharding, node, tables));
            continue;
        }
        match sharding.layout {
            Layout::PerNode => {}
            Layout::Separate => found.extend(lacking(table, sharding, node, |shard| {
                tables.tables.contains_key(&physical(table, shard))
            })),
            Layout::Partitioned => match tables.partitions.get(&table.name) {
                Some(partitions) => {
                    found.extend(lacking(table, sharding, node, |shard| {
                        partitions
                            .get(&*physical_name(table, shard))
                            .is_some_and(|bounds| holds(sharding, shard, bounds))
                    }));
                    found.extend(foreign(table, sharding, node, partitions));
                }
                // All of its rows are in one table: nothing is missing.
                None => found.extend(not_partitioned(table, sharding, node, tables)),
            },
        }
    }
    found
}

/// The same for what statements must know: all shards of a table that can't be read.
pub fn absent(found: &[ShardFault], names: &dyn Fn(NodeId) -> String) -> Option<Absent> {
    let refused: Vec<&ShardFault> = found.iter().filter(|f| f.refuses()).collect();
    let why: Vec<String> = refused
        .iter()
        .map(|f| format!("node {}: {}", names(f.node), f.text))
        .collect();
    (!refused.is_empty()).then(|| Absent {
        shards: refused.iter().flat_map(|f| f.shards.iter().copied()).collect(),
        nodes: refused.iter().filter(|f| f.whole).map(|f| f.node).collect(),
        why: why.join("; ").into(),
    })
}

/// The shards of all tables of a database that can't be read.
pub fn faults_of_all(database: &Database, answers: &Answers) -> BTreeMap<TableName, Vec<ShardFault>> {
    let tables = database.tables.values();
    let all = tables.map(|table| (table.name.clone(), faults(table, answers)));
    all.filter(|(_, found)| !found.is_empty()).collect()
}

fn physical(table: &Table, shard: ShardId) -> TableName {
    TableName::new(table.name.schema.clone(), physical_name(table, shard))
}

fn has_any(table: &Table, sharding: &Sharding, node: NodeId, tables: &NodeTables) -> bool {
    match sharding.layout {
        Layout::PerNode | Layout::Partitioned => tables.tables.contains_key(&table.name),
        Layout::Separate => {
            shards_on(sharding, node).any(|shard| tables.tables.contains_key(&physical(table, shard)))
        }
    }
}

fn shards_on(sharding: &Sharding, node: NodeId) -> impl Iterator<Item = ShardId> {
    let place = sharding.place.iter().enumerate();
    place
        .filter(move |(_, on)| **on == node)
        .map(|(shard, _)| ShardId(shard as i32))
}

fn lacking(
    table: &Table,
    sharding: &Sharding,
    node: NodeId,
    is_there: impl Fn(ShardId) -> bool,
) -> Option<ShardFault> {
    let shards: BTreeSet<ShardId> = shards_on(sharding, node)
        .filter(|shard| !is_there(*shard))
        .collect();
    if shards.is_empty() {
        return None;
    }
    let names: Vec<String> = shards.iter().map(|shard| physical_name(table, *shard)).collect();
    let what = match sharding.layout {
        Layout::Partitioned => "shards are missing there, or are no partitions for the keys of their numbers",
        Layout::PerNode | Layout::Separate => "shards are missing there",
    };
    Some(ShardFault {
        node,
        shards,
        whole: false,
        text: format!("{what}: {}", names.join(", ")),
    })
}

/// Partitions that should be on another node: rows in them would be seen twice, or not at all.
fn foreign(
    table: &Table,
    sharding: &Sharding,
    node: NodeId,
    partitions: &BTreeMap<Box<str>, String>,
) -> Vec<ShardFault> {
    let all = (0..sharding.place.len() as i32).map(ShardId);
    let known: BTreeMap<String, ShardId> = all.map(|shard| (physical_name(table, shard), shard)).collect();
    let mut found = Vec::new();
    let mut others = Vec::new();
    for name in partitions.keys() {
        match known.get(&**name) {
            Some(shard) if sharding.node_of(*shard) == node => {}
            Some(shard) => found.push(ShardFault {
                node,
                shards: BTreeSet::from([*shard]),
                whole: false,
                text: format!("{name} is attached there, and belongs on another node"),
            }),
            None => others.push(name.to_string()),
        }
    }
    if !others.is_empty() {
        found.push(ShardFault {
            node,
            shards: BTreeSet::new(),
            whole: false,
            text: format!(
                "partitions that are no shards of the rules: {}",
                others.join(", ")
            ),
        });
    }
    found
}

/// A table of one piece where the rules have shards.
fn not_partitioned(
    table: &Table,
    sharding: &Sharding,
    node: NodeId,
    tables: &NodeTables,
) -> Option<ShardFault> {
    let plain = sharding.layout == Layout::Partitioned
        && tables.tables.contains_key(&table.name)
        && !tables.partitions.contains_key(&table.name);
    plain.then(|| ShardFault {
        node,
        shards: BTreeSet::new(),
        whole: false,
        text: "it is one table there, not partitioned into its shards".to_owned(),
    })
}

/// Whether a hash partition's bounds are those of its number; the server compares the others itself with
/// each row that it takes.
fn holds(sharding: &Sharding, shard: ShardId, bounds: &str) -> bool {
    match &sharding.scheme {
        Scheme::Hash(Hash {
            function: HashFunction::Postgres,
            count,
            ..
        }) => bounds == format!("FOR VALUES WITH (modulus {count}, remainder {})", shard.0),
        Scheme::Hash(_) | Scheme::Time(_) | Scheme::Range(_) | Scheme::List(_) => true,
    }
}
