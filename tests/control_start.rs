//! The whole control plane on real servers: started, asked by console and HTTP, reloaded.

mod control_common;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use control_common::{TestServer, database, node, snapshot, until};
use margay::backend::{Fleet, Health};
use margay::control::{Config, Control};
use margay::model::admin::{ClientInfo, Grid, RecentQuery, Sessions, Totals};
use margay::model::{Code, DomainId, NodeId, TableName};
use margay::topology::{Snapshot, Spread, Table};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the listener would know.
struct OneClient;

impl Sessions for OneClient {
    fn clients(&self) -> Vec<ClientInfo> {
        vec![ClientInfo {
            id: 7,
            user: "shop".into(),
            database: "shop".into(),
            application: "psql".into(),
            peer: "127.0.0.1:5".into(),
            state: "idle",
            connected_at: SystemTime::UNIX_EPOCH,
            queries: 3,
        }]
    }

    fn recent(&self) -> Vec<RecentQuery> {
        vec![RecentQuery {
            at: SystemTime::UNIX_EPOCH,
            database: "shop".into(),
            user: "shop".into(),
            servers: vec!["n0/primary".into(), "n0/replica0".into()],
            tier: "scatter",
            duration: Duration::from_micros(1500),
            rows: 2,
            error: None,
            sql: "SELECT '<b>'".into(),
        }]
    }

    fn totals(&self) -> Totals {
        Totals {
            queries: vec![("single", "replica", 3)],
            faults: vec![("MG1204", 1)],
            ..Totals::default()
        }
    }
}

fn table(name: &str) -> Table {
    Table {
        name: TableName::new("public", name),
        domain: DomainId(0),
        spread: Spread::Whole(NodeId(0)),
        generate: vec![],
    }
}

