//! Makes the shell of a logical database and keeps it what its nodes hold: the logical schema without
//! rows. DDL through Margay reaches the shell in the same transaction as the nodes, so there is work here
//! only for what was there before, and for what was done on the nodes directly.
//!
//! Nothing in the shell has rows, so what differs is dropped and made anew. The lock on the shell's table
//! comes first and both sides are read again under it: DDL of a client takes that lock before it touches
//! a node, so none is half done then. Must not touch a node.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::future::try_join_all;

use crate::model::catalog::{SequenceInfo, SystemColumn, SystemRelation};
use crate::model::{NodeId, TableName};
use crate::topology::placement::physical_name;
use crate::topology::{Database, Layout, Node, Snapshot, Spread};

use super::bootstrap::LOCK_BOOTSTRAP;
use super::catalog::{default_node, nodes_of};
use super::connect::{Link, LinkError, identifier, literal};
use super::placement;
use super::shared::Shared;
use super::shell_sql::{Class, Definition, NAMES_DATABASES, VIEWS, definitions, sequences_sql};

/// Held while a shell's database is made, and while it is brought up to date.
const LOCK_SHELL: i64 = LOCK_BOOTSTRAP + 3;

/// A client's DDL may hold what is to be brought up to date: it will be tried again.
const LOCK_TIMEOUT: &str = "1s";

/// Makes the shell's database where it is missing, like the one that it stands beside: encoding and
/// locale are the same, so that names sort and fold the same.
pub async fn make(shared: &Shared, shell: &Node, host: &Node) -> Result<(), LinkError> {
    let Some(server) = shell.servers.first() else {
        return Err(LinkError::Answer("the shell has no server".into()));
    };
    let name = &server.database;
    let there = format!(
        "SELECT count(*) FROM pg_database WHERE datname = {}",
        literal(name)
    );
    let mut held = shared.primary(host).await?;
    if held.link().ask_one(&there).await?.as_deref() == Some("1") {
        return Ok(());
    }
    // CREATE DATABASE isn't for transactions, so the lock is the session's, which ends below.
    held.link()
        .ask(&format!("SELECT pg_advisory_lock({LOCK_SHELL})"))
        .await?;
    let made = create(held.link(), name, &there).await;
    held.discard();
    made
}

async fn create(link: &mut Link, name: &str, there: &str) -> Result<(), LinkError> {
    if link.ask_one(there).await?.as_deref() == Some("1") {
        return Ok(());
    }
    // `datlocprovider` came with version 15, `daticulocale` was renamed in 17.
    let sql = link
        .ask_one(&format!(
            "SELECT format('CREATE DATABASE %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE %L', \
                {}, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype) \
             || coalesce(CASE WHEN to_jsonb(d)->>'datlocprovider' = 'i' THEN format(' LOCALE_PROVIDER icu ICU_LOCALE %L', \
                coalesce(to_jsonb(d)->>'daticulocale', to_jsonb(d)->>'datlocale')) END, '') \
             FROM pg_database d WHERE datname = current_database()",
            literal(name)
        ))
        .await?
        .ok_or_else(|| LinkError::Answer("the database doesn't know itself".into()))?;
    link.ask(&sql).await?;
    Ok(())
}

/// Class, schema and logical name.
type Key = (Class, String, String);

/// Objects, each with its place in the order of making and the statements that make it.
type Objects = BTreeMap<Key, (usize, String)>;

/// Why the shell could not be kept.
#[derive(Debug)]
pub enum Unkept {
    /// A node or the shell could not be asked.
    Unknown(String),
    /// It is not what the nodes hold.
    Differs(String),
}

