//! Whether the nodes of a database hold what the rules say and the same as each other: tables and
//! their shards, placement, keys, types, functions, extensions.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::catalog::{Catalog, Collation, TableInfo};
use crate::model::{NodeId, TableName};
use crate::topology::{Database, Generator, Node, Snapshot, Spread, Table};

use super::super::catalog::{self, Answers, assemble, default_node, name_on, nodes_of};
use super::super::catalog_sql::read_node;
use super::super::connect::LinkError;
use super::super::notes;
use super::super::shards;
use super::super::shell_sql::{Class, Definition, definitions};
use super::{Asked, Finding, error, note, warning};

/// What was read of a node.
#[derive(Default)]
struct Held {
    definitions: Vec<Definition>,
    extensions: BTreeMap<String, String>,
}

const EXTENSIONS: &str = "SELECT extname, extversion FROM pg_extension";

const AGAIN: &str =
    "run the DDL that is missing on this node only (directly, not through Margay), so that all are alike";

pub async fn check(
    snapshot: &Snapshot,
    database: &Database,
    primaries: &mut BTreeMap<NodeId, Asked<'_>>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut answers = Answers::new();
    let mut held: BTreeMap<NodeId, Held> = BTreeMap::new();
    for id in database.nodes() {
        let Some(one) = primaries.get_mut(&id) else {
            continue;
        };
        match read(one, id == database.anywhere).await {
            Ok((tables, own)) => {
                answers.insert(id, tables);
                held.insert(id, own);
            }
            Err(why) => found.push(error(
                one.name(),
                format!("its catalog can't be read: {why}"),
                "see what its log says",
            )),
        }
    }
    let names = |id: NodeId| snapshot.node(id).name.to_string();
    let (catalog, _) = assemble(database, &names, &answers, &Catalog::default());
    // The same rules, now that the key's types are known.
    let known = Database {
        catalog: std::sync::Arc::new(catalog),
        ..database.clone()
    };
    let mut tables: Vec<&Table> = database.tables.values().map(|table| &**table).collect();
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    for table in tables {
        found.extend(on_its_nodes(&known, table, &answers, &held, &names));
        if let Some(info) = known.catalog.tables.get(&table.name) {
            found.extend(columns_of_rules(&known, table, info));
        }
    }
    found.extend(strays(snapshot, &known, &answers, &names));
    for id in database.nodes() {
        let (Some(one), Ok(node)) = (primaries.get_mut(&id), node_of(snapshot, id)) else {
            continue;
        };
        for misplaced in notes::misplaced_on(&known, node, &mut one.link)
            .await
            .unwrap_or_default()
        {
            found.push(error(
                format!("{}/{} on {}", database.name, misplaced.table, node.name),
                format!(
                    "the rules place it otherwise than when it was filled [MG3006]: {}",
                    misplaced.why
                ),
                format!(
                    "put the rules back; or, once its rows are where the rules want them, type there: {}",
                    misplaced.settle
                ),
            ));
        }
    }
    found.extend(objects(database, &held, &names));
    found
}

fn node_of(snapshot: &Snapshot, id: NodeId) -> Result<&Node, ()> {
    snapshot.nodes.get(id.index()).map(|node| &**node).ok_or(())
}

async fn read(one: &mut Asked<'_>, with_functions: bool) -> Result<(catalog::NodeTables, Held), LinkError> {
    let tables = catalog::tables_of(read_node(&mut one.link, with_functions, false).await?);
    let definitions = definitions(&mut one.link).await?;
    let rows = one.link.ask(EXTENSIONS).await?.into_iter().flatten();
    let extensions = rows.filter_map(|row| Some((row.get(0)?.to_owned(), row.get(1)?.to_owned())));
    Ok((
        tables,
        Held {
            definitions,
            extensions: extensions.collect(),
        },
    ))
}

