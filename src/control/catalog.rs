//! Makes the Catalog of a logical database out of what its nodes say. A table is taken from the
//! nodes that the rules put it on and from no other; nodes that disagree are a problem to report,
//! not a reason to stop. Must not publish anything: `refresh` does.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::execute::OidRow;
use crate::model::catalog::{
    Catalog, Collation, ColumnDefault, ColumnInfo, FunctionInfo, TableInfo, Volatility,
};
use crate::model::{NodeId, TableName};
use crate::plan;
use crate::topology::placement::Scheme;
use crate::topology::{Database, Spread};

use super::catalog_sql::{CollationRow, ColumnRow, FunctionRow, NodeCatalog};
use super::oids::oids;
use super::placement;
use super::shards;

/// Something about the nodes' schemas that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogProblem {
    pub subject: String,
    pub text: String,
}

/// The tables of one node, and how it sorts.
#[derive(Debug, Default)]
pub struct NodeTables {
    pub tables: HashMap<TableName, Arc<TableInfo>>,
    /// Index → table, as the node has them.
    pub indexes: Vec<(TableName, TableName)>,
    /// Partitioned tables, with their partitions and the bounds of these.
    pub partitions: HashMap<TableName, BTreeMap<Box<str>, String>>,
    pub functions: HashMap<Box<str>, FunctionInfo>,
    /// Empty where a database has no shell.
    pub oids: Vec<OidRow>,
}

/// What was read: the nodes that answered. A node of the database that isn't here was down.
pub type Answers = BTreeMap<NodeId, NodeTables>;

/// The nodes that a table is on by the rules, in the order of the domain.
pub fn nodes_of(database: &Database, name: &TableName) -> Vec<NodeId> {
    match database.tables.get(name) {
        None => default_node(database).into_iter().collect(),
        Some(table) => match &table.spread {
            Spread::Whole(node) => vec![*node],
            Spread::Broadcast => database.domain(table.domain).nodes.clone(),
            Spread::Sharded(sharding) => sharding.nodes.clone(),
        },
    }
}

/// Where tables live that no rule names.
pub fn default_node(database: &Database) -> Option<NodeId> {
    database.domain(database.default_domain).nodes.first().copied()
}

