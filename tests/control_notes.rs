//! Notes of placement on real servers: what decides where rows are must not change in silence, and
//! what doesn't decide it may change freely.

mod control_common;

use std::sync::Arc;

use arc_swap::ArcSwap;
use control_common::{LIMIT, TestServer, database, node, snapshot};
use margay::backend::Fleet;
use margay::control::connect::Link;
use margay::control::shared::Shared;
use margay::control::{bootstrap, notes, refresh::Refresher, time_shards};
use margay::model::{DomainId, NodeId, TableName};
use margay::topology::placement::{Hash, HashFunction, Scheme};
use margay::topology::{KeyColumn, Layout, Sharding, Snapshot, Spread, Table};

fn table(name: &str, spread: Spread) -> Table {
    Table {
        name: TableName::new("public", name),
        domain: DomainId(0),
        spread,
        generate: Vec::new(),
    }
}

/// One shard on each node, which keep the table's name.
fn by_modulo(places: &[u16]) -> Spread {
    Spread::Sharded(Arc::new(Sharding {
        key: vec![KeyColumn {
            column: "id".into(),
            ty: None,
        }],
        scheme: Scheme::Hash(Hash::new(HashFunction::Modulo, places.len() as u32)),
        group: 0,
        layout: Layout::PerNode,
        place: places.iter().map(|id| NodeId(*id)).collect(),
        nodes: vec![NodeId(0), NodeId(1)],
    }))
}

/// Nodes of these names on these databases of the server, and what the rules say of table `t`.
fn rules(server: &TestServer, nodes: [(&str, &str); 2], spread: Option<Spread>) -> Snapshot {
    let nodes: Vec<_> = nodes
        .iter()
        .enumerate()
        .map(|(i, (name, on))| node(i as u16, name, vec![server.address_of(on)]))
        .collect();
    let tables = spread.map(|spread| table("t", spread)).into_iter().collect();
    snapshot(nodes.clone(), vec![database(&nodes, tables)])
}

const PLAIN: [(&str, &str); 2] = [("n_a", "a"), ("n_b", "b")];

fn proxy(rules: &Snapshot) -> Arc<Shared> {
    Shared::new(Arc::new(ArcSwap::from_pointee(rules.clone())), Fleet::new(rules))
}

/// The rules' tables that a proxy, newly started with them, does not serve, and why.
async fn unserved(rules: &Snapshot) -> Vec<String> {
    let shared = proxy(rules);
    let shards = time_shards::TimeShards::new(shared.clone(), time_shards::system_now());
    Refresher::new(shared.clone(), shards).reload("shop").await;
    let catalog = shared.snapshot().databases[0].catalog.clone();
    let mut all: Vec<String> = catalog
        .misplaced
        .iter()
        .map(|(name, why)| format!("{name}: {why}"))
        .collect();
    all.sort();
    let listed = shared
        .problems
        .list()
        .iter()
        .filter(|p| p.text.contains("MG3006"))
        .count();
    assert_eq!(all.is_empty(), listed == 0, "{:?}", shared.problems.list());
    all
}