/// A table of the rules, on all of its nodes that answered.
fn on_its_nodes(
    database: &Database,
    table: &Table,
    answers: &Answers,
    held: &BTreeMap<NodeId, Held>,
    names: &dyn Fn(NodeId) -> String,
) -> Vec<Finding> {
    let subject = format!("{}/{}", database.name, table.name);
    let nodes = nodes_of(database, &table.name);
    let info = |node: NodeId| {
        answers
            .get(&node)?
            .tables
            .get(&name_on(database, &table.name, node))
    };
    let there: Vec<(NodeId, &TableInfo)> = nodes.iter().filter_map(|id| Some((*id, &**info(*id)?))).collect();
    let Some((first, model)) = there.first().copied() else {
        let asked = nodes.iter().all(|id| answers.contains_key(id));
        return match asked {
            true => vec![note(
                subject,
                "it isn't there yet",
                "CREATE TABLE through Margay makes it on its nodes, with all of its shards",
            )],
            false => Vec::new(),
        };
    };
    let mut found = Vec::new();
    if matches!(table.spread, Spread::Broadcast) {
        for id in nodes
            .iter()
            .filter(|id| answers.contains_key(id) && info(**id).is_none())
        {
            found.push(error(
                format!("{subject} on {}", names(*id)),
                "this copy of the broadcast table is missing",
                "create it there, and copy the rows of another node into it, before any proxy reads it",
            ));
        }
    }
    for fault in shards::faults(table, answers) {
        let subject = format!("{subject} on {}", names(fault.node));
        found.push(match fault.refuses() {
            true => error(
                subject,
                format!("{} [MG3006]", fault.text),
                "bring it back there (ATTACH PARTITION, or a backup): statements that need it are refused",
            ),
            false => warning(
                subject,
                fault.text.clone(),
                "move the rows into the shards that the rules name, and drop what is no shard",
            ),
        });
    }
    for (id, info) in &there[1..] {
        let subject = format!("{subject} on {}", names(*id));
        if let Some(text) = catalog::difference(model, info) {
            found.push(error(
                subject,
                format!("it differs from {}: {text}", names(first)),
                AGAIN,
            ));
            continue;
        }
        let parts = |id: NodeId| parts_of(database, held.get(&id), table, id);
        let (a, b) = (parts(first), parts(*id));
        for (text, lacks) in a
            .difference(&b)
            .map(|t| (t, true))
            .chain(b.difference(&a).map(|t| (t, false)))
        {
            let text = match lacks {
                true => format!("it lacks what {} has: {text}", names(first)),
                false => format!("it has what {} lacks: {text}", names(first)),
            };
            let finding = if text.contains(" CONSTRAINT ") || text.contains("UNIQUE") {
                error
            } else {
                warning
            };
            found.push(finding(subject.clone(), text, AGAIN.to_owned()));
        }
    }
    found
}

/// Columns are compared one by one, and sequences count on, each for itself.
const APART: [&str; 4] = [
    "CREATE TABLE",
    "CREATE UNLOGGED TABLE",
    "CREATE SEQUENCE",
    "ALTER SEQUENCE",
];

/// The statements that would make what belongs to a table, but its columns. A shard's own names don't
/// matter.
fn parts_of(database: &Database, held: Option<&Held>, table: &Table, node: NodeId) -> BTreeSet<String> {
    let physical = name_on(database, &table.name, node);
    let is_own = |d: &&Definition| {
        let name = match d.class {
            Class::Table => d.name.as_str(),
            Class::ForeignKey => d.name.split_once(' ').map_or("", |(table, _)| table),
            Class::Schema | Class::Public | Class::Extension | Class::Type | Class::Sequence => return false,
            Class::Function | Class::RowFunction | Class::MaterializedView | Class::View => return false,
        };
        *d.schema == *physical.schema && *name == *physical.table
    };
    let own = held.into_iter().flat_map(|held| &held.definitions).filter(is_own);
    own.flat_map(|d| d.text.split_inclusive(';'))
        .map(|text| text.trim())
        .filter(|text| !text.is_empty() && !APART.iter().any(|start| text.starts_with(start)))
        .map(|text| {
            let logical = database.logical_text(text).unwrap_or_else(|| text.to_owned());
            match physical == table.name {
                true => logical,
                false => without_names(&logical),
            }
        })
        .collect()
}

/// `ALTER TABLE … ADD CONSTRAINT x …`, `CREATE INDEX x ON …` without x, which bears a shard's number.
fn without_names(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    if let Some(at) = words
        .iter()
        .position(|word| matches!(*word, "CONSTRAINT" | "INDEX"))
        && at + 1 < words.len()
    {
        words[at + 1] = "…";
    }
    words.join(" ")
}

