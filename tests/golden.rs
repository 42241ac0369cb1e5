//! Golden cases of the planner: SQL in, plan out. A case is the SQL, a line `----`, the plan; cases
//! are separated by blank lines, lines with `#` before a case are comments; `# within a transaction` says
//! that the statement is one of several.
//!
//! After a wanted change: MARGAY_UPDATE=1 cargo test --test golden

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use margay::model::NodeId;
use margay::plan::{self, Command, Moment, Params, Planner, SessionView};
use margay::topology::{self, Database, Snapshot};

/// 2026-03-15 12:00:00 UTC, in microseconds since 2000-01-01.
const NOW_US: i64 = 826_891_200_000_000;

fn snapshot(folder: &Path) -> Snapshot {
    let loaded = topology::load(&folder.join("rules.yaml"), &|_| None).unwrap_or_else(|problems| {
        panic!(
            "{}",
            problems
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        );
    });
    let schema = std::fs::read_to_string(folder.join("schema.sql")).expect("schema.sql");
    let catalog = Arc::new(plan::catalog_from_sql(&schema).expect("a readable schema"));
    let mut snapshot = loaded.snapshot;
    snapshot.databases = snapshot
        .databases
        .iter()
        .map(|d| {
            Arc::new(Database {
                catalog: catalog.clone(),
                ..Database::clone(d)
            })
        })
        .collect();
    snapshot
}

fn view(snapshot: &Snapshot) -> SessionView {
    let mut view = SessionView::fresh(snapshot.database("shop").expect("the database").clone(), NOW_US);
    view.names = plan::LogicalNames {
        current_user: Some("alice".into()),
        session_user: Some("alice".into()),
        database: Some("shop".into()),
    };
    view.seal();
    view
}

fn plan(
    planner: &Planner,
    snapshot: &Snapshot,
    view: &SessionView,
    sql: &str,
    in_transaction: bool,
) -> String {
    let name = |id: NodeId| snapshot.node(id).name.to_string();
    let mut id = 100;
    let mut next_id = || {
        id += 1;
        Ok(id)
    };
    let statement = match planner.read(sql, view) {
        Ok(statement) => statement,
        Err(fault) => return plan::print(&Err(fault), sql, &name),
    };
    match &statement.command {
        Command::Query(_) => {
            let mut moment = Moment {
                now_us: NOW_US,
                statement_us: NOW_US,
                in_transaction,
                next_id: &mut next_id,
            };
            let planned = statement.bind(view, &Params::default(), &mut moment);
            plan::print(&planned, sql, &name)
        }
        other => format!("session: {other:?}\n"),
    }
}

#[test]
fn plans_are_as_written_in_the_golden_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let snapshot = snapshot(&folder);
    let view = view(&snapshot);
    let planner = Planner::default();
    let update = std::env::var_os("MARGAY_UPDATE").is_some();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("tests/golden")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no golden files");
    let mut wrong = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a golden file");
        let mut out = String::new();
        for case in text.split("\n\n").filter(|c| !c.trim().is_empty()) {
            let (sql, wanted) = case.split_once("\n----").unwrap_or((case.trim_end(), ""));
            let body: Vec<&str> = sql.lines().filter(|l| !l.starts_with('#')).collect();
            // Twice: the second time the plan comes from the cache and must be the same.
            let within = sql.lines().any(|l| l == "# within a transaction");
            let first = plan(&planner, &snapshot, &view, &body.join("\n"), within);
            let got = plan(&planner, &snapshot, &view, &body.join("\n"), within);
            assert_eq!(first, got, "the cache changes the plan of {sql}");
            writeln!(out, "{}\n----\n{}", sql.trim_start_matches('\n'), got).expect("a string");
            if wanted.trim() != got.trim() && !update {
                writeln!(
                    wrong,
                    "{}\n{sql}\n---- wanted{wanted}\n---- got\n{got}",
                    file.display()
                )
                .expect("a string");
            }
        }
        if update {
            std::fs::write(&file, out.trim_end().to_string() + "\n").expect("writing the golden file");
        }
    }
    assert!(
        wrong.is_empty(),
        "{wrong}\nIf the change is wanted: MARGAY_UPDATE=1 cargo test --test golden"
    );
}
