//! Creates the tables of time shards ahead of need, by whichever proxy gets there first. A
//! period's table is made on its own and then attached, since that lets readers and writers of
//! the logical table go on (CREATE … PARTITION OF would wait for all of them, and a session that
//! asks for a period in the middle of its transaction would wait for itself).
//! Must not touch rows, nor attach a table that it didn't make.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;

use crate::model::catalog::Absent;
use crate::model::{Code, Fault, KeyType, NodeId, ShardId, TableName};
use crate::topology::placement::{Scheme, Time, physical_name, shard_bounds};
use crate::topology::{Engine, Layout, Node, Sharding, Snapshot, Spread, Table};

use super::bootstrap::LOCK_TIME_SHARDS;
use super::connect::{Link, LinkError, identifier, literal};
use super::periods::{self, Gone, Recorded};
use super::placement::quoted;
use super::problems::Watch;
use super::refresh::with_catalog;
use super::shared::Shared;

/// How often what is due is created.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A table that others hold locked is left for the next time.
pub const LOCK_TIMEOUT: &str = "2s";

/// Microseconds since 2000-01-01 UTC; handed in, so that tests can choose the day.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's clock.
pub fn system_now() -> Now {
    const UNIX_TO_2000_US: i64 = 946_684_800_000_000;
    Arc::new(|| {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since_1970.as_micros() as i64 - UNIX_TO_2000_US
    })
}

/// A logical table: database and name.
type Logical = (String, TableName);

pub struct TimeShards {
    shared: Arc<Shared>,
    now: Now,
    /// Periods whose tables were there when the nodes were asked last.
    known: Mutex<HashMap<Logical, HashSet<i32>>>,
}

/// A table to look after on one node, with the periods that it should have there.
struct Due {
    table: Arc<Table>,
    sharding: Arc<Sharding>,
    periods: Vec<ShardId>,
}

/// What came of looking after one node.
#[derive(Default)]
struct Made {
    /// What went wrong, by table.
    problems: BTreeMap<String, String>,
    /// Periods that were there and are gone.
    lost: HashMap<TableName, BTreeMap<String, ShardId>>,
}

/// A logical table as a node has it.
struct Found {
    key_type: Option<KeyType>,
    partitions: HashSet<String>,
}

impl TimeShards {
    pub fn new(shared: Arc<Shared>, now: Now) -> Arc<TimeShards> {
        Arc::new(TimeShards {
            shared,
            now,
            known: Mutex::default(),
        })
    }