fn rows(grid: &Grid) -> Vec<Vec<&str>> {
    grid.rows
        .iter()
        .map(|row| row.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect())
        .collect()
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connect");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_plane_starts_answers_and_reloads() {
    let primary = TestServer::primary();
    let mut replica = TestServer::replica(&primary);
    primary
        .sql(
            "postgres",
            "CREATE TABLE users (id int PRIMARY KEY); CREATE TABLE loose (id int)",
        )
        .await;
    let nodes = vec![node(0, "n0", vec![primary.address(), replica.address()])];
    let rules = snapshot(nodes.clone(), vec![database(&nodes, vec![table("users")])]);
    let snapshots = Arc::new(ArcSwap::from_pointee(rules.clone()));

    // What the rules on disk are: as they were, wrong, or with one more table.
    let disk = Arc::new(AtomicU8::new(0));
    let (state, written) = (disk.clone(), Mutex::new(rules.clone()));
    let load = Arc::new(move || -> Result<Snapshot, Vec<String>> {
        let rules = written.lock().expect("not poisoned").clone();
        match state.load(Ordering::Relaxed) {
            1 => Err(vec![
                "a.yaml:1:2: wrong; write right".into(),
                "a.yaml:3:4: wrong too".into(),
            ]),
            2 => Ok(Snapshot {
                databases: vec![Arc::new(database(
                    &rules.nodes,
                    vec![table("users"), table("orders")],
                ))],
                ..rules
            }),
            3 => Ok(Snapshot {
                nodes: vec![node(0, "other", vec![])],
                ..rules
            }),
            _ => Ok(rules),
        }
    });
    let fleet = Fleet::new(&rules);
    let control = Control::start(Config {
        snapshots: snapshots.clone(),
        fleet: fleet.clone(),
        load,
    })
    .await;
    assert!(
        snapshots.load().databases[0].catalog.loaded,
        "the catalog is there when start returns"
    );
    let first = control
        .ids
        .next_id("shop")
        .expect("a worker number is leased when start returns");
    assert!(control.ids.next_id("shop").expect("another one") > first);

    // The console.
    let show = async |sql: &str| {
        control
            .admin
            .command(sql)
            .await
            .unwrap_or_else(|fault| panic!("{sql}: {fault}"))
    };
    assert_eq!(show("SHOW CLIENTS").await.rows.len(), 0, "no listener yet");
    control.attach(Arc::new(OneClient));
    until("the replica's lag is known", async || {
        let grid = show("SHOW NODES").await;
        rows(&grid).len() == 2 && rows(&grid)[1][4] != "NULL"
    })
    .await;
    let grid = show("show nodes;").await;
    assert_eq!(
        grid.columns[..7],
        ["node", "server", "role", "up", "lag_ms", "connections", "queries"]
    );
    assert_eq!(
        rows(&grid)[0][..5],
        ["n0", "n0/primary", "primary", "true", "NULL"]
    );
    assert_eq!(rows(&grid)[1][..4], ["n0", "n0/replica0", "replica", "true"]);
    primary
        .sql(
            "postgres",
            "INSERT INTO users SELECT generate_series(1, 100); ANALYZE users",
        )
        .await;
    until("rows are estimated", async || {
        let grid = show("SHOW SHARDS").await;
        rows(&grid)
            == [
                ["shop", "users", "NULL", "n0", "users", "100"],
                ["shop", "loose", "NULL", "n0", "loose", "0"],
            ]
    })
    .await;
    assert_eq!(
        rows(&show("SHOW RULES").await),
        [["shop", "all", "users", "whole", "NULL", "n0"]]
    );
    assert_eq!(rows(&show("SHOW CLIENTS").await)[0][..3], ["7", "shop", "shop"]);
    let recent = show("SHOW RECENT").await;
    assert_eq!(
        recent.columns,
        [
            "at",
            "database",
            "user",
            "servers",
            "tier",
            "duration_us",
            "rows",
            "sql",
            "error"
        ]
    );
    assert_eq!(
        rows(&recent)[0],
        [
            "1970-01-01T00:00:00.000Z",
            "shop",
            "shop",
            "n0/primary, n0/replica0",
            "scatter",
            "1500",
            "2",
            "SELECT '<b>'",
            "NULL"
        ]
    );
    assert_eq!(rows(&show("SHOW POOLS").await).len(), 2);
    let stats = show("SHOW STATS").await;
    assert!(
        rows(&stats).contains(&vec!["margay_queries_total", "tier=single role=replica", "3"]),
        "{stats:?}"
    );
    assert!(rows(&show("SHOW VERSION").await)[0][0].starts_with("Margay "));
    for row in rows(&show("SHOW HELP").await) {
        if row[0].starts_with("SHOW") {
            show(row[0]).await;
        }
    }
    let fault = control.admin.command("SELECT * FROM users").await.unwrap_err();
    assert_eq!(fault.code, Code::ADMIN_COMMAND);
    assert!(control.admin.command("SHOW").await.is_err() && control.admin.command("").await.is_err());

    // The pages.
    let address = control
        .listen_http("127.0.0.1:0".parse().expect("an address"))
        .await
        .expect("HTTP");
    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"));
    control.set_ready(true);
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    let metrics = get(address, "/metrics").await;
    assert!(
        metrics.contains("margay_server_up{node=\"n0\",server=\"n0/replica0\",role=\"replica\"} 1.0"),
        "{metrics}"
    );
    assert!(
        metrics.contains("margay_faults_total{code=\"MG1204\"} 1.0"),
        "{metrics}"
    );
    let page = get(address, "/").await;
    assert!(
        page.contains("n0") && page.contains("replica0") && page.contains("SELECT &#39;&lt;b&gt;&#39;"),
        "{page}"
    );
    assert!(
        !page.contains("127.0.0.1"),
        "no address of a server is shown to whoever asks"
    );

    // Reloading: wrong rules change nothing, all their problems are told.
    disk.store(1, Ordering::Relaxed);
    let fault = control.admin.command("RELOAD").await.unwrap_err();
    assert_eq!(fault.code, Code::RULES);
    let detail = fault.detail.as_deref().expect("what is wrong");
    assert!(
        detail.contains("a.yaml:1:2") && detail.contains("a.yaml:3:4"),
        "{detail}"
    );
    assert_eq!(snapshots.load().epoch, 1);
    assert!(
        rows(&show("SHOW PROBLEMS").await)
            .iter()
            .any(|row| row[1] == "rules")
    );
    // A node that would stand for another one.
    disk.store(3, Ordering::Relaxed);
    assert_eq!(control.reload().await.unwrap_err().code, Code::RULES);
    assert_eq!(snapshots.load().epoch, 1);
    disk.store(2, Ordering::Relaxed);
    assert_eq!(show("RELOAD").await.tag, "RELOAD");
    let now = snapshots.load_full();
    assert_eq!(now.epoch, 2);
    assert!(
        now.databases[0]
            .tables
            .contains_key(&TableName::new("public", "orders"))
    );
    assert!(
        now.databases[0]
            .catalog
            .tables
            .contains_key(&TableName::new("public", "users"))
    );
    assert!(rows(&show("SHOW PROBLEMS").await).is_empty());

    // Watching goes on under the new rules.
    replica.stop();
    let state = || fleet.node(NodeId(0)).expect("the node").servers[1].health();
    until("the dead replica is noticed", async || state() == Health::Down).await;
    assert!(
        rows(&show("SHOW PROBLEMS").await)
            .iter()
            .any(|row| row[2] == "n0/replica0")
    );
    assert_eq!(rows(&show("SHOW NODES").await)[1][3], "false");
    replica.start();
    until("it is back", async || state() == Health::Up).await;
    until("the problem is settled", async || {
        rows(&show("SHOW PROBLEMS").await).is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_that_is_down_at_the_start_is_taken_when_it_comes() {
    let mut server = TestServer::primary();
    server
        .sql("postgres", "CREATE TABLE users (id int PRIMARY KEY)")
        .await;
    server.stop();
    let nodes = vec![node(0, "n0", vec![server.address()])];
    let rules = snapshot(nodes.clone(), vec![database(&nodes, vec![table("users")])]);
    let snapshots = Arc::new(ArcSwap::from_pointee(rules.clone()));
    let fleet = Fleet::new(&rules);
    let again = rules.clone();
    let load = Arc::new(move || Ok(again.clone()));
    let control = Control::start(Config {
        snapshots: snapshots.clone(),
        fleet,
        load,
    })
    .await;
    assert!(!snapshots.load().databases[0].catalog.loaded);
    assert!(control.ids.next_id("shop").is_err());
    server.start();
    until("everything is as if it had been there", async || {
        let catalog = snapshots.load().databases[0].catalog.clone();
        catalog.loaded && !catalog.tables.is_empty() && control.ids.next_id("shop").is_ok()
    })
    .await;
    until("nothing is wrong any more", async || {
        let grid = control.admin.command("SHOW PROBLEMS").await.expect("problems");
        grid.rows.is_empty()
    })
    .await;
    assert_eq!(
        server
            .column("postgres", "SELECT count(*) FROM margay.worker")
            .await,
        ["1"]
    );
}
