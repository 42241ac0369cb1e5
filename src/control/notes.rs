//! Notes on each node under which placement its tables were filled (`margay.placement`), and notices
//! when the rules now say something else: a row would then be looked for where it isn't. What differs
//! is told before the first statement can reach the server (`before_up`), before new rules are taken
//! (`conflicts`), and all the time after that (`note`). Must not move rows, nor overwrite a note while
//! the table is there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::join_all;

use crate::model::catalog::Catalog;
use crate::model::{Code, NodeId, TableName};
use crate::topology::{Database, Engine, Node, Snapshot, Spread};

use super::catalog::{default_node, nodes_of};
use super::connect::{Link, LinkError, literal};
use super::placement::{describe, fingerprint, key_types, physical, quoted};
use super::problems::Watch;
use super::shared::Shared;

/// A text that changes within a second or so of any change to a node's notes, whether they are there or not.
pub const CHANGES: &str = "SELECT concat_ws(' ', t.oid, pg_stat_get_tuples_inserted(t.oid), \
     pg_stat_get_tuples_updated(t.oid), pg_stat_get_tuples_deleted(t.oid)) \
     FROM (SELECT to_regclass('margay.placement')::oid AS oid) t";

/// A row of `margay.placement`, of a table that is there.
#[derive(Debug)]
struct Note {
    table: String,
    fingerprint: String,
    description: String,
    key_types: Option<String>,
    epoch: i64,
}

/// A table that a node holds otherwise than the rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misplaced {
    pub node: Box<str>,
    pub table: TableName,
    /// Without addresses: clients read it.
    pub why: String,
    /// What to type on the node once its rows are where the rules want them.
    pub settle: String,
}

impl Misplaced {
    fn text(&self) -> String {
        format!(
            "{}: the rules place this table otherwise than when it was filled, so it is not served: {}. Put the \
             rules back; or, once its rows are where the rules want them, type on this node: {}",
            Code::PLACEMENT_MISMATCH.name,
            self.why,
            self.settle
        )
    }
}

/// Notes and compares the placement of every table of a database on each of its nodes. Tables whose
/// note differs are refused from then on (`Catalog::misplaced`).
pub async fn note(shared: &Shared, database: &str) {
    let snapshot = shared.snapshot();
    let Some(rules) = snapshot.database(database) else {
        return;
    };
    // Down, or schema margay isn't there yet: both are reported by who watches for them.
    let asked = rules.nodes().into_iter().map(|id| {
        let node = snapshot.node(id);
        async move { (node, read_on(shared, rules, node).await.ok()) }
    });
    let before = join_all(asked).await;
    let mut newest: HashMap<String, i64> = HashMap::new();
    for note in before.iter().filter_map(|(_, notes)| notes.as_ref()).flatten() {
        let epoch = newest.entry(note.table.clone()).or_default();
        *epoch = note.epoch.max(*epoch);
    }
    let newest = &newest;
    let noted = before.into_iter().map(|(node, notes)| async move {
        let Some(notes) = notes else {
            return (node, None);
        };
        (node, note_on(shared, rules, node, notes, newest).await.ok())
    });
    let answers = join_all(noted).await;
    let mut found: Vec<Misplaced> = Vec::new();
    for (node, notes) in &answers {
        found.extend(notes.iter().flat_map(|notes| compare(rules, node, notes)));
    }
    found.extend(half_moved(rules, &answers));
    let mut misplaced: HashMap<TableName, Box<str>> = HashMap::new();
    for (node, notes) in &answers {
        let prefix = format!("{database}/{}/", node.name);
        if notes.is_none() {
            // What was known of tables that it may hold stays.
            let known = rules.catalog.misplaced.iter().filter(|(name, why)| {
                why.starts_with(&*said_by(node)) || nodes_of(rules, name).contains(&node.id)
            });
            misplaced.extend(known.map(|(name, why)| (name.clone(), why.clone())));
            continue;
        }
        let problems: BTreeMap<String, String> = found
            .iter()
            .filter(|m| m.node == node.name)
            .map(|m| (format!("{prefix}{}", m.table), m.text()))
            .collect();
        shared.problems.replace(
            Watch::Placement,
            |subject| subject.starts_with(&prefix),
            &problems,
        );
    }
    misplaced.extend(found.into_iter().map(|m| (m.table, m.why.into())));
    shared.snapshots.rcu(|current| match current.database(database) {
        // New rules came meanwhile: they are noted anew.
        Some(now) if current.epoch == snapshot.epoch && now.catalog.misplaced != misplaced => {
            with_misplaced(current, database, misplaced.clone())
        }
        Some(_) | None => current.clone(),
    });
}

