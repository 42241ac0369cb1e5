//! Makes the dictionaries of OIDs: which type and which relation of a node is which of the shell, told by
//! their logical names; an array by its elements, since its own name may be any. Must not ask a server.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::catalog::Catalog;
use crate::model::oids::{FIRST_USER_OID, Inside, Oids};
use crate::model::{NodeId, TableName};
use crate::topology::Database;

use super::catalog::{Answers, physical_names};
use super::catalog_sql::OidRow;

/// A dictionary for each node but the shell. What a silent one would have told is kept from `before`.
pub fn oids(database: &Database, answers: &Answers, before: &Catalog) -> HashMap<NodeId, Arc<Oids>> {
    let Some(shell) = database.shell else {
        return HashMap::new();
    };
    let Some(of_shell) = answers.get(&shell) else {
        return before.oids.clone();
    };
    let canonical = Canonical::new(&of_shell.oids);
    let logical = physical_names(database);
    let nodes = database.nodes().into_iter();
    nodes
        .filter_map(|node| {
            let known = before.oids.get(&node);
            let Some(answer) = answers.get(&node) else {
                return known.map(|known| (node, Arc::clone(known)));
            };
            let made = dictionary(&answer.oids, &canonical, &logical);
            let same = known.filter(|known| ***known == made).map(Arc::clone);
            Some((node, same.unwrap_or_else(|| Arc::new(made))))
        })
        .collect()
}

/// The shell's.
struct Canonical {
    types: HashMap<TableName, u32>,
    relations: HashMap<TableName, u32>,
    /// Element → array.
    arrays: HashMap<u32, u32>,
}

impl Canonical {
    fn new(rows: &[OidRow]) -> Canonical {
        let mut out = Canonical {
            types: HashMap::new(),
            relations: HashMap::new(),
            arrays: HashMap::new(),
        };
        for row in rows {
            match row.kind {
                'a' => drop(out.arrays.insert(row.of, row.oid)),
                'S' => drop(out.relations.insert(name(row), row.oid)),
                _ => drop(out.types.insert(name(row), row.oid)),
            }
        }
        out
    }
}

fn name(row: &OidRow) -> TableName {
    TableName::new(row.schema.as_str(), row.name.as_str())
}

fn dictionary(rows: &[OidRow], canonical: &Canonical, logical: &HashMap<TableName, TableName>) -> Oids {
    let mut out = Oids::default();
    let mut theirs: HashMap<u32, u32> = HashMap::new();
    for row in rows {
        let name = name(row);
        let name = logical.get(&name).unwrap_or(&name);
        if row.kind == 'S' {
            if let Some(oid) = canonical.relations.get(name) {
                out.from_node.add_relation(row.oid, *oid);
                out.to_node.add_relation(*oid, row.oid);
            }
        } else if let Some(oid) = canonical.types.get(name).filter(|_| row.kind != 'a') {
            theirs.insert(row.oid, *oid);
        }
    }
    let there = |oid: u32| match oid {
        oid if oid < FIRST_USER_OID => Some(oid),
        oid => theirs.get(&oid).copied(),
    };
    let arrays = rows.iter().filter(|row| row.kind == 'a');
    let arrays: Vec<(u32, u32)> = arrays
        .filter_map(|row| Some((row.oid, *canonical.arrays.get(&there(row.of)?)?)))
        .collect();
    theirs.extend(arrays);
    let there = |oid: u32| match oid {
        oid if oid < FIRST_USER_OID => Some(oid),
        oid => theirs.get(&oid).copied(),
    };
    let mut said: HashMap<u32, u32> = HashMap::new();
    for row in rows.iter().filter(|row| row.kind != 'S') {
        let Some(oid) = theirs.get(&row.oid).copied() else {
            continue;
        };
        let inside = |of: u32| match row.kind {
            'a' => Inside::Array,
            'c' => Inside::Record,
            'd' => Inside::Domain(of),
            'r' => Inside::Range(of),
            'm' => Inside::Multirange(of),
            _ => Inside::Nothing,
        };
        out.from_node.add_type(row.oid, oid, inside(row.of));
        if let Some(of) = there(row.of) {
            // Row types of two shards on one node are one type to clients, and which is meant isn't known.
            match said.insert(oid, row.oid) {
                None => out.to_node.add_type(oid, row.oid, inside(of)),
                Some(_) => out.to_node.remove_type(oid),
            }
        }
    }
    out
}
