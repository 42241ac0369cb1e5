//! What is fuzzed, with what must hold: nothing panics, nothing is allocated by a number that was only read, and
//! the rules that each entry says. Shared by cargo-fuzz (fuzz_targets/) and the short run (tests/fuzz_short.rs).

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use margay::model::NodeId;
use margay::plan::{self, Command, Moment, Params, Planner, SessionView};
use margay::topology::{self, Database, Overrides, Snapshot};
use margay::wire::postgres::{backend, frame, frontend};

const NOW_US: i64 = 826_891_200_000_000;

/// Frames and messages of both directions. What decodes and is written again decodes to the same.
pub fn codec(data: &[u8]) {
    let mut input = bytes::BytesMut::from(data);
    while let Ok(Some(frame)) = frame::split(&mut input, frame::MAX_LOGIN) {
        message(frame.tag, frame.body());
    }
    if let Some((tag, body)) = data.split_first() {
        message(*tag, body);
    }
    let _ = frontend::decode_opening(data);
    let _ = frame::peek_startup(data);
    let _ = frontend::decode_password(data);
    let _ = frontend::decode_sasl_initial(data);
}

fn message(tag: u8, body: &[u8]) {
    if let Ok(message) = frontend::decode(tag, body) {
        let mut out = bytes::BytesMut::new();
        message.encode(&mut out);
        let again = frontend::decode(tag, out.get(frame::HEADER..).unwrap_or_default());
        assert_eq!(format!("{again:?}"), format!("{:?}", Ok::<_, ()>(message)));
    }
    if let Ok(backend::Message::RowDescription(row)) = backend::decode(tag, body) {
        assert_eq!(row.fields().count(), row.len());
    }
    if let Ok(row) = backend::DataRow::decode(body) {
        assert!(row.columns().count() <= row.len());
    }
    if let Ok(fields) = backend::Fields::decode(body) {
        let _ = fields.iter().count();
    }
}

/// Cutting a message into statements: the pieces are in the text, in order, and cut no further.
pub fn lexer(data: &[u8]) {
    let Ok(sql) = std::str::from_utf8(data) else {
        return;
    };
    for standard_strings in [true, false] {
        let mut at = 0;
        for piece in plan::split(sql, standard_strings) {
            let start = piece.as_ptr() as usize - sql.as_ptr() as usize;
            assert!(start >= at && start + piece.len() <= sql.len());
            at = start + piece.len();
            assert_eq!(plan::split(piece, standard_strings), [piece]);
        }
    }
}

fn snapshot() -> &'static Snapshot {
    static SNAPSHOT: OnceLock<Snapshot> = OnceLock::new();
    SNAPSHOT.get_or_init(|| {
        let rules = include_str!("../tests/golden/rules.yaml");
        let texts = vec![(PathBuf::from("rules.yaml"), rules.to_owned())];
        let loaded =
            topology::load_texts(texts, &|_| None, &Overrides::default()).expect("golden rules are right");
        let schema = include_str!("../tests/golden/schema.sql");
        let catalog = Arc::new(plan::catalog_from_sql(schema).expect("a readable schema"));
        let mut snapshot = loaded.snapshot;
        for database in &mut snapshot.databases {
            *database = Arc::new(Database {
                catalog: catalog.clone(),
                ..Database::clone(database)
            });
        }
        snapshot
    })
}

/// Split, shape, lower, compile and bind against fixed rules. A plan from the cache is the plan.
pub fn lowering(data: &[u8]) {
    let Ok(sql) = std::str::from_utf8(data) else {
        return;
    };
    let database = snapshot().database("shop").expect("the database").clone();
    let mut view = SessionView::fresh(database, NOW_US);
    view.standard_conforming_strings = !data.len().is_multiple_of(7);
    view.seal();
    let planner = Planner::default();
    for piece in plan::split(sql, view.standard_conforming_strings) {
        let first = printed(&planner, &view, piece);
        assert_eq!(first, printed(&planner, &view, piece), "{piece}");
    }
}

fn printed(planner: &Planner, view: &SessionView, sql: &str) -> String {
    let name = |id: NodeId| snapshot().node(id).name.to_string();
    let mut id = 100;
    let mut next_id = || {
        id += 1;
        Ok(id)
    };
    let mut moment = Moment {
        now_us: NOW_US,
        next_id: &mut next_id,
        statement_us: NOW_US,
        in_transaction: false,
    };
    let statement = match planner.read(sql, view) {
        Ok(statement) => statement,
        Err(fault) => return plan::print(&Err(fault), sql, &name),
    };
    match &statement.command {
        Command::Query(_) => {
            let _ = statement.describe(view);
            plan::print(&statement.bind(view, &Params::default(), &mut moment), sql, &name)
        }
        other => format!("{other:?}"),
    }
}

/// A rules file is right or told what is wrong with it.
pub fn rules(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let texts = vec![(PathBuf::from("rules.yaml"), text.to_owned())];
    if let Err(problems) = topology::load_texts(texts, &|_| None, &Overrides::default()) {
        assert!(!problems.is_empty());
        for problem in problems {
            let _ = problem.to_string();
        }
    }
}
