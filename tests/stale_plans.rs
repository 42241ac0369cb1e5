//! Prepared statements outlive DDL as on one server: unseen where their columns stay the same, with an error
//! where they don't, for a driver reads values by the columns that it was told.

mod support;

use support::Sandbox;
use tokio_postgres::{Client, Statement};

const RULES: &str = "
version: 1
listen: {postgres: 127.0.0.1:6432}
users: [{name: app, password: {plain: secret}}]
nodes:
  n_main: {primary: postgres://app@10.0.0.1/shop}
  n_a: {primary: postgres://app@10.0.0.2/shop}
  n_b: {primary: postgres://app@10.0.0.3/shop}
databases:
  shop:
    engine: postgres
    default_domain: main
    domains:
      main:  {nodes: [n_main]}
      trade:
        nodes: [n_a, n_b]
        tables: {orders: {shard: {by: hash, key: {column: id, type: bigint}, count: 4}}}
";

const QUERIES: &[&str] = &[
    "SELECT id, v FROM whole ORDER BY id",
    "SELECT * FROM whole WHERE id = 1",
    "SELECT v FROM orders WHERE id = 1",
    "SELECT id FROM orders WHERE id = 2",
    "SELECT id, v FROM orders ORDER BY id",
    "SELECT * FROM orders WHERE id = 1",
    "SELECT count(*) FROM orders",
    "UPDATE orders SET v = v WHERE id = 3 RETURNING v",
];

async fn outcome(client: &Client, statement: &Statement) -> String {
    match client.query(statement, &[]).await {
        Ok(rows) => format!("{} rows", rows.len()),
        Err(error) => {
            let error = error.as_db_error().expect("the server's");
            let message = error.message().split(" [MG").next().unwrap_or_default();
            format!("{} {message}", error.code().code())
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prepared_statement_keeps_its_columns_or_fails() {
    let sandbox = Sandbox::start(RULES);
    let ours = support::connect(sandbox.proxy()).await;
    let theirs = support::connect(sandbox.oracle()).await;
    for client in [&ours, &theirs] {
        for table in ["whole", "orders"] {
            let sql = format!("CREATE TABLE {table} (id bigint PRIMARY KEY, v integer)");
            client.batch_execute(&sql).await.expect("a table");
            let sql = format!("INSERT INTO {table} VALUES (1, 10), (2, 20), (3, 30)");
            client.batch_execute(&sql).await.expect("rows");
        }
    }
    let mut held = Vec::new();
    for client in [&ours, &theirs] {
        let mut statements = Vec::new();
        for sql in QUERIES {
            let statement = client.prepare(sql).await.expect(sql);
            outcome(client, &statement).await;
            statements.push(statement);
        }
        held.push(statements);
    }
    for ddl in [
        "CREATE INDEX whole_v ON whole (v)",
        "ALTER TABLE orders ADD COLUMN note text",
        "ALTER TABLE whole ALTER COLUMN v TYPE numeric",
        "ALTER TABLE orders ALTER COLUMN v TYPE text",
        "ALTER TABLE orders DROP COLUMN note",
    ] {
        for client in [&ours, &theirs] {
            client.batch_execute(ddl).await.expect(ddl);
        }
        for (at, sql) in QUERIES.iter().enumerate() {
            let expected = outcome(&theirs, &held[1][at]).await;
            assert_eq!(outcome(&ours, &held[0][at]).await, expected, "{ddl}; {sql}");
        }
    }
    let renewed = ours.prepare(QUERIES[2]).await.expect("prepared anew");
    let row = ours.query_one(&renewed, &[]).await.expect("a row");
    assert_eq!(row.get::<_, &str>(0), "10");
}
