//! The rules file as written: every key a user may write, with its type. The doc comments are what
//! `margay schema` shows in editors. Holds no meaning and no defaults: `check` gives both.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

mod routines;
mod tls;

pub use routines::*;
pub use tls::*;

/// The rules of a Margay proxy.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Version of this format: 1.
    pub version: u32,
    /// Addresses on which clients are served.
    pub listen: Option<Listen>,
    /// Who may connect.
    #[serde(default)]
    pub users: Vec<User>,
    /// The servers: one node is one copy of some data, a primary and its replicas.
    #[serde(default)]
    pub nodes: Named<Node>,
    /// The logical databases that clients connect to.
    #[serde(default)]
    pub databases: Named<Database>,
    /// Connections to each server.
    pub pool: Option<Pool>,
    /// Limits on clients, and how servers are watched.
    pub limits: Option<Limits>,
    /// Where this proxy stands: reads prefer replicas of the same zone.
    pub zone: Option<Zone>,
}

/// Where a proxy stands: a zone's name, or `{env: NAME}` where proxies of several zones share the rules.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Zone {
    Name(String),
    Told(ZoneSource),
}

/// Where a proxy learns its zone.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ZoneSource {
    /// In this environment variable; not set: no zone.
    Env(String),
}

/// Addresses on which clients are served, as `ip:port`.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// PostgreSQL clients, as `127.0.0.1:6432`, or a map with `address` and `tls`.
    pub postgres: Option<Listener>,
    /// MySQL clients, as `127.0.0.1:6033`.
    pub mysql: Option<String>,
    /// Health and metrics over HTTP, as `127.0.0.1:9630`.
    pub http: Option<String>,
}

/// Who may connect.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name a client logs in with.
    pub name: String,
    /// What the client must prove to know.
    pub password: Option<ClientSecret>,
    /// Let the user in without a password. For sandboxes.
    pub trust: Option<bool>,
    /// Logical databases the user may connect to; all of them when left out.
    pub databases: Option<Vec<String>>,
    /// May use the admin console, the database named `margay`.
    pub admin: Option<bool>,
    /// The client must present a certificate whose common name is the user's name.
    pub certificate: Option<bool>,
    /// As whom the user reaches the servers. Default: as the servers' URLs say.
    pub servers: Option<ServerLogin>,
}

/// A client's password, or where it is kept.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientSecret {
    /// In this environment variable.
    Env(String),
    /// In this file, relative to the rules file; a line end at its end doesn't count.
    File(String),
    /// Written here.
    Plain(String),
    /// A PostgreSQL SCRAM verifier: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
    Scram(String),
}

/// The password with which Margay logs into a server, or where it is kept.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ServerSecret {
    /// In this environment variable.
    Env(String),
    /// In this file, relative to the rules file; a line end at its end doesn't count.
    File(String),
    /// Written here.
    Plain(String),
}

/// One copy of some data.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The server that takes writes.
    pub primary: Server,
    /// Servers that follow the primary by the database's own replication.
    #[serde(default)]
    pub replicas: Vec<Server>,
    /// TLS to the node's servers, where they don't say otherwise.
    pub tls: Option<ServerTls>,
}

/// A server: its URL, or a map with the URL and more.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Server {
    /// `postgres://user@host:5432/database` or `mysql://user@host:3306/database`.
    Url(String),
    /// The URL and more.
    Detailed(DetailedServer),
}

/// A server with more than its URL.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DetailedServer {
    /// `postgres://user@host:5432/database` or `mysql://user@host:3306/database`.
    pub url: String,
    /// The password with which Margay logs in.
    pub password: Option<ServerSecret>,
    /// Share of reads relative to the node's other replicas; 0 = none. Default 1.
    #[schemars(range(min = 0, max = 1000))]
    pub weight: Option<u32>,
    /// Where the server stands (a data centre's name): reads prefer replicas of the proxy's own zone.
    pub zone: Option<String>,
    /// TLS to the server; replaces the node's.
    pub tls: Option<ServerTls>,
}

/// A logical database.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// What clients and servers speak.
    pub engine: Engine,
    /// Where tables live that no rule names. Default: the only domain.
    pub default_domain: Option<String>,
    /// Where the shell is: the logical schema without rows, which answers for the system catalogs of a
    /// database of several nodes. A node's name, or a map. Default: the default domain's first node.
    pub shell: Option<Shell>,
    /// Where reads go.
    pub reads: Option<Reads>,
    /// Business domains: tables that belong together, on nodes of their own.
    #[serde(default)]
    pub domains: Named<Domain>,
    /// What functions, procedures and trigger functions of users' read and write, by their names without schema.
    #[serde(default)]
    pub functions: Named<Routine>,
}

