//! The canonical text of a key: what `crc32`, `murmur3` and `ring` hash. Frozen. It is what SQL
//! gives for `key::text` (see docs/rules.md for the few differences), so that a placement can be
//! recomputed with a server's own functions.

use crate::model::Value;

/// Between the columns of a composite key: a byte that hardly occurs in text (unit separator).
pub const SEPARATOR: u8 = 0x1f;

/// The bytes of all key columns.
pub fn bytes(key: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    for (i, value) in key.iter().enumerate() {
        if i > 0 {
            out.push(SEPARATOR);
        }
        match value {
            Value::Text(raw) | Value::Bytea(raw) => out.extend_from_slice(raw),
            // `true`; decimal; lower-case with hyphens; ISO. The tests freeze these.
            Value::Bool(_) | Value::Int(_) | Value::Uuid(_) | Value::Date(_) | Value::Timestamp(_) => {
                out.extend_from_slice(value.to_string().as_bytes());
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_text_is_frozen() {
        let text = |key: &[Value]| String::from_utf8(bytes(key)).unwrap();
        assert_eq!(text(&[Value::Bool(true)]), "true");
        assert_eq!(text(&[Value::Int(-42)]), "-42");
        assert_eq!(text(&[Value::Text((*b"north").into())]), "north");
        let uuid = [
            0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11,
        ];
        assert_eq!(text(&[Value::Uuid(uuid)]), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        assert_eq!(bytes(&[Value::Bytea([0, 255].into())]), [0, 255]);
        assert_eq!(text(&[Value::Date(9_512)]), "2026-01-16");
        assert_eq!(text(&[Value::Timestamp(0)]), "2000-01-01 00:00:00");
        assert_eq!(text(&[Value::Timestamp(-1)]), "1999-12-31 23:59:59.999999");
        assert_eq!(text(&[Value::Int(1), Value::Text((*b"a").into())]), "1\u{1f}a");
    }
}
