//! Reads and failover through the whole proxy: a session sees its own writes however far replicas
//! are behind, `max_lag` holds for all others, what is down is skipped, writes follow a promotion.

mod support;
mod two_proxies;

use std::time::Duration;

use support::Sandbox;
use tokio_postgres::{Client, NoTls};
use two_proxies::{rows, until};

const RULES: &str = r#"
version: 1
listen: {postgres: 127.0.0.1:6432, http: 127.0.0.1:9630}
users: [{name: shop, password: {plain: secret}, admin: true}]
nodes:
  n_a: {primary: "postgres://app@10.0.0.1/shop", replicas: ["postgres://app@10.0.0.2/shop"]}
databases:
  shop:
    engine: postgres
    default_domain: all
    reads: {from: replicas, max_lag: 3s, consistency: session}
    domains: {all: {nodes: [n_a]}}
"#;

const PRIMARY: &str = "n_a";
const REPLICA: &str = "n_a/replica0";

async fn server(sandbox: &Sandbox, variable: &str) -> Client {
    let mut config: tokio_postgres::Config = sandbox.var(variable).parse().expect("a URL");
    config
        .user(sandbox.var("MARGAY_SANDBOX_SUPERUSER"))
        .password(sandbox.var("MARGAY_SANDBOX_PASSWORD"));
    let (client, connection) = config.connect(NoTls).await.expect("the server lets us in");
    tokio::spawn(connection);
    client
}

/// What a read finds, and who answered.
async fn read(client: &Client) -> (String, String) {
    let found = rows(client, "SELECT count(*) FROM notes").await;
    let by = rows(client, "SHOW margay.servers").await;
    (found[0][0].clone(), by[0][0].clone())
}

