//! The extended protocol: order of answers, pipelining, errors until Sync, statements on many connections.

mod session_support;

use futures_util::{SinkExt, pin_mut};
use session_support::raw::Raw;
use session_support::{proxy, state};

#[tokio::test]
async fn a_batch_is_answered_in_order() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    raw.parse("", "SELECT id FROM lefts WHERE id = $1")
        .bind("", "", &["1"])
        .describe_portal("")
        .execute("", 0);
    let answer = raw.sync().await;
    assert_eq!((answer.tags().as_str(), answer.status()), ("12TCZ", 'I'));
    raw.parse("s", "SELECT id FROM lefts").describe_statement("s");
    assert_eq!(raw.sync().await.tags(), "1tTZ");
    // Prepared on one connection now; the second batch may get another.
    raw.bind("", "s", &[]).execute("", 0);
    assert_eq!(raw.sync().await.tags(), "2CZ");
    raw.parse("", "INSERT INTO rights VALUES ($1, $2)")
        .bind("", "", &["1", "x"])
        .execute("", 0);
    raw.bind("", "s", &[]).execute("", 0);
    raw.parse("", "SELECT note FROM rights")
        .bind("", "", &[])
        .describe_portal("")
        .execute("", 0);
    let answer = raw.sync().await;
    assert_eq!(
        (answer.tags().as_str(), answer.column()),
        ("12C2C12TDCZ", vec!["x".to_owned()])
    );
    proxy.nothing_leaks().await;
}

#[tokio::test]
async fn a_batch_over_two_nodes_is_one_transaction() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    raw.parse("", "INSERT INTO lefts VALUES (1, 'a')")
        .bind("", "", &[])
        .execute("", 0);
    raw.parse("", "INSERT INTO rights VALUES (1, 'b')")
        .bind("", "", &[])
        .execute("", 0);
    raw.parse("", "INSERT INTO rights VALUES (1, 'twice')")
        .bind("", "", &[])
        .execute("", 0);
    raw.parse("", "SELECT 1").bind("", "", &[]).execute("", 0);
    let answer = raw.sync().await;
    assert_eq!((answer.error().as_deref(), answer.status()), (Some("23505"), 'I'));
    assert_eq!(
        (proxy.count(0, "lefts").await, proxy.count(1, "rights").await),
        (0, 0)
    );
    raw.parse("", "INSERT INTO lefts VALUES (1, 'a')")
        .bind("", "", &[])
        .execute("", 0);
    raw.parse("", "INSERT INTO rights VALUES (1, 'b')")
        .bind("", "", &[])
        .execute("", 0);
    let answer = raw.sync().await;
    assert_eq!((answer.tags().as_str(), answer.status()), ("12C12CZ", 'I'));
    assert_eq!(
        (proxy.count(0, "lefts").await, proxy.count(1, "rights").await),
        (1, 1)
    );
    proxy.nothing_leaks().await;
}

/// As JDBC sends it with autocommit off.
#[tokio::test]
async fn begin_and_a_query_in_one_batch() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    raw.parse("", "BEGIN").bind("", "", &[]).execute("", 0);
    raw.parse("", "INSERT INTO lefts VALUES (1, 'a')")
        .bind("", "", &[])
        .describe_portal("")
        .execute("", 0);
    let answer = raw.sync().await;
    assert_eq!((answer.tags().as_str(), answer.status()), ("12C12nCZ", 'T'));
    raw.parse("", "COMMIT").bind("", "", &[]).execute("", 0);
    let answer = raw.sync().await;
    assert_eq!((answer.tags().as_str(), answer.status()), ("12CZ", 'I'));
    assert_eq!(proxy.count(0, "lefts").await, 1);
}

