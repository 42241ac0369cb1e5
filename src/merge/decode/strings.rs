//! Types that compare by their bytes: uuid, bytea, "char", and char(n) without its trailing blanks.

use super::Unreadable;

/// Groups of hexadecimal digits, as `uuid_out` prints them: 8-4-4-4-12.
pub fn uuid_text(bytes: &[u8]) -> Result<[u8; 16], Unreadable> {
    let hex: Vec<u8> = bytes.iter().copied().filter(|b| *b != b'-').collect();
    let hyphens = [8, 13, 18, 23].iter().all(|at| bytes.get(*at) == Some(&b'-'));
    if bytes.len() != 36 || !hyphens {
        return Err(Unreadable::Broken);
    }
    unhex(&hex)?.try_into().map_err(|_| Unreadable::Broken)
}

/// `bytea_output = hex`. The escape format never begins with `\x`: it doubles a backslash.
pub fn bytea_text(bytes: &[u8]) -> Result<Box<[u8]>, Unreadable> {
    let hex = bytes.strip_prefix(b"\\x").ok_or(Unreadable::Setting)?;
    Ok(unhex(hex)?.into_boxed_slice())
}

/// `"char"` prints its byte; nothing for zero, and a byte above 127 as it is or as `\ooo` (newer servers).
pub fn char_text(bytes: &[u8]) -> Result<u8, Unreadable> {
    match bytes {
        [] => Ok(0),
        [byte] => Ok(*byte),
        [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7'] => {
            Ok((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
        }
        _ => Err(Unreadable::Broken),
    }
}

/// How char(n) compares: `bpchartruelen` in src/backend/utils/adt/varchar.c.
pub fn without_trailing_blanks(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().rposition(|b| *b != b' ').map_or(0, |last| last + 1);
    bytes.get(..length).unwrap_or(bytes)
}

fn unhex(hex: &[u8]) -> Result<Vec<u8>, Unreadable> {
    if !hex.len().is_multiple_of(2) {
        return Err(Unreadable::Broken);
    }
    hex.chunks_exact(2)
        .map(|pair| {
            pair.iter()
                .try_fold(0u8, |value, digit| Some(value << 4 | nibble(*digit)?))
        })
        .collect::<Option<Vec<u8>>>()
        .ok_or(Unreadable::Broken)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_read_and_nothing_else() {
        let uuid = uuid_text(b"00112233-4455-6677-8899-aabbccddeeff").expect("a uuid");
        assert_eq!(uuid[..3], [0, 0x11, 0x22]);
        assert_eq!(uuid[15], 0xff);
        assert!(uuid_text(b"00112233445566778899aabbccddeeff").is_err());
        assert!(uuid_text(b"00112233-4455-6677-8899-aabbccddeefg").is_err());
        assert!(uuid_text(b"0011223-34455-6677-8899-aabbccddeeff").is_err());
    }

    #[test]
    fn bytea_is_read_as_hex_only() {
        assert_eq!(bytea_text(b"\\x00fF").as_deref(), Ok([0, 255].as_slice()));
        assert_eq!(bytea_text(b"\\x").as_deref(), Ok([].as_slice()));
        assert_eq!(bytea_text(b"abc"), Err(Unreadable::Setting));
        assert_eq!(bytea_text(b"\\\\x41"), Err(Unreadable::Setting));
        assert_eq!(bytea_text(b"\\x0"), Err(Unreadable::Broken));
    }

    #[test]
    fn trailing_blanks_go_and_others_stay() {
        assert_eq!(without_trailing_blanks(b" a b  "), b" a b");
        assert_eq!(without_trailing_blanks(b"   "), b"");
        assert_eq!(without_trailing_blanks(b"a\t "), b"a\t");
    }

    #[test]
    fn chars_are_one_byte() {
        assert_eq!(
            (char_text(b""), char_text(b"x"), char_text(b"\\377")),
            (Ok(0), Ok(b'x'), Ok(255))
        );
        assert!(char_text(b"ab").is_err() && char_text(b"\\400").is_err());
    }
}