/// Where the shell of a logical database is.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Shell {
    /// The node whose servers carry it.
    Node(String),
    /// The node and more.
    Detailed(DetailedShell),
}

/// The node of a shell and more.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DetailedShell {
    /// The node whose servers carry it. Default: the default domain's first node.
    pub node: Option<String>,
    /// The shell's own database on these servers, made by Margay. Default: `margay_shell_` and the
    /// logical database's name.
    pub database: Option<String>,
}

#[derive(Clone, Copy, Debug, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    Postgres,
    Mysql,
}

/// Where reads go.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reads {
    /// Default: primary.
    pub from: Option<ReadFrom>,
    /// A replica further behind gets no reads. Default 1s.
    pub max_lag: Option<Span>,
    /// `session`: a session sees its own writes (default). `eventual`: any replica within max_lag.
    pub consistency: Option<Consistency>,
    /// How a replica is chosen. Default: least_connections.
    pub balance: Option<Balance>,
}

#[derive(Clone, Copy, Debug, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadFrom {
    Primary,
    Replicas,
}

#[derive(Clone, Copy, Debug, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    Session,
    Eventual,
}

#[derive(Clone, Copy, Debug, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    LeastConnections,
    RoundRobin,
    Random,
}

/// A business domain.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// The nodes that hold the domain's tables. Their order matters: shards are placed on them in turn.
    pub nodes: Vec<String>,
    /// The domain's tables, as `name` or `schema.name`.
    #[serde(default)]
    pub tables: Named<Table>,
}

/// A table. `{}`: an ordinary table on the domain's one node.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// How the table's rows are spread.
    pub shard: Option<Shard>,
    /// All rows on each node of the domain.
    pub broadcast: Option<bool>,
    /// All rows on this one node, in a domain of several.
    pub node: Option<String>,
    /// Columns that Margay fills when an INSERT leaves them out.
    #[serde(default)]
    pub generate: Named<Generator>,
}

#[derive(Clone, Copy, Debug, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Generator {
    /// 64-bit ids that rise with time and are unique over all nodes and proxies.
    Snowflake,
}

/// How a table's rows are spread.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Shard {
    Like(Like),
    By(Box<By>),
}

/// Spread exactly like another table.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Like {
    /// The other table: rows with equal keys then are on the same shard, and joins stay there.
    pub like: String,
    /// This table's key columns, where they are named otherwise.
    pub key: Option<Key>,
}

/// A way to spread rows.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum By {
    /// By a hash of the key.
    Hash(ByHash),
    /// By the period of time the key falls into.
    Time(ByTime),
    /// By bounds of the key.
    Range(ByRange),
    /// By listed values of the key.
    List(ByList),
}

/// By a hash of the key.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByHash {
    /// The sharding key.
    pub key: Key,
    /// Number of shards, well above the number of nodes. Left out: one shard per node.
    #[schemars(range(min = 1, max = 65536))]
    pub count: Option<u32>,
    /// Default: postgres on engine postgres, crc32 on engine mysql.
    pub function: Option<Function>,
    /// Which node holds which shard. Default: the domain's nodes in turn.
    pub place: Option<Place>,
    /// How the shards stand on a node. Default: see docs/rules.md.
    pub layout: Option<Layout>,
}

#[derive(Clone, Copy, Debug, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    Postgres,
    Modulo,
    Crc32,
    Murmur3,
    Ring,
}

#[derive(Clone, Copy, Debug, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// A declaratively partitioned table per node (PostgreSQL).
    Partitioned,
    /// Separate tables, whose names Margay puts into the statement.
    Separate,
}

/// By the period of time the key falls into.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByTime {
    /// The sharding key: one column of type date, timestamp or timestamptz.
    pub key: Key,
    /// Length of a period.
    pub every: Every,
    /// Time zone whose calendar cuts a timestamptz key, as `Asia/Shanghai`. Default UTC.
    pub zone: Option<String>,
    /// Start of the first period: `2026`, `2026-01`, `2026-01-15`, `2026-W03` or `2026-01-15T08`.
    pub from: Scalar,
    /// Periods created ahead of now. Default 2.
    #[schemars(range(min = 0, max = 1000))]
    pub ahead: Option<u32>,
    /// A written row before `from` or past the last period created: `refuse` (default) or `create` its period.
    pub outside: Option<Outside>,
    /// What happens to old periods. Default: nothing, ever.
    pub retire: Option<Retire>,
    /// Period p is on node p mod n of this list. Default: the domain's nodes.
    pub place: Option<Vec<String>>,
    /// How the shards stand on a node. Default: see docs/rules.md.
    pub layout: Option<Layout>,
}