async fn pause(replica: &Client) {
    replica
        .batch_execute("SELECT pg_wal_replay_pause()")
        .await
        .expect("paused");
    until("replay is paused", async || {
        rows(replica, "SELECT pg_get_wal_replay_pause_state()").await == [["paused"]]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_and_writes_follow_lag_death_and_promotion() {
    let mut sandbox = Sandbox::with(RULES, &[]);
    let url = sandbox.proxy().to_owned();
    let writer = support::connect(&url).await;
    writer
        .batch_execute("CREATE TABLE notes (id int PRIMARY KEY)")
        .await
        .expect("a table");
    let other = support::connect(&url).await;
    let replica = server(&sandbox, "MARGAY_NODE_N_A_REPLICA_0_URL").await;
    until("the replica takes reads", async || {
        read(&other).await == ("0".into(), REPLICA.into())
    })
    .await;

    // Behind, but within max_lag: others may see the past, who wrote may not.
    pause(&replica).await;
    writer
        .batch_execute("INSERT INTO notes VALUES (1)")
        .await
        .expect("a row");
    assert_eq!(
        read(&writer).await,
        ("1".into(), PRIMARY.into()),
        "a session sees its own write at once"
    );
    let (found, by) = read(&other).await;
    assert!(by == PRIMARY || found == "0", "{found} by {by}");
    // Beyond max_lag: nobody reads there.
    until("a replica beyond max_lag gets no reads", async || {
        read(&other).await == ("1".into(), PRIMARY.into())
    })
    .await;
    for _ in 0..50 {
        assert_eq!(read(&other).await, ("1".into(), PRIMARY.into()));
    }
    let fresh = support::connect(&url).await;
    assert_eq!(read(&fresh).await.0, "1", "nor does a new session");
    replica
        .batch_execute("SELECT pg_wal_replay_resume()")
        .await
        .expect("resumed");
    until("the session that wrote reads from the replica", async || {
        read(&writer).await.1 == REPLICA
    })
    .await;
    for id in 2..40 {
        writer
            .batch_execute(&format!("INSERT INTO notes VALUES ({id})"))
            .await
            .expect("a row");
        assert_eq!(
            read(&writer).await.0,
            id.to_string(),
            "a session sees its own write at once"
        );
    }

    // A dead replica is skipped, without an error to anyone.
    until("all is replicated", async || {
        read(&other).await == ("39".into(), REPLICA.into())
    })
    .await;
    sandbox.signal("MARGAY_NODE_N_A_REPLICA_0_PID", "KILL");
    for _ in 0..50 {
        assert_eq!(read(&other).await.0, "39");
    }
    until("the primary is the last resort", async || {
        read(&other).await.1 == PRIMARY
    })
    .await;
    sandbox
        .start_again("n_a replica 0")
        .expect("the replica starts again");
    until("the replica takes reads again", async || {
        read(&other).await.1 == REPLICA
    })
    .await;

    // Failover: nothing that was acknowledged and replicated is lost, writes go to the promoted one.
    let replica = server(&sandbox, "MARGAY_NODE_N_A_REPLICA_0_URL").await;
    until("all is replicated", async || {
        rows(&replica, "SELECT count(*) FROM notes").await == [["39"]]
    })
    .await;
    sandbox.signal("MARGAY_NODE_N_A_PID", "KILL");
    // A server process may outlive its postmaster by a moment, so this writes nothing.
    until("writes fail", async || {
        writer
            .batch_execute("DELETE FROM notes WHERE id < 0")
            .await
            .is_err()
    })
    .await;
    replica
        .batch_execute("SELECT pg_promote()")
        .await
        .expect("promoted");
    until("writes go to the promoted server", async || {
        let done = writer.batch_execute("INSERT INTO notes VALUES (40)").await;
        done.is_ok() || done.is_err_and(|e| e.code().is_some_and(|c| c.code() == "23505"))
    })
    .await;
    assert_eq!(rows(&replica, "SELECT count(*) FROM notes").await, [["40"]]);
    assert_eq!(read(&writer).await, ("40".into(), REPLICA.into()));

    // The old primary comes back as it was, and takes nothing.
    sandbox.start_again("n_a").expect("the old primary starts");
    let console = support::connect(&two_proxies::console_url(&url)).await;
    until("the old primary is refused", async || {
        let problems = rows(&console, "SHOW PROBLEMS").await;
        problems
            .iter()
            .any(|p| p[2] == "n_a/primary" && p[3].contains("promoted after it"))
    })
    .await;
    for id in 41..60 {
        writer
            .batch_execute(&format!("INSERT INTO notes VALUES ({id})"))
            .await
            .expect("a row");
        assert_eq!(read(&other).await, ((id).to_string(), REPLICA.into()));
    }
    let old = server(&sandbox, "MARGAY_NODE_N_A_URL").await;
    assert_eq!(
        rows(&old, "SELECT count(*) FROM notes").await,
        [["39"]],
        "no write went to the old primary"
    );

    // A proxy that starts now finds the same.
    sandbox.signal("MARGAY_PROXY_PID", "KILL");
    sandbox.start_again("proxy").expect("the proxy starts again");
    let late = support::connect(&url).await;
    assert_eq!(read(&late).await, ("59".into(), REPLICA.into()));
    late.batch_execute("INSERT INTO notes VALUES (60)")
        .await
        .expect("a row");
    assert_eq!(rows(&replica, "SELECT count(*) FROM notes").await, [["60"]]);
}

/// A primary that is cut off while it lives must not acknowledge what its successor doesn't have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_a_replaced_primary_are_cut() {
    let sandbox = Sandbox::with(RULES, &[]);
    let client = support::connect(sandbox.proxy()).await;
    client
        .batch_execute("CREATE TABLE notes (id int PRIMARY KEY)")
        .await
        .expect("a table");
    client
        .batch_execute("BEGIN; INSERT INTO notes VALUES (1)")
        .await
        .expect("open on the primary");
    let replica = server(&sandbox, "MARGAY_NODE_N_A_REPLICA_0_URL").await;
    until("the table is replicated", async || {
        rows(&replica, "SELECT to_regclass('notes') IS NOT NULL").await == [["t"]]
    })
    .await;
    replica
        .batch_execute("SELECT pg_promote()")
        .await
        .expect("promoted, and nobody stopped the primary");
    let console = support::connect(&two_proxies::console_url(sandbox.proxy())).await;
    until("the promotion is seen", async || {
        rows(&console, "SHOW NODES")
            .await
            .iter()
            .any(|n| n[1] == "n_a/replica0" && n[2] == "primary")
            && rows(&console, "SHOW NODES")
                .await
                .iter()
                .any(|n| n[1] == "n_a/primary" && n[3] == "f" || n[3] == "false")
    })
    .await;
    tokio::time::timeout(Duration::from_secs(30), client.batch_execute("COMMIT"))
        .await
        .expect("an answer")
        .expect_err("what is on the old primary is not committed");
    let old = server(&sandbox, "MARGAY_NODE_N_A_URL").await;
    assert_eq!(rows(&old, "SELECT count(*) FROM notes").await, [["0"]]);
}
