//! Transactions over one node and over two.

mod session_support;

use session_support::raw::Raw;
use session_support::{proxy, state};

#[tokio::test]
async fn a_transaction_over_two_nodes_commits_on_both_in_two_phases() {
    let proxy = proxy().await;
    let mut client = proxy.client().await;
    let txn = client.transaction().await.expect("BEGIN");
    txn.execute("INSERT INTO lefts VALUES (1, 'a')", &[])
        .await
        .expect("left");
    txn.execute("INSERT INTO rights VALUES (1, 'b')", &[])
        .await
        .expect("right");
    assert_eq!(proxy.count(0, "lefts").await, 0);
    txn.commit().await.expect("COMMIT");
    assert_eq!(
        (proxy.count(0, "lefts").await, proxy.count(1, "rights").await),
        (1, 1)
    );
    assert_eq!(proxy.count(0, "margay.decision").await, 1);
    assert_eq!(
        proxy
            .count(1, "pg_prepared_xacts WHERE database = current_database()")
            .await,
        0
    );
    proxy.nothing_leaks().await;
}

#[tokio::test]
async fn a_rollback_undoes_both_nodes() {
    let proxy = proxy().await;
    let mut client = proxy.client().await;
    let txn = client.transaction().await.expect("BEGIN");
    txn.execute("INSERT INTO lefts VALUES (1, 'a')", &[])
        .await
        .expect("left");
    txn.execute("INSERT INTO rights VALUES (1, 'b')", &[])
        .await
        .expect("right");
    txn.rollback().await.expect("ROLLBACK");
    assert_eq!(
        (proxy.count(0, "lefts").await, proxy.count(1, "rights").await),
        (0, 0)
    );
    proxy.nothing_leaks().await;
}

/// A deferred constraint fails only at PREPARE TRANSACTION: nothing of the transaction may stay.
#[tokio::test]
async fn a_node_that_cannot_prepare_undoes_the_whole_transaction() {
    for failing in ["rights", "lefts"] {
        let proxy = proxy().await;
        let node = usize::from(failing == "rights");
        let deferred = format!(
            "CREATE TABLE parents (id bigint PRIMARY KEY);
             ALTER TABLE {failing} ADD FOREIGN KEY (id) REFERENCES parents DEFERRABLE INITIALLY DEFERRED"
        );
        proxy
            .direct(node)
            .await
            .batch_execute(&deferred)
            .await
            .expect("a deferred constraint");
        let mut raw = Raw::connect(proxy.address, &[]).await;
        raw.query("BEGIN").await;
        assert_eq!(raw.query("INSERT INTO lefts VALUES (1, 'a')").await.status(), 'T');
        assert_eq!(
            raw.query("INSERT INTO rights VALUES (1, 'b')").await.status(),
            'T'
        );
        let answer = raw.query("COMMIT").await;
        assert_eq!(
            (answer.error().as_deref(), answer.status()),
            (Some("23503"), 'I'),
            "failing: {failing}"
        );
        assert_eq!(
            (proxy.count(0, "lefts").await, proxy.count(1, "rights").await),
            (0, 0)
        );
        for node in 0..2 {
            let left = proxy
                .count(node, "pg_prepared_xacts WHERE database = current_database()")
                .await;
            assert_eq!(left, 0);
        }
        proxy.nothing_leaks().await;
    }
}

#[tokio::test]
async fn after_an_error_only_the_end_of_the_transaction_is_taken() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    assert_eq!(raw.query("BEGIN").await.status(), 'T');
    raw.query("INSERT INTO rights VALUES (1, 'b')").await;
    let answer = raw.query("SELECT no_such_column FROM lefts").await;
    assert_eq!((answer.error().as_deref(), answer.status()), (Some("42703"), 'E'));
    let answer = raw.query("SELECT 1").await;
    assert_eq!((answer.error().as_deref(), answer.status()), (Some("25P02"), 'E'));
    let answer = raw.query("COMMIT").await;
    assert_eq!(
        (answer.commands(), answer.status()),
        (vec!["ROLLBACK".to_owned()], 'I')
    );
    assert_eq!(proxy.count(1, "rights").await, 0);
    proxy.nothing_leaks().await;
}

