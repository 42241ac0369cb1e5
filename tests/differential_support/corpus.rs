//! Corpus files: statements separated by blank lines. Lines that begin with `--!` say how a
//! statement is compared:
//!
//! - `--! any-order`, `--! count-only`: see `Rows`;
//! - `--! params int8=5 | text=a | ?=7 | int4=NULL`: it is run by the extended protocol, with values in text
//!   and in binary (`?`: no declared type); a write only in text, unless `--! binary` is said;
//! - `--! once`: only as a simple query (reads also run by the extended protocol otherwise).

use std::path::Path;

use tokio_postgres::types::Type;

use super::{Param, Rows, Sides};

#[derive(Debug, Default)]
pub struct Case {
    sql: String,
    rows: Option<Rows>,
    params: Option<Vec<Param>>,
    binary: bool,
    once: bool,
}

fn type_named(name: &str) -> Option<Type> {
    Some(match name {
        "?" => return None,
        "bool" => Type::BOOL,
        "int2" => Type::INT2,
        "int4" => Type::INT4,
        "int8" => Type::INT8,
        "numeric" => Type::NUMERIC,
        "float8" => Type::FLOAT8,
        "text" => Type::TEXT,
        "varchar" => Type::VARCHAR,
        "bpchar" => Type::BPCHAR,
        "uuid" => Type::UUID,
        "date" => Type::DATE,
        "timestamp" => Type::TIMESTAMP,
        "timestamptz" => Type::TIMESTAMPTZ,
        "int8[]" => Type::INT8_ARRAY,
        "int4[]" => Type::INT4_ARRAY,
        "text[]" => Type::TEXT_ARRAY,
        "date[]" => Type::DATE_ARRAY,
        "timestamptz[]" => Type::TIMESTAMPTZ_ARRAY,
        other => panic!("no type {other} in the corpus reader"),
    })
}

fn params(text: &str) -> Vec<Param> {
    text.split('|')
        .map(|p| {
            let (ty, value) = p.trim().split_once('=').expect("type=value");
            Param {
                declared: type_named(ty),
                text: (value != "NULL").then(|| value.trim_matches('\'').to_string()),
            }
        })
        .collect()
}

pub fn read(file: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(file).expect("a corpus file");
    let mut out = Vec::new();
    for block in text.split("\n\n") {
        let mut case = Case::default();
        let mut lines = Vec::new();
        for line in block.lines() {
            match line.strip_prefix("--!").map(str::trim) {
                None => lines.push(line),
                Some("any-order") => case.rows = Some(Rows::AnyOrder),
                Some("count-only") => case.rows = Some(Rows::CountOnly),
                Some("once") => case.once = true,
                Some("binary") => case.binary = true,
                Some(other) => {
                    let list = other
                        .strip_prefix("params")
                        .unwrap_or_else(|| panic!("--! {other} in {}", file.display()));
                    case.params = Some(params(list));
                }
            }
        }
        case.sql = lines.join("\n").trim().to_string();
        if lines
            .iter()
            .any(|l| !l.trim().is_empty() && !l.trim_start().starts_with('#'))
        {
            case.sql = case
                .sql
                .lines()
                .filter(|l| !l.starts_with('#'))
                .collect::<Vec<_>>()
                .join("\n");
            out.push(case);
        }
    }
    out
}

fn is_read(sql: &str) -> bool {
    let first = sql
        .trim_start_matches(['(', ' ', '\n'])
        .split_whitespace()
        .next()
        .unwrap_or("")
        .to_ascii_lowercase();
    let writes = ["insert", "update", "delete", "for update"]
        .iter()
        .any(|w| sql.to_ascii_lowercase().contains(w));
    matches!(first.as_str(), "select" | "with" | "values" | "table") && !writes
}

/// Runs the cases in order; gives what differed.
pub async fn run(sides: &Sides, cases: &[Case]) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in cases {
        let rows = case.rows.unwrap_or(Rows::AsOrdered);
        match &case.params {
            Some(params) => {
                let both = is_read(&case.sql);
                for binary in [false, true] {
                    if both || binary == case.binary {
                        wrong.extend(sides.check_extended(&case.sql, params, binary, rows).await);
                    }
                }
            }
            None => {
                wrong.extend(sides.check_simple(&case.sql, rows).await);
                if is_read(&case.sql) && !case.once {
                    wrong.extend(sides.check_extended(&case.sql, &[], true, rows).await);
                }
            }
        }
    }
    wrong
}
