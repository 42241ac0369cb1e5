//! Keeps the catalog in the Snapshot what the servers have: after DDL of a session (which waits
//! for it), and by a cheap question per node every few seconds for what others changed. Must not
//! change anything on a server; what a new table needs there is done by `time_shards` and
//! `notes`, which this calls.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::model::admin::{CatalogRefresh, Pending};
use crate::model::catalog::Catalog;
use crate::model::{Code, Fault, NodeId, ShardId, TableName};
use crate::topology::{Database, Engine, Node, Snapshot};

use super::catalog::{Answers, NodeTables, assemble, tables_of};
use super::catalog_sql::{FINGERPRINT, read_node};
use super::connect::LinkError;
use super::notes;
use super::problems::Watch;
use super::shards;
use super::shared::{Shared, postgres_nodes};
use super::shell::{self, Unkept};
use super::time_shards::TimeShards;

/// How often nodes are asked whether their schema changed.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// A client's DDL may be half done at the first look, and a CASCADE may take along what was right.
const SHELL_ROUNDS: usize = 5;
const SHELL_AGAIN: Duration = Duration::from_millis(40);

/// DDL of another session is not committed on all nodes at the same instant.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// When the last complete reading of a database's catalog began.
type Gate = Arc<tokio::sync::Mutex<Option<Instant>>>;

pub struct Refresher {
    shared: Arc<Shared>,
    time_shards: Arc<TimeShards>,
    gates: Mutex<HashMap<String, Gate>>,
    /// Of the catalog that was read last, per node.
    fingerprints: Mutex<HashMap<NodeId, String>>,
    /// What `notes::CHANGES` said last, per node.
    noted: Mutex<HashMap<NodeId, String>>,
}

/// What differs on a node from when it was asked before.
struct Changed {
    node: NodeId,
    schema: bool,
    notes: bool,
}

impl Refresher {
    pub fn new(shared: Arc<Shared>, time_shards: Arc<TimeShards>) -> Arc<Refresher> {
        Arc::new(Refresher {
            shared,
            time_shards,
            gates: Mutex::default(),
            fingerprints: Mutex::default(),
            noted: Mutex::default(),
        })
    }

    /// Reads the catalog of a database by a reading that begins after this call. Calls that come
    /// while another reading is under way share the next one.
    pub async fn reload(&self, database: &str) {
        let called = Instant::now();
        let gate = {
            let mut gates = self
                .gates
                .lock()
                .expect("no code panics while it holds this lock");
            gates.entry(database.to_owned()).or_default().clone()
        };
        let mut last_began = gate.lock().await;
        if last_began.is_some_and(|began| began >= called) {
            return;
        }
        let began = Instant::now();
        let snapshot = self.shared.snapshot();
        let Some(rules) = snapshot
            .database(database)
            .filter(|d| d.engine == Engine::Postgres)
        else {
            return;
        };
        self.keep_shell(&snapshot, rules).await;
        let mut answers = self.read(&snapshot, rules).await;
        if lacks_more(rules, &answers) {
            tokio::time::sleep(LOOK_AGAIN).await;
            answers = self.read(&snapshot, rules).await;
        }
        self.publish(database, &answers);
        // Before tables are created: none must be under a placement that isn't the table's.
        notes::note(&self.shared, database).await;
        self.time_shards.create_due(database).await;
        *last_began = Some(began);
    }

    /// All databases of the rules, at once.
    pub async fn reload_all(&self) {
        let snapshot = self.shared.snapshot();
        join_all(
            snapshot
                .databases
                .iter()
                .map(|database| self.reload(&database.name)),
        )
        .await;
    }

