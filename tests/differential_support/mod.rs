//! Two connections, one through Margay and one to a plain server, that are told the same and must
//! answer the same.
//!
//! The rule of every comparison: the answer through Margay equals the oracle's (column names and types,
//! values in text and binary, order where ORDER BY asks for it, affected rows, SQLSTATE), or
//! Margay refuses by a code of its own. What it refuses the oracle isn't told.

pub mod corpus;
pub mod random;

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, pin_mut};
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type};
use tokio_postgres::{Client, Error, SimpleQueryMessage};

/// First OID that a server gives to users' types.
const FIRST_USER_OID: u32 = 16_384;

/// How strictly rows are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// In order where the statement's outermost level has ORDER BY, else in any.
    AsOrdered,
    AnyOrder,
    /// Only how many (LIMIT without ORDER BY).
    CountOnly,
}

/// A parameter: its declared type (0: not declared) and its text.
#[derive(Clone, Debug)]
pub struct Param {
    pub declared: Option<Type>,
    pub text: Option<String>,
}

/// What a statement came to on one side.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Answer(Vec<Result_>),
    /// SQLSTATE and message.
    Failed(String, String),
    /// Margay's own refusal.
    Refused(String),
}

/// The result of one statement of a message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Result_ {
    /// Names, with type OIDs where they are known and built in.
    pub columns: Vec<(String, u32)>,
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    pub affected: Option<u64>,
}

pub struct Sides {
    pub margay: Client,
    pub oracle: Client,
    pub answered: AtomicUsize,
    pub refused: AtomicUsize,
    pub verbose: bool,
}

/// A value in whatever format it came.
struct Bytes(Option<Vec<u8>>);

impl<'a> FromSql<'a> for Bytes {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Bytes(Some(raw.to_vec())))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Bytes(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A parameter value in text, or in binary where the type has an easy one.
#[derive(Debug)]
struct Value<'a> {
    text: Option<&'a str>,
    binary: bool,
}

fn binary(text: &str, ty: &Type) -> Option<Vec<u8>> {
    Some(match *ty {
        Type::INT2 => text.parse::<i16>().ok()?.to_be_bytes().to_vec(),
        Type::INT4 => text.parse::<i32>().ok()?.to_be_bytes().to_vec(),
        Type::INT8 => text.parse::<i64>().ok()?.to_be_bytes().to_vec(),
        Type::FLOAT4 => text.parse::<f32>().ok()?.to_be_bytes().to_vec(),
        Type::FLOAT8 => text.parse::<f64>().ok()?.to_be_bytes().to_vec(),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => text.as_bytes().to_vec(),
        Type::BOOL => vec![u8::from(text == "t")],
        _ => return None,
    })
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(text) = self.text else {
            return Ok(IsNull::Yes);
        };
        match binary(text, ty).filter(|_| self.binary) {
            Some(bytes) => out.extend_from_slice(&bytes),
            None => out.extend_from_slice(text.as_bytes()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, ty: &Type) -> Format {
        let can = self.text.is_some_and(|t| binary(t, ty).is_some());
        if self.binary && can {
            Format::Binary
        } else {
            Format::Text
        }
    }

    fn to_sql_checked(
        &self,
        ty: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.to_sql(ty, out)
    }
}

fn failed(error: &Error) -> Outcome {
    let Some(e) = error.as_db_error() else {
        return Outcome::Failed("none".into(), error.to_string());
    };
    let all = format!(
        "{} {} {}",
        e.message(),
        e.detail().unwrap_or(""),
        e.hint().unwrap_or("")
    );
    let own = all.match_indices("MG").find_map(|(i, _)| {
        all.get(i..i + 6)
            .filter(|c| c[2..].bytes().all(|b| b.is_ascii_digit()))
    });
    match own {
        // Errors that a server would give as well, found by Margay first.
        Some(_)
            if !e.code().code().starts_with("0A")
                && matches!(e.code().code(), "2201W" | "2201X" | "22003" | "25P02" | "25006") =>
        {
            Outcome::Failed(e.code().code().into(), e.message().into())
        }
        Some(code) if code.starts_with("MG1") => Outcome::Refused(all),
        Some(_) | None => Outcome::Failed(e.code().code().into(), all),
    }
}

pub async fn simple(client: &Client, sql: &str) -> Outcome {
    let messages = match client.simple_query(sql).await {
        Ok(messages) => messages,
        Err(e) => return failed(&e),
    };
    let mut out = Vec::new();
    let mut current = Result_::default();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                current.columns = columns.iter().map(|c| (c.name().to_string(), 0)).collect();
            }
            SimpleQueryMessage::Row(row) => {
                current.rows.push(
                    (0..row.len())
                        .map(|i| row.get(i).map(|v| v.as_bytes().to_vec()))
                        .collect(),
                );
            }
            SimpleQueryMessage::CommandComplete(n) => {
                current.affected = Some(n);
                out.push(std::mem::take(&mut current));
            }
            _ => {}
        }
    }
    Outcome::Answer(out)
}

