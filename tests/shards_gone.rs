//! Shards that vanish on a server, not through Margay: nothing may be answered as if they had been
//! empty, whoever operates it must see it, and what doesn't need them goes on.

mod support;

use std::time::{Duration, Instant};

use support::Sandbox;
use tokio_postgres::{Client, SimpleQueryMessage};

const RULES: &str = r#"
version: 1
listen: {postgres: 127.0.0.1:6432, http: 127.0.0.1:9630}
users: [{name: shop, password: {plain: secret}, admin: true}]
nodes:
  n_a: {primary: "postgres://app@10.0.0.1/shop"}
  n_b: {primary: "postgres://app@10.0.0.2/shop"}
databases:
  shop:
    engine: postgres
    default_domain: trade
    domains:
      trade:
        nodes: [n_a, n_b]
        tables:
          hb:   {shard: {by: hash, key: {column: k, type: bigint}, count: 8}}
          hm:   {shard: {by: hash, key: {column: k, type: bigint}, function: modulo, count: 4}}
          one:  {shard: {by: hash, key: {column: k, type: bigint}}}
          acc:  {shard: {by: range, key: {column: k, type: bigint}, bounds: [100, 200, 300]}}
          fine: {shard: {by: hash, key: {column: k, type: bigint}, count: 4}}
"#;

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "waited a minute for: {what}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn rows(client: &Client, sql: &str) -> Vec<Vec<String>> {
    let messages = client
        .simple_query(sql)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let cells = |row: &tokio_postgres::SimpleQueryRow| {
        (0..row.len())
            .map(|i| row.get(i).unwrap_or("NULL").to_owned())
            .collect()
    };
    messages
        .iter()
        .filter_map(|m| match m {
            SimpleQueryMessage::Row(row) => Some(cells(row)),
            _ => None,
        })
        .collect()
}

/// Refused by MG3006, with what is missing and what to do.
async fn refused(client: &Client, sql: &str) {
    let error = client.simple_query(sql).await.expect_err(sql);
    let told = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error:?}"));
    assert_eq!(told.code().code(), "55000", "{sql}: {told:?}");
    assert!(told.message().contains("MG3006"), "{sql}: {told:?}");
    assert!(
        told.detail().is_some() && told.hint().is_some(),
        "{sql}: {told:?}"
    );
}

async fn is_refused(client: &Client, sql: &str) -> bool {
    let answer = client.simple_query(sql).await;
    answer.is_err_and(|e| e.as_db_error().is_some_and(|e| e.message().contains("MG3006")))
}

