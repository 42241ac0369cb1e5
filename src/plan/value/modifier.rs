//! What a column with a length or precision stores of a value assigned to it: timestamp(0) rounds,
//! varchar(3) cuts blanks off. A key is placed by what is stored.

use crate::model::{KeyType, Value};

/// The stored value. `modifier`: `atttypmod`, None where it isn't known. None: not known. A value that the
/// server will refuse is given back as it is.
pub fn assigned(value: Value, ty: KeyType, modifier: Option<i32>) -> Option<Value> {
    match (value, ty) {
        (Value::Timestamp(us), KeyType::Timestamp | KeyType::Timestamptz) => match modifier {
            Some(p @ 0..=6) => Some(Value::Timestamp(rounded(us, p.unsigned_abs())?)),
            Some(_) => Some(Value::Timestamp(us)),
            None => (us % 1_000_000 == 0).then_some(Value::Timestamp(us)),
        },
        (Value::Text(bytes), KeyType::Text) => match modifier {
            Some(length @ 4..) => cut(bytes, length.unsigned_abs() as usize - 4),
            Some(_) => Some(Value::Text(bytes)),
            None => (bytes.last() != Some(&b' ')).then_some(Value::Text(bytes)),
        },
        // char(n) loses blanks only, which don't count in its key.
        (value, _) => Some(value),
    }
}

/// PostgreSQL's `AdjustTimestampForTypmod`: half a unit goes away from zero (from 2000-01-01).
fn rounded(us: i64, precision: u32) -> Option<i64> {
    let scale = 10i64.pow(6 - precision);
    let up = us.checked_abs()?.checked_add(scale / 2)? / scale * scale;
    Some(if us < 0 { -up } else { up })
}

/// An assignment to varchar(n) cuts off blanks behind the n-th character and refuses anything else.
fn cut(bytes: Box<[u8]>, length: usize) -> Option<Value> {
    let text = std::str::from_utf8(&bytes).ok()?;
    let end = text.char_indices().nth(length).map(|(at, _)| at);
    match end {
        Some(end) if text[end..].bytes().all(|b| b == b' ') => Some(Value::Text(bytes[..end].into())),
        Some(_) | None => Some(Value::Text(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(t: &str) -> Value {
        Value::Text(t.as_bytes().into())
    }

    #[test]
    fn a_varchar_loses_the_blanks_behind_its_length_only() {
        let stored = |t: &str, modifier| assigned(text(t), KeyType::Text, modifier);
        assert_eq!(stored("ab   ", Some(3 + 4)), Some(text("ab ")));
        assert_eq!(stored("äbc ", Some(3 + 4)), Some(text("äbc")));
        assert_eq!(stored("abcd", Some(3 + 4)), Some(text("abcd")));
        assert_eq!(stored("ab   ", Some(-1)), Some(text("ab   ")));
        assert_eq!(stored("ab ", None), None);
    }

    #[test]
    fn a_timestamp_is_rounded_to_its_precision_away_from_2000() {
        let stored = |us, modifier| assigned(Value::Timestamp(us), KeyType::Timestamp, modifier);
        assert_eq!(stored(1_500_000, Some(0)), Some(Value::Timestamp(2_000_000)));
        assert_eq!(stored(-1_500_000, Some(0)), Some(Value::Timestamp(-2_000_000)));
        assert_eq!(stored(1_499_999, Some(0)), Some(Value::Timestamp(1_000_000)));
        assert_eq!(stored(1_234_567, Some(3)), Some(Value::Timestamp(1_235_000)));
        assert_eq!(stored(1_234_567, Some(-1)), Some(Value::Timestamp(1_234_567)));
        assert_eq!(stored(1_234_567, None), None);
    }
}