/// Brings the shell up to date. False: there was something to do, so that it must be looked at again. An
/// error: it is not what the nodes hold, and why.
pub async fn keep(
    shared: &Shared,
    snapshot: &Snapshot,
    database: &Database,
    shell: &Node,
) -> Result<bool, Unkept> {
    let silent = |error: LinkError| Unkept::Unknown(error.to_string());
    let wanted = wanted(shared, snapshot, database).await.map_err(silent)?;
    let mut held = shared.primary(shell).await.map_err(silent)?;
    let present = objects(definitions(held.link()).await.map_err(silent)?);
    let differing = differing(&wanted, &present);
    if differing.is_empty() {
        return Ok(true);
    }
    let done = bring(shared, snapshot, database, held.link(), &differing).await;
    if done.is_err() {
        // Its transaction ends with it.
        held.discard();
    }
    done.map_err(|error| Unkept::Differs(error.to_string()))
        .map(|()| false)
}

async fn bring(
    shared: &Shared,
    snapshot: &Snapshot,
    database: &Database,
    link: &mut Link,
    first: &Differing,
) -> Result<(), LinkError> {
    let locks: Vec<String> = first
        .drop
        .iter()
        .filter(|(class, _, _)| *class == Class::Table)
        .map(|(_, schema, name)| format!("LOCK TABLE ONLY {}.{};", identifier(schema), identifier(name)))
        .collect();
    link.ask(&format!(
        "BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SELECT pg_advisory_xact_lock({LOCK_SHELL}); SET LOCAL check_function_bodies = off; {}",
        locks.concat()
    ))
    .await?;
    let wanted = wanted(shared, snapshot, database).await?;
    let present = objects(definitions(link).await?);
    let now = differing(&wanted, &present);
    let mut sql = String::new();
    for (class, schema, name) in now.drop.iter().rev() {
        let (schema, object) = (identifier(schema), identifier(name));
        sql.push_str(&match class {
            Class::Schema => format!("DROP SCHEMA IF EXISTS {schema} CASCADE;"),
            Class::Public => String::new(),
            Class::Extension => format!("DROP EXTENSION IF EXISTS {object} CASCADE;"),
            Class::Type => format!("DROP TYPE IF EXISTS {schema}.{object} CASCADE;"),
            Class::Sequence => format!("DROP SEQUENCE IF EXISTS {schema}.{object} CASCADE;"),
            Class::Table => format!("DROP TABLE IF EXISTS {schema}.{object} CASCADE;"),
            Class::View => format!("DROP VIEW IF EXISTS {schema}.{object} CASCADE;"),
            Class::MaterializedView => format!("DROP MATERIALIZED VIEW IF EXISTS {schema}.{object} CASCADE;"),
            // Its name is a signature, quoted as need be.
            Class::Function | Class::RowFunction => format!("DROP ROUTINE IF EXISTS {name} CASCADE;"),
            Class::ForeignKey => match parts(name) {
                Some((table, constraint)) => format!(
                    "ALTER TABLE IF EXISTS {schema}.{} DROP CONSTRAINT IF EXISTS {};",
                    identifier(table),
                    identifier(constraint)
                ),
                None => String::new(),
            },
        });
    }
    let mut make: Vec<(Class, &(usize, String))> = now
        .make
        .iter()
        .filter_map(|key| Some((key.0, wanted.get(key)?)))
        .collect();
    make.sort_by_key(|(class, (place, _))| (*class, *place));
    make.iter().for_each(|(_, (_, text))| sql.push_str(text));
    link.ask(&format!("{sql} COMMIT")).await?;
    // What a CASCADE took along is made on the next round.
    tracing::info!(
        database = &*database.name,
        made = now.make.len(),
        dropped = now.drop.len(),
        "the shell was brought up to date"
    );
    Ok(())
}

#[derive(Debug, Default)]
struct Differing {
    drop: BTreeSet<Key>,
    make: BTreeSet<Key>,
}

impl Differing {
    fn is_empty(&self) -> bool {
        self.drop.is_empty() && self.make.is_empty()
    }
}