#[tokio::test]
async fn an_error_skips_to_sync_and_the_next_batch_works() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    for (sql, sqlstate) in [
        ("SELEC 1", "42601"),
        ("SELECT nothing FROM lefts", "42703"),
        ("SELECT 1/0", "22012"),
    ] {
        raw.parse("", sql).bind("", "", &[]).execute("", 0);
        raw.parse("", "INSERT INTO lefts VALUES (1, 'never')")
            .bind("", "", &[])
            .execute("", 0);
        let answer = raw.sync().await;
        assert_eq!(
            (answer.error().as_deref(), answer.status()),
            (Some(sqlstate), 'I')
        );
        assert!(answer.tags().ends_with("EZ"), "{sql}: {}", answer.tags());
        raw.parse("", "SELECT 1").bind("", "", &[]).execute("", 0);
        assert_eq!(raw.sync().await.tags(), "12DCZ");
    }
    assert_eq!(proxy.count(0, "lefts").await, 0);
    // Reported at Parse, without a Bind.
    raw.parse("p", "SELECT nothing FROM rights");
    assert_eq!(raw.sync().await.tags(), "EZ");
    raw.bind("", "missing", &[]).execute("", 0);
    let answer = raw.sync().await;
    assert_eq!(
        (answer.tags().as_str(), answer.error().as_deref()),
        ("EZ", Some("26000"))
    );
    raw.execute("missing", 0);
    assert_eq!(raw.sync().await.error().as_deref(), Some("34000"));
    proxy.nothing_leaks().await;
}

#[tokio::test]
async fn a_row_limit_suspends_the_portal_in_a_transaction() {
    let proxy = proxy().await;
    let rows = "INSERT INTO lefts SELECT i, 'x' FROM generate_series(1, 5) i";
    proxy.direct(0).await.batch_execute(rows).await.expect("rows");
    let mut raw = Raw::connect(proxy.address, &[]).await;
    raw.query("BEGIN").await;
    raw.parse("", "SELECT id FROM lefts ORDER BY id")
        .bind("p", "", &[])
        .execute("p", 2);
    assert_eq!(raw.sync().await.tags(), "12DDsZ");
    raw.execute("p", 2);
    assert_eq!(raw.sync().await.tags(), "DDsZ");
    raw.execute("p", 2);
    let answer = raw.sync().await;
    assert_eq!((answer.tags().as_str(), answer.status()), ("DCZ", 'T'));
    raw.query("COMMIT").await;
    raw.execute("p", 2);
    assert_eq!(raw.sync().await.error().as_deref(), Some("34000"));
    // Over several nodes the limit holds too, and what is behind it is fetched on.
    for (node, ids) in [(0, "(2), (4)"), (1, "(1), (3)")] {
        let sql = format!("INSERT INTO spread (id) VALUES {ids}");
        proxy
            .direct(node)
            .await
            .batch_execute(&sql)
            .await
            .expect("rows on the node");
    }
    raw.query("BEGIN").await;
    raw.parse("", "SELECT id FROM spread ORDER BY id")
        .bind("p", "", &[])
        .execute("p", 3);
    assert_eq!(raw.sync().await.tags(), "12DDDsZ");
    raw.execute("p", 3);
    assert_eq!(raw.sync().await.tags(), "DCZ");
    raw.query("ROLLBACK").await;
    proxy.nothing_leaks().await;
}

#[tokio::test]
async fn statements_survive_any_number_of_connections() {
    let proxy = proxy().await;
    let client = std::sync::Arc::new(proxy.client().await);
    let statement = client
        .prepare("SELECT $1::bigint + count(*) FROM rights")
        .await
        .expect("prepared");
    // Others hold connections meanwhile, so that ours changes.
    let mut others = Vec::new();
    for i in 0..5i64 {
        let row = client.query_one(&statement, &[&i]).await.expect("a row");
        assert_eq!(row.get::<_, i64>(0), i);
        let mut other = Raw::connect(proxy.address, &[]).await;
        other.query("BEGIN").await;
        other.query("SELECT 1 FROM rights").await;
        others.push(other);
    }
    let many = futures_util::future::join_all((0..20i64).map(|i| {
        let (client, statement) = (client.clone(), statement.clone());
        async move {
            client
                .query_one(&statement, &[&i])
                .await
                .map(|row| row.get::<_, i64>(0) == i)
        }
    }));
    for right in many.await {
        assert!(right.expect("a row"));
    }
}

