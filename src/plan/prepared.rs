//! `PREPARE name (types) AS statement` and `EXECUTE name (values)` on a database of several nodes, where the
//! session keeps what is prepared. Only constants can be values: nothing here computes.

use crate::model::{Code, Fault};

use super::command::Command;
use super::lex::{self, Kind};
use super::reader::Reader;

/// A value of EXECUTE, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    Null,
    Bool(bool),
    /// A string without a type: it takes the parameter's.
    Text(Box<str>),
    /// With its sign.
    Integer(Box<str>),
    Decimal(Box<str>),
    /// `'…'::type` or `type '…'`: an OID and the text.
    Typed(u32, Box<str>),
    /// Anything that a server would have to compute.
    Computed(Box<str>),
}

const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const OID: u32 = 26;
const VARCHAR: u32 = 1043;
const NUMERIC: u32 = 1700;
const BOOL: u32 = 16;
const FLOAT4: u32 = 700;
const FLOAT8: u32 = 701;

/// PREPARE, EXECUTE and, for the same names, DEALLOCATE. None: it is something else.
pub(super) fn read(r: &mut Reader<'_>) -> Option<Command> {
    if r.take("prepare") {
        let name = r.ident()?;
        let mut types = Vec::new();
        if r.take_punct('(') {
            loop {
                types.push(type_name(r)?);
                if r.take_punct(')') {
                    break;
                }
                if !r.take_punct(',') {
                    return None;
                }
            }
        }
        if !r.take("as") {
            return None;
        }
        let kinds = [
            "select", "insert", "update", "delete", "merge", "values", "with", "table",
        ];
        let is_query = kinds.iter().any(|k| r.is(k)) || r.peek()?.is_punct(r.sql, '(');
        return is_query.then(|| Command::Prepare {
            name,
            types,
            at: r.peek().map_or(0, |t| t.start as usize),
            sql: r.rest().into(),
        });
    }
    if r.take("execute") {
        let name = r.ident()?;
        let mut args = Vec::new();
        if r.take_punct('(') {
            loop {
                args.push(argument(r)?);
                if r.take_punct(')') {
                    break;
                }
                if !r.take_punct(',') {
                    return None;
                }
            }
        }
        return r.done().then_some(Command::Execute { name, args });
    }
    None
}

/// A type's name, up to a comma or parenthesis outside of its own.
fn type_name(r: &mut Reader<'_>) -> Option<Box<str>> {
    let start = r.peek()?.start as usize;
    let mut end = start;
    let mut depth = 0;
    while let Some(t) = r.peek() {
        if depth == 0 && (t.is_punct(r.sql, ',') || t.is_punct(r.sql, ')')) {
            break;
        }
        depth += i32::from(t.is_punct(r.sql, '(')) - i32::from(t.is_punct(r.sql, ')'));
        end = t.end as usize;
        r.at += 1;
    }
    r.sql.get(start..end).filter(|t| !t.is_empty()).map(Into::into)
}

