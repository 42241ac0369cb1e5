//! Types of users' have other OIDs on every server. What drivers that look types up make of rows, parameters
//! and cursors over sharded tables is compared with one plain server.

#[path = "support/mod.rs"]
mod support;

use std::process::Command;

use support::Sandbox;

const RULES: &str = include_str!("shell/rules.yaml");
const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oids/schema.sql");

fn said(mut command: Command) -> String {
    let out = command.output().expect("the client runs");
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

fn psql(url: &str, args: &[&str]) -> String {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-At", url]).args(args);
    said(command)
}

/// Users' types have other OIDs on each node, and none has those of the shell.
fn with_schema() -> Sandbox {
    let sandbox = Sandbox::start(RULES);
    for (node, types) in [("USER", 3), ("TRADE0", 11), ("TRADE1", 17)] {
        let url = sandbox.var(&format!("MARGAY_NODE_N_{node}_URL"));
        for n in 0..types {
            let sql = format!("CREATE TYPE gone_{n} AS ENUM ('x'); DROP TYPE gone_{n}");
            assert_eq!(psql(url, &["-c", &sql]), "");
        }
    }
    for url in [sandbox.proxy(), sandbox.oracle()] {
        assert_eq!(psql(url, &["-f", SCHEMA]), "");
    }
    let oid = |url: &str| psql(url, &["-c", "SELECT oid FROM pg_type WHERE typname = 'mood'"]);
    let urls = ["USER", "TRADE0", "TRADE1"].map(|n| sandbox.var(&format!("MARGAY_NODE_N_{n}_URL")));
    for url in urls {
        assert_ne!(oid(url), oid(sandbox.proxy()));
    }
    sandbox
}

#[test]
fn drivers_that_look_types_up_see_one_database() {
    let Some(python) = support::python() else {
        return;
    };
    let sandbox = with_schema();
    for script in ["asyncpg_types.py", "psycopg_types.py"] {
        let run = |url: &str| {
            let mut command = Command::new(&python);
            command
                .arg(format!("{}/tests/oids/{script}", env!("CARGO_MANIFEST_DIR")))
                .arg(url);
            said(command)
        };
        let (ours, theirs) = (run(sandbox.proxy()), run(sandbox.oracle()));
        assert!(!theirs.contains("Traceback"), "{theirs}");
        assert_eq!(ours, theirs, "{script}:\n{ours}\n--- one server\n{theirs}");
    }
}

#[tokio::test]
async fn a_columns_table_is_found_in_the_catalogs() {
    let sandbox = with_schema();
    let client = support::connect(sandbox.proxy()).await;
    for (query, table) in [
        ("SELECT m, id FROM users", "users"),
        ("SELECT user_id, d FROM orders", "orders"),
        ("SELECT ms FROM orders WHERE user_id = 7", "orders"),
        ("SELECT code, ps FROM coupons", "coupons"),
        ("SELECT code FROM coupons WHERE code = 'c'", "coupons"),
    ] {
        let statement = client.prepare(query).await.expect("a statement");
        for column in statement.columns() {
            let of = column.table_oid().expect("a column of a table");
            let row = client
                .query_one("SELECT relname::text FROM pg_class WHERE oid = $1", &[&of])
                .await;
            let found: String = row.expect("one relation").get(0);
            assert_eq!(found, table, "{query}");
        }
    }
}

#[test]
fn binary_copy_of_what_holds_oids_is_refused_by_name() {
    let sandbox = with_schema();
    let url = sandbox.proxy();
    for (sql, refused) in [
        ("COPY orders TO STDOUT (FORMAT binary)", true),
        ("COPY users (ms) TO STDOUT (FORMAT binary)", true),
        ("COPY users FROM STDIN BINARY", true),
        ("COPY (SELECT ms FROM users) TO STDOUT (FORMAT binary)", true),
        (
            "COPY (SELECT array_agg(p ORDER BY p) FROM page_views p) TO STDOUT (FORMAT binary)",
            true,
        ),
        (
            "COPY (SELECT (1, p) FROM page_views p) TO STDOUT (FORMAT binary)",
            true,
        ),
        ("COPY (SELECT '{ok}'::mood[]) TO STDOUT (FORMAT binary)", true),
        ("COPY users (id, m, n) TO STDOUT (FORMAT binary)", false),
        (
            "COPY (SELECT id, viewed_at FROM page_views) TO STDOUT (FORMAT binary)",
            false,
        ),
        (
            "COPY (SELECT max(id), count(*) FROM page_views) TO STDOUT WITH (FORMAT text)",
            false,
        ),
        ("COPY (SELECT 1, 'x') TO STDOUT BINARY", false),
        ("COPY orders TO STDOUT", false),
    ] {
        let said = psql(
            url,
            &[
                "-c",
                "CREATE TABLE IF NOT EXISTS page_views (id bigint, viewed_at timestamptz)",
                "-c",
                sql,
            ],
        );
        assert_eq!(
            said.contains("holds OIDs") && said.contains("MG1002"),
            refused,
            "{sql}: {said}"
        );
        assert_eq!(
            said.contains("ERROR"),
            refused || sql.contains("count(*)"),
            "{sql}: {said}"
        );
    }
}

#[test]
fn types_made_in_a_transaction_are_known_in_it() {
    let sandbox = with_schema();
    let sql = "BEGIN; CREATE TYPE new AS ENUM ('a', 'b'); CREATE TABLE news (n new, ns new[]); \
               INSERT INTO news VALUES ('a', '{b}'); SELECT * FROM news; \
               ALTER TABLE orders ADD COLUMN n new DEFAULT 'b'; INSERT INTO orders (user_id, id) VALUES (1, 1), (2, 1); \
               SELECT user_id, n FROM orders ORDER BY user_id; CREATE DOMAIN short AS varchar(3); \
               ALTER TABLE users ADD COLUMN s short; SELECT s FROM users; SELECT u FROM users u; ROLLBACK; SELECT m FROM users";
    let run = |url: &str| psql(url, &["-c", sql]);
    assert_eq!(run(sandbox.proxy()), run(sandbox.oracle()));
}
