//! What sessions and `control` know of each other: traits that one implements and the other is
//! handed by `main`, so that neither imports the other. The admin console, the refresh of the
//! catalog after DDL, generated ids, and the list of clients.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Fault, ShardId, TableName};

/// A future that borrows what it was made from.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An answer of the admin console: column names and rows of text (None = NULL).
#[derive(Clone, Debug, Default)]
pub struct Grid {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<String>>>,
    /// The command tag, as `SHOW` or `RELOAD`.
    pub tag: String,
}

/// Implemented by `control`, called by sessions.
pub trait Admin: Send + Sync {
    /// Carries out one command of the console (`SHOW NODES` …).
    fn command<'a>(&'a self, sql: &'a str) -> Pending<'a, Result<Grid, Fault>>;
}

pub type SharedAdmin = Arc<dyn Admin>;

/// What a session asks for when it changed, or is about to need a change of, the schema.
/// Implemented by `control`, called by sessions.
pub trait CatalogRefresh: Send + Sync {
    /// Reads the catalog of a logical database anew, creates the time shards that a new table
    /// needs now, and stores the new Snapshot. A session that ran DDL awaits this before its
    /// client gets the answer; the reading begins after the call. Never fails: what could not be
    /// read is kept as it was and logged.
    fn refresh<'a>(&'a self, database: &'a str) -> Pending<'a, ()>;

    /// Makes sure that a time-sharded table has its table for one period: `outside: create`
    /// before an INSERT, or a period that is due but not there yet. Cheap when it is known to be
    /// there.
    fn ensure_period<'a>(
        &'a self,
        database: &'a str,
        table: &'a TableName,
        shard: ShardId,
    ) -> Pending<'a, Result<(), Fault>>;
}

pub type SharedRefresh = Arc<dyn CatalogRefresh>;

/// Ids for `generate: snowflake`. Implemented by `control`, called by sessions.
pub trait GenerateIds: Send + Sync {
    /// The next id, unique over all proxies that serve the database. Never blocks. Fails while no
    /// worker number is leased (the node that leases it was out of reach for long).
    fn next_id(&self, database: &str) -> Result<i64, Fault>;
}

pub type SharedIds = Arc<dyn GenerateIds>;

/// The clients and what they did lately. Implemented by `session`, called by `control`.
pub trait Sessions: Send + Sync {
    /// One per client connection, in the order of connecting.
    fn clients(&self) -> Vec<ClientInfo>;
    /// The latest statements, newest first; a bounded ring.
    fn recent(&self) -> Vec<RecentQuery>;
    /// Counters since the start, for `SHOW STATS` and `/metrics`.
    fn totals(&self) -> Totals {
        Totals::default()
    }
}

pub type SharedSessions = Arc<dyn Sessions>;

/// A client connection.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    /// The process id that the client was told (BackendKeyData).
    pub id: u32,
    pub user: Box<str>,
    pub database: Box<str>,
    pub application: Box<str>,
    /// Address and port of the client.
    pub peer: Box<str>,
    /// `idle`, `active`, `idle in transaction`, `failed transaction`.
    pub state: &'static str,
    pub connected_at: SystemTime,
    /// Statements so far.
    pub queries: u64,
}

/// A statement that was carried out, and where.
#[derive(Clone, Debug)]
pub struct RecentQuery {
    pub at: SystemTime,
    pub database: Box<str>,
    pub user: Box<str>,
    /// The servers that ran it, as `n_trade0` (primary) or `n_trade0/replica0`.
    pub servers: Vec<Box<str>>,
    /// `single`, `scatter`, `local` …
    pub tier: &'static str,
    pub duration: Duration,
    pub rows: u64,
    /// The stable code when it failed.
    pub error: Option<&'static str>,
    /// Cut to a bounded length.
    pub sql: Box<str>,
}

/// What all sessions did since the start.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Client connections ever accepted.
    pub connections: u64,
    /// Statements by tier and role: (`single`, `replica`, count).
    pub queries: Vec<(&'static str, &'static str, u64)>,
    /// Errors that Margay itself made, by stable code.
    pub faults: Vec<(&'static str, u64)>,
    /// Transactions that ended in a commit, by number of phases.
    pub commits_one_phase: u64,
    pub commits_two_phase: u64,
    /// Transactions that wrote on several nodes and failed before their decision.
    pub two_phase_aborts: u64,
}
