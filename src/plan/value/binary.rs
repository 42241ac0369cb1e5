//! Parameters in binary format.

use super::{Key, type_of};
use crate::model::{KeyType, Value};

fn int_be(bytes: &[u8]) -> Option<i64> {
    Some(match bytes.len() {
        2 => i64::from(i16::from_be_bytes(bytes.try_into().ok()?)),
        4 => i64::from(i32::from_be_bytes(bytes.try_into().ok()?)),
        8 => i64::from_be_bytes(bytes.try_into().ok()?),
        _ => return None,
    })
}

fn type_width(ty: KeyType) -> usize {
    match ty {
        KeyType::Int2 => 2,
        KeyType::Int4 | KeyType::Date => 4,
        KeyType::Int8 | KeyType::Timestamp | KeyType::Timestamptz => 8,
        KeyType::Bool => 1,
        KeyType::Uuid => 16,
        KeyType::Text | KeyType::Bpchar | KeyType::Bytea => 0,
    }
}

/// A parameter in binary format, of its declared type, or else of the column's.
pub(super) fn binary(bytes: &[u8], declared: u32, ty: KeyType) -> Key {
    let from = match declared {
        0 | 705 => ty,
        oid => match type_of(oid) {
            Some(t) => t,
            None => return Key::Unknown,
        },
    };
    if !(from == ty || (from.is_integer() && ty.is_integer())) {
        return Key::Unknown;
    }
    let width = type_width(from);
    if width != 0 && bytes.len() != width {
        return Key::Unknown;
    }
    let value = match from {
        KeyType::Int2 | KeyType::Int4 | KeyType::Int8 => int_be(bytes).map(Value::Int),
        KeyType::Text => Some(Value::Text(bytes.into())),
        KeyType::Bpchar => {
            let end = bytes.iter().rposition(|b| *b != b' ').map_or(0, |i| i + 1);
            Some(Value::Text(bytes[..end].into()))
        }
        KeyType::Bool => match bytes {
            [0] => Some(Value::Bool(false)),
            [1] => Some(Value::Bool(true)),
            _ => None,
        },
        KeyType::Uuid => bytes.try_into().ok().map(Value::Uuid),
        KeyType::Bytea => Some(Value::Bytea(bytes.into())),
        KeyType::Date => int_be(bytes).and_then(|i| i32::try_from(i).ok()).map(Value::Date),
        KeyType::Timestamp | KeyType::Timestamptz => int_be(bytes).map(Value::Timestamp),
    };
    value.map_or(Key::Unknown, Key::Known)
}

/// PostgreSQL's `array_send`: dimensions, has-null flag, element type, then per dimension length
/// and lower bound, then length-prefixed elements.
pub(super) fn binary_array(bytes: &[u8], ty: KeyType) -> Option<Vec<Key>> {
    let word = |at: usize| {
        bytes
            .get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map(i32::from_be_bytes)
    };
    let dimensions = word(0)?;
    let element = word(8)? as u32;
    if dimensions == 0 {
        return Some(Vec::new());
    }
    if dimensions != 1 {
        return None;
    }
    let count = usize::try_from(word(12)?).ok()?;
    let mut at = 20;
    let mut out = Vec::new();
    for _ in 0..count {
        let length = word(at)?;
        at += 4;
        if length < 0 {
            out.push(Key::Null);
            continue;
        }
        let end = at.checked_add(usize::try_from(length).ok()?)?;
        out.push(binary(bytes.get(at..end)?, element, ty));
        at = end;
    }
    Some(out)
}