/// What the rules say of a table's columns.
fn columns_of_rules(database: &Database, table: &Table, info: &TableInfo) -> Vec<Finding> {
    let subject = format!("{}/{}", database.name, table.name);
    let mut found = Vec::new();
    if let Spread::Sharded(sharding) = &table.spread {
        for key in &sharding.key {
            let Some(column) = info.column(&key.column) else {
                found.push(error(
                    &subject,
                    format!(
                        "it has no column {}, which the rules make its sharding key",
                        key.column
                    ),
                    "correct `key` in the rules, or add the column",
                ));
                continue;
            };
            match (column.key_type(), key.ty) {
                (None, _) => found.push(error(
                    &subject,
                    format!(
                        "its sharding key {} is of type {}, which has no placement",
                        key.column, column.type_name
                    ),
                    "choose a key of an integer, text, uuid, date or timestamp type",
                )),
                (Some(is), Some(said)) if is != said => found.push(error(
                    &subject,
                    format!(
                        "its sharding key {} is {}, the rules say {}",
                        key.column,
                        is.sql(),
                        said.sql()
                    ),
                    "correct `type` of the key in the rules",
                )),
                (Some(_), _) => {}
            }
            if column.collation == Collation::Nondeterministic {
                found.push(error(
                    &subject,
                    format!(
                        "equality of its sharding key {} isn't that of the bytes",
                        key.column
                    ),
                    "give the column a deterministic collation",
                ));
            }
        }
    }
    for generate in &table.generate {
        let Generator::Snowflake = generate.generator;
        match info.column(&generate.column) {
            None => found.push(error(
                &subject,
                format!("it has no column {}, which the rules generate", generate.column),
                "correct `generate` in the rules, or add the column",
            )),
            Some(column) if &*column.type_name != "bigint" => found.push(error(
                &subject,
                format!(
                    "the generated column {} is {}, ids have 63 bits",
                    generate.column, column.type_name
                ),
                "make it bigint",
            )),
            Some(_) => {}
        }
    }
    found
}

/// Tables where no statement would look for them.
fn strays(
    snapshot: &Snapshot,
    database: &Database,
    answers: &Answers,
    names: &dyn Fn(NodeId) -> String,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (id, node) in answers {
        let mut tables: Vec<&TableName> = node
            .tables
            .iter()
            .filter(|(_, i)| !i.is_view)
            .map(|(n, _)| n)
            .collect();
        tables.sort();
        for name in tables {
            let subject = format!("{}/{name} on {}", database.name, names(*id));
            let of_shard = database.table_of_shard(name);
            let logical = of_shard.map_or(name, |table| &table.name);
            let nodes = nodes_of(database, logical);
            // Or it is another logical database's, on the same node.
            let others = snapshot.databases.iter().filter(|d| d.name != database.name);
            let is_others = others
                .into_iter()
                .any(|d| d.nodes().contains(id) && nodes_of(d, name).contains(id));
            if nodes.contains(id) || is_others {
                continue;
            }
            found.push(match database.tables.contains_key(logical) {
                true => warning(
                    subject,
                    "the rules don't put it there: no statement reads these rows",
                    "move its rows to where the rules want them, and drop it there",
                ),
                false => warning(
                    subject,
                    format!(
                        "no rule names it, so it is looked for on {} only",
                        default_node(database).map_or_else(String::new, names)
                    ),
                    "give it a rule (`node:`), or drop it",
                ),
            });
        }
    }
    found
}

/// Types, functions, views and extensions that several nodes have, but not alike.
fn objects(
    database: &Database,
    held: &BTreeMap<NodeId, Held>,
    names: &dyn Fn(NodeId) -> String,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut known: BTreeMap<(Class, &str, &str), (NodeId, &str)> = BTreeMap::new();
    let mut versions: BTreeMap<&str, (NodeId, &str)> = BTreeMap::new();
    for (id, own) in held {
        for d in &own.definitions {
            let what = match d.class {
                Class::Type => "type",
                Class::Function | Class::RowFunction => "function",
                Class::View => "view",
                Class::Schema | Class::Public | Class::Extension | Class::Sequence => continue,
                Class::Table | Class::ForeignKey | Class::MaterializedView => continue,
            };
            let (first, text) = *known
                .entry((d.class, &d.schema, &d.name))
                .or_insert((*id, &d.text));
            if text != d.text {
                found.push(warning(
                    format!("{}/{} on {}", database.name, d.name, names(*id)),
                    format!("this {what} differs from {}'s", names(first)),
                    AGAIN,
                ));
            }
        }
        for (extension, version) in &own.extensions {
            let (first, known) = *versions.entry(extension).or_insert((*id, version));
            if known != version {
                found.push(warning(
                    format!("{}/{extension} on {}", database.name, names(*id)),
                    format!(
                        "this extension's version is {version}, on {} {known}",
                        names(first)
                    ),
                    "ALTER EXTENSION … UPDATE on the older one",
                ));
            }
        }
    }
    found
}
