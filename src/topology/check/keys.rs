//! Key columns, values of keys, and starts of periods, as written in rules.

use jiff::civil;

use crate::model::{KeyType, TableName, Value};

use super::super::file::{Key, KeyColumn as WrittenColumn, Scalar};
use super::super::placement::Every;
use super::super::placement::time::{self, DAY_US};
use super::super::snapshot::{Engine, KeyColumn};
use super::{Check, join};

/// PostgreSQL's limit on the columns of a partition key (PARTITION_MAX_KEYS).
const MOST_KEY_COLUMNS: usize = 32;

/// Types a key may have, for messages.
const TYPES: &str =
    "boolean, smallint, integer, bigint, text, char, uuid, bytea, date, timestamp, timestamptz";

impl Check<'_> {
    /// The columns of a key at `path`, folded as the server folds them.
    pub(super) fn key(&mut self, key: &Key, engine: Engine, path: &[&str]) -> Vec<KeyColumn> {
        let columns: &[WrittenColumn] = match key {
            Key::One(column) => std::slice::from_ref(column),
            Key::Several(columns) => columns,
        };
        if columns.is_empty() || columns.len() > MOST_KEY_COLUMNS {
            self.wrong(
                path,
                format!("a key of {} columns", columns.len()),
                "name 1 to 32 columns",
            );
        }
        let mut all: Vec<KeyColumn> = Vec::with_capacity(columns.len());
        for (i, column) in columns.iter().enumerate() {
            let index = i.to_string();
            let path = match key {
                Key::One(_) => path.to_vec(),
                Key::Several(_) => join(path, &[&index]),
            };
            let (name, ty) = match column {
                WrittenColumn::Name(name) => (name, None),
                WrittenColumn::Typed(typed) => (&typed.column, typed.ty.as_ref()),
            };
            let Some(column) = fold(name, engine) else {
                self.wrong(
                    &path,
                    format!("`{name}` is no name of a column"),
                    "write a column's name",
                );
                continue;
            };
            if all.iter().any(|k| *k.column == *column) {
                self.wrong(
                    &path,
                    format!("the column `{name}` is in the key twice"),
                    "name it once",
                );
            }
            let ty = ty.and_then(|written| {
                let ty = KeyType::from_sql(written);
                if ty.is_none() {
                    let path = join(&path, &["type"]);
                    self.wrong(
                        &path,
                        format!("a key can't be of type `{written}`"),
                        format!("write one of: {TYPES}"),
                    );
                }
                ty
            });
            all.push(KeyColumn {
                column: column.into(),
                ty,
            });
        }
        all
    }

    /// A value of a key of type `ty` at `path`.
    pub(super) fn value(&mut self, scalar: &Scalar, ty: Option<KeyType>, path: &[&str]) -> Option<Value> {
        let read = match ty {
            Some(ty) => value_of(scalar, ty),
            None => match scalar {
                Scalar::Bool(b) => Some(Value::Bool(*b)),
                Scalar::Int(i) => Some(Value::Int(*i)),
                Scalar::Text(text) => {
                    // A text that reads as another type too would be placed by the wrong one.
                    for ty in [KeyType::Date, KeyType::Timestamptz, KeyType::Uuid, KeyType::Int8] {
                        if value_of(&Scalar::Text(text.clone()), ty).is_some() {
                            let message = format!("`{text}` may be text or of type {}", ty.sql());
                            self.wrong(
                                path,
                                message,
                                "say the key's type, as `key: {column: name, type: text}`",
                            );
                            return None;
                        }
                    }
                    Some(Value::Text(text.as_bytes().into()))
                }
            },
        };
        if read.is_none() {
            let ty = ty.map_or("the key's type", KeyType::sql);
            let fix = match scalar {
                Scalar::Int(i) if ty == "text" || ty == "character" => format!("write it in quotes: \"{i}\""),
                Scalar::Bool(b) if ty == "text" || ty == "character" => {
                    format!("write it in quotes: \"{b}\"")
                }
                Scalar::Bool(_) | Scalar::Int(_) | Scalar::Text(_) => format!("write a value of type {ty}"),
            };
            self.wrong(path, format!("{} is no value of type {ty}", show(scalar)), fix);
        }
        read
    }
}

pub(super) fn show(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Bool(b) => b.to_string(),
        Scalar::Int(i) => i.to_string(),
        Scalar::Text(text) => format!("`{text}`"),
    }
}

