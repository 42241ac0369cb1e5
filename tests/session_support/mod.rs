//! A proxy over two real servers, for the session tests.
#![allow(dead_code)]

pub mod raw;
pub mod servers;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use margay::backend::Fleet;
use margay::model::admin::GenerateIds;
use margay::model::catalog::{Catalog, Collation, ColumnDefault, ColumnInfo, TableInfo};
use margay::model::{DomainId, Fault, KeyType, NodeId, TableName};
use margay::plan::Planner;
use margay::session::{Listener, Shared, Shutdown};
use margay::topology::placement::{Hash, HashFunction};
use margay::topology::*;
use tokio_postgres::{Client, NoTls};

use servers::Servers;

/// Two nodes with a database of their own for one test, and a proxy in front.
pub struct Proxy {
    pub address: SocketAddr,
    pub shared: Shared,
    pub servers: Arc<Servers>,
    pub database: String,
    pub stop: Shutdown,
}

struct Ids(AtomicI64);

impl GenerateIds for Ids {
    fn next_id(&self, _: &str) -> Result<i64, Fault> {
        Ok(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Tests that run at the same time share two servers; the last one to end takes them down.
fn shared_servers() -> Arc<Servers> {
    static SHARED: Mutex<Weak<Servers>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(|e| e.into_inner());
    if let Some(servers) = shared.upgrade() {
        return servers;
    }
    let servers = Arc::new(
        std::thread::spawn(|| Servers::start(2))
            .join()
            .expect("servers start"),
    );
    *shared = Arc::downgrade(&servers);
    servers
}

/// `lefts` is on node 0, `rights` on node 1, `spread` on both by `id mod 2`, `named` by the CRC of its
/// note, `everywhere` on both.
pub const TABLES: &str = "
    CREATE TABLE lefts (id bigint PRIMARY KEY, note text);
    CREATE TABLE rights (id bigint PRIMARY KEY, note text);
    CREATE TABLE spread (id bigint PRIMARY KEY, note text);
    CREATE TABLE everywhere (id bigint PRIMARY KEY, note text);
    CREATE TABLE named (id bigint, note text PRIMARY KEY);";

pub async fn proxy() -> Proxy {
    let servers = tokio::task::spawn_blocking(shared_servers)
        .await
        .expect("servers start");
    proxy_over(servers, 8).await
}

/// A proxy with one connection to each server, so that all clients share its state.
pub async fn proxy_of_one_connection() -> Proxy {
    let servers = tokio::task::spawn_blocking(shared_servers)
        .await
        .expect("servers start");
    proxy_over(servers, 1).await
}

/// A proxy whose servers nobody else uses.
pub async fn proxy_alone() -> Proxy {
    let servers = tokio::task::spawn_blocking(|| Arc::new(Servers::start(2)))
        .await
        .expect("servers start");
    proxy_over(servers, 8).await
}

async fn proxy_over(servers: Arc<Servers>, connections: usize) -> Proxy {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let database = format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed));
    for i in 0..servers.ports.len() {
        let direct = servers.direct(i, "postgres").await;
        direct
            .batch_execute(&format!("CREATE DATABASE {database}"))
            .await
            .expect("a database for the test");
        servers
            .direct(i, &database)
            .await
            .batch_execute(TABLES)
            .await
            .expect("tables");
    }
    let mut snapshot = snapshot(&servers, &database);
    snapshot.pool.max_connections = connections as _;
    let fleet = Fleet::new(&snapshot);
    let shared = Shared::new(
        Arc::new(ArcSwap::from_pointee(snapshot)),
        fleet,
        Arc::new(Planner::default()),
        Arc::new(Ids(AtomicI64::new(1))),
    );
    let stop = Shutdown::default();
    let listener = Listener::bind(
        "127.0.0.1:0".parse().expect("an address"),
        shared.clone(),
        stop.clone(),
    );
    let listener = listener.await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(listener.run(Duration::from_secs(5)));
    Proxy {
        address,
        shared,
        servers,
        database,
        stop,
    }
}

fn snapshot(servers: &Servers, database: &str) -> Snapshot {
    let node = |i: usize| {
        Arc::new(Node {
            id: NodeId(i as u16),
            name: format!("n{i}").into(),
            shell_of: None,
            engine: Engine::Postgres,
            servers: vec![Arc::new(Server {
                host: "127.0.0.1".into(),
                port: servers.ports[i],
                user: "postgres".into(),
                password: None,
                database: database.into(),
                weight: 1,
                near: true,
                tls: None,
                protocol_minor: 0,
            })],
        })
    };
    let sharding = Sharding {
        key: vec![KeyColumn {
            column: "id".into(),
            ty: Some(KeyType::Int8),
        }],
        scheme: Scheme::Hash(Hash::new(HashFunction::Modulo, 2)),
        group: 0,
        layout: Layout::PerNode,
        place: vec![NodeId(0), NodeId(1)],
        nodes: vec![NodeId(0), NodeId(1)],
    };
    let by_name = Sharding {
        key: vec![KeyColumn {
            column: "note".into(),
            ty: Some(KeyType::Text),
        }],
        scheme: Scheme::Hash(Hash::new(HashFunction::Crc32, 2)),
        group: 1,
        ..sharding.clone()
    };
    let tables = [
        ("named", 2, Spread::Sharded(Arc::new(by_name))),
        ("lefts", 0, Spread::Whole(NodeId(0))),
        ("rights", 1, Spread::Whole(NodeId(1))),
        ("spread", 2, Spread::Sharded(Arc::new(sharding))),
        ("everywhere", 2, Spread::Broadcast),
    ];
    let tables: HashMap<_, _> = tables
        .into_iter()
        .map(|(name, domain, spread)| {
            let name = TableName::new("public", name);
            (
                name.clone(),
                Arc::new(Table {
                    name,
                    domain: DomainId(domain),
                    spread,
                    generate: vec![],
                }),
            )
        })
        .collect();
    let domain = |name: &str, nodes: &[u16]| Domain {
        name: name.into(),
        nodes: nodes.iter().map(|n| NodeId(*n)).collect(),
    };
    // All of it on one node: what can't be done over several nodes can be done here.
    let solo = Database {
        name: "solo".into(),
        engine: Engine::Postgres,
        default_domain: DomainId(0),
        anywhere: NodeId(0),
        shell: None,
        reads: reads(),
        domains: vec![domain("left", &[0])],
        catalog: Arc::new(catalog(&HashMap::new())),
        tables: HashMap::new(),
    };
    let database = Database {
        name: "app".into(),
        engine: Engine::Postgres,
        default_domain: DomainId(0),
        anywhere: NodeId(0),
        shell: None,
        reads: reads(),
        domains: vec![
            domain("left", &[0]),
            domain("right", &[1]),
            domain("both", &[0, 1]),
        ],
        catalog: Arc::new(catalog(&tables)),
        tables,
    };
    let user = |name: &str, secret: Secret| {
        Arc::new(User {
            name: name.into(),
            secret,
            databases: None,
            admin: false,
            certificate: false,
            login: None,
        })
    };
    Snapshot {
        epoch: 1,
        listen: Listen::default(),
        users: vec![
            user("app", Secret::Trust),
            user("careful", Secret::Password("open sesame".into())),
        ],
        nodes: (0..servers.ports.len()).map(node).collect(),
        databases: vec![Arc::new(database), Arc::new(solo)],
        pool: PoolLimits {
            max_connections: 8,
            acquire_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            max_lifetime: Duration::from_secs(600),
        },
        postgres_tls: None,
        limits: Limits {
            max_clients: 50,
            max_message_bytes: 16 << 20,
            login_timeout: Duration::from_secs(10),
            health_interval: Duration::from_secs(1),
            health_timeout: Duration::from_secs(1),
        },
    }
}

fn reads() -> Reads {
    Reads {
        from: ReadFrom::Replicas,
        max_lag: Duration::from_secs(1),
        consistency: Consistency::Session,
        balance: Balance::RoundRobin,
    }
}

fn catalog(tables: &HashMap<TableName, Arc<Table>>) -> Catalog {
    let column =
        |name: &str, type_name: &str, type_oid: u32, not_null: bool, collation: Collation| ColumnInfo {
            name: name.into(),
            type_name: type_name.into(),
            type_oid,
            holds_oids: false,
            type_modifier: -1,
            not_null,
            collation,
            default: ColumnDefault::Null,
        };
    let info = TableInfo {
        columns: vec![
            column("id", "bigint", 20, true, Collation::None),
            column("note", "text", 25, false, Collation::Deterministic),
        ],
        unique: vec![vec!["id".into()]],
        ..TableInfo::default()
    };
    Catalog {
        epoch: 1,
        loaded: true,
        tables: tables
            .keys()
            .map(|name| (name.clone(), Arc::new(info.clone())))
            .collect(),
        ..Catalog::default()
    }
}

impl Proxy {
    pub fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.address.port())
            .user("app")
            .dbname("app");
        config.connect_timeout(Duration::from_secs(10));
        config
    }

    pub async fn client(&self) -> Client {
        let (client, connection) = self
            .config()
            .connect(NoTls)
            .await
            .expect("the proxy takes the client");
        tokio::spawn(connection);
        client
    }

    /// A connection straight to a node's server.
    pub async fn direct(&self, node: usize) -> Client {
        self.servers.direct(node, &self.database).await
    }

    pub async fn count(&self, node: usize, table: &str) -> i64 {
        let row = self
            .direct(node)
            .await
            .query_one(&format!("SELECT count(*) FROM {table}"), &[])
            .await;
        row.expect("the table is there").get(0)
    }

    /// Waits until no server connection is on loan.
    pub async fn nothing_leaks(&self) {
        wait_for("all leases to come back", || async {
            self.shared
                .fleet
                .nodes()
                .iter()
                .all(|n| n.servers.iter().all(|s| s.active() == 0))
        })
        .await;
    }
}

/// Waits for a condition, up to a limit that only a defect reaches.
pub async fn wait_for<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let patience = tokio::time::timeout(Duration::from_secs(30), async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    patience
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

/// The SQLSTATE of an error.
pub fn state(error: &tokio_postgres::Error) -> &str {
    error.code().map_or("", |code| code.code())
}
