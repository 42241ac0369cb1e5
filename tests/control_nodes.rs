//! What `control` does on the nodes: schema margay, leases of worker numbers, tables of time
//! shards, notes of placement, and the refresh of the catalog.

mod control_common;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use control_common::{LIMIT, TestServer, database, node, snapshot, until};
use margay::backend::Fleet;
use margay::control::connect::Link;
use margay::control::ids::{Ids, keep_leases};
use margay::control::problems::Watch;
use margay::control::refresh::{Handle, Refresher};
use margay::control::shared::Shared;
use margay::control::snowflake::system_clock;
use margay::control::time_shards::TimeShards;
use margay::control::{bootstrap, lease, notes};
use margay::model::admin::{CatalogRefresh, GenerateIds};
use margay::model::{Code, DomainId, NodeId, ShardId, TableName};
use margay::topology::placement::{Every, Retire, RetireAction, Scheme, Time};
use margay::topology::{KeyColumn, Layout, Sharding, Snapshot, Spread, Table};

const DAY_US: i64 = 86_400_000_000;

fn page_views() -> TableName {
    TableName::new("public", "page_views")
}

/// Sharded by month over two nodes in turn, from 2026-01 on.
fn monthly(create_outside: bool) -> Table {
    Table {
        name: page_views(),
        domain: DomainId(0),
        spread: Spread::Sharded(Arc::new(Sharding {
            key: vec![KeyColumn {
                column: "viewed_at".into(),
                ty: None,
            }],
            scheme: Scheme::Time(Time {
                every: Every::Month,
                zone: jiff::tz::TimeZone::UTC,
                from: 9497 * DAY_US,
                ahead: 2,
                create_outside,
                retire: None,
            }),
            group: 0,
            layout: Layout::Partitioned,
            place: vec![NodeId(0), NodeId(1)],
            nodes: vec![NodeId(0), NodeId(1)],
        })),
        generate: Vec::new(),
    }
}

/// Two nodes: the databases `a` and `b` of one server.
fn rules(server: &TestServer, tables: Vec<Table>) -> Snapshot {
    let nodes = vec![
        node(0, "n_a", vec![server.address_of("a")]),
        node(1, "n_b", vec![server.address_of("b")]),
    ];
    snapshot(nodes.clone(), vec![database(&nodes, tables)])
}

fn proxy(rules: &Snapshot) -> Arc<Shared> {
    Shared::new(Arc::new(ArcSwap::from_pointee(rules.clone())), Fleet::new(rules))
}

