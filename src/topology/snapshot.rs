//! The rules, checked: immutable, and all that the data plane knows about where things are.
//! Made by `topology::load` (rules file → Snapshot); the Catalog inside is filled by `control`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::catalog::Catalog;
use crate::model::{DomainId, KeyType, NodeId, ShardId, TableName, Value};

use super::placement::{Scheme, ShardRange};
use super::tls::{ListenerTls, ServerTls};

/// One version of the rules. Cheap to clone: everything big is behind `Arc`.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Counts reloads.
    pub epoch: u64,
    pub listen: Listen,
    pub users: Vec<Arc<User>>,
    /// Indexed by NodeId: the nodes of the rules, then numbers without a node (no name, no servers), then
    /// the shells.
    pub nodes: Vec<Arc<Node>>,
    pub databases: Vec<Arc<Database>>,
    pub pool: PoolLimits,
    pub limits: Limits,
    /// TLS for clients of PostgreSQL's protocol; None: they are told that there is none.
    pub postgres_tls: Option<Arc<ListenerTls>>,
}

impl Snapshot {
    pub fn node(&self, id: NodeId) -> &Arc<Node> {
        &self.nodes[id.index()]
    }

    /// The nodes that stand in the rules.
    pub fn rule_nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes
            .iter()
            .filter(|node| node.shell_of.is_none() && !node.name.is_empty())
    }

    pub fn database(&self, name: &str) -> Option<&Arc<Database>> {
        self.databases.iter().find(|d| &*d.name == name)
    }

    pub fn user(&self, name: &str) -> Option<&Arc<User>> {
        self.users.iter().find(|u| &*u.name == name)
    }

    pub fn node_id(&self, name: &str) -> Option<NodeId> {
        self.nodes
            .iter()
            .position(|n| &*n.name == name)
            .map(|i| NodeId(i as u16))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    pub postgres: Option<SocketAddr>,
    pub mysql: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
}

/// Who may connect.
#[derive(Clone, Debug)]
pub struct User {
    pub name: Box<str>,
    pub secret: Secret,
    /// Logical databases the user may connect to; None = all.
    pub databases: Option<Vec<Box<str>>>,
    /// May connect to the admin console (`margay`).
    pub admin: bool,
    /// The client must present a certificate whose common name is the user's name, beside what
    /// `secret` asks for.
    pub certificate: bool,
    /// As whom the user reaches the servers; None: as the servers' own entries say.
    pub login: Option<Arc<Login>>,
}

/// A role on the servers, and its password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Login {
    pub user: Box<str>,
    pub password: Option<Box<str>>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({})", self.user)
    }
}

/// A client's secret, resolved from env or file.
#[derive(Clone)]
pub enum Secret {
    Password(Box<str>),
    /// A PostgreSQL SCRAM verifier: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
    Scram(Box<str>),
    /// No password asked (`trust: true`, for sandboxes; or `certificate: true` alone).
    Trust,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Secret::Password(_) => "Password(…)",
            Secret::Scram(_) => "Scram(…)",
            Secret::Trust => "Trust",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Postgres,
    Mysql,
}

/// One copy of some data: `servers[0]` is the primary of the rules, the rest its replicas.
/// Which one *is* the primary now is known by `backend`'s health, not here.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: NodeId,
    pub name: Box<str>,
    pub engine: Engine,
    pub servers: Vec<Arc<Server>>,
    /// The node stands in no rules: it is the shell of a logical database.
    pub shell_of: Option<ShellOf>,
}

/// Whose shell a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellOf {
    /// The logical database.
    pub database: Box<str>,
    /// The node whose servers carry it.
    pub host: NodeId,
}

/// How to reach and log into one server.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Server {
    /// Host name, IP address or the directory of a Unix socket (starts with `/`).
    pub host: Box<str>,
    pub port: u16,
    pub user: Box<str>,
    pub password: Option<Box<str>>,
    pub database: Box<str>,
    /// Share of reads relative to the node's other replicas; 0 = none.
    pub weight: u32,
    /// It stands in the proxy's own zone, or neither has one: preferred for reads.
    #[serde(skip, default = "is_near")]
    pub near: bool,
    /// None: in clear.
    #[serde(skip)]
    pub tls: Option<Arc<ServerTls>>,
    /// Newest minor version of protocol 3 to ask for: 0, or 2 for longer cancel keys.
    #[serde(skip)]
    pub protocol_minor: u16,
}

fn is_near() -> bool {
    true
}

impl Server {
    /// The same server, reached as someone else.
    pub fn with_login(&self, login: &Login) -> Server {
        Server {
            user: login.user.clone(),
            password: login.password.clone(),
            ..self.clone()
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}:{}/{}", self.user, self.host, self.port, self.database)
    }
}

/// A logical database.
#[derive(Clone, Debug)]
pub struct Database {
    pub name: Box<str>,
    pub engine: Engine,
    pub default_domain: DomainId,
    /// Where statements go that name no table: a node of the data.
    pub anywhere: NodeId,
    /// The logical schema without rows, which answers for the system catalogs. None: the catalogs of
    /// `anywhere`, the only node, are those of the logical database.
    pub shell: Option<NodeId>,
    pub reads: Reads,
    /// Indexed by DomainId.
    pub domains: Vec<Domain>,
    /// Every table that the rules name.
    pub tables: HashMap<TableName, Arc<Table>>,
    /// What the rules say of functions, by their names without schema.
    pub functions: HashMap<Box<str>, Routine>,
    pub catalog: Arc<Catalog>,
}

/// What a function of users' does to tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routine {
    pub reads: Vec<TableName>,
    pub writes: Vec<TableName>,
    /// Of sharded tables it touches only rows of the key that it is called for.
    pub by_key: bool,
}

