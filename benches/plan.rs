//! What planning costs per statement: `cargo bench --bench plan`.
//!
//! `read (hit)` is the whole way of a statement whose shape is cached, `bind` what its values add;
//! `read (miss)` parses, lowers and compiles. The rules are those of the golden tests.

use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use margay::plan::{self, Moment, Params, Planner, SessionView};
use margay::topology::{self, Database};

const POINT: &str = "SELECT id, status, total FROM orders WHERE user_id = 42 AND id = 4711";
const JOIN: &str = "SELECT o.id, i.qty FROM orders o JOIN order_items i ON i.user_id = o.user_id AND i.order_id = o.id \
     WHERE o.user_id = 42 AND o.status IN ('new', 'paid') ORDER BY o.id DESC LIMIT 20";
const SCATTER: &str =
    "SELECT status, count(*), sum(total) FROM orders GROUP BY status ORDER BY count(*) DESC LIMIT 10";
const INSERT: &str = "INSERT INTO order_items (user_id, order_id, line, product_id, qty) VALUES (42, 1, 1, 7, 1), (42, 1, 2, 8, 3)";
const PARAM: &str = "SELECT id, status, total FROM orders WHERE user_id = $1 AND id = $2";

fn view() -> SessionView {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let loaded = topology::load(&folder.join("rules.yaml"), &|_| None).unwrap_or_else(|_| panic!("rules"));
    let schema = std::fs::read_to_string(folder.join("schema.sql")).expect("schema.sql");
    let catalog = Arc::new(plan::catalog_from_sql(&schema).expect("a readable schema"));
    let database = loaded.snapshot.database("shop").expect("the database");
    SessionView::fresh(
        Arc::new(Database {
            catalog,
            ..Database::clone(database)
        }),
        0,
    )
}

fn planning(c: &mut Criterion) {
    let mut view = view();
    let statements = [
        ("point", POINT),
        ("join", JOIN),
        ("scatter", SCATTER),
        ("insert", INSERT),
        ("param", PARAM),
    ];
    for (name, sql) in statements {
        let planner = Planner::default();
        c.bench_function(&format!("read (hit) {name}"), |b| {
            b.iter(|| planner.read(sql, &view).expect("a plan"))
        });
    }
    for (name, sql) in statements {
        let planner = Planner::default();
        // Another fingerprint each time: nothing is found in the cache.
        c.bench_function(&format!("read (miss) {name}"), |b| {
            b.iter(|| {
                view.fingerprint = view.fingerprint.wrapping_add(1);
                planner.read(sql, &view).expect("a plan")
            });
        });
    }
    let planner = Planner::default();
    for (name, sql) in statements {
        let statement = planner.read(sql, &view).expect("a plan");
        let params = Params {
            types: &[20, 20],
            binary: vec![false, false],
            values: vec![Some(b"42"), Some(b"4711")],
        };
        let mut next_id = || Ok(1);
        c.bench_function(&format!("bind {name}"), |b| {
            b.iter(|| {
                let mut moment = Moment {
                    now_us: 0,
                    statement_us: 0,
                    in_transaction: false,
                    next_id: &mut next_id,
                };
                statement.bind(&view, &params, &mut moment).expect("a plan")
            });
        });
    }
    c.bench_function("split", |b| b.iter(|| plan::split(POINT, true)));
}

criterion_group!(benches, planning);
criterion_main!(benches);