/// Puts the answers together. What a silent node would have told is kept from `before`. The epoch
/// grows by one if anything differs from `before`.
pub fn assemble(
    database: &Database,
    names: &dyn Fn(NodeId) -> String,
    answers: &Answers,
    before: &Catalog,
) -> (Catalog, Vec<CatalogProblem>) {
    let mut problems = Vec::new();
    let mut tables = HashMap::new();

    if let Some(default) = default_node(database) {
        let known = answers
            .get(&default)
            .map_or(&before.tables, |answer| &answer.tables);
        let named = database.physical_names();
        // Views are those of the shell, if there is one: they may be on any nodes.
        let loose = known.iter().filter(|(name, info)| {
            let of_shell = info.is_view && database.shell.is_some();
            !(database.tables.contains_key(*name) || named.contains_key(*name) || of_shell)
        });
        tables.extend(loose.map(|(name, info)| (name.clone(), info.clone())));
    }
    if let Some(shell) = database.shell {
        let known = answers
            .get(&shell)
            .map_or(&before.tables, |answer| &answer.tables);
        let views = known
            .iter()
            .filter(|(name, info)| info.is_view && !database.tables.contains_key(*name));
        tables.extend(views.map(|(name, info)| (name.clone(), info.clone())));
    }
    for name in database.tables.keys() {
        let nodes = nodes_of(database, name);
        let (info, text) = agree(&|node| name_on(database, name, node), &nodes, names, answers);
        if let Some(text) = text {
            problems.push(CatalogProblem {
                subject: format!("{}/{name}", database.name),
                text,
            });
        }
        let silent = nodes.iter().any(|node| !answers.contains_key(node));
        match info {
            Some(info) => drop(tables.insert(name.clone(), info)),
            None if silent => {
                if let Some(known) = before.tables.get(name) {
                    tables.insert(name.clone(), known.clone());
                }
            }
            // No node has it: it isn't created yet, or was dropped.
            None => {}
        }
    }
    let mut absent = HashMap::new();
    for (name, found) in shards::faults_of_all(database, answers) {
        for fault in &found {
            problems.push(CatalogProblem {
                subject: format!("{}/{name} on {}", database.name, names(fault.node)),
                text: fault.problem(),
            });
        }
        absent.extend(shards::absent(&found, names).map(|absent| (name, absent)));
    }
    // What silent nodes lacked they still lack; periods are told by `periods`, which asks after this.
    for (name, known) in &before.absent {
        let silent = nodes_of(database, name)
            .iter()
            .any(|node| !answers.contains_key(node));
        if silent || is_by_time(database, name) {
            absent.entry(name.clone()).or_insert_with(|| known.clone());
        }
    }
    let indexes = indexes(database, &tables, answers, before);
    // Every function there is anywhere is in the shell.
    let functions = match answers.get(&database.catalogs()) {
        Some(answer) => answer.functions.clone(),
        None if before.functions.is_empty() => match answers.get(&database.anywhere) {
            Some(answer) => answer.functions.clone(),
            None => HashMap::new(),
        },
        None => before.functions.clone(),
    };
    for node in database
        .nodes()
        .into_iter()
        .filter(|node| !answers.contains_key(node))
    {
        problems.push(CatalogProblem {
            subject: format!("{}/{}", database.name, names(node)),
            text: "its catalog could not be read; what was known of it before is used".into(),
        });
    }
    // Functions too: without them every call would count as harmless or as harmful.
    let loaded = before.loaded
        || (answers.contains_key(&database.anywhere)
            && default_node(database).is_none_or(|node| answers.contains_key(&node)));

    let mut catalog = Catalog {
        epoch: before.epoch,
        loaded,
        tables,
        indexes,
        functions,
        // Told by `placement`, which asks the nodes after this.
        misplaced: before.misplaced.clone(),
        absent,
        // Told by `shell`, likewise.
        system: before.system.clone(),
        views: before.views.clone(),
        sequences: before.sequences.clone(),
        oids: oids(database, answers, before),
        shell_behind: before.shell_behind.clone(),
    };
    if catalog != *before {
        catalog.epoch += 1;
    }
    (catalog, problems)
}

fn is_by_time(database: &Database, name: &TableName) -> bool {
    match database.tables.get(name).map(|table| &table.spread) {
        Some(Spread::Sharded(sharding)) => matches!(sharding.scheme, Scheme::Time(_)),
        Some(Spread::Whole(_) | Spread::Broadcast) | None => false,
    }
}

/// The indexes of the logical tables, as the first of each table's nodes that answered has them.
fn indexes(
    database: &Database,
    tables: &HashMap<TableName, Arc<TableInfo>>,
    answers: &Answers,
    before: &Catalog,
) -> HashMap<TableName, TableName> {
    let mut out = HashMap::new();
    for table in tables.keys() {
        let found = nodes_of(database, table)
            .into_iter()
            .find_map(|node| answers.get(&node).map(|answer| (node, answer)));
        let Some((node, answer)) = found else {
            let known = before.indexes.iter().filter(|(_, t)| *t == table);
            out.extend(known.map(|(i, t)| (i.clone(), t.clone())));
            continue;
        };
        let physical = name_on(database, table, node);
        for (index, of) in &answer.indexes {
            if *of != physical {
                continue;
            }
            let mut name = index.clone();
            if physical != *table
                && let Some((logical, shard)) = index.table.rsplit_once('_')
                && shard.bytes().all(|b| b.is_ascii_digit())
            {
                name.table = logical.into();
            }
            out.insert(name, table.clone());
        }
    }
    out
}

/// The table on a node that bears a logical table's columns.
pub fn name_on(database: &Database, name: &TableName, node: NodeId) -> TableName {
    match database.tables.get(name).map(|table| (table, &table.spread)) {
        Some((table, Spread::Sharded(sharding))) => placement::physical(table, sharding, node),
        Some((_, Spread::Whole(_) | Spread::Broadcast)) | None => name.clone(),
    }
}