    /// Looks for changes made elsewhere, until dropped.
    pub async fn run(self: Arc<Self>) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let snapshot = self.shared.snapshot();
            let changed = self.changed_nodes(&snapshot).await;
            let is_changed = |nodes: Vec<NodeId>, what: fn(&Changed) -> bool| {
                let mut changed = changed.iter().filter(|c| what(c));
                changed.any(|c| nodes.contains(&c.node))
            };
            let this = &self;
            let work = snapshot.databases.iter().map(|database| {
                let schema = is_changed(database.schema_nodes(), |c| c.schema);
                let notes = is_changed(database.nodes(), |c| c.notes);
                async move {
                    if schema {
                        this.reload(&database.name).await;
                    } else if notes {
                        notes::note(&this.shared, &database.name).await;
                    }
                }
            });
            join_all(work).await;
        }
    }

    /// Brings the shell up to date, and says in the catalog whether it is.
    async fn keep_shell(&self, snapshot: &Snapshot, rules: &Database) {
        let Some(node) = rules.shell.map(|id| snapshot.node(id)) else {
            return;
        };
        let kept = match self.bring_shell(snapshot, rules, node).await {
            Ok(()) => self.read_shell(node).await,
            // Health says who is down. What the shell was found to be it still is.
            Err(Unkept::Unknown(_)) if !rules.catalog.system.is_empty() => return,
            Err(Unkept::Unknown(why) | Unkept::Differs(why)) => Err(why),
        };
        match &kept {
            Ok(_) => self.shared.problems.settle(Watch::Shell, &node.name),
            Err(why) => self.shared.problems.raise(
                Watch::Shell,
                &node.name,
                format!("the shell isn't what the nodes hold, so the system catalogs are refused: {why}"),
            ),
        }
        self.shared.snapshots.rcu(|current| {
            let Some(rules) = current.database(&rules.name) else {
                return current.clone();
            };
            let mut catalog = (*rules.catalog).clone();
            match &kept {
                Ok(facts) => {
                    catalog.shell_behind = None;
                    catalog.system = facts.system.clone();
                    catalog.views = facts.views.clone();
                    catalog.sequences = facts.sequences.clone();
                }
                // No addresses, no texts of servers: clients may read it.
                Err(_) => {
                    catalog.shell_behind = Some("the nodes hold something else, or can't be asked".into())
                }
            }
            if catalog == *rules.catalog {
                return current.clone();
            }
            catalog.epoch += 1;
            with_catalog(current, &rules.name, catalog)
        });
    }

    async fn bring_shell(&self, snapshot: &Snapshot, rules: &Database, node: &Node) -> Result<(), Unkept> {
        let mut why = Unkept::Unknown(String::new());
        for round in 0..SHELL_ROUNDS {
            if round > 0 {
                tokio::time::sleep(SHELL_AGAIN).await;
            }
            match shell::keep(&self.shared, snapshot, rules, node).await {
                Ok(true) => return Ok(()),
                Ok(false) => why = Unkept::Differs("it differs again as soon as it is made".into()),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    async fn read_shell(&self, node: &Node) -> Result<shell::Facts, String> {
        let fail = |error: LinkError| error.to_string();
        let mut held = self.shared.primary(node).await.map_err(fail)?;
        shell::read(held.link()).await.map_err(fail)
    }

    async fn changed_nodes(&self, snapshot: &Snapshot) -> Vec<Changed> {
        let both = format!("{FINGERPRINT}; {}", notes::CHANGES);
        let both = &both;
        let asked = postgres_nodes(snapshot).map(|node| async move {
            let mut held = self.shared.primary(node).await.ok()?;
            let sets = held.link().ask(both).await.ok()?;
            let one = |at: usize| Some(sets.get(at)?.first()?.get(0)?.to_owned());
            let (schema, notes) = (one(0)?, one(1)?);
            let known = self
                .fingerprints
                .lock()
                .expect("no code panics while it holds this lock");
            let mut noted = self
                .noted
                .lock()
                .expect("no code panics while it holds this lock");
            Some(Changed {
                node: node.id,
                schema: known.get(&node.id) != Some(&schema),
                notes: noted.insert(node.id, notes.clone()) != Some(notes),
            })
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn read(&self, snapshot: &Snapshot, database: &Database) -> Answers {
        let asked = database.schema_nodes().into_iter().map(|id| async move {
            let node = snapshot.node(id);
            let with_functions = id == database.catalogs() || id == database.anywhere;
            let with_oids = database.shell.is_some();
            // A connection that was idle may turn out to be dead; a second one is new.
            for attempt in 0..2 {
                match self.read_one(node, with_functions, with_oids).await {
                    Ok(tables) => return Some((id, tables)),
                    Err(error) if attempt > 0 => tracing::debug!(node = %node.name, "catalog: {error}"),
                    Err(_) => {}
                }
            }
            None
        });
        join_all(asked)
            .await
            .into_iter()
            .flatten()
            .collect::<BTreeMap<_, _>>()
    }

    async fn read_one(
        &self,
        node: &Node,
        with_functions: bool,
        with_oids: bool,
    ) -> Result<NodeTables, LinkError> {
        let mut held = self.shared.primary(node).await?;
        let answer = read_node(held.link(), with_functions, with_oids).await?;
        let mut known = self
            .fingerprints
            .lock()
            .expect("no code panics while it holds this lock");
        known.insert(node.id, answer.fingerprint.clone());
        Ok(tables_of(answer))
    }

    /// Stores a Snapshot with the new catalog. The rules may have been reloaded meanwhile: the
    /// catalog is put together for those that are in force when it is stored.
    fn publish(&self, database: &str, answers: &Answers) {
        let mut problems = BTreeMap::new();
        self.shared.snapshots.rcu(|current| {
            let names = |id: NodeId| {
                current
                    .nodes
                    .get(id.index())
                    .map_or_else(|| id.to_string(), |n| n.name.to_string())
            };
            let Some(rules) = current.database(database) else {
                return current.clone();
            };
            let (catalog, found) = assemble(rules, &names, answers, &rules.catalog);
            problems = found.into_iter().map(|p| (p.subject, p.text)).collect();
            if catalog == *rules.catalog {
                current.clone()
            } else {
                with_catalog(current, database, catalog)
            }
        });
        let prefix = format!("{database}/");
        self.shared
            .problems
            .replace(Watch::Catalog, |subject| subject.starts_with(&prefix), &problems);
    }
}

/// Whether shards are missing that were there before.
fn lacks_more(rules: &Database, answers: &Answers) -> bool {
    let found = shards::faults_of_all(rules, answers);
    found.iter().any(|(table, found)| {
        let now = shards::absent(found, &|node| node.to_string());
        let before = rules.catalog.absent.get(table);
        now.is_some_and(|now| before.is_none_or(|b| b.shards != now.shards || b.nodes != now.nodes))
    })
}

/// The same rules with another catalog of one database.
fn with_catalog(snapshot: &Snapshot, database: &str, catalog: Catalog) -> Arc<Snapshot> {
    let mut snapshot = snapshot.clone();
    if let Some(rules) = snapshot.databases.iter_mut().find(|d| &*d.name == database) {
        *rules = Arc::new(Database {
            catalog: Arc::new(catalog),
            ..(**rules).clone()
        });
    }
    Arc::new(snapshot)
}

/// As sessions hold it: what they started goes on when they are gone.
pub struct Handle(pub Arc<Refresher>);

impl CatalogRefresh for Handle {
    fn refresh<'a>(&'a self, database: &'a str) -> Pending<'a, ()> {
        let (refresher, database) = (self.0.clone(), database.to_owned());
        let task = tokio::spawn(async move { refresher.reload(&database).await });
        Box::pin(async move {
            let _ = task.await;
        })
    }

    fn ensure_period<'a>(
        &'a self,
        database: &'a str,
        table: &'a TableName,
        shard: ShardId,
    ) -> Pending<'a, Result<(), Fault>> {
        let (time_shards, database, table) = (self.0.time_shards.clone(), database.to_owned(), table.clone());
        let task = tokio::spawn(async move { time_shards.ensure(&database, &table, shard).await });
        Box::pin(async move {
            task.await.unwrap_or_else(|_| {
                Err(Fault::new(
                    Code::INTERNAL,
                    "the task that creates a period's table ended",
                ))
            })
        })
    }
}
