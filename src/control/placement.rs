//! What decides which row is where, as a line of text per table and node, and its fingerprint. `notes`
//! keeps these in `margay.placement` and compares. Must not ask a server.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::model::catalog::TableInfo;
use crate::model::{NodeId, ShardId, TableName};
use crate::topology::placement::{self, Scheme};
use crate::topology::{Database, Layout, Sharding, Snapshot, Spread, Table};

use super::catalog::nodes_of;
use super::connect::identifier;

/// Everything that decides which rows of a table a node holds. The first word is the version of this
/// description: fingerprints of different versions must not be compared. Nodes have no names in it: what
/// counts is the part that the servers hold which were asked, whatever the rules call them. So a node may
/// be renamed, and two that were exchanged are noticed. None: by the rules the node has none of its rows.
pub fn describe(database: &Database, name: &TableName, node: NodeId) -> Option<String> {
    let nodes = nodes_of(database, name);
    if !nodes.contains(&node) {
        return None;
    }
    Some(match database.tables.get(name).map(|table| &table.spread) {
        None | Some(Spread::Whole(_)) => "2 whole".to_owned(),
        // A node that comes to hold a copy needs its rows first.
        Some(Spread::Broadcast) => format!("2 broadcast to {} nodes", nodes.len()),
        Some(Spread::Sharded(sharding)) => sharded(sharding, node),
    })
}

fn sharded(sharding: &Sharding, node: NodeId) -> String {
    let key: Vec<&str> = sharding.key.iter().map(|k| &*k.column).collect();
    let scheme = match &sharding.scheme {
        Scheme::Hash(hash) => format!("hash {}", hash.function.name()),
        Scheme::Time(time) => {
            let zone = time.zone.iana_name().unwrap_or("fixed");
            format!("time {} {zone} from {}", time.every.name(), time.from)
        }
        Scheme::Range(range) => {
            let bounds: Vec<String> = range.bounds.iter().map(ToString::to_string).collect();
            format!("range {}", bounds.join(","))
        }
        Scheme::List(list) => {
            let values = list.values.iter();
            let mut values: Vec<String> = values.map(|(value, shard)| format!("{value}={shard}")).collect();
            values.sort();
            format!("list {}", values.join(","))
        }
    };
    let layout = match sharding.layout {
        Layout::PerNode => "per_node",
        Layout::Partitioned => "partitioned",
        Layout::Separate => "separate",
    };
    let here = sharding.place.iter().enumerate().filter(|(_, on)| **on == node);
    format!(
        "2 key({}) {scheme} {layout}, here {} of {}",
        key.join(","),
        runs(here.map(|(shard, _)| shard)),
        sharding.place.len()
    )
}

/// `0-3,8` for 0, 1, 2, 3 and 8.
fn runs(numbers: impl Iterator<Item = usize>) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            Some(_) | None => runs.push((number, number)),
        }
    }
    let runs = runs.into_iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        _ => format!("{first}-{last}"),
    });
    runs.collect::<Vec<_>>().join(",")
}

/// A short form of `describe`, for comparing.
pub fn fingerprint(description: &str) -> String {
    let digest = Sha256::digest(description.as_bytes());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The types of the key's columns, as far as they decide a row's shard. None: they aren't known, or the
/// table isn't sharded.
pub fn key_types(table: &Table, info: &TableInfo) -> Option<String> {
    let Spread::Sharded(sharding) = &table.spread else {
        return None;
    };
    let types = sharding.key.iter().map(|key| {
        let column = info.column(&key.column)?;
        Some(match column.key_type() {
            // Integers of all widths are placed alike.
            Some(ty) if ty.is_integer() => "integer".to_owned(),
            Some(ty) => ty.sql().to_owned(),
            None => column.type_name.to_string(),
        })
    });
    types
        .collect::<Option<Vec<String>>>()
        .map(|types| types.join(", "))
}

/// Tables that new rules place otherwise than the present ones do: they are not served until the nodes
/// were asked under which of the two they were filled.
pub fn moved(current: &Snapshot, fresh: &Snapshot, database: &str) -> HashMap<TableName, Box<str>> {
    let (Some(old), Some(new)) = (current.database(database), fresh.database(database)) else {
        return HashMap::new();
    };
    let known = new
        .tables
        .keys()
        .chain(old.tables.keys())
        .chain(old.catalog.tables.keys());
    let changed = known.filter(|name| {
        let mut nodes = nodes_of(new, name);
        nodes.extend(nodes_of(old, name));
        nodes
            .into_iter()
            .any(|node| describe(new, name, node) != describe(old, name, node))
    });
    let why = "the rules have just changed and the nodes were not asked yet";
    changed.map(|name| (name.clone(), why.into())).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_written_as_runs() {
        assert_eq!(runs([0, 1, 2, 3, 8].into_iter()), "0-3,8");
        assert_eq!(runs([0, 2, 4].into_iter()), "0,2,4");
        assert_eq!(runs([].into_iter()), "");
    }
}