/// One table as its nodes have it: the first answer, narrowed to what holds on all of them, and
/// what they disagree on.
fn agree(
    name: &dyn Fn(NodeId) -> TableName,
    nodes: &[NodeId],
    names: &dyn Fn(NodeId) -> String,
    answers: &Answers,
) -> (Option<Arc<TableInfo>>, Option<String>) {
    let asked = nodes
        .iter()
        .filter_map(|node| answers.get(node).map(|a| (*node, a.tables.get(&name(*node)))));
    let (mut have, mut lack): (Vec<(NodeId, &Arc<TableInfo>)>, Vec<NodeId>) = (Vec::new(), Vec::new());
    for (node, info) in asked {
        match info {
            Some(info) => have.push((node, info)),
            None => lack.push(node),
        }
    }
    let Some((first_node, first)) = have.first().copied() else {
        return (None, None);
    };
    let mut wrong = Vec::new();
    if !lack.is_empty() {
        let lack: Vec<String> = lack.into_iter().map(names).collect();
        wrong.push(format!("is missing on {}", lack.join(", ")));
    }
    let mut common: TableInfo = (**first).clone();
    for (node, info) in &have[1..] {
        if let Some(difference) = difference(first, info) {
            wrong.push(format!(
                "on {} differs from {}: {difference}",
                names(*node),
                names(first_node)
            ));
        }
        common.has_triggers |= info.has_triggers;
        common.unique.retain(|columns| info.unique.contains(columns));
    }
    let info = if common == **first {
        first.clone()
    } else {
        Arc::new(common)
    };
    (Some(info), (!wrong.is_empty()).then(|| wrong.join("; ")))
}

/// The first thing in which two nodes' tables differ that a statement could notice. Type OIDs of
/// user-defined types differ from server to server by nature.
pub fn difference(a: &TableInfo, b: &TableInfo) -> Option<String> {
    if a.columns.len() != b.columns.len() {
        return Some(format!("{} columns, not {}", b.columns.len(), a.columns.len()));
    }
    for (i, (a, b)) in a.columns.iter().zip(&b.columns).enumerate() {
        let at = i + 1;
        if a.name != b.name {
            return Some(format!("column {at} is {}, not {}", b.name, a.name));
        }
        if a.type_name != b.type_name {
            return Some(format!(
                "column {} is {}, not {}",
                a.name, b.type_name, a.type_name
            ));
        }
        if a.type_modifier != b.type_modifier {
            return Some(format!("column {} has another length or precision", a.name));
        }
        if a.not_null != b.not_null {
            return Some(format!("column {} is NOT NULL on one of them only", a.name));
        }
        if a.collation != b.collation {
            return Some(format!("column {} has another collation", a.name));
        }
        if a.default != b.default {
            return Some(format!("column {} has another default", a.name));
        }
    }
    (a.is_view != b.is_view).then(|| "one is a view, the other a table".to_owned())
}

/// Answers of one node, as facts about its tables.
pub fn tables_of(answer: NodeCatalog) -> NodeTables {
    let mut by_oid: HashMap<u32, (TableName, TableInfo)> = answer
        .tables
        .into_iter()
        .map(|row| {
            let info = TableInfo {
                // A materialized view holds rows of its own.
                is_view: row.kind == 'v',
                has_triggers: row.has_triggers,
                ..TableInfo::default()
            };
            (row.oid, (TableName::new(row.schema, row.name), info))
        })
        .collect();
    for row in answer.columns {
        if let Some((_, info)) = by_oid.get_mut(&row.table) {
            info.columns.push(column(row, answer.default_collation));
        }
    }
    let indexes = answer.indexes.into_iter().filter_map(|row| {
        let (table, _) = by_oid.get(&row.table)?;
        Some((TableName::new(row.schema, row.name), table.clone()))
    });
    let indexes = indexes.collect();
    let mut last_index = None;
    for row in answer.unique {
        let Some((_, info)) = by_oid.get_mut(&row.table) else {
            continue;
        };
        if last_index != Some(row.index) {
            info.unique.push(Vec::new());
            last_index = Some(row.index);
        }
        if let Some(columns) = info.unique.last_mut() {
            columns.push(row.column.into());
        }
    }
    let mut partitions: HashMap<TableName, BTreeMap<Box<str>, String>> = HashMap::new();
    for row in answer.partitions {
        let of = partitions
            .entry(TableName::new(row.schema, row.table))
            .or_default();
        of.extend(row.name.map(|name| (name.into(), row.bounds.unwrap_or_default())));
    }
    NodeTables {
        partitions,
        tables: by_oid
            .into_values()
            .map(|(name, info)| (name, Arc::new(info)))
            .collect(),
        indexes,
        functions: answer.functions.into_iter().map(function).collect(),
        oids: answer.oids,
    }
}

