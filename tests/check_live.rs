//! `margay check --live` on real servers: it finds what doesn't fit, says what to do, and changes nothing.

mod control_common;

use std::io::Write;
use std::process::Command;

use control_common::TestServer;

/// Exit code and standard output.
fn check(rules: &str) -> (i32, String) {
    let mut file = tempfile::Builder::new()
        .suffix(".yaml")
        .tempfile()
        .expect("a temporary file");
    file.write_all(rules.as_bytes()).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_margay"))
        .arg("check")
        .arg(file.path())
        .arg("--live")
        .output()
        .expect("margay runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let code = output.status.code().expect("it exits");
    assert!(
        code == 1 || code == 0,
        "{code}: {text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let (_, live) = text
        .split_once("live: ")
        .unwrap_or_else(|| panic!("no report in {text}"));
    (code, live.to_owned())
}

/// Two nodes and the tables of domain `all`.
fn rules(n_a: &str, n_b: &str, tables: &str) -> String {
    format!(
        r#"
version: 1
listen: {{postgres: 127.0.0.1:6432}}
users: [{{name: shop, trust: true}}]
pool: {{max_connections: 10}}
nodes:
  n_a: {n_a}
  n_b: {n_b}
databases:
  shop:
    engine: postgres
    default_domain: all
    domains:
      all:
        nodes: [n_a, n_b]
        tables: {{{tables}}}
"#
    )
}

fn url(server: &TestServer, database: &str) -> String {
    format!("postgres://app@127.0.0.1:{}/{database}", server.port)
}

fn primary(server: &TestServer, database: &str) -> String {
    format!("{{primary: \"{}\"}}", url(server, database))
}

/// The finding with all of these words; its severity first.
#[track_caller]
fn has(report: &str, words: &[&str]) {
    let found = report
        .lines()
        .any(|line| words.iter().all(|word| line.contains(word)));
    assert!(found, "nothing with {words:?} in:\n{report}");
}

#[track_caller]
fn lacks(report: &str, word: &str) {
    assert!(!report.contains(word), "{word} in:\n{report}");
}

const TABLES: &str = "orders: {shard: {by: hash, key: {column: user_id, type: bigint}, count: 4}}, \
     items: {shard: {by: hash, key: user_id, function: modulo, count: 4}}, \
     kinds: {broadcast: true}, only_b: {node: n_b}, later: {shard: {by: hash, key: id}}";

/// What Margay would have made of TABLES on one of the nodes.
fn ddl(shards: [u8; 2]) -> String {
    let mut sql = "CREATE TABLE orders (id bigint, user_id bigint NOT NULL, total int DEFAULT 0, PRIMARY KEY (id, user_id)) \
         PARTITION BY HASH (user_id); CREATE INDEX orders_total ON orders (total); CREATE TABLE kinds (id int PRIMARY KEY);"
        .to_owned();
    for shard in shards {
        sql += &format!(
            "CREATE TABLE orders_0{shard} PARTITION OF orders FOR VALUES WITH (modulus 4, remainder {shard}); \
             CREATE TABLE items_0{shard} (id bigint, user_id bigint); CREATE INDEX items_id_{shard} ON items_0{shard} (id);"
        );
    }
    sql
}

async fn two_databases(server: &TestServer) {
    for name in ["a", "b"] {
        server.sql("postgres", &format!("CREATE DATABASE {name}")).await;
    }
    server.sql("a", &ddl([0, 2])).await;
    server
        .sql("b", &(ddl([1, 3]) + "CREATE TABLE only_b (id int)"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_hold_other_than_the_rules_say_are_found() {
    let server = TestServer::primary();
    two_databases(&server).await;
    let fine = rules(&primary(&server, "a"), &primary(&server, "b"), TABLES);
    let (code, report) = check(&fine);
    assert_eq!(code, 0, "{report}");
    lacks(&report, "error  ");
    has(&report, &["note", "shop/later", "isn't there yet"]);
    has(&report, &["note", "schema margay isn't there yet"]);
    has(&report, &["note", "shell margay_shell_shop"]);

    // A schema that isn't everywhere the same.
    server
        .sql(
            "b",
            "ALTER TABLE orders ALTER total TYPE bigint; DROP INDEX items_id_3; ALTER TABLE items_01 ADD CHECK (id > 0); \
             ALTER TABLE orders DETACH PARTITION orders_03; CREATE TYPE mood AS ENUM ('good', 'bad'); \
             CREATE TABLE nowhere (id int); DROP TABLE kinds",
        )
        .await;
    server
        .sql("a", "CREATE TYPE mood AS ENUM ('bad', 'good'); CREATE TABLE only_b (id int); ALTER TABLE orders_02 RENAME TO orders_odd")
        .await;
    let (code, report) = check(&fine);
    assert_eq!(code, 1, "{report}");
    has(
        &report,
        &[
            "error",
            "shop/orders on n_b",
            "column total is bigint, not integer",
        ],
    );
    has(&report, &["error", "shop/orders on n_b", "orders_03", "MG3006"]);
    has(&report, &["warning", "shop/orders on n_a", "orders_odd"]);
    has(&report, &["error", "shop/items on n_b", "CHECK"]);
    has(&report, &["error", "shop/kinds on n_b", "missing"]);
    has(&report, &["warning", "shop/mood on n_b", "type differs"]);
    has(&report, &["warning", "shop/nowhere on n_b", "no rule names it"]);
    has(&report, &["warning", "shop/only_b on n_a", "don't put it there"]);
    let severities: Vec<&str> = report
        .lines()
        .filter(|line| !line.starts_with(' ') && line.contains(": "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| ["error", "warning", "note"].contains(word))
        .collect();
    let rank = |word: &&str| ["error", "warning", "note"].iter().position(|w| w == word);
    assert!(severities.is_sorted_by_key(rank), "worst first: {severities:?}");

    // What the rules say of columns.
    let wrong = "orders: {shard: {by: hash, key: {column: user_id, type: text}, count: 4}, generate: {total: snowflake}}, \
         items: {shard: {by: hash, key: nothing, function: modulo, count: 4}}, kinds: {shard: {by: hash, key: id}}";
    let (code, report) = check(&rules(&primary(&server, "a"), &primary(&server, "b"), wrong));
    assert_eq!(code, 1);
    has(
        &report,
        &["error", "shop/orders", "is bigint, the rules say text"],
    );
    has(
        &report,
        &["error", "shop/orders", "generated column total is integer"],
    );
    has(&report, &["error", "shop/items", "no column nothing"]);
    has(
        &report,
        &[
            "error",
            "shop/kinds on n_b",
            "the table and all of its shards are missing",
        ],
    );
    assert_eq!(
        server
            .column("a", "SELECT count(*) FROM pg_namespace WHERE nspname = 'margay'")
            .await,
        ["0"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_not_as_they_should_be_are_found() {
    let server = TestServer::primary();
    let other = TestServer::primary_with(&[(
        "postgresql.conf",
        "max_prepared_transactions=0\nwal_level=minimal\nmax_wal_senders=0\nmax_connections=20\n",
    )]);
    let replica = TestServer::replica(&server);
    server.sql("postgres", "CREATE DATABASE a").await;
    other
        .sql(
            "postgres",
            "CREATE DATABASE b ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
        )
        .await;
    other
        .sql("postgres", "ALTER DATABASE b SET timezone = 'Asia/Tokyo'")
        .await;
    server
        .sql("a", "CREATE ROLE plain LOGIN; CREATE ROLE shopper LOGIN")
        .await;
    other.sql("b", "CREATE ROLE plain LOGIN").await;

    // n_a: a true replica, and one that takes writes of its own; n_b: a server that isn't there.
    let n_a = format!(
        "{{primary: \"{}\", replicas: [\"{}\", \"{}\"]}}",
        url(&server, "a"),
        url(&replica, "a"),
        url(&other, "postgres")
    );
    let gone = control_common::free_port();
    let n_b = format!(
        "{{primary: \"{}\", replicas: [\"postgres://app@127.0.0.1:{gone}/b\"]}}",
        url(&other, "b")
    );
    let (code, report) = check(&rules(&n_a, &n_b, ""));
    assert_eq!(code, 1, "{report}");
    has(&report, &["error", "n_b/replica0", "can't be asked"]);
    has(
        &report,
        &["error", "n_a/replica1", "is no replica of n_a/primary"],
    );
    has(
        &report,
        &["error", "n_b/primary", "max_prepared_transactions is 0"],
    );
    has(&report, &["error", "n_b/primary", "wal_level is minimal"]);
    has(
        &report,
        &["error", "n_b/primary", "encoding is LATIN1, on n_a/primary UTF8"],
    );
    has(&report, &["error", "n_b/primary", "locale is"]);
    has(&report, &["warning", "n_b/primary", "TimeZone is Asia/Tokyo"]);
    has(&report, &["warning", "fsync is off"]);
    has(&report, &["warning", "n_a/replica1", "it takes 17"]);
    has(&report, &["note", "doesn't wait for a replica"]);
    lacks(&report, "n_a/replica0: it receives nothing");

    // A replica that receives nothing, since its primary is gone.
    let mut server = server;
    server.stop();
    let (code, report) = check(&rules(&n_a, &primary(&other, "b"), ""));
    assert_eq!(code, 1);
    has(&report, &["error", "n_a/primary", "can't be asked"]);
    server.start();
    replica.sql("postgres", "SELECT pg_wal_replay_pause()").await;
    server.sql("a", "CREATE TABLE t (id int)").await;
    let (_, report) = check(&rules(&n_a, &primary(&other, "b"), ""));
    has(&report, &["warning", "n_a/replica0", "bytes behind"]);
    replica.sql("postgres", "SELECT pg_wal_replay_resume()").await;

    // Rights, and two nodes that are one database.
    let as_plain = |database: &str| {
        format!(
            "{{primary: \"postgres://plain@127.0.0.1:{}/{database}\"}}",
            server.port
        )
    };
    server.sql("postgres", "CREATE DATABASE c").await;
    let users = "users: [{name: shop, trust: true, servers: {user: nobody_there}}]";
    let text = rules(&as_plain("a"), &as_plain("c"), "").replace("users: [{name: shop, trust: true}]", users);
    let (code, report) = check(&text);
    assert_eq!(code, 1);
    has(
        &report,
        &["error", "n_a/primary", "schema margay", "may not be made"],
    );
    has(
        &report,
        &[
            "error",
            "n_a/primary",
            "shell margay_shell_shop",
            "may not make it",
        ],
    );
    has(&report, &["error", "can't log in there as nobody_there"]);
    let twice = format!("{{primary: \"postgres://app@localhost:{}/a\"}}", server.port);
    let (_, report) = check(&rules(&primary(&server, "a"), &twice, ""));
    has(&report, &["error", "n_b/primary", "same database as n_a/primary"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_place_a_filled_table_otherwise_are_found() {
    let server = TestServer::primary();
    two_databases(&server).await;
    for (name, shards) in [("a", "0,2"), ("b", "1,3")] {
        // As a proxy notes it.
        let description = format!("2 key(user_id) hash modulo separate, here {shards} of 4");
        server
            .sql(
                name,
                &format!(
                    "CREATE SCHEMA margay; CREATE TABLE margay.placement (database_name text, table_name text, relation text, \
                     fingerprint text, description text, key_types text, epoch bigint DEFAULT 1, PRIMARY KEY (database_name, table_name)); \
                     INSERT INTO margay.placement SELECT 'shop', 'items', 'public.items_0{}', \
                        left(encode(sha256(convert_to('{description}', 'UTF8')), 'hex'), 32), '{description}'",
                    &shards[..1]
                ),
            )
            .await;
    }
    let (code, report) = check(&rules(&primary(&server, "a"), &primary(&server, "b"), TABLES));
    assert_eq!(code, 0, "{report}");
    let other = TABLES.replace("function: modulo", "function: crc32");
    let (code, report) = check(&rules(&primary(&server, "a"), &primary(&server, "b"), &other));
    assert_eq!(code, 1, "{report}");
    has(
        &report,
        &[
            "error",
            "shop/items on n_a",
            "MG3006",
            "hash modulo",
            "hash crc32",
        ],
    );
    has(&report, &["put the rules back", "UPDATE margay.placement"]);
}
