//! Statements of any length and depth: planned, or refused by name; never an overflow of the stack, which
//! would end the process with every session in it.

use std::path::Path;
use std::sync::Arc;

use margay::model::Code;
use margay::plan::{self, Moment, Params, Planner, SessionView};
use margay::topology::{self, Database};

/// 2026-03-15 12:00:00 UTC, in microseconds since 2000-01-01.
const NOW_US: i64 = 826_891_200_000_000;

fn view() -> SessionView {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let loaded = topology::load(&folder.join("rules.yaml"), &|_| None).expect("rules that hold");
    let schema = std::fs::read_to_string(folder.join("schema.sql")).expect("schema.sql");
    let catalog = Arc::new(plan::catalog_from_sql(&schema).expect("a readable schema"));
    let rules = loaded.snapshot.database("shop").expect("the database");
    let mut view = SessionView::fresh(
        Arc::new(Database {
            catalog,
            ..Database::clone(rules)
        }),
        NOW_US,
    );
    view.names = plan::LogicalNames {
        current_user: Some("alice".into()),
        session_user: Some("alice".into()),
        database: Some("shop".into()),
    };
    view.seal();
    view
}

/// How many nodes it goes to; None: refused as too complex.
fn nodes(planner: &Planner, view: &SessionView, sql: &str) -> Option<usize> {
    let mut next_id = || Ok(1);
    let mut moment = Moment {
        now_us: NOW_US,
        statement_us: NOW_US,
        in_transaction: false,
        next_id: &mut next_id,
    };
    let planned = planner
        .read(sql, view)
        .and_then(|statement| statement.bind(view, &Params::default(), &mut moment));
    match planned {
        Ok(plan) => Some(plan.parts.len()),
        Err(fault) if fault.code == Code::TOO_COMPLEX => None,
        // Refused for another reason, after it was read.
        Err(_) => Some(0),
    }
}

