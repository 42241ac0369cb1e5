//! A constant of the statement → a key value of the column's type, as the server would convert it.
//!
//! The safe direction: `Unknown` widens the route (or refuses an INSERT); a wrong value would lose
//! rows, so only forms whose meaning is certain are read.

mod binary;
mod modifier;
mod times;

use jiff::tz::TimeZone;

use crate::model::{ClientText, KeyType, Value};

use binary::{binary, binary_array};
pub use modifier::assigned;
use times::{date, in_zone, timestamp};

use super::lex;
use super::query::Expr;
use super::shape::{self, SlotKind};
use super::types::Params;

/// What a constant is as a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    Known(Value),
    /// NULL: equal to nothing.
    Null,
    /// A value that no row of this type can equal (out of range, a fraction for an integer).
    Nothing,
    Unknown,
}

/// The constants of one execution.
pub struct Constants<'a> {
    /// Literal texts by slot.
    pub slots: &'a [(SlotKind, &'a str)],
    pub params: &'a Params<'a>,
    pub time_zone: Option<&'a TimeZone>,
    pub text: ClientText,
    /// Parameters whose type, where the client declares none, is for the server to find: they stand
    /// in places that may want different ones.
    pub untyped: &'a [u16],
}

/// Microseconds from 1970-01-01 to 2000-01-01.
const EPOCH_US: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i64 = 10_957;

/// Casts and signs within each other that a constant may have. What a plan keeps is walked and dropped
/// wherever the plan is, on whatever stack.
const MAX_LAYERS: usize = 16;

/// Is it a constant that `key` may be able to read?
pub fn is_constant(expr: &Expr) -> bool {
    let mut expr = expr;
    for _ in 0..MAX_LAYERS {
        match expr {
            Expr::Slot(_) | Expr::Param(_) | Expr::Null | Expr::Bool(_) => return true,
            Expr::Negate(inner) | Expr::Cast { expr: inner, .. } => expr = inner,
            _ => return false,
        }
    }
    false
}

