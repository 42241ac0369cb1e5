//! Everything off the data path: health and roles, the catalog, schema margay, generated ids, time
//! shards, recovery, the admin console, the pages, reloading the rules.
//!
//! Nobody but `main` imports this room. Sessions get what they need of it as traits of
//! `model::admin`; statements of clients never travel on its connections.

mod admin;
pub mod bootstrap;
pub mod catalog;
pub mod catalog_sql;
pub mod connect;
mod figures;
mod grids;
pub mod health;
mod http;
pub mod ids;
pub mod lease;
pub mod live;
mod lsn;
pub mod notes;
mod oids;
mod page;
pub mod placement;
pub mod primaries;
pub mod problems;
mod recovery;
pub mod refresh;
pub mod reload;
mod retire;
pub mod shards;
pub mod shared;
mod shell;
mod shell_sql;
pub mod snowflake;
pub mod time_shards;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::backend::{Fleet, Health};
use crate::model::Fault;
use crate::model::admin::{GenerateIds, SharedAdmin, SharedIds, SharedRefresh, SharedSessions};
use crate::topology::Engine;

pub use reload::LoadRules;
pub use shared::Snapshots;

/// The longest that `start` waits for servers before it goes on without them. They are tried again
/// in the background; statements that need them are refused until they are there.
const START_WAIT: Duration = Duration::from_secs(5);

/// What `main` hands in.
pub struct Config {
    pub snapshots: Snapshots,
    pub fleet: Arc<Fleet>,
    /// Reads the rules again, for RELOAD and SIGHUP.
    pub load: LoadRules,
}

/// The running control plane. Dropped, all of its tasks end.
pub struct Control {
    /// For sessions of the database `margay`.
    pub admin: SharedAdmin,
    /// For sessions that run DDL, or need a period of a time-sharded table.
    pub refresh: SharedRefresh,
    /// For `generate: snowflake`.
    pub ids: SharedIds,
    pages: Arc<http::Pages>,
    reloader: Arc<reload::Reloader>,
    http: OnceLock<JoinHandle<()>>,
    _tasks: JoinSet<()>,
}

impl Control {
    /// Starts everything and waits, up to a limit, until servers were measured, schema margay is
    /// prepared, catalogs are loaded and worker numbers leased. Never fails: what is missing is
    /// tried again in the background and listed by SHOW PROBLEMS.
    pub async fn start(config: Config) -> Control {
        let shared = shared::Shared::new(config.snapshots, config.fleet);
        let now = time_shards::system_now();
        let time_shards = time_shards::TimeShards::new(shared.clone(), now.clone());
        let refresher = refresh::Refresher::new(shared.clone(), time_shards.clone());
        let ids = ids::Ids::new(snowflake::system_clock());
        let reloader = reload::Reloader::new(shared.clone(), refresher.clone(), ids.clone(), config.load);
        let recovery = Arc::new(recovery::Counts::default());

        reloader.follow();
        let deadline = Instant::now() + START_WAIT;
        wait_until(deadline, || is_measured(&shared)).await;
        wait_until(deadline, || reloader.is_prepared()).await;
        // Its own limit, so that one silent node doesn't leave the others' catalogs unread.
        let _ = timeout(START_WAIT, refresher.reload_all()).await;
        wait_until(deadline, || has_ids(&shared, &ids)).await;

        let mut tasks = JoinSet::new();
        tasks.spawn(refresher.clone().run());
        tasks.spawn(time_shards.run());
        tasks.spawn(recovery::run(shared.clone(), recovery.clone()));
        tasks.spawn(reload_on_hangup(reloader.clone()));

        let console = Arc::new(admin::Console {
            shared,
            reloader: reloader.clone(),
            recovery,
            now,
            sessions: OnceLock::new(),
        });
        Control {
            admin: console.clone(),
            refresh: Arc::new(refresh::Handle(refresher)),
            ids,
            pages: Arc::new(http::Pages {
                console,
                ready: AtomicBool::new(false),
            }),
            reloader,
            http: OnceLock::new(),
            _tasks: tasks,
        }
    }

    /// Where clients and their statements are listed. Call it once, before the listener starts.
    pub fn attach(&self, sessions: SharedSessions) {
        let _ = self.pages.console.sessions.set(sessions);
    }

    /// Serves the pages on `listen.http`. Gives the address, with the true port where 0 was asked for.
    pub async fn listen_http(&self, address: SocketAddr) -> std::io::Result<SocketAddr> {
        let (bound, task) = http::serve(address, self.pages.clone()).await?;
        if let Err(second) = self.http.set(task) {
            second.abort();
        }
        Ok(bound)
    }

    /// What `/readyz` says: true once clients are taken, false when the proxy goes down.
    pub fn set_ready(&self, ready: bool) {
        self.pages.ready.store(ready, Ordering::Relaxed);
    }

    /// Reads the rules again. An error: the old ones are still in force; its detail lists why.
    pub async fn reload(&self) -> Result<(), Fault> {
        self.reloader.reload().await
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Some(task) = self.http.get() {
            task.abort();
        }
        self.reloader.stop();
    }
}

/// Waits for a condition that background tasks bring about, up to the deadline.
async fn wait_until(deadline: Instant, condition: impl Fn() -> bool) {
    while !condition() && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
    }
}

fn is_measured(shared: &shared::Shared) -> bool {
    let snapshot = shared.snapshot();
    let mut nodes = shared::postgres_nodes(&snapshot).filter(|node| node.shell_of.is_none());
    nodes.all(|node| {
        let state = shared.fleet.node(node.id);
        state.is_ok_and(|state| {
            state
                .servers
                .iter()
                .all(|server| server.health() != Health::Unknown)
        })
    })
}

fn has_ids(shared: &shared::Shared, ids: &ids::Ids) -> bool {
    let snapshot = shared.snapshot();
    let mut databases = snapshot
        .databases
        .iter()
        .filter(|database| database.engine == Engine::Postgres);
    databases.all(|database| ids.next_id(&database.name).is_ok())
}

async fn reload_on_hangup(reloader: Arc<reload::Reloader>) {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else {
        return;
    };
    while hangups.recv().await.is_some() {
        if let Err(fault) = reloader.reload().await {
            tracing::error!("reload: {fault} {}", fault.detail.as_deref().unwrap_or_default());
        }
    }
}