#[tokio::test]
async fn warnings_are_those_of_postgresql() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    let answer = raw.query("COMMIT").await;
    assert_eq!(
        (answer.notice().as_deref(), answer.commands()),
        (Some("25P01"), vec!["COMMIT".to_owned()])
    );
    raw.query("BEGIN").await;
    let answer = raw.query("BEGIN").await;
    assert_eq!(
        (answer.notice().as_deref(), answer.status()),
        (Some("25001"), 'T')
    );
    let answer = raw.query("ROLLBACK AND CHAIN").await;
    assert_eq!(
        (answer.commands(), answer.status()),
        (vec!["ROLLBACK".to_owned()], 'T')
    );
    assert_eq!(raw.query("ROLLBACK").await.status(), 'I');
    assert_eq!(raw.query("SAVEPOINT a").await.error().as_deref(), Some("25P01"));
}

#[tokio::test]
async fn savepoints_hold_on_nodes_opened_before_and_after() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    raw.query("BEGIN").await;
    raw.query("INSERT INTO lefts VALUES (1, 'kept')").await;
    raw.query("SAVEPOINT a").await;
    raw.query("INSERT INTO lefts VALUES (2, 'undone')").await;
    // This node is opened behind the savepoint.
    raw.query("INSERT INTO rights VALUES (2, 'undone')").await;
    let answer = raw.query("INSERT INTO rights VALUES (2, 'twice')").await;
    assert_eq!(answer.status(), 'E');
    let answer = raw.query("ROLLBACK TO a").await;
    assert_eq!(
        (answer.commands(), answer.status()),
        (vec!["ROLLBACK".to_owned()], 'T')
    );
    raw.query("INSERT INTO rights VALUES (3, 'kept')").await;
    assert_eq!(raw.query("RELEASE a").await.commands(), ["RELEASE"]);
    assert_eq!(raw.query("ROLLBACK TO a").await.error().as_deref(), Some("3B001"));
    assert_eq!(raw.query("ROLLBACK").await.status(), 'I');
    assert_eq!(proxy.count(0, "lefts").await, 0);

    for sql in [
        "BEGIN",
        "SAVEPOINT a",
        "INSERT INTO lefts VALUES (1, 'a')",
        "SAVEPOINT b",
    ] {
        assert_eq!(raw.query(sql).await.status(), 'T');
    }
    for sql in ["INSERT INTO rights VALUES (1, 'b')", "ROLLBACK TO b", "COMMIT"] {
        assert_eq!(raw.query(sql).await.error(), None);
    }
    assert_eq!(
        (proxy.count(0, "lefts").await, proxy.count(1, "rights").await),
        (1, 0)
    );
}

#[tokio::test]
async fn set_follows_its_transaction() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[("TimeZone", "UTC")]).await;
    raw.query("BEGIN").await;
    raw.query("SET TimeZone = 'Asia/Tokyo'").await;
    let on_other = "SELECT current_setting('TimeZone'), count(*) FROM rights";
    assert_eq!(raw.query(on_other).await.column(), ["Asia/Tokyo"]);
    let answer = raw.query("ROLLBACK").await;
    // The client hears that it is back.
    assert_eq!(answer.tags(), "CSZ");
    assert_eq!(raw.query(on_other).await.column(), ["UTC"]);
    raw.query("BEGIN").await;
    raw.query("SET LOCAL TimeZone = 'Asia/Tokyo'").await;
    assert_eq!(raw.query(on_other).await.column(), ["Asia/Tokyo"]);
    raw.query("COMMIT").await;
    assert_eq!(raw.query(on_other).await.column(), ["UTC"]);
    raw.query("BEGIN").await;
    raw.query("SET TimeZone = 'Asia/Tokyo'").await;
    raw.query("COMMIT").await;
    assert_eq!(raw.query(on_other).await.column(), ["Asia/Tokyo"]);
    assert_eq!(raw.query("SHOW TimeZone").await.column(), ["Asia/Tokyo"]);
}

