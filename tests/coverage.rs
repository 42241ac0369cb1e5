//! How much real SQL Margay reads: a corpus of statements, each read as the planner reads it.
//!
//! The corpus is `tests/corpus/*.sql` (what drivers, ORMs and the shop send) and, where
//! `MARGAY_CORPUS` names a folder (`make coverage` fetches it), PostgreSQL's own regression files.
//! A statement counts if a real server's grammar takes it. Prints a table; MARGAY_VERBOSE=1 lists
//! every statement that isn't read and why.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use support::Sandbox;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

const RULES: &str = "version: 1
listen: {postgres: 127.0.0.1:6432}
users: [{name: app, password: {plain: secret}}]
nodes: {n: {primary: \"postgres://app@127.0.0.1/app\"}}
databases: {app: {engine: postgres, default_domain: d, domains: {d: {nodes: [n], tables: {}}}}}
";

/// Queries and statements that change rows: what must be read to be routed by a key.
const COUNTED: [&str; 8] = [
    "select", "insert", "update", "delete", "with", "values", "table", "merge",
];

/// What must be read of the statements in `COUNTED`, in thousandths.
const FLOOR: usize = 990;

#[derive(Default)]
struct Tally {
    read: usize,
    all: usize,
}

/// Takes out of a psql script what only psql reads: backslash commands and the data behind COPY … FROM stdin.
fn without_psql(text: &str) -> String {
    let mut out = String::new();
    let mut in_data = false;
    for line in text.lines() {
        if in_data {
            in_data = line != "\\.";
            continue;
        }
        if line.starts_with('\\') {
            continue;
        }
        // A command at the end of a line (`SELECT 1 \gset`) ends the statement.
        let line = match line.find(" \\") {
            Some(at)
                if line[at + 2..].starts_with(|c: char| c.is_ascii_lowercase())
                    && !line[..at].contains('\'') =>
            {
                out.push_str(&line[..at]);
                out.push_str(";\n");
                continue;
            }
            _ => line,
        };
        out.push_str(line);
        out.push('\n');
        let lower = line.to_ascii_lowercase();
        in_data = lower.contains("copy ") && lower.contains("from stdin") && lower.trim_end().ends_with(';');
    }
    out
}

fn first_word(sql: &str) -> String {
    let mut rest = sql.trim_start();
    loop {
        if let Some(line) = rest.strip_prefix("--") {
            rest = line.split_once('\n').map_or("", |(_, r)| r).trim_start();
        } else if let Some(block) = rest.strip_prefix("/*") {
            rest = block.split_once("*/").map_or("", |(_, r)| r).trim_start();
        } else if let Some(inner) = rest.strip_prefix('(') {
            rest = inner.trim_start();
        } else {
            break;
        }
    }
    rest.chars()
        .take_while(char::is_ascii_alphabetic)
        .collect::<String>()
        .to_ascii_lowercase()
}

/// Whether the server's grammar takes it; what its analysis says of missing tables doesn't matter.
async fn is_sql(client: &Client, sql: &str) -> bool {
    match client.prepare(sql).await {
        Ok(_) => true,
        Err(e) => e.code().is_some_and(|c| *c != SqlState::SYNTAX_ERROR),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|f| f.expect("a readable folder").path())
        .filter(|p| p.extension().is_some_and(|e| e == "sql"))
        .collect();
    files.sort();
    files
}

async fn measure(client: &Client, folder: &Path) -> BTreeMap<String, Tally> {
    let verbose = std::env::var_os("MARGAY_VERBOSE").is_some();
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for file in files(folder) {
        let bytes = std::fs::read(&file).expect("a readable file");
        let text = without_psql(&String::from_utf8_lossy(&bytes));
        for sql in margay::plan::split(&text, true) {
            let word = first_word(sql);
            if !COUNTED.contains(&word.as_str()) || !is_sql(client, sql).await {
                continue;
            }
            let tally = tallies.entry(word).or_default();
            tally.all += 1;
            match margay::plan::unreadable(sql) {
                None => tally.read += 1,
                Some(why) if verbose => {
                    println!(
                        "{}: {why}\n    {}",
                        file.display(),
                        sql.trim().replace('\n', "\n    ")
                    );
                }
                Some(_) => {}
            }
        }
    }
    tallies
}

fn print(name: &str, tallies: &BTreeMap<String, Tally>) -> usize {
    println!("{name}");
    let mut sum = Tally::default();
    for (word, t) in tallies {
        println!(
            "  {word:<8} {:>6} of {:>6}  {:>5.1} %",
            t.read,
            t.all,
            100.0 * t.read as f64 / t.all as f64
        );
        sum.read += t.read;
        sum.all += t.all;
    }
    println!(
        "  {:<8} {:>6} of {:>6}  {:>5.1} %",
        "all",
        sum.read,
        sum.all,
        100.0 * sum.read as f64 / sum.all.max(1) as f64
    );
    sum.read * 1000 / sum.all.max(1)
}

#[tokio::test]
async fn most_real_statements_are_read() {
    let sandbox = Sandbox::with(RULES, &["--oracle", "--no-proxy"]);
    let (client, connection) = tokio_postgres::connect(sandbox.oracle(), NoTls)
        .await
        .expect("the oracle is up");
    tokio::spawn(connection);
    let mut folders = vec![];
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    if own.is_dir() {
        folders.push(("drivers, ORMs, the shop".to_owned(), own));
    }
    match std::env::var_os("MARGAY_CORPUS") {
        Some(folder) => folders.push(("PostgreSQL's regression files".to_owned(), folder.into())),
        None => println!("PostgreSQL's regression files: skipped, `make coverage` fetches them"),
    }
    for (name, folder) in folders {
        let read = print(&name, &measure(&client, &folder).await);
        assert!(
            read >= FLOOR,
            "{name}: {read} of 1000 are read, at least {FLOOR} must be"
        );
    }
}