async fn two_databases() -> TestServer {
    let server = TestServer::primary();
    server.sql("postgres", "CREATE DATABASE a").await;
    server.sql("postgres", "CREATE DATABASE b").await;
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_proxies_prepare_the_same_node_at_once() {
    let server = TestServer::primary();
    for round in 0..10 {
        let database = format!("fresh_{round}");
        server
            .sql("postgres", &format!("CREATE DATABASE {database}"))
            .await;
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let address = server.address_of(&database);
                tokio::spawn(async move {
                    let mut link = Link::open(&address, LIMIT).await?;
                    bootstrap::prepare(&mut link).await
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic").expect("prepared");
        }
        let tables = "SELECT relname FROM pg_class WHERE relnamespace = 'margay'::regnamespace AND relkind = 'r' ORDER BY 1";
        assert_eq!(
            server.column(&database, tables).await,
            ["decision", "placement", "worker"]
        );
    }
    // Once it is there, no right to create anything is needed.
    server
        .sql(
            "fresh_0",
            "CREATE ROLE plain LOGIN; GRANT USAGE ON SCHEMA margay TO plain; \
             GRANT ALL ON ALL TABLES IN SCHEMA margay TO plain; REVOKE CREATE ON DATABASE fresh_0 FROM PUBLIC",
        )
        .await;
    let mut address = server.address_of("fresh_0");
    address.user = "plain".into();
    let mut link = Link::open(&address, LIMIT).await.expect("connect");
    bootstrap::prepare(&mut link).await.expect("nothing to do");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_role_and_database_do_not_bend_own_connections() {
    let server = TestServer::primary();
    server
        .sql(
            "postgres",
            "ALTER ROLE app SET search_path = public; ALTER ROLE app SET TimeZone = 'Asia/Shanghai'; \
             ALTER DATABASE postgres SET DateStyle = 'German'; ALTER ROLE app SET statement_timeout = '1ms'; \
             ALTER ROLE app SET default_transaction_read_only = on; ALTER ROLE app SET synchronous_commit = off; \
             CREATE ROLE other; ALTER ROLE app SET role = other",
        )
        .await;
    let mut link = Link::open(&server.address(), LIMIT).await.expect("connect");
    for (setting, value) in [
        ("search_path", "pg_catalog"),
        ("TimeZone", "UTC"),
        ("DateStyle", "ISO, MDY"),
        ("statement_timeout", "0"),
        ("default_transaction_read_only", "off"),
        ("synchronous_commit", "on"),
        ("application_name", "margay-control"),
        ("role", "none"),
    ] {
        let now = link.ask_one(&format!("SHOW {setting}")).await.expect(setting);
        assert_eq!(now.as_deref(), Some(value), "{setting}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_two_proxies_never_meet() {
    let server = two_databases().await;
    let rules = rules(&server, Vec::new());
    let mut proxies = Vec::new();
    for _ in 0..2 {
        let shared = proxy(&rules);
        let ids = Ids::new(system_clock());
        assert_eq!(
            ids.next_id("shop").unwrap_err().code,
            Code::NODE_DOWN,
            "nothing is leased yet"
        );
        let preparing = bootstrap::prepare_all(&shared);
        let leasing = keep_leases(&shared, &ids);
        until("a worker number is leased", async || ids.next_id("shop").is_ok()).await;
        proxies.push((shared, ids, preparing, leasing));
    }
    let mut all = HashSet::new();
    let mut workers = HashSet::new();
    for _ in 0..5000 {
        for (_, ids, ..) in &proxies {
            let id = ids.next_id("shop").expect("leased");
            workers.insert((id >> 12) & 1023);
            assert!(all.insert(id), "{id} was made twice");
        }
    }
    assert_eq!(workers.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_number_is_taken_over_only_above_its_high_water() {
    let server = TestServer::primary();
    let mut link = Link::open(&server.address(), LIMIT).await.expect("connect");
    bootstrap::prepare(&mut link).await.expect("prepared");
    let first = lease::take(&mut link, "first", 1_000, 500)
        .await
        .expect("a lease")
        .expect("one is free");
    assert_eq!((first.worker, first.high_water_ms), (0, 1_500));
    let second = lease::take(&mut link, "second", 1_500, 500)
        .await
        .expect("a lease")
        .expect("one is free");
    assert_eq!(second.worker, 1, "the first one's high water has not passed");
    // All other numbers are in use: the first that runs out is taken.
    server
        .sql(
            "postgres",
            "INSERT INTO margay.worker SELECT n, 'x', 9000 FROM generate_series(2, 1023) n",
        )
        .await;
    assert_eq!(
        lease::take(&mut link, "third", 1_500, 500)
            .await
            .expect("an answer"),
        None
    );
    let third = lease::take(&mut link, "third", 1_501, 500)
        .await
        .expect("a lease")
        .expect("the first ran out");
    assert_eq!((third.worker, third.floor_ms), (0, 1_501));
    assert!(
        !lease::extend(&mut link, "first", &first, 9_999)
            .await
            .expect("an answer"),
        "it is no longer the first's"
    );
    assert!(
        lease::extend(&mut link, "third", &third, 2_500)
            .await
            .expect("an answer")
    );
    let high = server
        .column(
            "postgres",
            "SELECT high_water_ms FROM margay.worker WHERE worker = 0",
        )
        .await;
    assert_eq!(high, ["2500"]);
}

const CREATE: &str = "CREATE TABLE page_views (id bigint GENERATED ALWAYS AS IDENTITY, viewed_at timestamptz NOT NULL, \
    url text DEFAULT '/', twice int GENERATED ALWAYS AS (length(url) * 2) STORED, CHECK (url <> ''), \
    PRIMARY KEY (viewed_at, id)) PARTITION BY RANGE (viewed_at); CREATE INDEX ON page_views (url)";

async fn partitions(server: &TestServer, database: &str) -> Vec<String> {
    let sql = "SELECT inhrelid::regclass || ' ' || pg_get_expr(relpartbound, c.oid) FROM pg_inherits \
               JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = to_regclass('page_views') ORDER BY 1";
    server.column(database, sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn periods_are_created_ahead_of_need_by_whoever_comes_first() {
    let server = two_databases().await;
    let rules = rules(&server, vec![monthly(true)]);
    let clock = Arc::new(AtomicI64::new(9497 * DAY_US + 40 * DAY_US));
    let proxies: Vec<Arc<TimeShards>> = (0..2)
        .map(|_| {
            let clock = clock.clone();
            TimeShards::new(proxy(&rules), Arc::new(move || clock.load(Ordering::Relaxed)))
        })
        .collect();
    proxies[0].create_due("shop").await;
    assert!(
        partitions(&server, "a").await.is_empty(),
        "there is no such table yet"
    );

    for database in ["a", "b"] {
        // The zone of those who look must not matter to where the bounds are.
        server
            .sql(
                "postgres",
                &format!("ALTER DATABASE {database} SET TimeZone = 'Asia/Shanghai'"),
            )
            .await;
        server.sql(database, CREATE).await;
    }
    tokio::join!(proxies[0].create_due("shop"), proxies[1].create_due("shop"));
    // It is February: January, February, and two ahead. Periods are on the nodes in turn.
    assert_eq!(
        partitions(&server, "a").await,
        [
            "page_views_2026_01 FOR VALUES FROM ('2026-01-01 08:00:00+08') TO ('2026-02-01 08:00:00+08')",
            "page_views_2026_03 FOR VALUES FROM ('2026-03-01 08:00:00+08') TO ('2026-04-01 08:00:00+08')",
        ]
    );
    assert_eq!(
        partitions(&server, "b")
            .await
            .iter()
            .map(|s| s.split(' ').next().unwrap_or("").to_owned())
            .collect::<Vec<_>>(),
        ["page_views_2026_02", "page_views_2026_04"]
    );
    server
        .sql(
            "a",
            "INSERT INTO page_views (viewed_at) VALUES ('2026-01-31 23:59:59.999999Z'), ('2026-03-01Z')",
        )
        .await;
    assert_eq!(
        server.column("a", "SELECT twice FROM page_views_2026_01").await,
        ["2"]
    );
    // Indexes came with it.
    let indexes = "SELECT count(*) FROM pg_index WHERE indrelid = 'page_views_2026_01'::regclass";
    assert_eq!(server.column("a", indexes).await, ["2"]);

    // Time goes on.
    clock.store(9497 * DAY_US + 70 * DAY_US, Ordering::Relaxed);
    tokio::join!(proxies[0].create_due("shop"), proxies[1].create_due("shop"));
    assert_eq!(partitions(&server, "a").await.len(), 3);

    // A period on demand, for a session that has the table locked by its own open transaction.
    let session = server.client("a").await;
    session
        .batch_execute("BEGIN; INSERT INTO page_views (viewed_at) VALUES ('2026-01-05Z')")
        .await
        .expect("insert");
    proxies[0]
        .ensure("shop", &page_views(), ShardId(-2))
        .await
        .expect("November 2025");
    session
        .batch_execute("INSERT INTO page_views (viewed_at) VALUES ('2025-11-05Z'); COMMIT")
        .await
        .expect("insert");
    proxies[0]
        .ensure("shop", &page_views(), ShardId(-2))
        .await
        .expect("known");
    proxies[1]
        .ensure("shop", &page_views(), ShardId(-2))
        .await
        .expect("found");

    // Dropped and created again: what was known of the old one counts no more.
    server.sql("a", "DROP TABLE page_views").await;
    server.sql("a", CREATE).await;
    proxies[0].create_due("shop").await;
    proxies[0]
        .ensure("shop", &page_views(), ShardId(-2))
        .await
        .expect("created anew");
    assert_eq!(partitions(&server, "a").await.len(), 4);
}

/// `monthly`, from another day on, with old periods retired.
fn retiring(from_day: i64, action: RetireAction) -> Table {
    let mut table = monthly(true);
    if let Spread::Sharded(sharding) = &mut table.spread
        && let Scheme::Time(time) = &mut Arc::make_mut(sharding).scheme
    {
        time.from = from_day * DAY_US;
        time.retire = Some(Retire { after: 2, action });
    }
    table
}

fn names(partitions: &[String]) -> Vec<&str> {
    partitions.iter().filter_map(|p| p.split(' ').next()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_periods_are_retired_as_the_rules_say_and_never_by_one_clock_alone() {
    const IN_2020: i64 = 7305;
    const IN_2090: i64 = 32873;
    for action in [RetireAction::Detach, RetireAction::Drop] {
        let server = two_databases().await;
        let clock = Arc::new(AtomicI64::new((IN_2020 + 5) * DAY_US));
        let now = clock.clone();
        let shared = proxy(&rules(&server, vec![retiring(IN_2020, action)]));
        let shards = TimeShards::new(shared.clone(), Arc::new(move || now.load(Ordering::Relaxed)));
        for database in ["a", "b"] {
            server.sql(database, CREATE).await;
        }
        shards.create_and_retire_due("shop").await;
        let first = ["page_views_2020_01", "page_views_2020_03"];
        assert_eq!(names(&partitions(&server, "a").await), first);
        server
            .sql("a", "INSERT INTO page_views (viewed_at) VALUES ('2020-01-09')")
            .await;
        // In April, March and April are kept.
        clock.store((IN_2020 + 100) * DAY_US, Ordering::Relaxed);
        shards.create_and_retire_due("shop").await;
        assert_eq!(
            names(&partitions(&server, "a").await),
            ["page_views_2020_03", "page_views_2020_05"]
        );
        assert_eq!(
            names(&partitions(&server, "b").await),
            ["page_views_2020_04", "page_views_2020_06"]
        );
        let left = server
            .column("a", "SELECT to_regclass('page_views_2020_01') IS NOT NULL")
            .await;
        match action {
            RetireAction::Detach => {
                assert_eq!(left, ["t"]);
                assert_eq!(
                    server
                        .column("a", "SELECT count(*) FROM page_views_2020_01")
                        .await,
                    ["1"]
                );
            }
            RetireAction::Drop => assert_eq!(left, ["f"]),
        }
        assert!(shared.problems.list().is_empty());
        let fault = shards
            .ensure("shop", &page_views(), ShardId(0))
            .await
            .unwrap_err();
        assert_eq!(
            fault.code,
            Code::KEY_OUTSIDE,
            "what is made now would be retired at once"
        );
    }
    // The proxy's clock is wrong: the server's isn't that far.
    let server = two_databases().await;
    let clock = Arc::new(AtomicI64::new((IN_2090 + 5) * DAY_US));
    let now = clock.clone();
    let shared = proxy(&rules(&server, vec![retiring(IN_2090, RetireAction::Drop)]));
    let shards = TimeShards::new(shared, Arc::new(move || now.load(Ordering::Relaxed)));
    server.sql("a", CREATE).await;
    shards.create_and_retire_due("shop").await;
    clock.store((IN_2090 + 1000) * DAY_US, Ordering::Relaxed);
    shards.create_and_retire_due("shop").await;
    assert!(names(&partitions(&server, "a").await).contains(&"page_views_2090_01"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn period_outside_is_refused_unless_the_rules_create_it() {
    let server = two_databases().await;
    let rules = rules(&server, vec![monthly(false)]);
    let shards = TimeShards::new(proxy(&rules), Arc::new(|| 9497 * DAY_US));
    let fault = shards
        .ensure("shop", &page_views(), ShardId(-1))
        .await
        .unwrap_err();
    assert_eq!(fault.code, Code::KEY_OUTSIDE);
    // A table in the way is not taken for a shard.
    for database in ["a", "b"] {
        server.sql(database, CREATE).await;
    }
    server
        .sql("a", "CREATE TABLE page_views_2026_01 (LIKE page_views)")
        .await;
    let shared = proxy(&rules);
    let shards = TimeShards::new(shared.clone(), Arc::new(|| 9497 * DAY_US));
    shards.create_due("shop").await;
    assert!(partitions(&server, "a").await.is_empty());
    assert_eq!(partitions(&server, "b").await.len(), 1);
    let problems = shared.problems.list();
    assert!(
        problems
            .iter()
            .any(|p| p.watch == Watch::TimeShards && p.subject == "shop/n_a/page_views"),
        "{problems:?}"
    );
    server.sql("a", "DROP TABLE page_views_2026_01").await;
    shards.create_due("shop").await;
    assert!(shared.problems.list().is_empty());
    assert_eq!(partitions(&server, "a").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_sees_ddl_made_before_it_and_the_watch_sees_everyone_elses() {
    let server = two_databases().await;
    let rules = rules(&server, vec![monthly(false)]);
    let shared = proxy(&rules);
    let mut preparing = bootstrap::prepare_all(&shared);
    while preparing.join_next().await.is_some() {}
    let shards = TimeShards::new(shared.clone(), Arc::new(|| 9497 * DAY_US));
    let refresher = Refresher::new(shared.clone(), shards);
    let handle = Handle(refresher.clone());
    handle.refresh("shop").await;
    let catalog = || shared.snapshot().databases[0].catalog.clone();
    assert!(catalog().loaded);
    assert!(!catalog().tables.contains_key(&page_views()));
    let epoch = catalog().epoch;
    handle.refresh("shop").await;
    assert_eq!(catalog().epoch, epoch, "nothing changed");

    for database in ["a", "b"] {
        server.sql(database, CREATE).await;
    }
    handle.refresh("shop").await;
    assert!(catalog().tables.contains_key(&page_views()));
    assert!(catalog().epoch > epoch);
    assert_eq!(
        partitions(&server, "a").await.len(),
        2,
        "an INSERT right after CREATE TABLE finds its period"
    );
    assert!(shared.problems.list().is_empty(), "{:?}", shared.problems.list());

    // Many sessions at once share readings, and each sees what it did before.
    let tasks: Vec<_> = (0..8)
        .map(|i| {
            let (address, refresher, shared) = (server.address_of("a"), refresher.clone(), shared.clone());
            tokio::spawn(async move {
                let mut link = Link::open(&address, LIMIT).await.expect("connect");
                link.ask(&format!("CREATE TABLE public.t{i} (id int)"))
                    .await
                    .expect("create");
                Handle(refresher).refresh("shop").await;
                let name = TableName::new("public", format!("t{i}"));
                assert!(
                    shared.snapshot().databases[0].catalog.tables.contains_key(&name),
                    "t{i}"
                );
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("each session sees its table");
    }

    let watching = tokio::spawn(refresher.clone().run());
    server.sql("a", "CREATE TABLE elsewhere (id int)").await;
    until("what another proxy did is seen", async || {
        catalog()
            .tables
            .contains_key(&TableName::new("public", "elsewhere"))
    })
    .await;
    server.sql("b", "ALTER TABLE page_views ADD COLUMN odd int").await;
    until("nodes that differ are listed", async || {
        shared
            .problems
            .list()
            .iter()
            .any(|p| p.watch == Watch::Catalog && p.subject == "shop/page_views")
    })
    .await;
    watching.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_place_a_filled_table_otherwise_are_noticed() {
    let server = two_databases().await;
    let rules = rules(&server, vec![monthly(false)]);
    let shared = proxy(&rules);
    let mut preparing = bootstrap::prepare_all(&shared);
    while preparing.join_next().await.is_some() {}
    notes::note(&shared, "shop").await;
    assert!(
        server
            .column("a", "SELECT table_name FROM margay.placement")
            .await
            .is_empty(),
        "there is no table yet"
    );
    for database in ["a", "b"] {
        server.sql(database, CREATE).await;
    }
    notes::note(&shared, "shop").await;
    assert_eq!(
        server
            .column("a", "SELECT table_name FROM margay.placement")
            .await,
        ["page_views"]
    );
    assert!(shared.problems.list().is_empty());

    let mut moved = monthly(false);
    if let Spread::Sharded(sharding) = &mut moved.spread {
        Arc::make_mut(sharding).place = vec![NodeId(1), NodeId(0)];
    }
    let other = proxy(&Snapshot {
        databases: vec![Arc::new(database(&rules.nodes, vec![moved]))],
        ..rules.clone()
    });
    notes::note(&other, "shop").await;
    let problems = other.problems.list();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].text.contains("MG3006"));
    // Dropped and created under the new rules: a new note.
    for database in ["a", "b"] {
        server.sql(database, "DROP TABLE page_views").await;
    }
    notes::note(&other, "shop").await;
    for database in ["a", "b"] {
        server.sql(database, CREATE).await;
    }
    notes::note(&other, "shop").await;
    assert!(other.problems.list().is_empty());
}