    /// Creates what is due in all databases, every minute, until dropped.
    pub async fn run(self: Arc<Self>) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let snapshot = self.shared.snapshot();
            join_all(
                snapshot
                    .databases
                    .iter()
                    .map(|database| self.create_and_retire_due(&database.name)),
            )
            .await;
        }
    }

    /// `create_due`, and what `retire:` says of old periods.
    pub async fn create_and_retire_due(&self, database: &str) {
        self.create_due(database).await;
        super::retire::retire_due(&self.shared, database, (self.now)()).await;
        // What is known to be there is learnt anew.
        self.known
            .lock()
            .expect("no code panics while it holds this lock")
            .retain(|(of, _), _| of != database);
    }

    /// Creates the periods from the first to `ahead` after the present one of every time-sharded
    /// table of a database that exists. What can't be created is a problem in the list.
    pub async fn create_due(&self, database: &str) {
        let snapshot = self.shared.snapshot();
        let Some(rules) = snapshot
            .database(database)
            .filter(|d| d.engine == Engine::Postgres)
        else {
            return;
        };
        let mut by_node: BTreeMap<NodeId, Vec<Due>> = BTreeMap::new();
        let misplaced = &rules.catalog.misplaced;
        let served = rules
            .tables
            .values()
            .filter(|table| !misplaced.contains_key(&table.name));
        for (table, sharding, time) in served.filter_map(time_sharded) {
            let mut here: BTreeMap<NodeId, Vec<ShardId>> =
                sharding.nodes.iter().map(|n| (*n, Vec::new())).collect();
            for period in time.wanted((self.now)()).map(ShardId) {
                here.entry(sharding.node_of(period)).or_default().push(period);
            }
            for (node, periods) in here {
                by_node.entry(node).or_default().push(Due {
                    table: table.clone(),
                    sharding: sharding.clone(),
                    periods,
                });
            }
        }
        let work = by_node.iter().map(|(node, due)| {
            let node = snapshot.node(*node);
            async move { (node, self.create_on(database, node, due).await) }
        });
        let outcomes = join_all(work).await;
        self.publish_lost(database, &snapshot, &outcomes);
        for (node, outcome) in outcomes {
            let prefix = format!("{database}/{}/", node.name);
            let problems = match outcome {
                Ok(made) => made.problems,
                // That the node is down is reported by health.
                Err(LinkError::NoPrimary(_)) => continue,
                Err(error) => BTreeMap::from([(String::new(), error.to_string())]),
            };
            let problems = problems
                .into_iter()
                .map(|(table, text)| (format!("{prefix}{table}"), text))
                .collect();
            self.shared.problems.replace(
                Watch::TimeShards,
                |subject| subject.starts_with(&prefix),
                &problems,
            );
        }
    }

    /// Puts periods that are lost into the catalog, so that statements which need them are refused. What
    /// nodes lacked that don't answer they still lack.
    fn publish_lost(
        &self,
        database: &str,
        asked: &Snapshot,
        outcomes: &[(&Arc<Node>, Result<Made, LinkError>)],
    ) {
        self.shared.snapshots.rcu(|current| {
            let Some(rules) = current
                .database(database)
                .filter(|_| current.epoch == asked.epoch)
            else {
                return current.clone();
            };
            let mut now: HashMap<TableName, Absent> = HashMap::new();
            for (table, sharding, _) in rules.tables.values().filter_map(time_sharded) {
                let answered = |node: NodeId| outcomes.iter().any(|(n, made)| n.id == node && made.is_ok());
                let known = rules.catalog.lost.get(&table.name);
                let silent = |shard: ShardId| !answered(sharding.node_of(shard));
                let mut all: Vec<Absent> = known
                    .and_then(|k| periods::of_silent(k, silent))
                    .into_iter()
                    .collect();
                for (node, made) in outcomes {
                    let lost = made.as_ref().ok().and_then(|made| made.lost.get(&table.name));
                    all.extend(lost.map(|lost| periods::absent(node, lost)));
                }
                now.extend(periods::join(all).map(|lost| (table.name.clone(), lost)));
            }
            if rules.catalog.lost == now {
                return current.clone();
            }
            let mut catalog = (*rules.catalog).clone();
            catalog.epoch += 1;
            catalog.lost = now;
            with_catalog(current, database, catalog)
        });
    }

    /// Sees to it that one period has its table.
    pub async fn ensure(&self, database: &str, table: &TableName, shard: ShardId) -> Result<(), Fault> {
        if self.is_known(database, table, shard) {
            return Ok(());
        }
        let snapshot = self.shared.snapshot();
        let found = snapshot
            .database(database)
            .and_then(|rules| rules.tables.get(table))
            .and_then(time_sharded);
        let Some((table, sharding, time)) = found else {
            return Err(Fault::internal(format!("{table} is not sharded by time")));
        };
        let wanted = time.wanted((self.now)());
        // A retired period isn't made again, for its rows would be retired too.
        let retired = time.retire.is_some() && shard.0 < *wanted.start();
        if retired || (!time.create_outside && !wanted.contains(&shard.0)) {
            return Err(Fault::new(Code::KEY_OUTSIDE, format!("the key's period is outside those of {}", table.name))
                .hint("The rules say where the table begins (from) and how far it reaches (ahead); `outside: create` creates others on demand."));
        }
        let node = snapshot.node(sharding.node_of(shard));
        let due = Due {
            table: table.clone(),
            sharding: sharding.clone(),
            periods: vec![shard],
        };
        let made = self.create_on(database, node, std::slice::from_ref(&due)).await.map_err(|error| {
            tracing::warn!(node = %node.name, table = %table.name, "a period's table could not be created: {error}");
            Fault::new(Code::NODE_DOWN, format!("the table for a period of {} could not be created", table.name))
        })?;
        match made.problems.into_values().next() {
            None => Ok(()),
            Some(text) => {
                tracing::warn!(node = %node.name, table = %table.name, "{text}");
                Err(Fault::new(
                    Code::NODE_DOWN,
                    format!("the table for a period of {} could not be created", table.name),
                ))
            }
        }
    }

    fn is_known(&self, database: &str, table: &TableName, shard: ShardId) -> bool {
        let known = self
            .known
            .lock()
            .expect("no code panics while it holds this lock");
        known
            .get(&(database.to_owned(), table.clone()))
            .is_some_and(|periods| periods.contains(&shard.0))
    }

    /// Creates what is missing on one node.
    async fn create_on(&self, database: &str, node: &Node, due: &[Due]) -> Result<Made, LinkError> {
        let mut made = Made::default();
        let found = {
            let mut held = self.shared.primary(node).await?;
            look(held.link(), due).await?
        };
        for due in due {
            let name = &due.table.name;
            let Some(there) = found.get(name) else {
                // Not created yet, or dropped.
                self.remember(database, due, |_| false);
                continue;
            };
            self.remember(database, due, |period| {
                there.partitions.contains(&physical_name(&due.table, period))
            });
            let mut held = self.shared.primary(node).await?;
            let recorded = due.recorded(database);
            recorded.adopt(held.link(), &due.present(there)).await?;
            let gone = due.gone(held.link(), &recorded, (self.now)()).await?;
            let missing = due.missing(there, &gone);
            let lost = gone.lost;
            if !lost.is_empty() {
                made.problems.insert(name.to_string(), recorded.problem(&lost));
                made.lost.insert(name.clone(), lost);
            }
            if missing.is_empty() {
                continue;
            }
            let Some(key_type) = there.key_type else {
                made.problems.insert(
                    name.to_string(),
                    "its sharding key is of a type that can't be cut by time".to_owned(),
                );
                continue;
            };
            match create(held.link(), due, &recorded, key_type, (self.now)()).await {
                Ok(created) => {
                    self.remember(database, due, |_| true);
                    if created > 0 {
                        tracing::info!(node = %node.name, table = %name, created, "created tables of time shards");
                    }
                }
                Err(error) => {
                    made.problems.insert(
                        name.to_string(),
                        format!("the tables of its next periods can't be created: {error}"),
                    );
                }
            }
        }
        Ok(made)
    }

    fn remember(&self, database: &str, due: &Due, is_there: impl Fn(ShardId) -> bool) {
        let mut known = self
            .known
            .lock()
            .expect("no code panics while it holds this lock");
        let periods = known
            .entry((database.to_owned(), due.table.name.clone()))
            .or_default();
        let node_of = |period: i32| due.sharding.node_of(ShardId(period));
        // What this node holds is learnt anew; periods on other nodes are none of its business.
        if let Some(node) = due.periods.first().map(|period| node_of(period.0)) {
            periods.retain(|period| node_of(*period) != node || is_there(ShardId(*period)));
        }
        periods.extend(
            due.periods
                .iter()
                .filter(|period| is_there(**period))
                .map(|period| period.0),
        );
    }
}