fn console(sandbox: &Sandbox) -> String {
    sandbox.proxy().rsplit_once('/').expect("a database").0.to_owned() + "/margay"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shard_that_is_gone_is_seen_and_never_answers_as_if_empty() {
    let sandbox = Sandbox::with(RULES, &[]);
    let client = support::connect(sandbox.proxy()).await;
    let admin = support::connect(&console(&sandbox)).await;
    let n_a = support::connect(sandbox.var("MARGAY_NODE_N_A_URL")).await;
    let n_b = support::connect(sandbox.var("MARGAY_NODE_N_B_URL")).await;
    for table in ["hb", "hm", "one", "acc", "fine"] {
        let create = format!("CREATE TABLE {table} (k bigint PRIMARY KEY, v text)");
        client.batch_execute(&create).await.expect(&create);
        let values: Vec<String> = (0..400).step_by(10).map(|k| format!("({k}, 'v')")).collect();
        let insert = format!("INSERT INTO {table} VALUES {}", values.join(", "));
        client.batch_execute(&insert).await.expect(&insert);
    }
    assert!(rows(&admin, "SHOW PROBLEMS").await.is_empty());

    // Keys of one shard on n_a, and of one on n_b.
    let key_of = async |physical: &str, on: &Client| {
        rows(on, &format!("SELECT min(k) FROM {physical}")).await[0][0].clone()
    };
    let gone = key_of("hb_00", &n_a).await;
    let there = key_of("hb_01", &n_b).await;
    n_a.batch_execute("DROP TABLE hb_00").await.expect("the DBA may");
    until("the proxy has seen it", async || {
        is_refused(&client, "SELECT count(*) FROM hb").await
    })
    .await;
    for sql in [
        format!("SELECT v FROM hb WHERE k = {gone}"),
        format!("SELECT v FROM hb WHERE k IN ({gone}, {there})"),
        format!("UPDATE hb SET v = 'w' WHERE k = {gone}"),
        "DELETE FROM hb".to_owned(),
        format!("INSERT INTO hb VALUES ({there}1, 'x'), ({gone}, 'x')"),
        "SELECT a.v FROM hb a JOIN hb b USING (k)".to_owned(),
        "SELECT k FROM hb WHERE k < 100".to_owned(),
        "SELECT v FROM hb LIMIT 1".to_owned(),
        "COPY hb TO STDOUT".to_owned(),
    ] {
        refused(&client, &sql).await;
    }
    // What needs other shards only goes on.
    assert_eq!(
        rows(&client, &format!("SELECT v FROM hb WHERE k = {there}")).await,
        [["v"]]
    );
    assert_eq!(rows(&client, "SELECT count(*) FROM fine").await, [["40"]]);
    let prepared = client
        .query(&format!("SELECT v FROM hb WHERE k = {there}::bigint"), &[])
        .await;
    assert_eq!(prepared.expect("a prepared one").len(), 1);
    let statement = client
        .prepare("SELECT v FROM hb WHERE k = $1")
        .await
        .expect("prepared");
    let gone_key: i64 = gone.parse().expect("a number");
    let error = client
        .query(&statement, &[&gone_key])
        .await
        .expect_err("the shard is gone");
    assert!(
        error
            .as_db_error()
            .is_some_and(|e| e.message().contains("MG3006"))
    );
    let problems = rows(&admin, "SHOW PROBLEMS").await;
    assert!(
        problems.iter().any(|p| p[2].contains("hb")
            && p[2].contains("n_a")
            && p[3].contains("MG3006")
            && p[3].contains("hb_00")),
        "{problems:?}"
    );
    let stats = rows(&admin, "SHOW STATS").await;
    assert!(
        stats
            .iter()
            .any(|s| s[0] == "margay_problems" && s[1] == "watch=catalog" && s[2] != "0"),
        "{stats:?}"
    );

    // The other layouts.
    n_a.batch_execute("DROP TABLE hm_00, one")
        .await
        .expect("the DBA may");
    n_b.batch_execute("ALTER TABLE acc DETACH PARTITION acc_01")
        .await
        .expect("the DBA may");
    for table in ["hm", "one", "acc"] {
        let sql = format!("SELECT count(*) FROM {table}");
        until(&sql, async || is_refused(&client, &sql).await).await;
    }
    refused(&client, "SELECT v FROM hm WHERE k = 40").await;
    refused(&client, "SELECT v FROM one WHERE k BETWEEN 0 AND 100").await;
    refused(&client, "SELECT count(*) FROM acc WHERE k >= 150 AND k < 250").await;
    assert_eq!(
        rows(&client, "SELECT count(*) FROM acc WHERE k >= 200").await,
        [["20"]]
    );

    // A shard of another node's: its rows would be seen twice.
    n_b.batch_execute(
        "ALTER TABLE fine DETACH PARTITION fine_01; CREATE TABLE fine_00 PARTITION OF fine FOR VALUES WITH (modulus 4, remainder 0)",
    )
    .await
    .expect("the DBA may");
    until("it is seen", async || {
        is_refused(&client, "SELECT count(*) FROM fine").await
    })
    .await;

    // Brought back, all is as it was.
    n_a.batch_execute("CREATE TABLE hb_00 PARTITION OF hb FOR VALUES WITH (modulus 8, remainder 0)")
        .await
        .expect("mended");
    n_b.batch_execute(
        "ALTER TABLE acc ATTACH PARTITION acc_01 FOR VALUES FROM (100) TO (200); \
         DROP TABLE fine_00; ALTER TABLE fine ATTACH PARTITION fine_01 FOR VALUES WITH (modulus 4, remainder 1)",
    )
    .await
    .expect("mended");
    for (table, count) in [("acc", "40"), ("fine", "40")] {
        let sql = format!("SELECT count(*) FROM {table}");
        until(&sql, async || !is_refused(&client, &sql).await).await;
        assert_eq!(rows(&client, &sql).await, [[count]]);
    }
    until("hb is served", async || {
        !is_refused(&client, "SELECT count(*) FROM hb").await
    })
    .await;
    // What can't be mended can be dropped.
    client
        .batch_execute("DROP TABLE IF EXISTS hm; DROP TABLE IF EXISTS one")
        .await
        .expect("DDL goes through");
    until("nothing is wrong any more", async || {
        rows(&admin, "SHOW PROBLEMS").await.is_empty()
    })
    .await;
}