/// A name as the server compares it: PostgreSQL folds what isn't in double quotes to lower case.
/// None: empty, too long, or with a zero byte.
pub(super) fn fold(name: &str, engine: Engine) -> Option<String> {
    let quoted = name.strip_prefix('"').and_then(|n| n.strip_suffix('"'));
    let folded = match (quoted, engine) {
        (Some(inner), _) => inner.replace("\"\"", "\""),
        (None, Engine::Postgres) => name.to_lowercase(),
        (None, Engine::Mysql) => name.to_owned(),
    };
    (!folded.is_empty() && folded.len() <= longest_name(engine) && !folded.contains('\0')).then_some(folded)
}

/// Bytes (characters on MySQL) of an identifier.
pub(super) fn longest_name(engine: Engine) -> usize {
    match engine {
        Engine::Postgres => 63,
        Engine::Mysql => 64,
    }
}

/// `orders`, `sales.orders`, `"Sales"."Orders"`.
pub(super) fn table_name(text: &str, engine: Engine, database: &str) -> Option<TableName> {
    let mut parts = Vec::new();
    let (mut part, mut quoted) = (String::new(), false);
    for c in text.chars() {
        match c {
            '.' if !quoted => parts.push(std::mem::take(&mut part)),
            _ => {
                quoted ^= c == '"';
                part.push(c);
            }
        }
    }
    parts.push(part);
    let default_schema = match engine {
        Engine::Postgres => "public".to_owned(),
        Engine::Mysql => database.to_owned(),
    };
    match parts.as_slice() {
        [table] => Some(TableName::new(default_schema, fold(table, engine)?)),
        [schema, table] => Some(TableName::new(fold(schema, engine)?, fold(table, engine)?)),
        _ => None,
    }
}

fn value_of(scalar: &Scalar, ty: KeyType) -> Option<Value> {
    match (ty, scalar) {
        (KeyType::Bool, Scalar::Bool(b)) => Some(Value::Bool(*b)),
        (KeyType::Int2, Scalar::Int(i)) => i16::try_from(*i).ok().map(|_| Value::Int(*i)),
        (KeyType::Int4, Scalar::Int(i)) => i32::try_from(*i).ok().map(|_| Value::Int(*i)),
        (KeyType::Int8, Scalar::Int(i)) => Some(Value::Int(*i)),
        (KeyType::Int2 | KeyType::Int4 | KeyType::Int8, Scalar::Text(text)) => {
            value_of(&Scalar::Int(text.parse().ok()?), ty)
        }
        (KeyType::Text, Scalar::Text(text)) => Some(Value::Text(text.as_bytes().into())),
        (KeyType::Bpchar, Scalar::Text(text)) => {
            Some(Value::Text(text.trim_end_matches(' ').as_bytes().into()))
        }
        (KeyType::Uuid, Scalar::Text(text)) => uuid(text).map(Value::Uuid),
        (KeyType::Bytea, Scalar::Text(text)) => {
            hex(text.strip_prefix("\\x")?).map(|bytes| Value::Bytea(bytes.into()))
        }
        (KeyType::Date, Scalar::Text(text)) => {
            let us = moment(text)?;
            (us % DAY_US == 0)
                .then(|| i32::try_from(us / DAY_US).ok())
                .flatten()
                .map(Value::Date)
        }
        (KeyType::Timestamp, Scalar::Text(text)) => moment(text).map(Value::Timestamp),
        // Without an offset it is UTC; with one, the instant.
        (KeyType::Timestamptz, Scalar::Text(text)) => moment(text).map(Value::Timestamp).or_else(|| {
            let instant: jiff::Timestamp = text.parse().ok()?;
            let local = jiff::tz::TimeZone::UTC.to_datetime(instant);
            time::micros(local).map(Value::Timestamp)
        }),
        (
            KeyType::Bool
            | KeyType::Int2
            | KeyType::Int4
            | KeyType::Int8
            | KeyType::Text
            | KeyType::Bpchar
            | KeyType::Uuid
            | KeyType::Bytea
            | KeyType::Date
            | KeyType::Timestamp
            | KeyType::Timestamptz,
            Scalar::Bool(_) | Scalar::Int(_) | Scalar::Text(_),
        ) => None,
    }
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let hyphens = text.char_indices().filter(|(_, c)| *c == '-').map(|(i, _)| i);
    if !hyphens.eq([8, 13, 18, 23]) {
        return None;
    }
    hex(&text.replace('-', ""))?.try_into().ok()
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits?;
    (digits.len() % 2 == 0).then(|| digits.chunks_exact(2).map(|d| (d[0] * 16 + d[1]) as u8).collect())
}

