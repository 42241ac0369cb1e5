//! Booleans and integers.

use super::Unreadable;

pub fn bool_text(bytes: &[u8]) -> Result<bool, Unreadable> {
    match bytes {
        b"t" => Ok(true),
        b"f" => Ok(false),
        _ => Err(Unreadable::Broken),
    }
}

pub fn bool_binary(bytes: &[u8]) -> Result<bool, Unreadable> {
    match bytes {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(Unreadable::Broken),
    }
}

/// Digits with an optional minus sign, as the server prints integers.
pub fn integer_text(bytes: &[u8], least: i64, most: i64) -> Result<i64, Unreadable> {
    let (negative, digits) = match bytes.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, bytes),
    };
    // 19 digits are the most that an int8 has.
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Unreadable::Broken);
    }
    // 19 digits fit an i128 (and not always an i64: the least int8 has no positive twin).
    let size = digits
        .iter()
        .fold(0i128, |value, d| value * 10 + i128::from(d - b'0'));
    let value = i64::try_from(if negative { -size } else { size }).map_err(|_| Unreadable::Broken)?;
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(Unreadable::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_all_sizes_are_read() {
        let any = |text: &str| integer_text(text.as_bytes(), i64::MIN, i64::MAX);
        assert_eq!(any("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(any("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(any("0"), Ok(0));
        for broken in [
            "9223372036854775808",
            "",
            "-",
            "+1",
            " 1",
            "1.0",
            "0x1",
            "99999999999999999999",
        ] {
            assert_eq!(any(broken), Err(Unreadable::Broken), "{broken:?}");
        }
        assert_eq!(integer_text(b"4294967295", 0, u32::MAX.into()), Ok(4_294_967_295));
        assert_eq!(integer_text(b"-1", 0, u32::MAX.into()), Err(Unreadable::Broken));
        assert_eq!(integer_text(b"32768", -32768, 32767), Err(Unreadable::Broken));
    }

    #[test]
    fn booleans_are_t_and_f() {
        assert_eq!((bool_text(b"t"), bool_text(b"f")), (Ok(true), Ok(false)));
        assert_eq!((bool_binary(&[1]), bool_binary(&[0])), (Ok(true), Ok(false)));
        assert!(bool_text(b"true").is_err() && bool_binary(&[2]).is_err() && bool_binary(b"").is_err());
    }
}