/// Reads a server's notes before statements may reach it: what differs is not served from then on. An
/// error: it could not be asked.
pub async fn before_up(shared: &Shared, node: NodeId, link: &mut Link) -> Result<(), LinkError> {
    let snapshot = shared.snapshot();
    for rules in on_node(&snapshot, node) {
        let node = snapshot.node(node);
        let found = compare(rules, node, &read(link, rules).await?);
        if found.is_empty() {
            continue;
        }
        shared
            .snapshots
            .rcu(|current| match current.database(&rules.name) {
                Some(now) if current.epoch == snapshot.epoch => {
                    let mut misplaced = now.catalog.misplaced.clone();
                    misplaced.extend(found.iter().map(|m| (m.table.clone(), m.why.as_str().into())));
                    with_misplaced(current, &rules.name, misplaced)
                }
                Some(_) | None => current.clone(),
            });
    }
    Ok(())
}

/// What new rules would have unserved that is served now. Nodes that don't answer say nothing.
pub async fn conflicts(shared: &Shared, fresh: &Snapshot) -> Vec<Misplaced> {
    let current = shared.snapshot();
    let pairs = fresh
        .databases
        .iter()
        .filter(|database| database.engine == Engine::Postgres)
        .flat_map(|database| database.nodes().into_iter().map(move |node| (database, node)));
    let (current, shared) = (&current, &shared);
    let asked = pairs.map(|(database, id)| async move {
        let node = fresh.node(id);
        let same = current
            .nodes
            .get(id.index())
            .is_some_and(|n| n.servers == node.servers);
        let known = if same {
            shared.known_primary(id).ok()?
        } else {
            None
        };
        let mut held = shared.primaries.get(node, known).await.ok()?;
        let notes = read(held.link(), database).await.ok()?;
        let served = |m: &Misplaced| {
            let before = current.database(&database.name);
            !before.is_some_and(|b| b.catalog.misplaced.contains_key(&m.table))
        };
        Some(
            compare(database, node, &notes)
                .into_iter()
                .filter(served)
                .collect::<Vec<_>>(),
        )
    });
    join_all(asked).await.into_iter().flatten().flatten().collect()
}

/// As `conflicts`, of one node through any connection to it: for `check --live`.
pub async fn misplaced_on(
    database: &Database,
    node: &Node,
    link: &mut Link,
) -> Result<Vec<Misplaced>, LinkError> {
    Ok(compare(database, node, &read(link, database).await?))
}

fn on_node(snapshot: &Snapshot, node: NodeId) -> impl Iterator<Item = &Arc<Database>> {
    snapshot
        .databases
        .iter()
        .filter(move |database| database.engine == Engine::Postgres && database.nodes().contains(&node))
}

/// The same rules, with other tables that are not served.
fn with_misplaced(
    snapshot: &Snapshot,
    database: &str,
    misplaced: HashMap<TableName, Box<str>>,
) -> Arc<Snapshot> {
    let mut snapshot = snapshot.clone();
    if let Some(rules) = snapshot.databases.iter_mut().find(|d| &*d.name == database)
        && rules.catalog.misplaced != misplaced
    {
        let catalog = Catalog {
            epoch: rules.catalog.epoch + 1,
            misplaced,
            ..(*rules.catalog).clone()
        };
        *rules = Arc::new(Database {
            catalog: Arc::new(catalog),
            ..(**rules).clone()
        });
    }
    Arc::new(snapshot)
}

/// The tables of the rules and the catalog by the names that notes have.
fn by_text(rules: &Database) -> HashMap<String, &TableName> {
    let loose = rules.catalog.tables.iter().filter(|(_, info)| !info.is_view);
    let all = rules.tables.keys().chain(loose.map(|(name, _)| name));
    all.map(|name| (name.to_string(), name)).collect()
}