/// `2026-01-15`, `2026-01-15 08:00`, `2026-01-15T08:00:00.5`: microseconds since 2000-01-01.
fn moment(text: &str) -> Option<i64> {
    let plain = text.len() >= 10 && text.chars().all(|c| c.is_ascii_digit() || "-:. T".contains(c));
    if !plain {
        return None;
    }
    let local = match text.parse::<civil::Date>() {
        Ok(date) if text.len() == 10 => date.to_datetime(civil::Time::midnight()),
        _ => text.parse::<civil::DateTime>().ok()?,
    };
    time::micros(local)
}

/// The start of a first period: `2026`, `2026-01`, `2026-01-15`, `2026-W03`, `2026-01-15T08`.
/// The error says what to write.
pub(super) fn first_period(from: &Scalar, every: Every) -> Result<i64, String> {
    let example = match every {
        Every::Hour => "`2026-01-15T08`",
        Every::Day => "`2026-01-15`",
        Every::Week => "`2026-W03`, or the date of a Monday",
        Every::Month => "`2026-01`",
        Every::Year => "`2026`",
    };
    let usage = || format!("write the start of a {}, as {example}", every.name());
    let text = match from {
        Scalar::Int(year) => year.to_string(),
        Scalar::Text(text) => text.clone(),
        Scalar::Bool(_) => return Err(usage()),
    };
    let digits = |t: &str, n: usize| t.len() == n && t.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').collect();
    let us = match parts.as_slice() {
        [year] if digits(year, 4) => moment(&format!("{year}-01-01")),
        [year, week] if digits(year, 4) && week.starts_with(['W', 'w']) => week_start(year, &week[1..]),
        [year, month] if digits(year, 4) && digits(month, 2) => moment(&format!("{year}-{month}-01")),
        [_, _, day] if day.len() == 5 && day[2..].starts_with(['T', ' ']) => moment(&format!("{text}:00")),
        [_, _, _] => moment(&text),
        _ => None,
    };
    let us = us.ok_or_else(usage)?;
    match time::floor(every, us) {
        Some(start) if start == us => Ok(us),
        Some(start) => Err(format!(
            "a {} starts at {}",
            every.name(),
            Value::Timestamp(start)
        )),
        None => Err(usage()),
    }
}

fn week_start(year: &str, week: &str) -> Option<i64> {
    let (year, week) = (year.parse().ok()?, week.parse().ok()?);
    let monday = civil::ISOWeekDate::new(year, week, civil::Weekday::Monday)
        .ok()?
        .date();
    time::micros(monday.to_datetime(civil::Time::midnight()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(from: &str, every: Every) -> Result<String, String> {
        first_period(&Scalar::Text(from.into()), every).map(|us| Value::Timestamp(us).to_string())
    }

    #[test]
    fn a_first_period_is_read_in_its_own_form() {
        assert_eq!(
            first_period(&Scalar::Int(2026), Every::Year).map(|us| us > 0),
            Ok(true)
        );
        assert_eq!(start("2026-01", Every::Month).unwrap(), "2026-01-01 00:00:00");
        assert_eq!(start("2026", Every::Month).unwrap(), "2026-01-01 00:00:00");
        assert_eq!(start("2026-01-15", Every::Day).unwrap(), "2026-01-15 00:00:00");
        assert_eq!(start("2026-W03", Every::Week).unwrap(), "2026-01-12 00:00:00");
        assert_eq!(start("2026-01-12", Every::Week).unwrap(), "2026-01-12 00:00:00");
        assert_eq!(
            start("2026-01-15T08", Every::Hour).unwrap(),
            "2026-01-15 08:00:00"
        );
        assert_eq!(
            start("2026-01-15 08:00", Every::Hour).unwrap(),
            "2026-01-15 08:00:00"
        );
    }

    #[test]
    fn a_moment_inside_a_period_is_no_start() {
        assert!(
            start("2026-01-15", Every::Month)
                .unwrap_err()
                .contains("2026-01-01")
        );
        assert!(
            start("2026-01-15", Every::Week)
                .unwrap_err()
                .contains("2026-01-12")
        );
        for wrong in [
            "",
            "26",
            "2026-13",
            "2026-02-30",
            "2026-W54",
            "January",
            "2026-01-15T25",
            "2026-1",
        ] {
            assert!(start(wrong, Every::Hour).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_fold_as_on_the_server() {
        let name =
            |t| table_name(t, Engine::Postgres, "shop").map(|n| (n.schema.to_string(), n.table.to_string()));
        assert_eq!(name("Orders"), Some(("public".into(), "orders".into())));
        assert_eq!(
            name("sales.\"Or.ders\""),
            Some(("sales".into(), "Or.ders".into()))
        );
        assert_eq!(name("a.b.c"), None);
        assert_eq!(name(""), None);
        assert_eq!(
            table_name("Orders", Engine::Mysql, "shop").unwrap(),
            TableName::new("shop", "Orders")
        );
    }
}