fn differing(wanted: &Objects, present: &Objects) -> Differing {
    let mut out = Differing::default();
    for (key, (_, text)) in wanted {
        match present.get(key) {
            Some((_, same)) if same == text => {}
            Some(_) => {
                out.drop.insert(key.clone());
                out.make.insert(key.clone());
            }
            None => drop(out.make.insert(key.clone())),
        }
    }
    out.drop
        .extend(present.keys().filter(|key| !wanted.contains_key(*key)).cloned());
    // A dropped table takes foreign keys along, its own and those to it.
    if out.drop.iter().any(|(class, _, _)| *class < Class::ForeignKey) {
        let keys = wanted.keys().filter(|(class, _, _)| *class == Class::ForeignKey);
        for key in keys {
            if present.contains_key(key) {
                out.drop.insert(key.clone());
            }
            out.make.insert(key.clone());
        }
    }
    out
}

fn objects(list: Vec<Definition>) -> Objects {
    list.into_iter()
        .enumerate()
        .map(|(place, d)| ((d.class, d.schema, d.name), (place, d.text)))
        .collect()
}

/// What the shell should hold: every object of the nodes under its logical name. Fails while a node is silent.
async fn wanted(shared: &Shared, snapshot: &Snapshot, database: &Database) -> Result<Objects, LinkError> {
    let asked = database.nodes().into_iter().map(|id| async move {
        let mut held = shared.primary(snapshot.node(id)).await?;
        Ok::<_, LinkError>((id, definitions(held.link()).await?))
    });
    let nodes: HashMap<NodeId, Vec<Definition>> = try_join_all(asked).await?.into_iter().collect();
    let default = default_node(database);
    let shards = shards(database);
    let mut out = Objects::new();
    // The default node last: where nodes differ on a type it is the one to follow.
    let mut order: Vec<NodeId> = nodes.keys().copied().collect();
    order.sort_unstable_by_key(|id| (Some(*id) == default, *id));
    for id in order {
        for (place, definition) in nodes.get(&id).into_iter().flatten().enumerate() {
            let Definition {
                class,
                schema,
                name,
                text,
            } = definition;
            let table = match class {
                Class::Schema | Class::Public | Class::Extension | Class::Type => None,
                Class::Function | Class::RowFunction | Class::View | Class::Sequence => None,
                Class::Table | Class::MaterializedView => Some(name.as_str()),
                Class::ForeignKey => parts(name).map(|(table, _)| table),
            };
            let Some(table) = table else {
                out.insert((*class, schema.clone(), name.clone()), (place, text.clone()));
                continue;
            };
            let physical = TableName::new(schema.as_str(), table);
            let (logical, text) = match shards.get(&physical) {
                Some((of, shard)) => {
                    let text = database.logical_text(text).unwrap_or_else(|| text.clone());
                    (of.clone(), without_number(&text, *shard))
                }
                None => (physical.clone(), text.clone()),
            };
            let is_bearer = nodes_of(database, &logical)
                .into_iter()
                .find(|node| nodes.contains_key(node))
                .is_some_and(|node| node == id && bears(database, &logical, node) == physical);
            if is_bearer {
                let name = match parts(name) {
                    Some((_, constraint)) => format!("{}{BETWEEN}{constraint}", logical.table),
                    None => logical.table.to_string(),
                };
                out.insert((*class, logical.schema.to_string(), name), (place, text));
            }
        }
    }
    Ok(out)
}

/// Between the names of a table and of its foreign key (`shell_sql` writes it); names hold blanks, and no control
/// characters in earnest.
const BETWEEN: char = '\u{1}';

/// The table and the constraint of a foreign key's name.
fn parts(name: &str) -> Option<(&str, &str)> {
    name.split_once(BETWEEN)
}

/// The table on a node that stands for a logical one.
fn bears(database: &Database, name: &TableName, node: NodeId) -> TableName {
    match database.tables.get(name).map(|table| (table, &table.spread)) {
        Some((table, Spread::Sharded(sharding))) => placement::physical(table, sharding, node),
        Some((_, Spread::Whole(_) | Spread::Broadcast)) | None => name.clone(),
    }
}

