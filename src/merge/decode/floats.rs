//! float4 and float8, in PostgreSQL's order: NaN equals itself and is the greatest, -0 equals 0.
//! Text is exact where `extra_float_digits` is at least 1 (`Described::exact_floats`).

use std::cmp::Ordering;

use super::Unreadable;

/// float4 is widened, which changes neither order nor equality.
#[derive(Clone, Copy, Debug)]
pub struct Float(pub f64);

impl Float {
    /// The same for equal values.
    pub fn canonical_bits(self) -> u64 {
        if self.0.is_nan() {
            f64::NAN.to_bits()
        } else if self.0 == 0.0 {
            0
        } else {
            self.0.to_bits()
        }
    }
}

impl Ord for Float {
    fn cmp(&self, other: &Float) -> Ordering {
        // Without an order there is a NaN, and it is the greater one.
        self.0
            .partial_cmp(&other.0)
            .unwrap_or_else(|| self.0.is_nan().cmp(&other.0.is_nan()))
    }
}

impl PartialOrd for Float {
    fn partial_cmp(&self, other: &Float) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Float {
    fn eq(&self, other: &Float) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Float {}

pub fn float8_text(bytes: &[u8]) -> Result<Float, Unreadable> {
    match bytes {
        b"NaN" => Ok(Float(f64::NAN)),
        b"Infinity" => Ok(Float(f64::INFINITY)),
        b"-Infinity" => Ok(Float(f64::NEG_INFINITY)),
        _ => digits(bytes)?.parse().map(Float).map_err(|_| Unreadable::Broken),
    }
}

/// Read as a float4 first: the shortest text of a float4 names another float8.
pub fn float4_text(bytes: &[u8]) -> Result<Float, Unreadable> {
    match bytes {
        b"NaN" | b"Infinity" | b"-Infinity" => float8_text(bytes),
        _ => digits(bytes)?
            .parse()
            .map(|value: f32| Float(value.into()))
            .map_err(|_| Unreadable::Broken),
    }
}

fn digits(bytes: &[u8]) -> Result<&str, Unreadable> {
    let shape = |b: &u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e');
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::Broken)?;
    if text.bytes().all(|b| shape(&b)) {
        Ok(text)
    } else {
        Err(Unreadable::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_greatest_and_zeros_are_equal() {
        let ascending = [
            "-Infinity",
            "-1e+300",
            "-1",
            "0",
            "5e-324",
            "0.1",
            "1e+300",
            "Infinity",
            "NaN",
        ];
        let values: Vec<Float> = ascending
            .iter()
            .map(|t| float8_text(t.as_bytes()).expect(t))
            .collect();
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j));
            }
        }
        assert_eq!(Float(-0.0), Float(0.0));
        assert_eq!(
            Float(-f64::NAN).canonical_bits(),
            Float(f64::NAN).canonical_bits()
        );
    }

    #[test]
    fn float4_text_is_the_float4_it_was_printed_from() {
        assert_eq!(float4_text(b"0.1"), Ok(Float(0.1f32.into())));
        assert_ne!(float4_text(b"0.1"), float8_text(b"0.1"));
        assert_eq!(float4_text(b"-Infinity"), Ok(Float(f64::NEG_INFINITY)));
    }

    #[test]
    fn words_are_no_floats() {
        for text in ["inf", "nan", "infinity", "", "1e", "0x1", "1,5"] {
            assert_eq!(float8_text(text.as_bytes()), Err(Unreadable::Broken), "{text:?}");
        }
    }
}