fn argument(r: &mut Reader<'_>) -> Option<Argument> {
    let from = r.at;
    let mut depth = 0;
    while let Some(t) = r.peek() {
        if depth == 0 && (t.is_punct(r.sql, ',') || t.is_punct(r.sql, ')')) {
            break;
        }
        let opens = t.is_punct(r.sql, '(') || t.is_punct(r.sql, '[');
        let closes = t.is_punct(r.sql, ')') || t.is_punct(r.sql, ']');
        depth += i32::from(opens) - i32::from(closes);
        r.at += 1;
    }
    let tokens = r.tokens.get(from..r.at).filter(|t| !t.is_empty())?;
    let text = |at: usize| tokens.get(at).map_or("", |t| t.text(r.sql));
    let kind = |at: usize| tokens.get(at).map(|t| t.kind);
    let (first, last) = (tokens.first()?, tokens.last()?);
    let whole = r.sql.get(first.start as usize..last.end as usize)?;
    let computed = || Argument::Computed(whole.into());
    let typed = |literal: &str, ty: &str| {
        let oid = type_oid(ty);
        let value = lex::unquote(literal);
        oid.zip(value)
            .map_or_else(computed, |(oid, value)| Argument::Typed(oid, value.into()))
    };
    Some(match (tokens.len(), kind(0), kind(1)) {
        (1, Some(Kind::String), _) => {
            lex::unquote(text(0)).map_or_else(computed, |v| Argument::Text(v.into()))
        }
        (1, Some(Kind::Integer), _) => Argument::Integer(text(0).into()),
        (1, Some(Kind::Decimal), _) => Argument::Decimal(text(0).into()),
        (1, Some(Kind::Word), _) => match text(0).to_ascii_lowercase().as_str() {
            "null" => Argument::Null,
            "true" => Argument::Bool(true),
            "false" => Argument::Bool(false),
            _ => computed(),
        },
        (2, Some(Kind::Operator), Some(Kind::Integer)) if text(0) == "-" => {
            Argument::Integer(format!("-{}", text(1)).into())
        }
        (2, Some(Kind::Operator), Some(Kind::Decimal)) if text(0) == "-" => {
            Argument::Decimal(format!("-{}", text(1)).into())
        }
        (2, Some(Kind::Word), Some(Kind::String)) => typed(text(1), text(0)),
        (n, Some(Kind::String), Some(Kind::Operator)) if n > 2 && text(1) == "::" => {
            let from = tokens.get(2)?.start as usize;
            typed(text(0), r.sql.get(from..last.end as usize)?)
        }
        _ => computed(),
    })
}

/// The OID of a built-in type by its usual names. Lengths and precisions change values: not known here.
pub fn type_oid(name: &str) -> Option<u32> {
    let plain = name.trim().to_ascii_lowercase();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let plain = words.join(" ");
    let plain = plain.strip_prefix("pg_catalog.").unwrap_or(&plain).trim();
    let (base, array) = match plain.strip_suffix("[]") {
        Some(base) => (base.trim_end(), true),
        None => (plain, false),
    };
    let (oid, array_oid) = match base {
        "bool" | "boolean" => (BOOL, 1000),
        "bytea" => (17, 1001),
        "int8" | "bigint" => (INT8, 1016),
        "int2" | "smallint" => (INT2, 1005),
        "int4" | "int" | "integer" => (INT4, 1007),
        "text" => (TEXT, 1009),
        "varchar" | "character varying" => (VARCHAR, 1015),
        "json" => (114, 199),
        "jsonb" => (3802, 3807),
        "float4" | "real" => (FLOAT4, 1021),
        "float8" | "double precision" => (FLOAT8, 1022),
        "numeric" | "decimal" => (NUMERIC, 1231),
        "date" => (1082, 1182),
        "time" | "time without time zone" => (1083, 1183),
        "timestamp" | "timestamp without time zone" => (1114, 1115),
        "timestamptz" | "timestamp with time zone" => (1184, 1185),
        "interval" => (1186, 1187),
        "uuid" => (2950, 2951),
        "inet" => (869, 1041),
        "oid" => (OID, 1028),
        "name" => (19, 1003),
        "\"char\"" => (18, 1002),
        "bpchar" => (1042, 1014),
        "xid" => (28, 1011),
        "tid" => (27, 1010),
        "xml" => (142, 143),
        "cidr" => (650, 651),
        "macaddr" => (829, 1040),
        "money" => (790, 791),
        "point" => (600, 1017),
        "timetz" | "time with time zone" => (1266, 1270),
        "tsvector" => (3614, 3643),
        "tsquery" => (3615, 3645),
        "int4range" => (3904, 3905),
        "int8range" => (3926, 3927),
        "numrange" => (3906, 3907),
        "daterange" => (3912, 3913),
        "tsrange" => (3908, 3909),
        "tstzrange" => (3910, 3911),
        "jsonpath" => (4072, 4073),
        "pg_lsn" => (3220, 3221),
        "unknown" if !array => (0, 0),
        _ => return None,
    };
    Some(if array { array_oid } else { oid })
}

