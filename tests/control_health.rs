//! Roles, positions and failover, as health sees them on a real primary with a streaming replica.

mod control_common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use control_common::{TestServer, database, node, snapshot, until};
use margay::backend::{Fleet, Health, Role, Want};
use margay::control::health;
use margay::control::problems::Watch;
use margay::control::shared::Shared;
use margay::model::{NodeId, ServerId};
use margay::topology::{Balance, Consistency, ReadFrom, Reads};

const NODE: NodeId = NodeId(0);

fn policy() -> Reads {
    Reads {
        from: ReadFrom::Replicas,
        max_lag: Duration::from_secs(30),
        consistency: Consistency::Session,
        balance: Balance::RoundRobin,
    }
}

fn shared_for(servers: &[&TestServer]) -> Arc<Shared> {
    let nodes = vec![node(0, "n0", servers.iter().map(|s| s.address()).collect())];
    let rules = snapshot(nodes.clone(), vec![database(&nodes, Vec::new())]);
    let fleet = Fleet::new(&rules);
    Shared::new(Arc::new(ArcSwap::from_pointee(rules)), fleet)
}

/// Which server takes a read of a session whose last commit was acknowledged at `after`.
async fn reader(shared: &Shared, after: Option<Instant>) -> u16 {
    let policy = policy();
    let lease = shared
        .fleet
        .checkout(
            NODE,
            &Want::Read {
                policy: &policy,
                after,
            },
        )
        .await
        .expect("a server for a read");
    lease.server_id().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_follow_a_sessions_writes_and_roles_follow_a_failover() {
    let mut primary = TestServer::primary();
    let replica = TestServer::replica(&primary);
    let second = TestServer::replica(&primary);
    // The rules name the replica first: roles are detected, not believed.
    let shared = shared_for(&[&replica, &primary, &second]);
    let _watching = health::watch(&shared);
    let state = shared.fleet.node(NODE).expect("the node");
    let role = |id: u16| state.servers[id as usize].role();
    let is_up = |id: u16| state.servers[id as usize].health() == Health::Up;
    until("all servers are up", async || is_up(0) && is_up(1) && is_up(2)).await;
    until("roles are what the servers say", async || {
        role(0) == Role::Replica && role(1) == Role::Primary && state.primary() == Some(ServerId(1))
    })
    .await;
    until("the replica takes reads", async || {
        reader(&shared, None).await == 0
    })
    .await;
    until("the other one too", async || reader(&shared, None).await == 2).await;
    second.sql("postgres", "SELECT pg_wal_replay_pause()").await;

    primary.sql("postgres", "CREATE TABLE t (id int)").await;
    // What a paused replica has not replayed is not read from it, however long one waits for it.
    let client = primary.client("postgres").await;
    // The second replica stays behind from here on, so it takes no read of a session that wrote.
    until("the table is on the replica", async || {
        replica
            .column("postgres", "SELECT to_regclass('t') IS NOT NULL")
            .await
            == ["t"]
    })
    .await;
    replica.sql("postgres", "SELECT pg_wal_replay_pause()").await;
    until("replay is paused", async || {
        replica
            .column("postgres", "SELECT pg_get_wal_replay_pause_state()")
            .await
            == ["paused"]
    })
    .await;
    for i in 0..20 {
        client
            .execute("INSERT INTO t VALUES ($1)", &[&i])
            .await
            .expect("insert");
        let acknowledged = Instant::now();
        assert_eq!(
            reader(&shared, Some(acknowledged)).await,
            1,
            "insert {i} is not on the replica"
        );
    }
    let acknowledged = Instant::now();
    until("the primary was sampled after the last commit", async || {
        state.servers[1].fresh().is_none() && state.servers[1].lsn() > state.servers[0].lsn()
    })
    .await;
    assert_eq!(reader(&shared, Some(acknowledged)).await, 1);
    replica.sql("postgres", "SELECT pg_wal_replay_resume()").await;
    until("the replica has caught up", async || {
        reader(&shared, Some(acknowledged)).await == 0
    })
    .await;
    assert_eq!(replica.column("postgres", "SELECT count(*) FROM t").await, ["20"]);

    // Each write, once it is read from the replica, is there.
    for i in 20..60 {
        client
            .execute("INSERT INTO t VALUES ($1)", &[&i])
            .await
            .expect("insert");
        let acknowledged = Instant::now();
        until("a replica may take the read", async || {
            reader(&shared, Some(acknowledged)).await == 0
        })
        .await;
        assert_eq!(
            replica
                .column("postgres", &format!("SELECT count(*) FROM t WHERE id = {i}"))
                .await,
            ["1"]
        );
    }

    // Failover: the primary dies, the replica is promoted, the old primary comes back as it was.
    primary.stop();
    until("the dead server is down", async || {
        state.servers[1].health() == Health::Down
    })
    .await;
    assert!(
        shared
            .problems
            .list()
            .iter()
            .any(|p| p.watch == Watch::Health && p.subject == "n0/replica0")
    );
    replica.sql("postgres", "SELECT pg_promote()").await;
    until("the promoted server is the primary", async || {
        role(0) == Role::Primary && state.primary() == Some(ServerId(0))
    })
    .await;
    primary.start();
    // Only now does it look for its primary again, and finds the old one.
    second.sql("postgres", "SELECT pg_wal_replay_resume()").await;
    until("the old primary is noticed", async || {
        shared
            .problems
            .list()
            .iter()
            .any(|p| p.subject == "n0/replica0" && p.text.contains("promoted after it"))
    })
    .await;
    until(
        "the replica that follows the old primary is noticed",
        async || {
            shared
                .problems
                .list()
                .iter()
                .any(|p| p.subject == "n0/replica1" && p.text.contains("no longer the primary"))
        },
    )
    .await;
    assert_eq!(
        state.primary(),
        Some(ServerId(0)),
        "an old primary takes no writes"
    );
    assert_eq!(state.servers[1].health(), Health::Down);

    // A proxy that starts now finds both of them saying that they are the primary.
    let late = shared_for(&[&primary, &replica]);
    let _watching_too = health::watch(&late);
    let late_state = late.fleet.node(NODE).expect("the node");
    until("the later one of two primaries is taken", async || {
        late_state.primary() == Some(ServerId(1)) && late_state.servers[0].health() == Health::Down
    })
    .await;
    let lease = late
        .fleet
        .checkout(NODE, &Want::Primary)
        .await
        .expect("the primary");
    assert_eq!(lease.server_id(), ServerId(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_of_another_server_takes_no_reads() {
    let (primary, other) = (TestServer::primary(), TestServer::primary());
    let foreign = TestServer::replica(&other);
    let shared = shared_for(&[&primary, &foreign]);
    let _watching = health::watch(&shared);
    until("the foreign replica is noticed", async || {
        shared
            .problems
            .list()
            .iter()
            .any(|p| p.subject == "n0/replica0" && p.text.contains("another server"))
    })
    .await;
    assert_eq!(reader(&shared, None).await, 0);
    let held = shared
        .primary(&shared.snapshot().nodes[0].clone())
        .await
        .map(|_| ());
    assert!(held.is_ok());
}
