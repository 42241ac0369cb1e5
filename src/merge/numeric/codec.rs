//! numeric in PostgreSQL's two formats. The binary one is that of `numeric_send`: counts of base-10000
//! digits, the weight of the first one, sign, display scale, digits, all 16 bits wide.

use std::fmt;

use super::{Digits, MAX_SCALE, MAX_WEIGHT, Numeric};

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;
/// What `numeric_send` puts where an infinity has no display scale: bits of its own header.
const INFINITY_SCALE: u16 = 32;

/// The longest text of a numeric: all digits that the format has, sign and point.
const MAX_TEXT: usize = (MAX_WEIGHT as usize + 1) * 4 + MAX_SCALE as usize + 2;

/// The bytes are not a numeric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumericError;

impl fmt::Display for NumericError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a value of type numeric")
    }
}

impl std::error::Error for NumericError {}

impl Numeric {
    /// From what `numeric_out` prints: no blanks, no exponent.
    pub fn from_text(text: &[u8]) -> Result<Numeric, NumericError> {
        match text {
            b"NaN" => return Ok(Numeric::NaN),
            b"Infinity" => return Ok(Numeric::Infinity),
            b"-Infinity" => return Ok(Numeric::NegativeInfinity),
            _ if text.len() > MAX_TEXT => return Err(NumericError),
            _ => {}
        }
        let (negative, unsigned) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let point = unsigned.iter().position(|&b| b == b'.');
        let (digits, scale) = match point {
            None => (Digits::from_decimal(unsigned, negative), 0),
            Some(point) => {
                let (whole, fraction) = (&unsigned[..point], &unsigned[point + 1..]);
                if whole.is_empty() || fraction.is_empty() {
                    return Err(NumericError);
                }
                (
                    Digits::from_decimal(&[whole, fraction].concat(), negative),
                    fraction.len(),
                )
            }
        };
        let scale = u16::try_from(scale)
            .ok()
            .filter(|s| *s <= MAX_SCALE)
            .ok_or(NumericError)?;
        Ok(Numeric::Finite {
            digits: digits.ok_or(NumericError)?,
            scale,
        })
    }

    /// As `numeric_out` prints it.
    pub fn to_text(&self) -> String {
        let (digits, scale) = match self {
            Numeric::NaN => return "NaN".to_owned(),
            Numeric::Infinity => return "Infinity".to_owned(),
            Numeric::NegativeInfinity => return "-Infinity".to_owned(),
            Numeric::Finite { digits, scale } => (digits, usize::from(*scale)),
        };
        let decimal = digits.to_decimal();
        let mut text = String::with_capacity(decimal.len() + scale + 3);
        if digits.signum() < 0 {
            text.push('-');
        }
        let whole = decimal.len().saturating_sub(scale);
        let (before, after) = decimal.split_at(whole);
        text.push_str(if before.is_empty() { "0" } else { before });
        if scale > 0 {
            text.push('.');
            text.extend(std::iter::repeat_n('0', scale - after.len()));
            text.push_str(after);
        }
        text
    }

    /// From `numeric_send`'s bytes.
    pub fn from_binary(bytes: &[u8]) -> Result<Numeric, NumericError> {
        let (header, digits) = bytes.split_first_chunk::<8>().ok_or(NumericError)?;
        let [c0, c1, w0, w1, s0, s1, d0, d1] = *header;
        let count = usize::from(u16::from_be_bytes([c0, c1]));
        let weight = i64::from(i16::from_be_bytes([w0, w1]));
        let scale = u16::from_be_bytes([d0, d1]);
        let negative = match u16::from_be_bytes([s0, s1]) {
            0 => false,
            NEGATIVE => true,
            NAN => return Ok(Numeric::NaN),
            INFINITY => return Ok(Numeric::Infinity),
            NEGATIVE_INFINITY => return Ok(Numeric::NegativeInfinity),
            _ => return Err(NumericError),
        };
        if digits.len() != count * 2 || scale > MAX_SCALE {
            return Err(NumericError);
        }
        // The decimal digits of the integer value · 10^scale: base-10000 digits become four decimal ones,
        // then zeros are added or cut until `scale` digits stand after the point.
        let mut decimal = Vec::with_capacity(count * 4 + 1);
        for pair in digits.chunks_exact(2) {
            let digit = pair
                .iter()
                .fold(0u16, |value, byte| value << 8 | u16::from(*byte));
            if digit > 9999 {
                return Err(NumericError);
            }
            for divisor in [1000, 100, 10, 1] {
                decimal.push(b'0' + u8::try_from(digit / divisor % 10).map_err(|_| NumericError)?);
            }
        }
        let last_power = 4 * (weight + 1) - decimal.len() as i64;
        let zeros = last_power + i64::from(scale);
        if decimal.iter().all(|d| *d == b'0') {
            return Ok(Numeric::Finite {
                digits: Digits::Small(0),
                scale,
            });
        }
        match usize::try_from(zeros) {
            Ok(zeros) => decimal.resize(decimal.len() + zeros, b'0'),
            Err(_) => {
                let keep = usize::try_from(decimal.len() as i64 + zeros).map_err(|_| NumericError)?;
                // Digits beyond the display scale would be lost in text; no server stores them.
                if decimal
                    .get(keep..)
                    .is_none_or(|cut| cut.iter().any(|d| *d != b'0'))
                {
                    return Err(NumericError);
                }
                decimal.truncate(keep);
            }
        }
        let digits = Digits::from_decimal(&decimal, negative).ok_or(NumericError)?;
        Ok(Numeric::Finite { digits, scale })
    }

