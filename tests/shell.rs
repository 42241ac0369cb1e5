//! The shell: what clients ask the system catalogs of a database of several nodes, compared with one plain
//! server on which the same was created. Sizes, OIDs and what else is of one server by nature is left out.

#[path = "support/mod.rs"]
mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use support::Sandbox;

const RULES: &str = include_str!("shell/rules.yaml");
const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shell/schema.sql");

/// The longest that a change made on a node directly may stay unseen on a crowded machine.
const SEEN_WITHIN: Duration = Duration::from_secs(60);

fn run(mut command: Command) -> String {
    let out = command.output().expect("the client runs");
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

fn psql(url: &str, args: &[&str]) -> String {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", url]).args(args);
    run(command)
}

fn with_schema() -> Sandbox {
    let sandbox = Sandbox::start(RULES);
    for url in [sandbox.proxy(), sandbox.oracle()] {
        assert_eq!(
            psql(url, &["-f", SCHEMA]),
            "",
            "the schema is created without a word"
        );
    }
    sandbox
}

/// Runs each line on both; gives those that differ.
fn differing(sandbox: &Sandbox, lines: &str) -> Vec<String> {
    let lines = lines.lines().filter(|line| !line.is_empty());
    lines
        .filter_map(|line| {
            let ours = psql(sandbox.proxy(), &["-c", line]);
            let theirs = psql(sandbox.oracle(), &["-c", line]);
            (ours != theirs).then(|| format!("{line}\n--- Margay\n{ours}\n--- one server\n{theirs}"))
        })
        .collect()
}

#[test]
fn catalogs_are_those_of_one_database() {
    let sandbox = with_schema();
    let differing = differing(&sandbox, include_str!("shell/commands.txt"));
    assert!(differing.is_empty(), "{}", differing.join("\n"));

    if let Some(python) = support::python() {
        let reflect = |url: &str| {
            let mut command = Command::new(&python);
            command
                .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shell/reflection.py"))
                .arg(url);
            run(command)
        };
        assert_eq!(reflect(sandbox.proxy()), reflect(sandbox.oracle()));
    }
    let physical = "SELECT relname FROM pg_class WHERE relname ~ '_(0[0-7]|20[0-9][0-9]_[0-9][0-9])' \
                    UNION ALL SELECT nspname FROM pg_namespace WHERE nspname ~ 'margay'";
    assert_eq!(psql(sandbox.proxy(), &["-At", "-c", physical]), "");
}

#[test]
fn views_sequences_and_functions_answer_as_on_one_server() {
    let sandbox = with_schema();
    let differing = differing(&sandbox, include_str!("shell/rows.sql"));
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn what_no_server_could_answer_is_refused_by_name() {
    let sandbox = with_schema();
    for (sql, code) in [
        ("SELECT count(*) FROM orders, pg_class", "MG1104"),
        ("SELECT 'orders'::regclass, count(*) FROM users", "MG1104"),
        (
            "SELECT setval(pg_get_serial_sequence('users', 'id'), 5)",
            "MG1104",
        ),
        (
            "CREATE VIEW v AS SELECT u.name FROM users u JOIN orders o ON o.user_id = u.id",
            "MG1101",
        ),
        ("UPDATE happy SET name = 'x'", "MG1207"),
        ("ALTER TABLE users RENAME TO people", "MG1002"),
        ("ALTER TABLE drafts RENAME TO orders", "MG1002"),
        (
            "ALTER TABLE users ADD FOREIGN KEY (id) REFERENCES coupons (code)",
            "MG1102",
        ),
        (
            "ALTER TABLE order_items ADD FOREIGN KEY (order_id, user_id) REFERENCES orders",
            "MG1102",
        ),
        ("CREATE TABLE child (a bigint REFERENCES orders (id))", "MG1102"),
        (
            "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION mine()",
            "MG1207",
        ),
        ("SELECT spent(1)", "MG1207"),
        ("SELECT pg_table_size('orders')", "MG1207"),
        ("SELECT n_live_tup FROM pg_stat_user_tables", "MG1104"),
        ("SELECT * FROM pg_stats", "MG1104"),
    ] {
        let said = psql(sandbox.proxy(), &["-c", sql]);
        assert!(said.contains(code), "{sql}: {said}");
    }
}

#[test]
fn ddl_that_is_rolled_back_leaves_nothing_in_the_shell() {
    let sandbox = with_schema();
    let sql = "BEGIN; CREATE TABLE t (a integer); ALTER TABLE orders ADD COLUMN x integer; \
               SELECT to_regclass('t') IS NOT NULL; ROLLBACK; \
               SELECT to_regclass('t') IS NULL AND count(*) = 0 FROM pg_attribute WHERE attname = 'x'";
    assert_eq!(psql(sandbox.proxy(), &["-At", "-c", sql]), "t\nt\n");
    // The shell says it first, in the words of the logical schema.
    let said = psql(
        sandbox.proxy(),
        &[
            "-c",
            "ALTER TABLE orders ADD CONSTRAINT orders_pkey CHECK (id > 0)",
        ],
    );
    assert_eq!(
        said,
        "ERROR:  constraint \"orders_pkey\" for relation \"orders\" already exists\n"
    );
}

#[test]
fn what_is_made_on_the_nodes_directly_is_taken_over() {
    let sandbox = Sandbox::start(RULES);
    let direct = [
        (
            "MARGAY_NODE_N_USER_URL",
            "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE users (id bigserial PRIMARY KEY, m mood DEFAULT 'ok'); \
            COMMENT ON TABLE users IS 'people'; CREATE INDEX ON users (m); CREATE VIEW sad AS SELECT id FROM users WHERE m = 'sad'; \
            GRANT SELECT ON users TO PUBLIC",
        ),
        (
            "MARGAY_NODE_N_TRADE0_URL",
            "CREATE TABLE regions (code text PRIMARY KEY)",
        ),
        (
            "MARGAY_NODE_N_TRADE1_URL",
            "CREATE TABLE regions (code text PRIMARY KEY)",
        ),
    ];
    for (node, sql) in direct {
        assert_eq!(psql(sandbox.var(node), &["-c", sql]), "");
        let oracle = psql(sandbox.oracle(), &["-c", sql]);
        assert!(oracle.is_empty() || oracle.contains("already exists"), "{oracle}");
    }
    let same = |what: &str| {
        let began = Instant::now();
        loop {
            let (ours, theirs) = (
                psql(sandbox.proxy(), &["-c", what]),
                psql(sandbox.oracle(), &["-c", what]),
            );
            if ours == theirs {
                return;
            }
            assert!(
                began.elapsed() < SEEN_WITHIN,
                "{what}:\n{ours}\n--- one server\n{theirs}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    for what in ["\\d+ users", "\\d+ regions", "\\d+ sad", "\\dT+", "\\dp"] {
        same(what);
    }
    let change = "ALTER TABLE users ADD COLUMN x integer NOT NULL DEFAULT 3";
    for url in [sandbox.var("MARGAY_NODE_N_USER_URL"), sandbox.oracle()] {
        assert_eq!(psql(url, &["-c", change]), "");
    }
    same("\\d+ users");
    same("\\d+ sad");
}
