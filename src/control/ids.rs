//! Keeps a worker number leased for each logical database, on its default domain's first node, so that
//! generated ids are unique over all proxies. The hot path is in `snowflake`; this is the
//! background.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::model::admin::GenerateIds;
use crate::model::{Code, Fault};
use crate::topology::Engine;

use super::connect::LinkError;
use super::lease::{self, Lease};
use super::problems::Watch;
use super::shared::Shared;
use super::snowflake::{Clock, IdSource};

/// How far ahead of the clock the high water is set: how long ids can be made while the node of
/// the leases is out of reach.
const AHEAD_MS: i64 = 10_000;
/// How often it is moved.
const EXTEND_EVERY: Duration = Duration::from_secs(3);
/// How soon a failed try is repeated.
const RETRY: Duration = Duration::from_millis(300);

/// The sources of all databases, by name.
pub struct Ids {
    clock: Clock,
    sources: ArcSwap<HashMap<Box<str>, Arc<IdSource>>>,
}

impl Ids {
    pub fn new(clock: Clock) -> Arc<Ids> {
        Arc::new(Ids {
            clock,
            sources: ArcSwap::default(),
        })
    }

    /// The source of a database, made if it isn't there yet.
    fn source(&self, database: &str) -> Arc<IdSource> {
        if let Some(source) = self.sources.load().get(database) {
            return source.clone();
        }
        let source = Arc::new(IdSource::new(self.clock.clone()));
        self.sources.rcu(|sources| {
            let mut sources = HashMap::clone(sources);
            sources.entry(database.into()).or_insert_with(|| source.clone());
            sources
        });
        self.sources.load().get(database).cloned().unwrap_or(source)
    }
}

impl GenerateIds for Ids {
    fn next_id(&self, database: &str) -> Result<i64, Fault> {
        match self.sources.load().get(database) {
            Some(source) => source.next_id(),
            None => Err(Fault::new(
                Code::NODE_DOWN,
                "no id can be generated: no worker number was leased yet",
            )),
        }
    }
}

/// Keeps leases until dropped.
pub struct Leasing {
    _tasks: JoinSet<()>,
}

/// Starts a task per database of the present Snapshot. After a reload of the rules call it again
/// and drop the earlier one; the sources stay, with the numbers that they have.
pub fn keep_leases(shared: &Arc<Shared>, ids: &Arc<Ids>) -> Leasing {
    let mut tasks = JoinSet::new();
    let snapshot = shared.snapshot();
    for database in snapshot.databases.iter().filter(|d| d.engine == Engine::Postgres) {
        tasks.spawn(keep_lease(
            shared.clone(),
            ids.source(&database.name),
            database.name.clone(),
        ));
    }
    Leasing { _tasks: tasks }
}

async fn keep_lease(shared: Arc<Shared>, source: Arc<IdSource>, database: Box<str>) {
    let mut held: Option<(String, Lease)> = None;
    loop {
        match step(&shared, &source, &database, &mut held).await {
            Ok(()) => {
                shared.problems.settle(Watch::Ids, &database);
                sleep(EXTEND_EVERY).await;
            }
            Err(why) => {
                shared.problems.raise(Watch::Ids, &database, why);
                sleep(RETRY).await;
            }
        }
    }
}

/// Extends the lease, or takes one if there is none. An error leaves the source as it is: it stops
/// by itself at its high water.
async fn step(
    shared: &Shared,
    source: &IdSource,
    database: &str,
    held: &mut Option<(String, Lease)>,
) -> Result<(), String> {
    let snapshot = shared.snapshot();
    let Some(rules) = snapshot.database(database) else {
        return Ok(());
    };
    let text = |error: LinkError| format!("worker numbers can't be leased: {error}");
    let mut primary = shared
        .primary(snapshot.node(rules.anywhere))
        .await
        .map_err(text)?;
    if let Some((holder, lease)) = held {
        // Ids may run ahead of the clock when many are asked for.
        let until_ms = source.now_ms().max(source.last_ms().unwrap_or(0)) + AHEAD_MS;
        if lease::extend(primary.link(), holder, lease, until_ms)
            .await
            .map_err(text)?
        {
            source.extend(until_ms);
            return Ok(());
        }
        source.end();
        *held = None;
        tracing::warn!(
            database,
            "the lease of the worker number was lost; taking another one"
        );
    }
    let holder = format!("{}-{:032x}", std::process::id(), rand::random::<u128>());
    match lease::take(primary.link(), &holder, source.now_ms(), AHEAD_MS)
        .await
        .map_err(text)?
    {
        Some(lease) => {
            source.begin(lease.worker, lease.floor_ms, lease.high_water_ms);
            tracing::debug!(database, worker = lease.worker, "leased a worker number");
            *held = Some((holder, lease));
            Ok(())
        }
        None => Err("all worker numbers are in use".to_owned()),
    }
}
