//! Functions, procedures and trigger functions of users' on a database of several nodes: what they touch is told
//! by the rules or by their bodies. Answers are compared with one plain server; the rest is refused by name.

#[path = "support/mod.rs"]
mod support;

use std::process::Command;

use support::Sandbox;

const RULES: &str = include_str!("functions/rules.yaml");
const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/functions/schema.sql");

fn psql(url: &str, args: &[&str]) -> String {
    let mut command = Command::new("psql");
    let out = command.args(["-X", "-q", "-At", url]).args(args).output();
    let out = out.expect("psql runs");
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

#[test]
fn functions_answer_as_on_one_server_or_are_refused() {
    let sandbox = Sandbox::start(RULES);
    for url in [sandbox.proxy(), sandbox.oracle()] {
        assert_eq!(psql(url, &["-f", SCHEMA]), "");
    }
    for line in include_str!("functions/same.sql").lines() {
        let (ours, theirs) = (
            psql(sandbox.proxy(), &["-c", line]),
            psql(sandbox.oracle(), &["-c", line]),
        );
        assert_eq!(ours, theirs, "{line}");
    }
    for (sql, code) in [
        ("SELECT all_orders()", "MG1207"),
        ("SELECT all_orders() FROM orders WHERE user_id = 1", "MG1207"),
        ("SELECT order_count(1)", "MG1207"),
        ("SELECT hidden(1)", "MG1207"),
        ("SELECT user_name(user_id) FROM orders", "MG1101"),
        (
            "SELECT user_name(user_id) FROM orders WHERE user_id = 1",
            "MG1101",
        ),
        ("INSERT INTO orders VALUES (9, 9, 9, user_name(1))", "MG1207"),
        ("SELECT add_region('w')", "MG1207"),
        ("CALL drop_orders()", "MG1207"),
        ("CALL drop_users(hidden(1))", "MG1002"),
        (
            "CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION counts()",
            "MG1207",
        ),
        (
            "CREATE TRIGGER t BEFORE INSERT ON regions FOR EACH ROW EXECUTE FUNCTION stamp()",
            "MG1305",
        ),
        (
            "CREATE TRIGGER t AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION audit()",
            "MG1207",
        ),
        (
            "CREATE OR REPLACE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM users; RETURN NEW; END$$",
            "MG1207",
        ),
        (
            "BEGIN; CREATE FUNCTION fresh() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM orders'; SELECT fresh(); COMMIT",
            "MG1207",
        ),
        (
            "BEGIN; CREATE VIEW newest AS SELECT * FROM orders; SELECT count(*) FROM newest; COMMIT",
            "MG1207",
        ),
    ] {
        let said = psql(sandbox.proxy(), &["-c", sql]);
        assert!(said.contains(code), "{sql}: {said}");
    }
    let body = "BEGIN NEW.note := lower(NEW.note); RETURN NEW; END";
    let replace = format!("CREATE OR REPLACE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS '{body}'");
    assert_eq!(psql(sandbox.proxy(), &["-c", &replace]), "");
}