fn compare(rules: &Database, node: &Node, notes: &[Note]) -> Vec<Misplaced> {
    let names = by_text(rules);
    let mut found = Vec::new();
    for note in notes {
        // A table that neither rules nor catalog know: no statement can name it.
        let Some(name) = names.get(&note.table).copied() else {
            continue;
        };
        let filled = note.description.strip_prefix("2 ").unwrap_or(&note.description);
        let says = said_by(node);
        let (why, settle) = match describe(rules, name, node.id) {
            None => (
                format!("{says}it holds rows of this table ({filled}), the rules say it doesn't"),
                format!(
                    "DROP TABLE … (or rename it); DELETE FROM margay.placement WHERE database_name = {} AND table_name = {}",
                    literal(&rules.name),
                    literal(&note.table)
                ),
            ),
            Some(now) if fingerprint(&now) != note.fingerprint => (
                format!(
                    "{says}filled as {filled}, the rules say {}",
                    now.strip_prefix("2 ").unwrap_or(&now)
                ),
                settle(
                    rules,
                    note,
                    &format!(
                        "fingerprint = {}, description = {}",
                        literal(&fingerprint(&now)),
                        literal(&now)
                    ),
                ),
            ),
            Some(_) => match (&note.key_types, types_of(rules, name)) {
                (Some(then), Some(now)) if *then != now => (
                    format!("{says}its key was of type {then} when it was filled, it is {now} now"),
                    settle(rules, note, &format!("key_types = {}", literal(&now))),
                ),
                (Some(_) | None, _) => continue,
            },
        };
        found.push(Misplaced {
            node: node.name.clone(),
            table: name.clone(),
            why,
            settle,
        });
    }
    found
}

fn said_by(node: &Node) -> String {
    format!("node {}: ", node.name)
}

fn settle(rules: &Database, note: &Note, set: &str) -> String {
    format!(
        "UPDATE margay.placement SET {set}, epoch = epoch + 1 WHERE database_name = {} AND table_name = {}",
        literal(&rules.name),
        literal(&note.table)
    )
}

fn types_of(rules: &Database, name: &TableName) -> Option<String> {
    key_types(rules.tables.get(name)?, rules.catalog.tables.get(name)?)
}

/// Tables whose nodes were settled a different number of times: rows are on the move, or it was
/// forgotten on one of them.
fn half_moved(rules: &Database, answers: &[(&Arc<Node>, Option<Vec<Note>>)]) -> Vec<Misplaced> {
    let names = by_text(rules);
    let mut epochs: BTreeMap<&str, Vec<(i64, &Arc<Node>)>> = BTreeMap::new();
    for (node, notes) in answers {
        for note in notes.iter().flatten() {
            let place = names.get(&note.table).map(|name| nodes_of(rules, name));
            if place.is_some_and(|nodes| nodes.contains(&node.id)) {
                epochs.entry(&note.table).or_default().push((note.epoch, node));
            }
        }
    }
    let mut found = Vec::new();
    for (table, epochs) in epochs {
        let newest = epochs.iter().map(|(epoch, _)| *epoch).max().unwrap_or(0);
        for (epoch, node) in epochs.iter().filter(|(epoch, _)| *epoch < newest) {
            let Some(name) = names.get(table) else { continue };
            found.push(Misplaced {
                node: node.name.clone(),
                table: (*name).clone(),
                why: format!(
                    "{}its rows lie as in epoch {epoch} of this table, on another node as in epoch {newest}",
                    said_by(node)
                ),
                settle: format!(
                    "UPDATE margay.placement SET epoch = {newest} WHERE database_name = {} AND table_name = {}",
                    literal(&rules.name),
                    literal(table)
                ),
            });
        }
    }
    found
}

