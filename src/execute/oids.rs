//! Which type and which relation of a node is which of the shell: asked of both alike, and told by their
//! logical names; an array by its elements, since its own name may be any.
//!
//! `control` asks whenever it reads the catalog. What a transaction has made itself is in no catalog yet: it
//! asks on its own connections.

use std::collections::HashMap;
use std::sync::Arc;

use crate::backend::{Lease, Rows};
use crate::model::oids::{Inside, Oids};
use crate::model::{Fault, NodeId, TableName};

use super::{Failure, Hold};

/// A type or a relation, by its OID on one node.
#[derive(Debug)]
pub struct OidRow {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    /// `pg_type.typtype`, `a` of an array, `S` of a relation.
    pub kind: char,
    /// What an array, a domain, a range or a multirange is made of.
    pub of: u32,
}

/// `oid, schema, name, kind, of` of what clients may meet in messages, from an OID on. Partitions and what
/// belongs to them never reach a client. `rngmultitypid` came with version 14.
pub fn oids_sql(from: u32) -> String {
    const USER: &str =
        "n.nspname NOT IN ('pg_catalog', 'information_schema', 'margay') AND n.nspname !~ '^pg_(toast|temp)'";
    format!(
        "SELECT t.oid, n.nspname, t.typname, CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN 'a' ELSE t.typtype::text END, \
            CASE WHEN t.typcategory = 'A' THEN t.typelem WHEN t.typtype = 'd' THEN t.typbasetype \
                ELSE coalesce(r.rngsubtype, m.rngtypid, 0) END \
         FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
         LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem \
         LEFT JOIN pg_catalog.pg_class c ON c.oid = CASE WHEN t.typrelid <> 0 THEN t.typrelid ELSE e.typrelid END \
         LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid \
         LEFT JOIN (SELECT rngtypid, (pg_catalog.to_jsonb(x)->>'rngmultitypid')::pg_catalog.oid AS multi \
            FROM pg_catalog.pg_range x) m ON m.multi = t.oid \
         WHERE t.oid >= {from} AND c.relispartition IS NOT TRUE AND c.relpersistence IS DISTINCT FROM 't' AND {USER} \
         UNION ALL SELECT c.oid, n.nspname, c.relname, 'S', 0 FROM pg_catalog.pg_class c \
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid >= {from} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT c.relispartition \
            AND c.relpersistence <> 't' AND {USER}"
    )
}

/// The shell's.
#[derive(Debug)]
pub struct Canonical {
    types: HashMap<TableName, u32>,
    relations: HashMap<TableName, u32>,
    /// Element → array.
    arrays: HashMap<u32, u32>,
}

impl Canonical {
    pub fn new(rows: &[OidRow]) -> Canonical {
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

/// What the rows of a node say, added to what is known of it. `logical`: shards that are tables of their own →
/// their tables.
pub fn dictionary(
    rows: &[OidRow],
    canonical: &Canonical,
    logical: &HashMap<TableName, TableName>,
    known: Oids,
) -> Oids {
    let before = known.from_node.clone();
    let mut out = known;
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
    let there = |oid: u32| theirs.get(&oid).copied().or_else(|| before.type_oid(oid));
    let arrays = rows.iter().filter(|row| row.kind == 'a');
    let arrays: Vec<(u32, u32)> = arrays
        .filter_map(|row| Some((row.oid, *canonical.arrays.get(&there(row.of)?)?)))
        .collect();
    theirs.extend(arrays);
    let there = |oid: u32| theirs.get(&oid).copied().or_else(|| before.type_oid(oid));
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

/// What a transaction knows beyond the catalog.
#[derive(Debug, Default)]
pub(super) struct OwnOids {
    /// It may have made types or tables.
    pub behind: bool,
    canonical: Option<Canonical>,
    nodes: HashMap<NodeId, Arc<Oids>>,
}

impl OwnOids {
    pub fn of(&self, node: NodeId) -> Option<&Arc<Oids>> {
        self.nodes.get(&node)
    }

    /// DDL ran in the transaction.
    pub fn changed(&mut self) {
        *self = OwnOids {
            behind: true,
            ..OwnOids::default()
        };
    }
}

impl Hold {
    /// What a node's OIDs are to the client. None: what they are themselves. A node that wasn't asked yet has
    /// no types of users' that are known.
    pub(super) fn oids(&self, node: NodeId) -> Option<Arc<Oids>> {
        self.database.shell.filter(|shell| *shell != node)?;
        let own = self.txn.block().and_then(|block| block.oids.of(node));
        let known = own.or_else(|| self.database.catalog.oids.get(&node));
        Some(known.cloned().unwrap_or_default())
    }

    /// Asks for what this transaction has made, where a node of it is used again.
    pub(super) async fn learn_oids(&mut self, node: NodeId) -> Result<(), Failure> {
        let Some(shell) = self.database.shell.filter(|shell| *shell != node) else {
            return Ok(());
        };
        let known = self.database.catalog.oids.get(&node).cloned().unwrap_or_default();
        let logical = self.database.physical_names();
        let Some(block) = self.txn.block_mut().filter(|block| block.oids.behind) else {
            return Ok(());
        };
        let there = |node| {
            block
                .branches
                .iter()
                .position(|b| b.node == node && b.primary && b.lease.is_some())
        };
        // Where the transaction wasn't, it has made nothing.
        let (Some(of_shell), Some(of_node), None) = (there(shell), there(node), block.oids.of(node)) else {
            return Ok(());
        };
        let canonical = match block.oids.canonical.take() {
            Some(canonical) => canonical,
            None => Canonical::new(&ask(&mut block.branches[of_shell].lease, known.to_node.newest()).await?),
        };
        let rows = ask(&mut block.branches[of_node].lease, known.from_node.newest()).await?;
        let made = dictionary(&rows, &canonical, &logical, (*known).clone());
        block.oids.canonical = Some(canonical);
        block.oids.nodes.insert(node, Arc::new(made));
        Ok(())
    }
}

/// What is newer than an OID. After four billion OIDs they begin anew: what is missed then isn't known, and
/// refused.
async fn ask(lease: &mut Option<Lease>, newest: u32) -> Result<Vec<OidRow>, Failure> {
    let lease = lease
        .as_mut()
        .ok_or_else(|| Fault::internal("a branch of the transaction is in use twice"))?;
    let answer: Rows = lease.run(&oids_sql(newest.saturating_add(1))).await?;
    let rows = (0..answer.rows.len()).map(|row| {
        let text = |column| answer.text(row, column).unwrap_or_default();
        let number = |column| text(column).parse().unwrap_or_default();
        OidRow {
            oid: number(0),
            schema: text(1).to_owned(),
            name: text(2).to_owned(),
            kind: text(3).chars().next().unwrap_or('?'),
            of: number(4),
        }
    });
    Ok(rows.collect())
}
