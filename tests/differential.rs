//! The first promise, held against a real server: what Margay answers is what one big PostgreSQL
//! answers, or it refuses by name. `differential/rules.yaml` has a table of every kind; the
//! corpora and a random generator ask both.
//!
//! MARGAY_VERBOSE=1 prints what is refused; MARGAY_QUERIES=100000 and MARGAY_SEED=… make the random
//! run long or repeat one.

mod differential_support;
mod support;

use std::path::{Path, PathBuf};

use differential_support::corpus;
use differential_support::random::Generator;
use differential_support::{Outcome, Rows, Sides, simple};
use support::Sandbox;

/// Fewer answers than these mean that something that worked is refused now.
const LEAST_ANSWERED: usize = 1200;
/// Of a hundred random queries.
const LEAST_RANDOM_ANSWERED_PERCENT: usize = 30;

const TABLES: &[&str] = &[
    "users", "notes", "products", "orders", "items", "pairs", "tags", "ctags", "sessions", "chars", "visits",
    "days", "stamps", "short", "shorts", "instants", "ticks", "accounts", "branches", "legacy", "legacy2",
    "regions", "rates",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential")
}

fn text(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

async fn both(sides: &Sides, sql: &str) {
    for (name, client) in [
        ("through Margay", &sides.margay),
        ("on the oracle", &sides.oracle),
    ] {
        if let other @ (Outcome::Failed(..) | Outcome::Refused(_)) = simple(client, sql).await {
            panic!("{name}: {sql}: {other:?}");
        }
    }
}

async fn whole_tables(sides: &Sides, after: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for table in TABLES {
        let differs = sides
            .check_simple(&format!("SELECT * FROM {table}"), Rows::AnyOrder)
            .await;
        wrong.extend(differs.map(|d| format!("after {after}: {d}")));
    }
    wrong
}

/// Every copy of a broadcast table equals the oracle's.
async fn copies(sandbox: &Sandbox, sides: &Sides) -> Vec<String> {
    let mut wrong = Vec::new();
    for node in ["N_A", "N_B", "N_C"] {
        let direct = support::connect(sandbox.var(&format!("MARGAY_NODE_{node}_URL"))).await;
        for table in ["regions", "rates"] {
            let sql = format!("SELECT * FROM {table} ORDER BY id");
            let (copy, whole) = (simple(&direct, &sql).await, simple(&sides.oracle, &sql).await);
            if copy != whole {
                wrong.push(format!("{node}'s copy of {table}:\n{copy:?}\n{whole:?}"));
            }
        }
    }
    wrong
}

#[tokio::test]
async fn answers_are_those_of_one_server_or_refused_by_name() {
    let sandbox = Sandbox::start(&text("rules.yaml"));
    let sides = Sides::new(sandbox.proxy(), sandbox.oracle()).await;
    for file in ["schema.sql", "rows.sql"] {
        for statement in text(file).split(";\n").map(str::trim).filter(|s| !s.is_empty()) {
            both(&sides, statement).await;
        }
    }
    // What Margay generates the oracle must make up too.
    let ids = "CREATE SEQUENCE ids START 1000; ALTER TABLE gen ALTER id SET DEFAULT nextval('ids'), ALTER other SET DEFAULT nextval('ids')";
    simple(&sides.oracle, ids).await;
    let mut wrong = whole_tables(&sides, "the first rows").await;
    for file in [
        "reads.sql",
        "reading.sql",
        "traps.sql",
        "names.sql",
        "session.sql",
        "params.sql",
    ] {
        let cases = corpus::read(&folder().join(file));
        wrong.extend(corpus::run(&sides, &cases).await);
        println!(
            "{file}: {} cases; answered, refused so far: {:?}",
            cases.len(),
            sides.counts()
        );
    }
    let mut generator = Generator::from_environment();
    wrong.extend(generator.run(&sides).await);
    let cases = corpus::read(&folder().join("writes.sql"));
    wrong.extend(corpus::run(&sides, &cases).await);
    wrong.extend(whole_tables(&sides, "the writes").await);
    wrong.extend(copies(&sandbox, &sides).await);
    let (answered, refused) = sides.counts();
    println!(
        "answered {answered} ({} of them random), refused {refused}",
        generator.answered
    );
    assert!(
        wrong.is_empty(),
        "{} wrong answers (seed {}):\n{}",
        wrong.len(),
        generator.seed,
        wrong.join("\n")
    );
    assert!(
        answered - generator.answered >= LEAST_ANSWERED,
        "only {answered} statements were answered"
    );
    assert!(
        generator.answered * 100 >= generator.asked * LEAST_RANDOM_ANSWERED_PERCENT,
        "only {} of {} random queries were answered",
        generator.answered,
        generator.asked
    );
}