impl Database {
    pub fn domain(&self, id: DomainId) -> &Domain {
        &self.domains[id.index()]
    }

    /// Every node of every domain, each once, in order; not the shell.
    pub fn nodes(&self) -> Vec<NodeId> {
        let mut all: Vec<NodeId> = self
            .domains
            .iter()
            .flat_map(|d| d.nodes.iter().copied())
            .collect();
        all.push(self.anywhere);
        all.sort_unstable();
        all.dedup();
        all
    }

    /// `nodes` and the shell: wherever the database's schema is.
    pub fn schema_nodes(&self) -> Vec<NodeId> {
        let mut all = self.nodes();
        all.extend(self.shell);
        all
    }

    /// Where the system catalogs are those of the logical database.
    pub fn catalogs(&self) -> NodeId {
        self.shell.unwrap_or(self.anywhere)
    }
}

#[derive(Clone, Debug)]
pub struct Domain {
    pub name: Box<str>,
    pub nodes: Vec<NodeId>,
}

/// Where reads may go.
#[derive(Clone, Debug)]
pub struct Reads {
    pub from: ReadFrom,
    /// A replica further behind gets no reads.
    pub max_lag: Duration,
    pub consistency: Consistency,
    pub balance: Balance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    Primary,
    Replicas,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// A session sees its own writes.
    Session,
    /// Any replica within `max_lag`.
    Eventual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    LeastConnections,
    RoundRobin,
    Random,
}

/// A table that the rules name.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: TableName,
    pub domain: DomainId,
    pub spread: Spread,
    /// Columns that Margay fills when an INSERT leaves them out.
    pub generate: Vec<Generate>,
}

#[derive(Clone, Debug)]
pub struct Generate {
    pub column: Box<str>,
    pub generator: Generator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generator {
    Snowflake,
}

#[derive(Clone, Debug)]
pub enum Spread {
    /// All rows on one node.
    Whole(NodeId),
    /// All rows on each node of the domain.
    Broadcast,
    Sharded(Arc<Sharding>),
}

/// How a table's rows are spread.
#[derive(Clone, Debug)]
pub struct Sharding {
    pub key: Vec<KeyColumn>,
    pub scheme: Scheme,
    /// Tables with the same group have equal schemes, placement and key types (`like`): rows with
    /// equal keys are on the same shard.
    pub group: u32,
    pub layout: Layout,
    /// Hash, range and list: shard i is on `place[i]`. Time: period p is on `place[p mod len]`.
    pub place: Vec<NodeId>,
    /// Every node that may hold a shard, sorted, each once.
    pub nodes: Vec<NodeId>,
}

impl Sharding {
    /// The node of a shard.
    pub fn node_of(&self, shard: ShardId) -> NodeId {
        match self.scheme {
            Scheme::Time(_) => self.place[shard.0.rem_euclid(self.place.len() as i32) as usize],
            _ => self.place[(shard.0.max(0) as usize).min(self.place.len() - 1)],
        }
    }

    /// Every node that may hold a shard of the range; each once, sorted.
    pub fn nodes_of(&self, range: ShardRange) -> Vec<NodeId> {
        let ends = match (range.first, range.last) {
            (Some(first), Some(last)) if first > last => return Vec::new(),
            (Some(first), Some(last)) => Some((i64::from(first), i64::from(last))),
            (None, _) | (_, None) => None,
        };
        // As many consecutive shards as `place` is long touch every node there is.
        let Some((first, last)) = ends.filter(|(f, l)| l - f + 1 < self.place.len() as i64) else {
            return self.nodes.clone();
        };
        let mut nodes: Vec<NodeId> = (first..=last).map(|s| self.node_of(ShardId(s as i32))).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// The shard of a key. `types`: of the key's columns, in their order. None: the key belongs to
    /// no shard. A period of time always has a number, whether it was created or not.
    pub fn shard_of(&self, key: &[Value], types: &[KeyType]) -> Option<ShardId> {
        self.scheme.shard_of(key, types)
    }

    /// The shards if their number is fixed (all but time).
    pub fn fixed_shards(&self) -> Option<u32> {
        match self.scheme {
            Scheme::Time(_) => None,
            _ => Some(self.place.len() as u32),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    pub column: Box<str>,
    /// From the rules (`type:`); else the catalog says.
    pub ty: Option<KeyType>,
}

/// How the shards of a table stand on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One shard per node: the table keeps its name.
    PerNode,
    /// A declaratively partitioned table of the logical name over the node's shards (PostgreSQL).
    Partitioned,
    /// Separate tables, names spliced in (MySQL, and functions PostgreSQL can't partition by).
    Separate,
}

#[derive(Clone, Debug)]
pub struct PoolLimits {
    /// Connections to one server, per server.
    pub max_connections: u32,
    /// How long a statement waits for a connection.
    pub acquire_timeout: Duration,
    pub connect_timeout: Duration,
    /// An idle connection is closed after.
    pub idle_timeout: Duration,
    /// A connection is replaced after.
    pub max_lifetime: Duration,
}

#[derive(Clone, Debug)]
pub struct Limits {
    pub max_clients: u32,
    /// Longest message of a client, bytes.
    pub max_message_bytes: u32,
    /// A client must finish logging in within.
    pub login_timeout: Duration,
    /// How often servers are asked for role and position.
    pub health_interval: Duration,
    /// A server that doesn't answer its health question within is down.
    pub health_timeout: Duration,
}

/// Where a snapshot was read from.
#[derive(Clone, Debug)]
pub struct Source {
    pub files: Vec<PathBuf>,
}