/// Databases `a` and `b` with schema margay and a table `t` in those named, noted under the rules.
async fn filled(rules: impl Fn(&TestServer) -> Snapshot, on: &[&str]) -> TestServer {
    let server = TestServer::primary();
    for name in ["a", "b"] {
        server.sql("postgres", &format!("CREATE DATABASE {name}")).await;
    }
    for name in on {
        server.sql(name, "CREATE TABLE t (id int)").await;
    }
    let rules = rules(&server);
    let shared = proxy(&rules);
    let mut preparing = bootstrap::prepare_all(&shared);
    while preparing.join_next().await.is_some() {}
    assert_eq!(unserved(&rules).await, [""; 0]);
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_decides_where_rows_are_is_noticed_and_nothing_else() {
    let split = |server: &TestServer| rules(server, PLAIN, Some(by_modulo(&[0, 1])));
    let server = filled(split, &["a", "b"]).await;
    let with = |nodes, places: &[u16]| rules(&server, nodes, Some(by_modulo(places)));

    // Harmless: nodes of other names, another replica, another table.
    assert_eq!(
        unserved(&with([("left", "a"), ("right", "b")], &[0, 1])).await,
        [""; 0]
    );
    let mut more = split(&server);
    let servers = vec![server.address_of("a"), server.address_of("b")];
    more.nodes = vec![node(0, "n_a", servers), more.nodes[1].clone()];
    assert_eq!(unserved(&more).await, [""; 0]);
    let tables = vec![table("t", by_modulo(&[0, 1])), table("new", by_modulo(&[1, 0]))];
    more.databases = vec![Arc::new(database(&more.nodes, tables))];
    assert_eq!(unserved(&more).await, [""; 0]);

    // Not harmless: shards placed otherwise, nodes exchanged, a finer split, no split.
    assert_eq!(unserved(&with(PLAIN, &[1, 0])).await.len(), 1);
    let exchanged = unserved(&with([("n_a", "b"), ("n_b", "a")], &[0, 1])).await;
    assert_eq!(exchanged.len(), 1, "each of the servers holds the other's rows");
    assert_eq!(unserved(&with(PLAIN, &[0, 1, 0, 1])).await.len(), 1);
    let whole = rules(&server, PLAIN, Some(Spread::Whole(NodeId(0))));
    assert_eq!(unserved(&whole).await.len(), 1);
    assert_eq!(
        unserved(&rules(&server, PLAIN, None)).await.len(),
        1,
        "no rule: on the first node"
    );
    let everywhere = rules(&server, PLAIN, Some(Spread::Broadcast));
    assert_eq!(unserved(&everywhere).await.len(), 1);
    // The key's type decides too.
    server.sql("b", "ALTER TABLE t ALTER id TYPE bigint").await;
    server.sql("a", "ALTER TABLE t ALTER id TYPE bigint").await;
    assert_eq!(
        unserved(&split(&server)).await,
        [""; 0],
        "integers of all widths are placed alike"
    );
    for name in ["a", "b"] {
        server.sql(name, "ALTER TABLE t ALTER id TYPE text").await;
    }
    let why = unserved(&split(&server)).await;
    assert!(
        why.len() == 1 && why[0].contains("of type integer when it was filled, it is text now"),
        "{why:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_of_one_node_may_not_turn_up_on_another_one() {
    let server = filled(|server| rules(server, PLAIN, None), &["a"]).await;
    // An application that creates what it lacks would see an empty table.
    server.sql("b", "CREATE TABLE t (id int)").await;
    let elsewhere = rules(&server, PLAIN, Some(Spread::Whole(NodeId(1))));
    let why = unserved(&elsewhere).await;
    assert!(
        why.len() == 1 && why[0].contains("node n_a: it holds rows"),
        "{why:?}"
    );
    let split = rules(&server, PLAIN, Some(by_modulo(&[0, 1])));
    assert_eq!(unserved(&split).await.len(), 1);
    // Gone from there, it is served where it is.
    server.sql("a", "DROP TABLE t").await;
    assert_eq!(
        unserved(&rules(&server, PLAIN, Some(Spread::Whole(NodeId(1))))).await,
        [""; 0]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moved_rows_are_served_once_every_node_is_settled() {
    let split = |server: &TestServer| rules(server, PLAIN, Some(by_modulo(&[0, 1])));
    let server = filled(split, &["a", "b"]).await;
    let new = rules(&server, PLAIN, Some(by_modulo(&[1, 0])));
    let shared = proxy(&new);
    notes::note(&shared, "shop").await;
    let problems = shared.problems.list();
    assert_eq!(problems.len(), 2, "{problems:?}");
    for (name, problem) in ["a", "b"].into_iter().zip(problems) {
        let (_, statement) = problem
            .text
            .split_once("type on this node: ")
            .expect("what to type");
        server.sql(name, statement).await;
        let left = unserved(&new).await;
        assert_eq!(left.is_empty(), name == "b", "after {name}: {left:?}");
    }
    assert_eq!(
        unserved(&split(&server)).await.len(),
        1,
        "a proxy with the old rules is told"
    );
    // Forgotten on one of them.
    server.sql("a", "UPDATE margay.placement SET epoch = 1").await;
    let why = unserved(&new).await;
    assert!(why.len() == 1 && why[0].contains("epoch"), "{why:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_tells_before_it_takes_statements() {
    let split = |server: &TestServer| rules(server, PLAIN, Some(by_modulo(&[0, 1])));
    let server = filled(split, &["a", "b"]).await;
    let shared = proxy(&rules(&server, PLAIN, Some(by_modulo(&[1, 0]))));
    let mut link = Link::open(&server.address_of("a"), LIMIT).await.expect("connect");
    notes::before_up(&shared, NodeId(0), &mut link)
        .await
        .expect("asked");
    let catalog = shared.snapshot().databases[0].catalog.clone();
    assert!(catalog.misplaced.contains_key(&TableName::new("public", "t")));
    // Where nothing was prepared yet, there is nothing to say.
    server.sql("postgres", "CREATE DATABASE fresh").await;
    let mut link = Link::open(&server.address_of("fresh"), LIMIT)
        .await
        .expect("connect");
    notes::before_up(&shared, NodeId(0), &mut link)
        .await
        .expect("asked");
}