/// The notes of a database's tables that are there. None was made where the schema isn't prepared.
async fn read(link: &mut Link, rules: &Database) -> Result<Vec<Note>, LinkError> {
    if link
        .ask_one("SELECT to_regclass('margay.placement')")
        .await?
        .is_none()
    {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT table_name, fingerprint, description, key_types, epoch FROM margay.placement \
         WHERE database_name = {} AND to_regclass(relation) IS NOT NULL ORDER BY 1",
        literal(&rules.name)
    );
    let sets = link.ask(&sql).await?;
    let note = |row: &tokio_postgres::SimpleQueryRow| {
        Some(Note {
            table: row.get(0)?.to_owned(),
            fingerprint: row.get(1)?.to_owned(),
            description: row.get(2)?.to_owned(),
            key_types: row.get(3).map(str::to_owned),
            epoch: row.get(4)?.parse().ok()?,
        })
    };
    Ok(sets.iter().flatten().filter_map(note).collect())
}

/// A table that the rules place on a node, and how.
struct Wanted {
    table: String,
    relation: String,
    description: String,
    key_types: Option<String>,
}

fn wanted(rules: &Database, node: NodeId) -> Vec<Wanted> {
    let loose = rules.catalog.tables.iter().filter(|(name, info)| {
        !info.is_view && default_node(rules) == Some(node) && !rules.tables.contains_key(*name)
    });
    let names = rules.tables.keys().chain(loose.map(|(name, _)| name));
    let mut all: Vec<Wanted> = names
        .filter_map(|name| {
            let description = describe(rules, name, node)?;
            let relation = match rules.tables.get(name).map(|table| (table, &table.spread)) {
                Some((table, Spread::Sharded(sharding))) => physical(table, sharding, node),
                Some((_, Spread::Whole(_) | Spread::Broadcast)) | None => name.clone(),
            };
            Some(Wanted {
                table: name.to_string(),
                relation: quoted(&relation),
                key_types: types_of(rules, name),
                description,
            })
        })
        .collect();
    all.sort_by(|a, b| a.table.cmp(&b.table));
    all
}

async fn read_on(shared: &Shared, rules: &Database, node: &Node) -> Result<Vec<Note>, LinkError> {
    let mut held = shared.primary(node).await?;
    read(held.link(), rules).await
}

/// Notes what isn't noted yet, forgets tables that are gone, and gives what is noted then. `newest`: the
/// epoch of tables that are noted on another node; what is new here comes into that one.
async fn note_on(
    shared: &Shared,
    rules: &Database,
    node: &Node,
    mut notes: Vec<Note>,
    newest: &HashMap<String, i64>,
) -> Result<Vec<Note>, LinkError> {
    let mut held = shared.primary(node).await?;
    let link = held.link();
    let known: HashMap<&str, &Note> = notes.iter().map(|note| (&*note.table, note)).collect();
    let lacking: Vec<String> = wanted(rules, node.id)
        .iter()
        .filter(|table| match known.get(&*table.table) {
            None => true,
            // The catalog wasn't read yet when it was noted.
            Some(note) => note.key_types.is_none() && table.key_types.is_some(),
        })
        .map(|table| {
            format!(
                "({}, {}, {}, {}, {}, {})",
                literal(&table.table),
                literal(&table.relation),
                literal(&fingerprint(&table.description)),
                literal(&table.description),
                table
                    .key_types
                    .as_deref()
                    .map_or("NULL::text".to_owned(), literal),
                newest.get(&table.table).copied().unwrap_or(1).max(1),
            )
        })
        .collect();
    let database = literal(&rules.name);
    let gone = format!(
        "DELETE FROM margay.placement WHERE database_name = {database} AND to_regclass(relation) IS NULL"
    );
    link.ask(&gone).await?;
    if lacking.is_empty() {
        return Ok(notes);
    }
    let sql = format!(
        "INSERT INTO margay.placement AS p (database_name, table_name, relation, fingerprint, description, key_types, epoch) \
         SELECT {database}, t.* FROM (VALUES {}) t(name, relation, print, description, types, epoch) \
         WHERE to_regclass(t.relation) IS NOT NULL \
         ON CONFLICT (database_name, table_name) DO UPDATE SET key_types = excluded.key_types \
            WHERE p.key_types IS NULL AND p.fingerprint = excluded.fingerprint RETURNING 1",
        lacking.join(", "),
    );
    if link.ask_one(&sql).await?.is_some() {
        // Another proxy, with other rules, may have been quicker.
        notes = read(link, rules).await?;
    }
    Ok(notes)
}