impl Constants<'_> {
    /// The values that an expression in an IN list or an equality stands for: one, or many when it
    /// is a list slot. None: not all of them are known.
    pub fn keys(&self, expr: &Expr, ty: KeyType) -> Option<Vec<Key>> {
        if let Expr::Slot(i) = expr
            && let Some((SlotKind::List, text)) = self.slots.get(*i)
        {
            return Some(
                shape::list_items(text)
                    .into_iter()
                    .map(|(k, t)| self.of_literal(literal(k, t, ty, self.time_zone)))
                    .collect(),
            );
        }
        Some(vec![self.key(expr, ty)])
    }

    /// A value that isn't a list.
    pub fn one_key(&self, expr: &Expr, ty: KeyType) -> Option<Key> {
        match expr {
            Expr::Slot(i) if matches!(self.slots.get(*i), Some((SlotKind::List, _))) => None,
            _ => Some(self.key(expr, ty)),
        }
    }

    /// The elements of a constant array (`ANY ($1)`, `ANY ('{1,2}')`).
    pub fn array(&self, expr: &Expr, ty: KeyType) -> Option<Vec<Key>> {
        let mut is_parameter = false;
        let text = match expr {
            Expr::Slot(i) => match self.slots.get(*i)? {
                (SlotKind::String, text) => lex::unquote(text)?,
                _ => return None,
            },
            Expr::Param(n) => {
                let i = usize::from(*n) - 1;
                let bytes = (*self.params.values.get(i)?)?;
                match self.params.types.get(i).copied().unwrap_or(0) {
                    0 if self.untyped.contains(n) => return None,
                    0 | 705 => {}
                    oid => {
                        let element = array_element(oid)?;
                        if element != ty && !(element.is_integer() && ty.is_integer()) {
                            return None;
                        }
                    }
                }
                if self.params.binary.get(i).copied().unwrap_or(false) {
                    let keys = binary_array(bytes, ty)?;
                    return Some(keys.into_iter().map(|key| self.of_parameter(key)).collect());
                }
                is_parameter = true;
                std::str::from_utf8(bytes).ok()?.to_string()
            }
            Expr::Cast { expr, ty: cast } => {
                let element = cast.strip_suffix("[]")?;
                let same = KeyType::from_sql(element)?;
                return if same == ty || (same.is_integer() && ty.is_integer()) {
                    self.array(expr, ty)
                } else {
                    None
                };
            }
            _ => return None,
        };
        // Only arrays without quotes, escapes, nesting or NULLs are read.
        let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
        if inner.contains(['"', '\\', '{', '}']) {
            return None;
        }
        if inner.trim().is_empty() {
            return Some(Vec::new());
        }
        inner
            .split(',')
            .map(|item| {
                let item = item.trim();
                if item.eq_ignore_ascii_case("null") {
                    return Some(Key::Null);
                }
                let key = text_value(item, ty, self.time_zone);
                Some(if is_parameter {
                    self.of_parameter(key)
                } else {
                    self.of_literal(key)
                })
            })
            .collect()
    }

    /// Text as the servers will have it, on which placement is computed.
    fn of_parameter(&self, key: Key) -> Key {
        stored(key, |bytes| self.text.parameter(bytes))
    }

    fn of_literal(&self, key: Key) -> Key {
        stored(key, |bytes| self.text.literal(bytes))
    }

    /// One constant as a value of the column's type.
    pub fn key(&self, expr: &Expr, ty: KeyType) -> Key {
        match expr {
            Expr::Slot(i) => match self.slots.get(*i) {
                Some((kind, text)) => self.of_literal(literal(*kind, text, ty, self.time_zone)),
                None => Key::Unknown,
            },
            Expr::Param(n) => self.of_parameter(self.param(usize::from(*n) - 1, ty)),
            Expr::Null => Key::Null,
            Expr::Bool(b) if ty == KeyType::Bool => Key::Known(Value::Bool(*b)),
            Expr::Negate(inner) if self.is_integer(inner) && ty.is_integer() => {
                // The least bigint is the negation of a number that is out of range itself.
                let text = match inner.as_ref() {
                    Expr::Slot(i) => self.slots.get(*i).map_or("", |s| s.1),
                    _ => "",
                };
                format!("-{text}")
                    .parse()
                    .map_or(Key::Nothing, |i| Key::Known(Value::Int(i)))
            }
            Expr::Negate(inner) => match self.key(inner, ty) {
                Key::Known(Value::Int(i)) => i
                    .checked_neg()
                    .map_or(Key::Unknown, |i| Key::Known(Value::Int(i))),
                // -9223372036854775808 is written as the negation of a number out of range.
                Key::Nothing | Key::Unknown | Key::Known(_) => Key::Unknown,
                Key::Null => Key::Null,
            },
            Expr::Cast { expr, ty: cast } => self.cast(expr, cast, ty),
            _ => Key::Unknown,
        }
    }

    fn is_integer(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Slot(i) if matches!(self.slots.get(*i), Some((SlotKind::Integer, _))))
    }

    /// `'…'::type` and `$1::type`: only casts to the column's own type are read; a cast to another
    /// type changes what is compared.
    fn cast(&self, expr: &Expr, cast: &str, ty: KeyType) -> Key {
        let Some(to) = KeyType::from_sql(cast) else {
            return Key::Unknown;
        };
        // A length or precision changes the value: varchar(3), timestamp(0).
        // `char` alone is char(1).
        if cast.contains('(') || matches!(cast, "char" | "character") {
            return Key::Unknown;
        }
        let compatible = to == ty
            || (to.is_integer() && ty.is_integer())
            // timestamptz = date and the like compare in the session's zone: not read.
            ;
        if !compatible {
            return Key::Unknown;
        }
        if let Expr::Slot(i) = expr
            && let Some((SlotKind::Decimal, _)) = self.slots.get(*i)
        {
            return Key::Unknown; // rounds
        }
        let key = self.key(expr, to);
        match (&key, to) {
            // Out of the cast's range is an error at the server: let it say so.
            (Key::Known(Value::Int(i)), KeyType::Int2) if i16::try_from(*i).is_err() => Key::Unknown,
            (Key::Known(Value::Int(i)), KeyType::Int4) if i32::try_from(*i).is_err() => Key::Unknown,
            _ => key,
        }
    }

    fn param(&self, i: usize, ty: KeyType) -> Key {
        let Some(value) = self.params.values.get(i) else {
            return Key::Unknown;
        };
        let Some(bytes) = value else { return Key::Null };
        let declared = self.params.types.get(i).copied().unwrap_or(0);
        if matches!(declared, 0 | 705) && self.untyped.iter().any(|n| usize::from(*n) == i + 1) {
            return Key::Unknown;
        }
        if self.params.binary.get(i).copied().unwrap_or(false) {
            return binary(bytes, declared, ty);
        }
        // 0 and unknown (705): the server takes the column's type. An explicit type must be the column's family.
        let from = match declared {
            0 | 705 => ty,
            oid => match type_of(oid) {
                Some(t) if t == ty || (t.is_integer() && ty.is_integer()) => t,
                // A varchar/text parameter against char(n) compares as text, with blanks: not read.
                _ => return Key::Unknown,
            },
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => text_value(text, from, self.time_zone),
            Err(_) if ty == KeyType::Text => Key::Known(Value::Text((*bytes).into())),
            Err(_) => Key::Unknown,
        }
    }
}