impl Argument {
    /// What a parameter of a type gets, in text format, as assignment to that type would make it. None: NULL.
    pub fn value(&self, oid: u32) -> Result<Option<String>, Fault> {
        let is_text = matches!(oid, TEXT | VARCHAR);
        match self {
            Argument::Null => return Ok(None),
            Argument::Text(text) => return Ok(Some(text.to_string())),
            Argument::Typed(ty, text) if *ty == oid => return Ok(Some(text.to_string())),
            Argument::Bool(value) if is_text || oid == BOOL => return Ok(Some(value.to_string())),
            Argument::Integer(text) => {
                let digits = text.trim_start_matches('-').trim_start_matches('0');
                let sign = if text.starts_with('-') && !digits.is_empty() {
                    "-"
                } else {
                    ""
                };
                let plain = format!("{sign}{}", if digits.is_empty() { "0" } else { digits });
                let fits = |range: std::ops::RangeInclusive<i64>, name: &'static str| match plain
                    .parse::<i64>()
                    .is_ok_and(|v| range.contains(&v))
                {
                    true => Ok(Some(plain.clone())),
                    false => Err(
                        Fault::new(Code::UNSUPPORTED_STATEMENT, format!("{name} out of range"))
                            .sqlstate("22003"),
                    ),
                };
                match oid {
                    INT2 => return fits(i64::from(i16::MIN)..=i64::from(i16::MAX), "smallint"),
                    INT4 => return fits(i64::from(i32::MIN)..=i64::from(i32::MAX), "integer"),
                    INT8 => return fits(i64::MIN..=i64::MAX, "bigint"),
                    // A negative integer becomes an OID by its bits.
                    OID if sign.is_empty() => return fits(0..=i64::from(u32::MAX), "OID"),
                    NUMERIC | FLOAT4 | FLOAT8 | TEXT | VARCHAR => return Ok(Some(plain)),
                    _ => {}
                }
            }
            Argument::Decimal(text) if matches!(oid, NUMERIC | FLOAT4 | FLOAT8) => {
                return Ok(Some(text.to_string()));
            }
            Argument::Bool(_) | Argument::Decimal(_) | Argument::Typed(..) | Argument::Computed(_) => {}
        }
        Err(Fault::new(
            Code::SESSION_STATE,
            "a value of EXECUTE is not a constant of its parameter's type, which is all that can be given over several nodes",
        )
        .hint("Write it as a string: EXECUTE name ('…'), or use the driver's prepared statements."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(sql: &str) -> Vec<Argument> {
        let tokens = lex::tokens(sql, true);
        match read(&mut Reader::new(sql, &tokens)) {
            Some(Command::Execute { args, .. }) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn constants_are_told_from_what_must_be_computed() {
        let read =
            args("EXECUTE p (1, -2.50, 'it''s', NULL, true, DATE '2026-01-02', '1'::bigint, now(), 1+1)");
        assert_eq!(
            read,
            [
                Argument::Integer("1".into()),
                Argument::Decimal("-2.50".into()),
                Argument::Text("it's".into()),
                Argument::Null,
                Argument::Bool(true),
                Argument::Typed(1082, "2026-01-02".into()),
                Argument::Typed(INT8, "1".into()),
                Argument::Computed("now()".into()),
                Argument::Computed("1+1".into()),
            ]
        );
    }

    #[test]
    fn a_number_becomes_what_assignment_makes_of_it() {
        let number = Argument::Integer("007".into());
        assert_eq!(number.value(INT8), Ok(Some("7".into())));
        assert_eq!(number.value(TEXT), Ok(Some("7".into())));
        assert!(Argument::Integer("40000".into()).value(INT2).is_err());
        assert!(
            Argument::Decimal("1.5".into()).value(INT8).is_err(),
            "it would be rounded"
        );
    }
}
