//! pg_dump and pg_restore through the proxy, of a database of several nodes with tables of every kind: the dump is
//! the one of an unsharded server that holds the same, and it restores into a plain server and into other nodes.

#[path = "support/mod.rs"]
mod support;

use std::process::Command;

use support::Sandbox;

const RULES: &str = include_str!("clients/dump/rules.yaml");

fn file(name: &str) -> String {
    format!("{}/tests/clients/dump/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program)
        .args(args)
        .output()
        .expect("the client runs");
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {args:?} failed:\n{errors}");
    assert!(!errors.contains("error"), "{program} {args:?}:\n{errors}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn psql(url: &str, args: &[&str]) -> String {
    let mut all = vec!["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", url];
    all.extend(args);
    run("psql", &all)
}

/// The lines of a dump, sorted: rows of a table have no order. Newer versions of pg_dump add a line that is never
/// the same. Owners differ, since Margay reaches the servers by a role of its own.
fn dump(url: &str, options: &[&str]) -> Vec<String> {
    let mut args = vec!["-O", url];
    args.extend(options);
    let text = run("pg_dump", &args);
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

#[track_caller]
fn same(what: &str, one: &[String], other: &[String]) {
    let missing: Vec<&String> = one.iter().filter(|line| !other.contains(line)).collect();
    let added: Vec<&String> = other.iter().filter(|line| !one.contains(line)).collect();
    assert!(
        one == other,
        "{what} differs\nonly expected: {missing:#?}\nonly there: {added:#?}"
    );
}

fn has_pg_dump() -> bool {
    let there = Command::new("pg_dump").arg("--version").output().is_ok();
    if !there {
        eprintln!("SKIP: no pg_dump");
    }
    there
}

#[test]
fn a_dump_of_several_nodes_is_that_of_one_database_and_restores_anywhere() {
    if !has_pg_dump() {
        return;
    }
    let from = Sandbox::with(RULES, &["--oracle"]);
    for url in [from.proxy(), from.oracle()] {
        psql(url, &["-f", &file("schema.sql"), "-f", &file("data.sql")]);
    }
    for options in [
        &["-s"][..],
        &["--column-inserts"],
        &["--create", "--clean", "--if-exists"],
        &["-a", "--disable-triggers"],
        &["-t", "orders", "-t", "notes"],
        &[],
    ] {
        let (expected, got) = (dump(from.oracle(), options), dump(from.proxy(), options));
        assert!(expected.len() > 20, "{options:?} dumps something");
        same(&format!("pg_dump {options:?}"), &expected, &got);
    }

    // What was dumped through the proxy, in both formats.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (plain, custom) = (path("plain.sql"), path("custom.dump"));
    run("pg_dump", &["-O", "-f", &plain, from.proxy()]);
    run("pg_dump", &["-O", "-Fc", "-f", &custom, from.proxy()]);
    let expected = dump(from.oracle(), &[]);

    let to = Sandbox::with(RULES, &["--oracle"]);
    psql(to.oracle(), &["-f", &plain]);
    same("restored into a plain server", &expected, &dump(to.oracle(), &[]));
    psql(to.proxy(), &["-f", &plain]);
    same("restored through Margay", &expected, &dump(to.proxy(), &[]));
    let again = ["-O", "--clean", "--if-exists", "-d"];
    for (jobs, url) in [("1", to.oracle()), ("1", to.proxy()), ("2", to.proxy())] {
        let mut args = again.to_vec();
        args.extend([url, "-j", jobs, &custom]);
        run("pg_restore", &args);
        same(&format!("pg_restore -j {jobs}"), &expected, &dump(url, &[]));
    }

    // ALTER TABLE ONLY … ADD PRIMARY KEY reached the shards; sequences count where their tables are.
    for node in ["A", "B", "C"] {
        let url = to.var(&format!("MARGAY_NODE_{node}_URL"));
        let invalid = "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid";
        assert_eq!(psql(url, &["-c", invalid]), "", "indexes of node {node}");
    }
    for (sql, answer) in [
        ("INSERT INTO notes (f) VALUES (1) RETURNING id", "4\n"),
        ("INSERT INTO wide (v) VALUES ('x') RETURNING id", "14\n"),
        ("SELECT nextval('tickets')", "7\n"),
        ("SELECT last_value, is_called FROM tickets", "7|t\n"),
        ("SELECT count(*), sum(total) FROM ONLY orders", "8|227.10\n"),
    ] {
        assert_eq!(psql(to.proxy(), &["-c", sql]), answer, "{sql}");
        assert_eq!(psql(to.oracle(), &["-c", sql]), answer, "{sql}");
    }
}

#[test]
fn a_dump_that_needs_one_snapshot_for_all_nodes_is_refused_by_name() {
    if !has_pg_dump() {
        return;
    }
    let sandbox = Sandbox::with(RULES, &[]);
    psql(sandbox.proxy(), &["-c", "CREATE TABLE users (id bigint)"]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = folder.path().join("dump").display().to_string();
    for (options, code) in [
        (&["-Fd", "-j2", "-f", &target][..], "MG1502"),
        (&["--serializable-deferrable"], "MG1501"),
    ] {
        let out = Command::new("pg_dump")
            .args(options)
            .arg(sandbox.proxy())
            .output()
            .expect("pg_dump runs");
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success() && errors.contains(code), "{errors}");
    }
}