/// Periods looked for before a table's first one: `outside: create` may have made them.
const PERIODS_BEFORE: i32 = 120;

impl Due {
    fn missing(&self, found: &Found, gone: &Gone) -> Vec<ShardId> {
        let there = |period: &ShardId| {
            let name = physical_name(&self.table, *period);
            found.partitions.contains(&name)
                || gone.lost.contains_key(&name)
                || gone.retired.contains_key(&name)
        };
        self.periods
            .iter()
            .copied()
            .filter(|period| !there(period))
            .collect()
    }

    fn recorded<'a>(&'a self, database: &'a str) -> Recorded<'a> {
        Recorded {
            database,
            table: &self.table.name,
        }
    }

    /// Its periods that are there, by name.
    fn present(&self, found: &Found) -> BTreeMap<String, ShardId> {
        let before = (-PERIODS_BEFORE..0).map(ShardId);
        let named = before
            .chain(self.periods.iter().copied())
            .map(|period| (physical_name(&self.table, period), period));
        named
            .filter(|(name, _)| found.partitions.contains(name))
            .collect()
    }

    async fn gone(&self, link: &mut Link, recorded: &Recorded<'_>, now_us: i64) -> Result<Gone, LinkError> {
        let gone = recorded.gone(link).await?;
        Ok(match &self.sharding.scheme {
            Scheme::Time(time) => gone.by_rules(&self.table, time, now_us),
            Scheme::Hash(_) | Scheme::Range(_) | Scheme::List(_) => gone,
        })
    }
}