fn stored(key: Key, convert: impl Fn(Box<[u8]>) -> Option<Box<[u8]>>) -> Key {
    match key {
        Key::Known(Value::Text(bytes)) => convert(bytes).map_or(Key::Unknown, |t| Key::Known(Value::Text(t))),
        Key::Known(_) | Key::Null | Key::Nothing | Key::Unknown => key,
    }
}

/// A value in the binary format of the column's own type.
pub fn binary_value(bytes: &[u8], ty: KeyType) -> Key {
    binary(bytes, 0, ty)
}

fn type_of(oid: u32) -> Option<KeyType> {
    Some(match oid {
        16 => KeyType::Bool,
        20 => KeyType::Int8,
        21 => KeyType::Int2,
        23 => KeyType::Int4,
        25 | 1043 => KeyType::Text,
        1042 => KeyType::Bpchar,
        2950 => KeyType::Uuid,
        17 => KeyType::Bytea,
        1082 => KeyType::Date,
        1114 => KeyType::Timestamp,
        1184 => KeyType::Timestamptz,
        _ => return None,
    })
}

fn array_element(oid: u32) -> Option<KeyType> {
    Some(match oid {
        1000 => KeyType::Bool,
        1001 => KeyType::Bytea,
        1005 => KeyType::Int2,
        1007 => KeyType::Int4,
        1016 => KeyType::Int8,
        1009 | 1015 => KeyType::Text,
        1014 => KeyType::Bpchar,
        1115 => KeyType::Timestamp,
        1182 => KeyType::Date,
        1185 => KeyType::Timestamptz,
        2951 => KeyType::Uuid,
        _ => return None,
    })
}

fn literal(kind: SlotKind, text: &str, ty: KeyType, zone: Option<&TimeZone>) -> Key {
    match kind {
        SlotKind::String => match lex::unquote(text) {
            Some(content) => text_value(&content, ty, zone),
            None => Key::Unknown,
        },
        SlotKind::Integer if ty.is_integer() => match text.parse::<i64>() {
            Ok(i) => Key::Known(Value::Int(i)),
            // Larger than bigint: a numeric constant, equal to no integer column's value. (Negated
            // it might be the least bigint, so `Negate` doesn't rely on this.)
            Err(_) => Key::Nothing,
        },
        SlotKind::Decimal if ty.is_integer() => decimal_as_int(text),
        SlotKind::Integer | SlotKind::Decimal | SlotKind::List => Key::Unknown,
    }
}

