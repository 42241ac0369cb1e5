//! Logging in, simple and extended queries, statements of several nodes.

mod session_support;

use session_support::raw::Raw;
use session_support::{proxy, state};
use tokio_postgres::{NoTls, SimpleQueryMessage};

#[tokio::test]
async fn a_user_with_the_right_password_gets_in_and_others_do_not() {
    let proxy = proxy().await;
    let mut config = proxy.config();
    let (client, connection) = config
        .user("careful")
        .password("open sesame")
        .connect(NoTls)
        .await
        .expect("the right password");
    tokio::spawn(connection);
    assert_eq!(
        client
            .query_one("SELECT 1", &[])
            .await
            .expect("a row")
            .get::<_, i32>(0),
        1
    );
    let wrong = config
        .password("open says me")
        .connect(NoTls)
        .await
        .err()
        .expect("refused");
    assert_eq!(state(&wrong), "28P01");
    let unknown = config.user("nobody").connect(NoTls).await.err().expect("refused");
    assert_eq!(state(&unknown), "28P01");
}

#[tokio::test]
async fn an_unknown_database_is_3d000() {
    let proxy = proxy().await;
    let error = proxy
        .config()
        .dbname("nowhere")
        .connect(NoTls)
        .await
        .err()
        .expect("refused");
    assert_eq!(state(&error), "3D000");
}

#[tokio::test]
async fn simple_and_extended_queries_reach_the_node_of_their_table() {
    let proxy = proxy().await;
    let client = proxy.client().await;
    client
        .batch_execute("INSERT INTO lefts VALUES (1, 'one'), (2, 'two')")
        .await
        .expect("simple insert");
    let inserted = client
        .execute("INSERT INTO rights VALUES ($1, $2)", &[&7i64, &"seven"])
        .await;
    assert_eq!(inserted.expect("extended insert"), 1);
    let statement = client
        .prepare("SELECT note FROM lefts WHERE id = $1")
        .await
        .expect("prepared");
    for _ in 0..3 {
        let row = client.query_one(&statement, &[&2i64]).await.expect("a row");
        assert_eq!(row.get::<_, &str>(0), "two");
    }
    assert_eq!(proxy.count(0, "lefts").await, 2);
    assert_eq!(proxy.count(1, "rights").await, 1);
    assert_eq!(proxy.count(1, "lefts").await, 0);
    proxy.nothing_leaks().await;
}