fn column(row: ColumnRow, database: CollationRow) -> ColumnInfo {
    ColumnInfo {
        collation: collation(&row, database),
        default: default(&row),
        name: row.name.into(),
        type_name: row.type_name.into(),
        type_oid: row.type_oid,
        holds_oids: row.holds_oids,
        type_modifier: row.type_modifier,
        not_null: row.not_null,
    }
}

fn collation(row: &ColumnRow, database: CollationRow) -> Collation {
    let class = if row.collation == CollationRow::Default {
        database
    } else {
        row.collation
    };
    match class {
        CollationRow::None => Collation::None,
        CollationRow::Nondeterministic => Collation::Nondeterministic,
        // citext and its like: equality is not that of the bytes, whatever the collation.
        _ if !row.plain_text => Collation::Nondeterministic,
        // Arrays compare element by element, not as the text of the whole.
        CollationRow::Bytes if !row.is_array => Collation::Bytes,
        CollationRow::Bytes | CollationRow::Deterministic | CollationRow::Default => Collation::Deterministic,
    }
}

/// Kinds of expression nodes whose value is decided by their arguments and by the functions and
/// operators that `volatility` covers. Anything else (casts through text, SQL value functions,
/// nextval …) may depend on more.
const PURE_TAGS: [&str; 13] = [
    "CONST",
    "FUNCEXPR",
    "OPEXPR",
    "RELABELTYPE",
    "ARRAY",
    "ARRAYEXPR",
    "BOOLEXPR",
    "NULLTEST",
    "BOOLEANTEST",
    "CASE",
    "CASEEXPR",
    "COALESCE",
    "COALESCEEXPR",
];

/// Further kinds whose value depends on the session's settings, names and time at most.
const SESSION_TAGS: [&str; 2] = ["SQLVALUEFUNCTION", "COERCEVIAIO"];

fn default(row: &ColumnRow) -> ColumnDefault {
    if row.generated {
        return ColumnDefault::Generated;
    }
    if row.identity {
        return ColumnDefault::Volatile("identity".into());
    }
    let Some(text) = &row.default else {
        return ColumnDefault::Null;
    };
    let text: Box<str> = text.as_str().into();
    if row.volatility == 'i' && row.tags.iter().all(|tag| PURE_TAGS.contains(&tag.as_str())) {
        return ColumnDefault::Constant(text);
    }
    let known = |tag: &String| PURE_TAGS.contains(&tag.as_str()) || SESSION_TAGS.contains(&tag.as_str());
    if row.volatility != 'v'
        && row.tags.iter().all(known)
        && plan::is_of_session(&text, row.volatility == 's')
    {
        ColumnDefault::OfSession(text)
    } else {
        ColumnDefault::Volatile(text)
    }
}

fn function(row: FunctionRow) -> (Box<str>, FunctionInfo) {
    let volatility = match row.volatility {
        'i' => Volatility::Immutable,
        's' => Volatility::Stable,
        _ => Volatility::Volatile,
    };
    let info = FunctionInfo {
        volatility,
        user_defined: row.user_defined,
        is_aggregate: row.is_aggregate,
        returns_set: row.returns_set,
    };
    (row.name.into(), info)
}