async fn extended(client: &Client, sql: &str, params: &[Param], binary: bool) -> Outcome {
    let types: Vec<Type> = params
        .iter()
        .map(|p| p.declared.clone().unwrap_or(Type::UNKNOWN))
        .collect();
    let declared = if params.iter().any(|p| p.declared.is_some()) {
        types.as_slice()
    } else {
        &[]
    };
    let run = async {
        let statement = client.prepare_typed(sql, declared).await?;
        let values: Vec<Value<'_>> = params
            .iter()
            .map(|p| Value {
                text: p.text.as_deref(),
                binary,
            })
            .collect();
        let stream = client
            .query_raw(&statement, values.iter().map(|v| v as &dyn ToSql))
            .await?;
        pin_mut!(stream);
        let mut result = Result_ {
            columns: statement
                .columns()
                .iter()
                .map(|c| {
                    (
                        c.name().to_string(),
                        if c.type_().oid() < FIRST_USER_OID {
                            c.type_().oid()
                        } else {
                            0
                        },
                    )
                })
                .collect(),
            ..Result_::default()
        };
        while let Some(row) = stream.next().await {
            let row = row?;
            result
                .rows
                .push((0..row.len()).map(|i| row.get::<_, Bytes>(i).0).collect());
        }
        result.affected = stream.rows_affected();
        Ok::<_, Error>(result)
    };
    match run.await {
        Ok(result) => Outcome::Answer(vec![result]),
        Err(e) => failed(&e),
    }
}

/// Is there ORDER BY at depth 0?
fn is_ordered(sql: &str) -> bool {
    let mut depth = 0;
    let lower = sql.to_ascii_lowercase();
    let mut at = 0;
    for (i, c) in lower.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && lower[i..].starts_with("order by") => at = i + 1,
            _ => {}
        }
    }
    at > 0
}

fn equal(sql: &str, rows: Rows, a: &Outcome, b: &Outcome) -> bool {
    match (a, b) {
        (Outcome::Failed(x, _), Outcome::Failed(y, _)) => x == y,
        (Outcome::Answer(x), Outcome::Answer(y)) => {
            x.len() == y.len()
                && x.iter().zip(y).all(|(x, y)| {
                    if x.columns != y.columns || x.affected != y.affected {
                        return false;
                    }
                    match rows {
                        Rows::CountOnly => x.rows.len() == y.rows.len(),
                        Rows::AsOrdered if is_ordered(sql) => x.rows == y.rows,
                        Rows::AsOrdered | Rows::AnyOrder => {
                            let (mut x, mut y) = (x.rows.clone(), y.rows.clone());
                            x.sort();
                            y.sort();
                            x == y
                        }
                    }
                })
        }
        _ => false,
    }
}

fn shown(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(state, message) => format!("  error {state}: {message}"),
        Outcome::Refused(message) => format!("  refused: {message}"),
        Outcome::Answer(results) => results
            .iter()
            .map(|r| {
                let cell = |c: &Option<Vec<u8>>| {
                    c.as_ref()
                        .map_or("NULL".into(), |v| String::from_utf8_lossy(v).into_owned())
                };
                let rows: Vec<String> = r
                    .rows
                    .iter()
                    .take(12)
                    .map(|row| format!("    {}", row.iter().map(cell).collect::<Vec<_>>().join(" | ")))
                    .collect();
                format!(
                    "  {:?} {} rows, affected {:?}\n{}",
                    r.columns,
                    r.rows.len(),
                    r.affected,
                    rows.join("\n")
                )
            })
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

impl Sides {
    pub async fn new(margay: &str, oracle: &str) -> Sides {
        Sides {
            margay: crate::support::connect(margay).await,
            oracle: crate::support::connect(oracle).await,
            answered: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            verbose: std::env::var_os("MARGAY_VERBOSE").is_some(),
        }
    }

    /// Runs a statement on both sides, as a simple query. Some: how they differ.
    pub async fn check_simple(&self, sql: &str, rows: Rows) -> Option<String> {
        let got = simple(&self.margay, sql).await;
        if let Outcome::Refused(why) = &got {
            return self.refuse(sql, why).await;
        }
        let wanted = simple(&self.oracle, sql).await;
        self.compare("simple", sql, rows, &got, &wanted)
    }

    /// The same by the extended protocol.
    pub async fn check_extended(
        &self,
        sql: &str,
        params: &[Param],
        binary: bool,
        rows: Rows,
    ) -> Option<String> {
        let got = extended(&self.margay, sql, params, binary).await;
        if let Outcome::Refused(why) = &got {
            return self.refuse(sql, why).await;
        }
        let wanted = extended(&self.oracle, sql, params, binary).await;
        self.compare(
            if binary { "extended, binary" } else { "extended" },
            sql,
            rows,
            &got,
            &wanted,
        )
    }

    async fn refuse(&self, sql: &str, why: &str) -> Option<String> {
        self.refused.fetch_add(1, Ordering::Relaxed);
        if self.verbose {
            println!("refused: {sql}\n    {why}");
        }
        None
    }

    fn compare(&self, how: &str, sql: &str, rows: Rows, got: &Outcome, wanted: &Outcome) -> Option<String> {
        if equal(sql, rows, got, wanted) {
            self.answered.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(format!(
            "--- {how}: {sql}\n through Margay:\n{}\n on one server:\n{}\n",
            shown(got),
            shown(wanted)
        ))
    }

    pub fn counts(&self) -> (usize, usize) {
        (
            self.answered.load(Ordering::Relaxed),
            self.refused.load(Ordering::Relaxed),
        )
    }
}