/// A statement of n links of one kind.
fn chains(n: usize) -> Vec<(&'static str, String)> {
    let each = |f: &dyn Fn(usize) -> String, between: &str| (0..n).map(f).collect::<Vec<_>>().join(between);
    let same = |what: &str, between: &str| vec![what; n].join(between);
    vec![
        (
            "OR of keys",
            format!(
                "SELECT id FROM orders WHERE {}",
                each(&|i| format!("user_id = {i}"), " OR ")
            ),
        ),
        (
            "AND",
            format!(
                "SELECT id FROM orders WHERE {}",
                each(&|i| format!("user_id <> {i}"), " AND ")
            ),
        ),
        (
            "AND of keys",
            format!("SELECT id FROM orders WHERE {}", same("user_id = 1", " AND ")),
        ),
        (
            "AND of bounds",
            format!(
                "SELECT id FROM orders WHERE {}",
                each(&|i| format!("user_id > {i}"), " AND ")
            ),
        ),
        (
            "AND and OR in turn",
            format!(
                "SELECT id FROM orders WHERE {}",
                same("user_id = 1 AND id = 2", " OR ")
            ),
        ),
        (
            "OR of expressions",
            format!("SELECT id FROM orders WHERE {}", same("id + 1 = 2", " OR ")),
        ),
        (
            "IN",
            format!(
                "SELECT id FROM orders WHERE user_id IN ({})",
                each(&|i| i.to_string(), ", ")
            ),
        ),
        ("UNION ALL", same("SELECT 1", " UNION ALL ")),
        (
            "UNION of tables",
            same("SELECT id FROM orders WHERE user_id = 1", " UNION "),
        ),
        ("EXCEPT of lists", same("SELECT 1, 2", " EXCEPT ")),
        ("concatenation", format!("SELECT {}", same("'a'", " || "))),
        (
            "sum",
            format!("SELECT id FROM orders WHERE user_id = {}", same("1", " + ")),
        ),
        ("comparison", format!("SELECT {}", same("1", " = "))),
        (
            "casts",
            format!("SELECT id FROM orders WHERE user_id = 1{}", "::int".repeat(n)),
        ),
        (
            "casts of a written key",
            format!(
                "INSERT INTO orders (id, user_id) VALUES (1, 1{})",
                "::int".repeat(n)
            ),
        ),
        (
            "casts of a limit",
            format!("SELECT id FROM orders ORDER BY id LIMIT 1{}", "::int".repeat(n)),
        ),
        (
            "IS NULL",
            format!("SELECT id FROM orders WHERE user_id{}", " IS NULL".repeat(n)),
        ),
        ("subscripts", format!("SELECT id{} FROM orders", "[1]".repeat(n))),
        ("COLLATE", format!("SELECT 'a'{}", " COLLATE \"C\"".repeat(n))),
        (
            "AT TIME ZONE",
            format!("SELECT now(){}", " AT TIME ZONE 'UTC'".repeat(n)),
        ),
        ("LIKE", format!("SELECT {}", same("'a'", " LIKE "))),
        ("BETWEEN", format!("SELECT {}", same("1", " BETWEEN 1 AND "))),
        ("JSON", format!("SELECT id{} FROM orders", "->'a'".repeat(n))),
        (
            "parentheses",
            format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n)),
        ),
        ("parentheses open", format!("SELECT {}", "(".repeat(n))),
        (
            "subqueries",
            format!("{}SELECT 1{}", "SELECT (".repeat(n), ")".repeat(n)),
        ),
        ("NOT", format!("SELECT {}true", "NOT ".repeat(n))),
        (
            "signs",
            format!("SELECT id FROM orders WHERE user_id = {}1", "- ".repeat(n)),
        ),
        (
            "CASE",
            format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(n), " END".repeat(n)),
        ),
        ("calls", format!("SELECT {}1{}", "abs(".repeat(n), ")".repeat(n))),
        (
            "comma join",
            format!("SELECT 1 FROM {}", each(&|i| format!("orders o{i}"), ", ")),
        ),
        (
            "JOIN",
            format!(
                "SELECT 1 FROM users u{}",
                each(&|i| format!(" JOIN users u{i} ON u{i}.id = u.id"), "")
            ),
        ),
        (
            "CROSS JOIN",
            format!("SELECT 1 FROM orders o{}", " CROSS JOIN orders".repeat(n)),
        ),
        (
            "WITH",
            format!(
                "WITH {} SELECT 1",
                each(&|i| format!("c{i} AS (SELECT {i})"), ", ")
            ),
        ),
        (
            "WITH of each other",
            format!(
                "WITH c0 AS (SELECT 1 AS a), {} SELECT * FROM c{n}",
                each(&|i| format!("c{} AS (SELECT a FROM c{i})", i + 1), ", ")
            ),
        ),
        (
            "rows",
            format!(
                "INSERT INTO orders (id, user_id) VALUES {}",
                each(&|i| format!("({i}, {i})"), ", ")
            ),
        ),
        ("items", format!("SELECT {} FROM orders", same("id", ", "))),
        ("EXPLAIN", format!("{} SELECT 1", same("EXPLAIN", " "))),
        (
            "EXPLAIN ROUTE",
            format!("{} SELECT 1", same("EXPLAIN ROUTE", " ")),
        ),
        (
            "arrays",
            format!("SELECT {}1{}", "ARRAY[".repeat(n), "]".repeat(n)),
        ),
        (
            "rows in rows",
            format!("SELECT {}1{}", "ROW(".repeat(n), ")".repeat(n)),
        ),
        ("dots", format!("SELECT a{}", ".a".repeat(n))),
        (
            "update",
            format!("UPDATE orders SET total = {} WHERE user_id = 1", same("1", " + ")),
        ),
        (
            "column",
            format!("CREATE TABLE plain (a int DEFAULT {})", same("1", " + ")),
        ),
        (
            "reference",
            format!(
                "CREATE TABLE plain (a int REFERENCES users (id), CHECK ({}))",
                same("a > 0", " OR ")
            ),
        ),
        (
            "view",
            format!(
                "CREATE VIEW v AS SELECT id FROM users WHERE {}",
                same("id = 1", " OR ")
            ),
        ),
    ]
}

#[test]
fn chains_of_thousands_are_planned_or_refused_by_name() {
    let (planner, view) = (Planner::default(), view());
    for n in [500, 5000] {
        for (kind, sql) in chains(n) {
            let on = nodes(&planner, &view, &sql);
            let may_be_refused = ["parentheses", "parentheses open", "subqueries", "CASE", "calls"];
            assert!(
                n > 500 || on.is_some() || may_be_refused.contains(&kind) || kind == "COLLATE",
                "{kind} {n}"
            );
            let must = [
                "OR of keys",
                "AND",
                "concatenation",
                "sum",
                "UNION ALL",
                "rows",
                "view",
            ];
            assert!(on.is_some_and(|on| on > 0) || !must.contains(&kind), "{kind} {n}");
        }
    }
}