#[tokio::test]
async fn a_scatter_returns_the_rows_of_all_nodes_once() {
    let proxy = proxy().await;
    for (node, rows) in [(0, "(2, 'b'), (4, 'd')"), (1, "(1, 'a'), (3, 'c')")] {
        let sql = format!("INSERT INTO spread VALUES {rows}");
        proxy
            .direct(node)
            .await
            .batch_execute(&sql)
            .await
            .expect("rows on the node");
    }
    let client = proxy.client().await;
    let rows = client
        .query("SELECT id, note FROM spread ORDER BY 1", &[])
        .await
        .expect("extended scatter");
    let ids: Vec<i64> = rows.iter().map(|r| r.get(0)).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    let rows = client
        .simple_query("SELECT id FROM spread ORDER BY 1")
        .await
        .expect("simple scatter");
    let ids: Vec<_> = rows
        .iter()
        .filter_map(|m| match m {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    assert_eq!(ids, ["1", "2", "3", "4"]);
    proxy.nothing_leaks().await;
}

#[tokio::test]
async fn a_write_on_several_nodes_is_all_or_nothing() {
    let proxy = proxy().await;
    let client = proxy.client().await;
    let told = client
        .execute("INSERT INTO everywhere VALUES (1, 'x')", &[])
        .await
        .expect("on both nodes");
    assert_eq!(told, 1);
    assert_eq!(
        (
            proxy.count(0, "everywhere").await,
            proxy.count(1, "everywhere").await
        ),
        (1, 1)
    );
    proxy
        .direct(1)
        .await
        .batch_execute("INSERT INTO everywhere VALUES (2, 'in the way')")
        .await
        .expect("a row");
    let error = client
        .execute("INSERT INTO everywhere VALUES (2, 'y')", &[])
        .await
        .expect_err("a duplicate");
    assert_eq!(state(&error), "23505");
    assert_eq!(
        (
            proxy.count(0, "everywhere").await,
            proxy.count(1, "everywhere").await
        ),
        (1, 2)
    );
    proxy.nothing_leaks().await;
}

#[tokio::test]
async fn several_statements_in_one_message_are_one_transaction() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    let answer = raw
        .query("INSERT INTO lefts VALUES (1, 'a'); INSERT INTO rights VALUES (1, 'b'); SELECT id FROM lefts")
        .await;
    assert_eq!(answer.tags(), "CCTDCZ");
    assert_eq!(answer.status(), 'I');
    let answer = raw
        .query("INSERT INTO lefts VALUES (2, 'a'); INSERT INTO rights VALUES (1, 'twice')")
        .await;
    assert_eq!(answer.tags(), "CEZ");
    assert_eq!((answer.error().as_deref(), answer.status()), (Some("23505"), 'I'));
    assert_eq!(
        (proxy.count(0, "lefts").await, proxy.count(1, "rights").await),
        (1, 1)
    );
    assert_eq!(raw.query("").await.tags(), "IZ");
    assert_eq!(raw.query(" ; ").await.tags(), "IZ");
}

#[tokio::test]
async fn startup_parameters_and_set_hold_on_every_connection() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(
        proxy.address,
        &[
            ("application_name", "it's me"),
            ("options", "-c search_path=pg_catalog,public"),
            ("TimeZone", "Asia/Shanghai"),
        ],
    )
    .await;
    assert_eq!(raw.query("SHOW application_name").await.column(), ["it's me"]);
    assert_eq!(
        raw.query("SHOW search_path").await.column(),
        ["pg_catalog, public"]
    );
    assert_eq!(raw.query("SHOW TimeZone").await.column(), ["Asia/Shanghai"]);
    let answer = raw.query("SET TimeZone = 'UTC'").await;
    assert_eq!(answer.tags(), "SCZ");
    // Another node hears of it too, and the client isn't told twice.
    let answer = raw
        .query("SELECT current_setting('TimeZone'), count(*) FROM rights")
        .await;
    assert_eq!(
        (answer.tags().as_str(), answer.column()),
        ("TDCZ", vec!["UTC".to_owned()])
    );
    let answer = raw.query("SET TimeZone = 'Nowhere/Land'").await;
    assert_eq!(
        (answer.tags().as_str(), answer.error().as_deref()),
        ("EZ", Some("22023"))
    );
    let answer = raw.query("RESET TimeZone").await;
    assert_eq!(answer.tags(), "SCZ");
    assert_eq!(raw.query("SHOW TimeZone").await.column(), ["Asia/Shanghai"]);
    // Another client is not touched by any of it.
    let mut other = Raw::connect(proxy.address, &[]).await;
    assert_eq!(other.query("SHOW application_name").await.column(), [""]);
}

#[tokio::test]
async fn margays_own_settings_and_shows() {
    let proxy = proxy().await;
    let mut raw = Raw::connect(proxy.address, &[]).await;
    raw.query("SELECT id FROM spread ORDER BY 1").await;
    assert_eq!(raw.query("SHOW margay.servers").await.column(), ["n0,n1"]);
    assert_eq!(raw.query("SET margay.read = 'primary'").await.tags(), "CZ");
    assert_eq!(raw.query("SHOW margay.read").await.column(), ["primary"]);
    assert_eq!(
        raw.query("SET margay.read = 'sideways'").await.error().as_deref(),
        Some("22023")
    );
    let plan = raw.query("EXPLAIN ROUTE SELECT id FROM rights").await;
    assert_eq!(
        (plan.tags().as_str(), plan.column()),
        ("TDCZ", vec!["single".to_owned()])
    );
}

#[tokio::test]
async fn on_one_node_a_session_keeps_the_connection_that_holds_its_state() {
    let proxy = proxy().await;
    let mut raw = Raw::connect_to(proxy.address, "solo", &[]).await;
    assert_eq!(raw.query("CREATE TEMP TABLE mine (id int)").await.tags(), "CZ");
    let mut other = Raw::connect_to(proxy.address, "solo", &[]).await;
    assert_eq!(
        other.query("SELECT * FROM mine").await.error().as_deref(),
        Some("42P01")
    );
    for sql in [
        "INSERT INTO mine VALUES (1)",
        "BEGIN",
        "INSERT INTO mine VALUES (2)",
        "COMMIT",
    ] {
        assert_eq!(raw.query(sql).await.error(), None, "{sql}");
    }
    assert_eq!(
        raw.query("SELECT id FROM mine ORDER BY id").await.column(),
        ["1", "2"]
    );
    assert_eq!(raw.query("DISCARD ALL").await.commands(), ["DISCARD ALL"]);
    assert_eq!(
        raw.query("SELECT * FROM mine").await.error().as_deref(),
        Some("42P01")
    );
    assert_eq!(raw.query("CREATE TEMP TABLE mine (id int)").await.tags(), "CZ");
    drop((raw, other));
    proxy.nothing_leaks().await;
}