#[tokio::test]
async fn copy_goes_both_ways() {
    let proxy = proxy().await;
    let client = proxy.client().await;
    let sink = client
        .copy_in("COPY lefts FROM STDIN")
        .await
        .expect("COPY begins");
    pin_mut!(sink);
    for i in 0..1000 {
        sink.send(bytes::Bytes::from(format!("{i}\tnote {i}\n")))
            .await
            .expect("data");
    }
    assert_eq!(sink.finish().await.expect("COPY ends"), 1000);
    assert_eq!(proxy.count(0, "lefts").await, 1000);
    let rows = client
        .query("SELECT id FROM lefts WHERE id < 3 ORDER BY id", &[])
        .await
        .expect("still usable");
    assert_eq!(rows.len(), 3);
    use futures_util::TryStreamExt;
    let out: Vec<bytes::Bytes> = client
        .copy_out("COPY lefts TO STDOUT")
        .await
        .expect("COPY begins")
        .try_collect()
        .await
        .expect("data");
    assert_eq!(out.concat().iter().filter(|b| **b == b'\n').count(), 1000);
    // A bad row: the server's error, and the session lives on.
    let sink = client
        .copy_in("COPY lefts FROM STDIN")
        .await
        .expect("COPY begins");
    pin_mut!(sink);
    sink.send(bytes::Bytes::from_static(b"not a number\tx\n"))
        .await
        .expect("data");
    let error = sink.finish().await.expect_err("bad data");
    assert_eq!(state(&error), "22P02");
    assert_eq!(
        client.query("SELECT 1", &[]).await.expect("still usable").len(),
        1
    );
    proxy.nothing_leaks().await;
}

#[tokio::test]
async fn simple_copy_in_a_transaction() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    raw.query("BEGIN").await;
    margay::wire::postgres::frontend::query(&mut raw.out, b"COPY rights FROM STDIN");
    raw.send().await;
    assert_eq!(raw.frame().await.expect("CopyInResponse").tag, b'G');
    margay::wire::postgres::frontend::copy_data(&mut raw.out, b"1\tx\n2\ty\n");
    margay::wire::postgres::frontend::copy_done(&mut raw.out);
    let frames = session_support::raw::Answer(raw.until_ready().await);
    assert_eq!((frames.tags().as_str(), frames.status()), ("CZ", 'T'));
    raw.query("COMMIT").await;
    assert_eq!(proxy.count(1, "rights").await, 2);
    proxy.nothing_leaks().await;
}

#[tokio::test]
async fn flush_answers_without_ending_the_transaction() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    raw.parse("", "INSERT INTO lefts VALUES (1, 'a')")
        .bind("", "", &[])
        .execute("", 0);
    margay::wire::postgres::frontend::flush(&mut raw.out);
    raw.send().await;
    for tag in [b'1', b'2', b'C'] {
        assert_eq!(raw.frame().await.expect("an answer").tag, tag);
    }
    assert_eq!(proxy.count(0, "lefts").await, 0, "not committed before Sync");
    assert_eq!(raw.sync().await.tags(), "Z");
    assert_eq!(proxy.count(0, "lefts").await, 1);
    proxy.nothing_leaks().await;
}

/// Server connections keep prepared statements that clients share: a table that changed behind them must not be felt.
#[tokio::test]
async fn a_statement_prepared_anew_sees_its_changed_table() {
    let proxy = proxy().await;
    let sql = "SELECT * FROM rights";
    for columns in 2..4 {
        let client = proxy.client().await;
        let statement = client.prepare(sql).await.expect("prepared");
        assert_eq!(statement.columns().len(), columns);
        client.query(&statement, &[]).await.expect("rows");
        proxy
            .direct(1)
            .await
            .batch_execute("ALTER TABLE rights ADD COLUMN more int")
            .await
            .ok();
    }
}