fn time_sharded(table: &Arc<Table>) -> Option<(&Arc<Table>, &Arc<Sharding>, &Time)> {
    let Spread::Sharded(sharding) = &table.spread else {
        return None;
    };
    match (&sharding.scheme, sharding.layout) {
        (Scheme::Time(time), Layout::Partitioned) => Some((table, sharding, time)),
        (Scheme::Time(_) | Scheme::Hash(_) | Scheme::Range(_) | Scheme::List(_), _) => None,
    }
}

/// Which of the tables a node has as partitioned ones, and their partitions; one round trip.
async fn look(link: &mut Link, due: &[Due]) -> Result<HashMap<TableName, Found>, LinkError> {
    if due.is_empty() {
        return Ok(HashMap::new());
    }
    let wanted: Vec<String> = due
        .iter()
        .map(|due| {
            let key = due.sharding.key.first().map_or("", |key| &key.column);
            format!(
                "({}, {}, {})",
                literal(&due.table.name.schema),
                literal(&due.table.name.table),
                literal(key)
            )
        })
        .collect();
    let sql = format!(
        "SELECT n.nspname, c.relname, format_type(a.atttypid, NULL), k.relname \
         FROM (VALUES {}) w(schema, name, key) \
         JOIN pg_namespace n ON n.nspname = w.schema \
         JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind = 'p' \
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = w.key AND NOT a.attisdropped \
         LEFT JOIN pg_inherits i ON i.inhparent = c.oid LEFT JOIN pg_class k ON k.oid = i.inhrelid",
        wanted.join(", ")
    );
    let mut found: HashMap<TableName, Found> = HashMap::new();
    for row in link.ask(&sql).await?.iter().flatten() {
        let text = |at: usize| row.try_get(at).ok().flatten();
        let (Some(schema), Some(name)) = (text(0), text(1)) else {
            continue;
        };
        let entry = found
            .entry(TableName::new(schema, name))
            .or_insert_with(|| Found {
                key_type: text(2).and_then(KeyType::from_sql).filter(|ty| ty.is_time()),
                partitions: HashSet::new(),
            });
        entry.partitions.extend(text(3).map(str::to_owned));
    }
    Ok(found)
}

/// Creates what is missing of one table, in one transaction, after looking again under the lock.
/// An error leaves the connection unusable, which rolls back.
async fn create(
    link: &mut Link,
    due: &Due,
    recorded: &Recorded<'_>,
    key_type: KeyType,
    now_us: i64,
) -> Result<usize, LinkError> {
    let records = periods::is_prepared(link).await?;
    link.ask(&format!(
        "BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SELECT pg_advisory_xact_lock({LOCK_TIME_SHARDS})"
    ))
    .await?;
    let found = look(link, std::slice::from_ref(due)).await?;
    let gone = due.gone(link, recorded, now_us).await?;
    let missing = found
        .get(&due.table.name)
        .map(|there| due.missing(there, &gone))
        .unwrap_or_default();
    let parent = quoted(&due.table.name);
    let mut sql = String::new();
    let mut made = BTreeMap::new();
    for period in missing {
        // An hour that clocks skip holds no row.
        let Some(bounds) = shard_bounds(&due.sharding, period, &[key_type]) else {
            continue;
        };
        let child = format!(
            "{}.{}",
            identifier(&due.table.name.schema),
            identifier(&physical_name(&due.table, period))
        );
        // Indexes, foreign keys and triggers of the parent are added by ATTACH itself.
        sql += &format!(
            "CREATE TABLE {child} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED \
             INCLUDING STORAGE INCLUDING COMMENTS); ALTER TABLE {parent} ATTACH PARTITION {child} {bounds}; "
        );
        made.insert(physical_name(&due.table, period), period);
    }
    if records {
        sql += &recorded.record_sql(made.iter());
    }
    link.ask(&(sql + "COMMIT")).await?;
    Ok(made.len())
}