#[derive(Clone, Copy, Debug, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

#[derive(Clone, Copy, Debug, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    Refuse,
    Create,
}

/// What happens to old periods.
#[derive(Clone, Copy, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retire {
    /// Periods kept, the current one included.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub after: u32,
    /// `detach`: keep the rows in a table of their own. `drop`: delete them.
    pub action: RetireAction,
}

#[derive(Clone, Copy, Debug, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetireAction {
    Detach,
    Drop,
}

/// By bounds of the key.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByRange {
    /// The sharding key: one column.
    pub key: Key,
    /// Rising bounds. n bounds make n + 1 shards: below the first, between, from the last on.
    pub bounds: Vec<Scalar>,
    /// Which node holds which shard. Default: the domain's nodes in turn.
    pub place: Option<Place>,
    /// How the shards stand on a node. Default: see docs/rules.md.
    pub layout: Option<Layout>,
}

/// By listed values of the key.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByList {
    /// The sharding key: one column.
    pub key: Key,
    /// Node → the values whose rows it holds. Each node named is one shard, numbered as written.
    pub values: Named<Vec<Scalar>>,
    /// How the shards stand on a node. Default: see docs/rules.md.
    pub layout: Option<Layout>,
}

/// The sharding key: a column, a column with its type, or a list of these.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Key {
    // The list first: serde would read a list of two as the fields of a `TypedColumn` too.
    Several(Vec<KeyColumn>),
    One(KeyColumn),
}

/// A column of the sharding key.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum KeyColumn {
    Name(String),
    Typed(TypedColumn),
}

/// A column with its type, for where no server can be asked.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TypedColumn {
    /// The column's name.
    pub column: String,
    /// The column's SQL type, as `bigint` or `text`. Default: the servers are asked.
    #[serde(rename = "type")]
    pub ty: Option<String>,
}

/// Which node holds which shard: a list of nodes, one per shard; or node → its shards.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Place {
    List(Vec<String>),
    Map(Named<Vec<Shards>>),
}

/// A shard's number, or several as `0-7`.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Shards {
    One(u32),
    Several(String),
}

/// A value of a key.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    Bool(bool),
    Int(i64),
    Text(String),
}

/// Connections to each server.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Most connections to one server. Default 50.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_connections: Option<u32>,
    /// How long a statement waits for a connection. Default 5s.
    pub acquire_timeout: Option<Span>,
    /// How long connecting to a server may take. Default 3s.
    pub connect_timeout: Option<Span>,
    /// An idle connection is closed after. Default 10m.
    pub idle_timeout: Option<Span>,
    /// A connection is replaced after. Default 1h.
    pub max_lifetime: Option<Span>,
}

/// Limits on clients, and how servers are watched.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Most clients at once. Default 10000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_clients: Option<u32>,
    /// Longest message of a client, in bytes. Default 67108864 (64 MiB).
    #[schemars(range(min = 65536, max = 1_073_741_823))]
    pub max_message_bytes: Option<u32>,
    /// A client must finish logging in within. Default 10s.
    pub login_timeout: Option<Span>,
    /// How often servers are asked for their role and position. Default 200ms.
    pub health_interval: Option<Span>,
    /// A server that doesn't answer its health question within is down. Default 2s.
    pub health_timeout: Option<Span>,
}

/// A span of time with its unit: `100ms`, `5s`, `1m`, `2h`, `1d`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Span(pub String);

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A span of time with its unit: `100ms`, `5s`, `1m`, `2h`, `1d`.",
            "type": "string",
            "pattern": "^[0-9]+(ms|s|m|h|d)$"
        })
    }
}

/// A map that keeps the order of the file: shards are numbered by it.
#[derive(Debug)]
pub struct Named<V>(pub Vec<(String, V)>);

impl<V> Default for Named<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Named<V> {
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &V)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v))
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Named<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = Named<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<V>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Named(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl<V: JsonSchema> JsonSchema for Named<V> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", V::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<V>();
        json_schema!({"type": "object", "additionalProperties": value})
    }
}
