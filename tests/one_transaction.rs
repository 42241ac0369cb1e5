//! A transaction over several nodes has one time, whether it is written out or comes from a column's
//! default; and the client is told its own name and its database's, not those by which Margay reaches
//! the servers.

mod support;

use support::Sandbox;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

const RULES: &str = "
version: 1
listen: {postgres: 127.0.0.1:6432}
users: [{name: alice, password: {plain: secret}}]
nodes:
  n_main: {primary: postgres://app@10.0.0.1/shop}
  n_a:    {primary: postgres://app@10.0.0.2/shop}
  n_b:    {primary: postgres://app@10.0.0.3/shop}
databases:
  logical:
    engine: postgres
    default_domain: main
    domains:
      main:  {nodes: [n_main], tables: {users: {}}}
      trade:
        nodes: [n_a, n_b]
        tables:
          orders:  {shard: {by: hash, key: {column: id, type: bigint}, count: 4}}
          regions: {broadcast: true}
";

const TABLES: &[&str] = &["users", "orders", "regions"];

/// Columns that now() goes to in every way: as it is, cast by assignment, within an expression.
const COLUMNS: &str = "id bigint PRIMARY KEY, at timestamptz DEFAULT now(), \
    local timestamp DEFAULT (now() AT TIME ZONE 'utc'), day date DEFAULT CURRENT_DATE, \
    ms timestamptz DEFAULT CURRENT_TIMESTAMP(3), later timestamptz DEFAULT now() + interval '1 day', \
    clock time DEFAULT LOCALTIME, who text DEFAULT CURRENT_USER, given timestamptz";

async fn rows(client: &Client, sql: &str) -> Vec<Vec<Option<String>>> {
    let messages = client
        .simple_query(sql)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    messages
        .iter()
        .filter_map(|m| match m {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect())
            }
            _ => None,
        })
        .collect()
}

async fn refusal(client: &Client, sql: &str) -> String {
    let error = client.simple_query(sql).await.expect_err(sql);
    error
        .as_db_error()
        .unwrap_or_else(|| panic!("{sql}: {error}"))
        .message()
        .to_owned()
}

async fn client(url: &str) -> Client {
    let config: tokio_postgres::Config = url.parse().expect("a URL");
    let (client, connection) = config.connect(NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn the_proxy_gives_what_servers_would_each_say_for_themselves() {
    let sandbox = Sandbox::start(RULES);
    let through = client(sandbox.proxy()).await;
    for table in TABLES {
        rows(&through, &format!("CREATE TABLE {table} ({COLUMNS})")).await;
    }
    one_time(&through).await;
    names(&sandbox, &through).await;
}

async fn one_time(client: &Client) {
    rows(client, "SET TimeZone = 'Asia/Kolkata'").await;
    rows(client, "BEGIN").await;
    // Keys that are on both nodes.
    for id in 1..=4 {
        rows(
            client,
            &format!("INSERT INTO orders (id, given) VALUES ({id}, now())"),
        )
        .await;
    }
    rows(client, "INSERT INTO users (id, given) VALUES (1, DEFAULT)").await;
    rows(client, "UPDATE users SET given = CURRENT_TIMESTAMP").await;
    rows(client, "INSERT INTO regions VALUES (1), (2)").await;
    rows(client, "UPDATE regions SET given = now()").await;
    let bound = client.prepare("INSERT INTO users (id, at, given) VALUES ($1, DEFAULT, now())");
    let bound = bound.await.expect("a statement that can be described");
    client.execute(&bound, &[&2i64]).await.expect("an insert");
    for sql in [
        "INSERT INTO users SELECT 3",
        "UPDATE users SET at = DEFAULT WHERE id = 1",
        "WITH w AS (INSERT INTO users (id) VALUES (4) RETURNING id) SELECT * FROM w",
    ] {
        rows(client, "SAVEPOINT s").await;
        let said = refusal(client, sql).await;
        assert!(said.contains("MG1207"), "{sql}: {said}");
        rows(client, "ROLLBACK TO s").await;
    }
    let now = "SELECT now(), now() AT TIME ZONE 'utc', current_date, current_timestamp(3), \
        now() + interval '1 day', localtime, 'alice', current_timestamp";
    let now = rows(client, now).await;
    rows(client, "COMMIT").await;
    for table in TABLES {
        let sql = format!("SELECT at, local, day, ms, later, clock, who, given FROM {table}");
        let mut seen = rows(client, &sql).await;
        assert!(seen.len() >= 2, "{table} has too few rows: {seen:?}");
        seen.dedup();
        assert_eq!(seen, now, "{table} has another time than the transaction");
    }
    // Outside of a transaction each statement has its own.
    rows(client, "INSERT INTO users (id, given) VALUES (9, now())").await;
    let later = rows(client, "SELECT 1 FROM users WHERE id = 9 AND at = given").await;
    assert_eq!(later.len(), 1);
}

async fn names(sandbox: &Sandbox, through: &Client) {
    let oracle = client(sandbox.oracle()).await;
    let sql = "SELECT current_user, session_user, user, current_role, current_database(), current_catalog, \
        upper(current_user), current_user::text AS t";
    let asked = through.prepare(sql).await.expect("a statement");
    let wanted = oracle.prepare(sql).await.expect("a statement");
    let columns = |s: &tokio_postgres::Statement| {
        let columns = s.columns().iter();
        columns
            .map(|c| (c.name().to_owned(), c.type_().clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(columns(&asked), columns(&wanted));
    let row = through.query_one(&asked, &[]).await.expect("a row");
    let described: Vec<_> = row.columns().iter().map(|c| c.name().to_owned()).collect();
    assert_eq!(
        described,
        columns(&wanted).into_iter().map(|c| c.0).collect::<Vec<_>>()
    );
    let values: Vec<String> = (0..row.len()).map(|i| row.get(i)).collect();
    assert_eq!(
        values,
        [
            "alice", "alice", "alice", "alice", "logical", "logical", "ALICE", "alice"
        ]
    );
    for (sql, wanted) in [
        ("SELECT current_user FROM orders WHERE id = 1", "alice"),
        ("SELECT current_user FROM orders LIMIT 1", "alice"),
        ("SELECT DISTINCT current_database() FROM regions", "logical"),
        // Catalogs know the servers' own names.
        (
            "SELECT count(*) FROM pg_database WHERE datname = current_database()",
            "1",
        ),
        (
            "SELECT has_table_privilege(current_user, 'pg_class', 'select')",
            "t",
        ),
        ("SHOW session_authorization", "alice"),
        ("SHOW SESSION AUTHORIZATION", "alice"),
    ] {
        let seen = rows(through, sql).await;
        assert_eq!(seen[0][0].as_deref(), Some(wanted), "{sql}");
    }
    // The oracle's client can't tell either, but for the name.
    let own = rows(&oracle, "SHOW session_authorization").await;
    assert_eq!(own, rows(&oracle, "SELECT session_user").await);
    rows(through, "INSERT INTO users (id) VALUES (11)").await;
    let who = rows(through, "SELECT who FROM users WHERE id = 11").await;
    assert_eq!(who[0][0].as_deref(), Some("alice"));
}