    /// As `numeric_send` writes it.
    pub fn to_binary(&self) -> Vec<u8> {
        let special = |sign: u16, scale: u16| {
            [0, 0, sign, scale]
                .iter()
                .flat_map(|word| word.to_be_bytes())
                .collect::<Vec<u8>>()
        };
        let (digits, scale) = match self {
            Numeric::NaN => return special(NAN, 0),
            Numeric::Infinity => return special(INFINITY, INFINITY_SCALE),
            Numeric::NegativeInfinity => return special(NEGATIVE_INFINITY, INFINITY_SCALE),
            Numeric::Finite { digits, scale } => (digits, *scale),
        };
        // Base-10000 digits are aligned at the point: fill up on both sides.
        let mut decimal = digits.to_decimal().into_bytes();
        let after = usize::from(scale);
        if decimal.len() <= after {
            decimal.splice(0..0, std::iter::repeat_n(b'0', after - decimal.len()));
        }
        let lead = (4 - (decimal.len() - after) % 4) % 4;
        decimal.splice(0..0, std::iter::repeat_n(b'0', lead));
        decimal.resize(decimal.len().next_multiple_of(4), b'0');
        let mut groups: Vec<u16> = decimal
            .chunks(4)
            .map(|four| four.iter().fold(0, |value, d| value * 10 + u16::from(d - b'0')))
            .collect();
        let whole_groups = (decimal.len() - after.next_multiple_of(4)) / 4;
        let leading_zeros = groups.iter().take_while(|g| **g == 0).count();
        groups.drain(..leading_zeros);
        while groups.last() == Some(&0) {
            groups.pop();
        }
        let weight = if groups.is_empty() {
            0
        } else {
            whole_groups as i64 - 1 - leading_zeros as i64
        };
        let sign = if digits.signum() < 0 { NEGATIVE } else { 0 };
        let mut bytes = Vec::with_capacity(8 + groups.len() * 2);
        bytes.extend_from_slice(&(groups.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&(weight as i16).to_be_bytes());
        bytes.extend_from_slice(&sign.to_be_bytes());
        bytes.extend_from_slice(&scale.to_be_bytes());
        for group in groups {
            bytes.extend_from_slice(&group.to_be_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Captured from PostgreSQL 15: `SELECT encode(numeric_send(…), 'hex')`.
    const CAPTURED: &[(&str, &[u16])] = &[
        ("0", &[0, 0, 0, 0]),
        ("0.00", &[0, 0, 0, 2]),
        ("1", &[1, 0, 0, 0, 1]),
        ("10000", &[1, 1, 0, 0, 1]),
        ("-12345.6789", &[3, 1, 0x4000, 4, 1, 2345, 6789]),
        ("0.00001", &[1, 0xFFFE, 0, 5, 1000]),
        ("1.50", &[2, 0, 0, 2, 1, 5000]),
        ("NaN", &[0, 0, 0xC000, 0]),
        ("Infinity", &[0, 0, 0xD000, 32]),
        ("-Infinity", &[0, 0, 0xF000, 32]),
    ];

    #[test]
    fn captured_values_read_and_write() {
        for (text, words) in CAPTURED {
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
            let value = Numeric::from_binary(&bytes).expect(text);
            assert_eq!(value.to_text(), *text);
            assert_eq!(value.to_binary(), bytes, "{text}");
            assert_eq!(
                Numeric::from_text(text.as_bytes()).expect(text).to_binary(),
                bytes,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_numeric_is_an_error() {
        for text in ["", "-", ".", "1.", ".5", "1e5", " 1", "+1", "nan", "1.2.3", "--1"] {
            assert_eq!(
                Numeric::from_text(text.as_bytes()).err(),
                Some(NumericError),
                "{text:?}"
            );
        }
        let words = |w: &[u16]| w.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<u8>>();
        assert!(Numeric::from_binary(&[]).is_err());
        assert!(
            Numeric::from_binary(&words(&[1, 0, 0, 0])).is_err(),
            "a digit is missing"
        );
        assert!(
            Numeric::from_binary(&words(&[1, 0, 0, 0, 10_000])).is_err(),
            "no base-10000 digit"
        );
        assert!(
            Numeric::from_binary(&words(&[1, 0, 0x1234, 0, 1])).is_err(),
            "no sign"
        );
        assert!(
            Numeric::from_binary(&words(&[1, 0xFFFF, 0, 0, 1])).is_err(),
            "digits beyond the scale"
        );
        assert!(
            Numeric::from_binary(&words(&[0, 0, 0, 0x4000])).is_err(),
            "scale too large"
        );
    }

    fn number() -> impl Strategy<Value = String> {
        ("-?", "[1-9][0-9]{0,60}|0", "(\\.[0-9]{1,50})?").prop_map(|(sign, whole, fraction)| {
            let zero = !format!("{whole}{fraction}")
                .bytes()
                .any(|b| (b'1'..=b'9').contains(&b));
            format!("{}{whole}{fraction}", if zero { "" } else { &sign })
        })
    }

    proptest! {
        #[test]
        fn text_and_binary_round_trip(text in number()) {
            let value = Numeric::from_text(text.as_bytes()).expect("a number");
            prop_assert_eq!(&value.to_text(), &text);
            let again = Numeric::from_binary(&value.to_binary()).expect("our own bytes");
            prop_assert_eq!(again.to_text(), text);
            prop_assert_eq!(again.to_binary(), value.to_binary());
        }

        #[test]
        fn any_bytes_are_read_without_panic_and_what_is_read_prints_alike(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(value) = Numeric::from_binary(&bytes) {
                let again = Numeric::from_text(value.to_text().as_bytes());
                prop_assert_eq!(again, Ok(value));
            }
        }
    }
}