/// `5.0` equals the integer 5; `5.5` equals none.
fn decimal_as_int(text: &str) -> Key {
    if text.contains(['e', 'E']) {
        return Key::Unknown;
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.bytes().any(|b| b != b'0') {
        return Key::Nothing;
    }
    match if whole.is_empty() {
        Ok(0)
    } else {
        whole.parse::<i64>()
    } {
        Ok(i) => Key::Known(Value::Int(i)),
        Err(_) => Key::Unknown,
    }
}

/// The text of an untyped constant, as the type's input function reads it.
pub fn text_value(text: &str, ty: KeyType, zone: Option<&TimeZone>) -> Key {
    let known = |v: Option<Value>| v.map_or(Key::Unknown, Key::Known);
    match ty {
        KeyType::Int2 | KeyType::Int4 | KeyType::Int8 => {
            let trimmed = text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
            let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Key::Unknown;
            }
            known(trimmed.parse::<i64>().ok().map(Value::Int))
        }
        KeyType::Text => Key::Known(Value::Text(text.as_bytes().into())),
        KeyType::Bpchar => Key::Known(Value::Text(text.trim_end_matches(' ').as_bytes().into())),
        KeyType::Bool => match text.trim().to_ascii_lowercase().as_str() {
            "t" | "true" | "yes" | "on" | "1" => Key::Known(Value::Bool(true)),
            "f" | "false" | "no" | "off" | "0" => Key::Known(Value::Bool(false)),
            _ => Key::Unknown,
        },
        KeyType::Uuid => known(uuid(text)),
        KeyType::Bytea => known(bytea(text)),
        KeyType::Date => known(date(text)),
        KeyType::Timestamp => match timestamp(text) {
            // An offset is ignored for timestamp without time zone; nobody means that: not read.
            Some((local, None)) => Key::Known(Value::Timestamp(local)),
            _ => Key::Unknown,
        },
        KeyType::Timestamptz => match timestamp(text) {
            Some((local, Some(offset))) => known(local.checked_sub(offset).map(Value::Timestamp)),
            Some((local, None)) => known(zone.and_then(|z| in_zone(local, z)).map(Value::Timestamp)),
            None => Key::Unknown,
        },
    }
}

fn uuid(text: &str) -> Option<Value> {
    // The standard form only; PostgreSQL takes more.
    let groups: Vec<&str> = text.split('-').collect();
    if groups.iter().map(|g| g.len()).collect::<Vec<_>>() != [8, 4, 4, 4, 12] {
        return None;
    }
    let bytes = hex(&groups.concat())?;
    Some(Value::Uuid(bytes.try_into().ok()?))
}

fn bytea(text: &str) -> Option<Value> {
    Some(Value::Bytea(hex(text.strip_prefix("\\x")?)?.into()))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str, ty: KeyType) -> Key {
        text_value(text, ty, Some(&TimeZone::UTC))
    }

    #[test]
    fn text_is_read_as_the_type_reads_it_or_not_at_all() {
        assert_eq!(utc(" 42 ", KeyType::Int8), Key::Known(Value::Int(42)));
        assert_eq!(utc("0x2A", KeyType::Int8), Key::Unknown);
        assert_eq!(
            utc("a ", KeyType::Bpchar),
            Key::Known(Value::Text(b"a"[..].into()))
        );
        assert_eq!(utc("2000-01-02", KeyType::Date), Key::Known(Value::Date(1)));
        assert_eq!(utc("01/02/2026", KeyType::Date), Key::Unknown);
        assert_eq!(utc("2026-02-30", KeyType::Date), Key::Unknown);
        assert_eq!(
            utc("2000-01-01 00:00:01.5", KeyType::Timestamp),
            Key::Known(Value::Timestamp(1_500_000))
        );
        assert_eq!(
            utc("2000-01-01T01:00+01", KeyType::Timestamptz),
            Key::Known(Value::Timestamp(0))
        );
        assert_eq!(
            utc("2000-01-01 01:00:00+01:00", KeyType::Timestamptz),
            Key::Known(Value::Timestamp(0))
        );
        assert_eq!(utc("now", KeyType::Timestamptz), Key::Unknown);
    }

    #[test]
    fn a_timestamptz_without_offset_is_of_the_sessions_zone() {
        let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
        let january = text_value("2026-02-01", KeyType::Timestamptz, Some(&shanghai));
        assert_eq!(january, utc("2026-01-31 16:00:00Z", KeyType::Timestamptz));
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(
            text_value("2026-03-29 02:30:00", KeyType::Timestamptz, Some(&berlin)),
            Key::Unknown
        );
    }

    #[test]
    fn decimals_equal_integers_only_when_whole() {
        assert_eq!(
            literal(SlotKind::Decimal, "5.0", KeyType::Int8, Some(&TimeZone::UTC)),
            Key::Known(Value::Int(5))
        );
        assert_eq!(
            literal(SlotKind::Decimal, "5.5", KeyType::Int8, Some(&TimeZone::UTC)),
            Key::Nothing
        );
        assert_eq!(
            literal(
                SlotKind::Integer,
                "99999999999999999999",
                KeyType::Int8,
                Some(&TimeZone::UTC)
            ),
            Key::Nothing
        );
    }
}