#[tokio::test]
async fn repeatable_read_sees_one_moment_on_all_nodes() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    raw.query("BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    raw.query("SELECT count(*) FROM lefts").await;
    proxy
        .direct(1)
        .await
        .batch_execute("INSERT INTO rights VALUES (1, 'later')")
        .await
        .expect("a row");
    // The node was not used before, but its moment is the same.
    assert_eq!(raw.query("SELECT count(*) FROM rights").await.column(), ["0"]);
    raw.query("COMMIT").await;
    assert_eq!(raw.query("SELECT count(*) FROM rights").await.column(), ["1"]);
    let answer = raw.query("BEGIN ISOLATION LEVEL SERIALIZABLE").await;
    assert_eq!((answer.error().as_deref(), answer.status()), (Some("0A000"), 'I'));
    proxy.nothing_leaks().await;
}

#[tokio::test]
async fn recovery_rolls_back_what_was_never_decided_and_commits_what_was() {
    let proxy = proxy().await;
    let client = proxy.client().await;
    // Makes the decision table.
    client
        .batch_execute("INSERT INTO everywhere VALUES (1, 'x')")
        .await
        .expect("two phases");
    let right = proxy.direct(1).await;
    for (gid, id) in [("margay:1:n0:dead:1", 10), ("margay:1:n0:alive:1", 11)] {
        let sql = format!("BEGIN; INSERT INTO rights VALUES ({id}, 'prepared'); PREPARE TRANSACTION '{gid}'");
        right.batch_execute(&sql).await.expect("prepared");
    }
    let decided = "INSERT INTO margay.decision (gid) VALUES ('margay:1:n0:alive')";
    proxy
        .direct(0)
        .await
        .batch_execute(decided)
        .await
        .expect("a decision");
    let snapshot = proxy.shared.snapshot.load_full();
    let report = margay::execute::recover(&proxy.shared.fleet, &snapshot, std::time::Duration::ZERO).await;
    assert_eq!(
        (report.committed, report.rolled_back, report.left),
        (1, 1, 0),
        "{:?}",
        report.problems
    );
    let rows = right.query("SELECT id FROM rights", &[]).await.expect("rows");
    assert_eq!(rows.iter().map(|r| r.get::<_, i64>(0)).collect::<Vec<_>>(), [11]);
    // A transaction whose coordinator is still at work is left alone.
    let left = proxy.direct(0).await;
    left.batch_execute("BEGIN; INSERT INTO margay.decision (gid) VALUES ('margay:1:n0:busy')")
        .await
        .expect("open");
    right
        .batch_execute("BEGIN; INSERT INTO rights VALUES (12, 'x'); PREPARE TRANSACTION 'margay:1:n0:busy:1'")
        .await
        .expect("prepared");
    let report = margay::execute::recover(&proxy.shared.fleet, &snapshot, std::time::Duration::ZERO).await;
    assert_eq!(
        (report.committed, report.rolled_back, report.left),
        (0, 0, 1),
        "{:?}",
        report.problems
    );
    left.batch_execute("COMMIT").await.expect("decided");
    let report = margay::execute::recover(&proxy.shared.fleet, &snapshot, std::time::Duration::ZERO).await;
    assert_eq!(
        (report.committed, report.rolled_back, report.left),
        (1, 0, 0),
        "{:?}",
        report.problems
    );
}

#[tokio::test]
async fn a_constraint_error_in_a_transaction_has_its_own_sqlstate() {
    let proxy = proxy().await;
    let mut client = proxy.client().await;
    client
        .execute("INSERT INTO lefts VALUES (1, 'a')", &[])
        .await
        .expect("a row");
    let txn = client.transaction().await.expect("BEGIN");
    let error = txn
        .execute("INSERT INTO lefts VALUES (1, 'b')", &[])
        .await
        .expect_err("a duplicate");
    assert_eq!(state(&error), "23505");
}