/// Indexes, and constraints that stand on one, bear the number of their shard where it is a table of its own
/// (`plan`'s DDL gives it): here their names without it.
fn without_number(text: &str, shard: i32) -> String {
    let ends = [format!("_{shard}"), format!("_{shard}\"")];
    let words: Vec<&str> = text.split(' ').collect();
    let named = |at: usize| match words.get(at.wrapping_sub(1)) {
        Some(&"INDEX") => true,
        Some(&"CONSTRAINT") => matches!(words.get(at + 1), Some(&("UNIQUE" | "PRIMARY" | "EXCLUDE"))),
        Some(_) | None => false,
    };
    let stripped = words.iter().enumerate().map(|(at, word)| {
        let [plain, quoted] = &ends;
        match (named(at), word.strip_suffix(plain), word.strip_suffix(quoted)) {
            (true, Some(name), _) => name.to_owned(),
            (true, None, Some(name)) => format!("{name}\""),
            (true, None, None) | (false, _, _) => (*word).to_owned(),
        }
    });
    stripped.collect::<Vec<_>>().join(" ")
}

/// Shards that are tables of their own → their logical table, and which of it they are.
fn shards(database: &Database) -> HashMap<TableName, (TableName, i32)> {
    let mut out = HashMap::new();
    for table in database.tables.values() {
        if let Spread::Sharded(sharding) = &table.spread
            && sharding.layout == Layout::Separate
        {
            for shard in 0..sharding.place.len() as i32 {
                let name = physical_name(table, crate::model::ShardId(shard));
                out.insert(
                    TableName::new(table.name.schema.clone(), name),
                    (table.name.clone(), shard),
                );
            }
        }
    }
    out
}

/// What planning must know of the shell.
#[derive(Debug, Default)]
pub struct Facts {
    pub system: HashMap<TableName, Arc<SystemRelation>>,
    pub views: HashMap<TableName, Box<str>>,
    pub sequences: HashMap<TableName, SequenceInfo>,
}

pub async fn read(link: &mut Link) -> Result<Facts, LinkError> {
    let system = read_system(link).await?;
    let views = link.ask(VIEWS).await?.into_iter().flatten();
    let sequences = link.ask(&sequences_sql()).await?.into_iter().flatten();
    let name = |schema: Option<&str>, table: Option<&str>| Some(TableName::new(schema?, table?));
    Ok(Facts {
        system,
        views: views
            .filter_map(|row| Some((name(row.get(0), row.get(1))?, row.get(2)?.into())))
            .collect(),
        sequences: sequences
            .filter_map(|row| {
                let info = SequenceInfo {
                    owner: name(row.get(2), row.get(3)),
                    definition: row.get(4).unwrap_or_default().into(),
                };
                Some((name(row.get(0), row.get(1))?, info))
            })
            .collect(),
    })
}

/// The relations of the shell's catalogs that tell the name of its own database.
async fn read_system(link: &mut Link) -> Result<HashMap<TableName, Arc<SystemRelation>>, LinkError> {
    let mut all: HashMap<TableName, SystemRelation> = HashMap::new();
    for row in link.ask(NAMES_DATABASES).await?.into_iter().flatten() {
        let text = |at: usize| row.get(at).unwrap_or_default();
        let relation = all
            .entry(TableName::new(text(0), text(1)))
            .or_insert_with(|| SystemRelation {
                schema: text(0).into(),
                own: text(2).into(),
                columns: Vec::new(),
            });
        relation.columns.push(SystemColumn {
            name: text(3).into(),
            database_type: row.get(4).map(Into::into),
        });
    }
    all.retain(|_, relation| relation.columns.iter().any(|c| c.database_type.is_some()));
    Ok(all
        .into_iter()
        .map(|(name, relation)| (name, Arc::new(relation)))
        .collect())
}
