//! Division with the scale and rounding that PostgreSQL's `numeric / numeric` has. The scale rule is
//! `select_div_scale` in src/backend/utils/adt/numeric.c: at least 16 significant digits,
//! reckoned in base-10000 digits, at least the operands' scales, at most 1000.

use std::cmp::Ordering;

use super::{Digits, Numeric};

/// `NUMERIC_MIN_SIG_DIGITS`.
const SIGNIFICANT_DIGITS: i64 = 16;
/// Decimal digits in a base-10000 digit (`DEC_DIGITS`).
const DECIMALS_PER_DIGIT: i64 = 4;
/// `NUMERIC_MAX_DISPLAY_SCALE`.
const MAX_RESULT_SCALE: i64 = 1000;

impl Numeric {
    /// `self / count`, rounded half away from zero. None: `count` isn't positive.
    pub fn divided_by(&self, count: i64) -> Option<Numeric> {
        if count <= 0 {
            return None;
        }
        let (digits, scale) = match self {
            // An infinity divided by a positive number stays what it is.
            Numeric::NaN | Numeric::Infinity | Numeric::NegativeInfinity => return Some(self.clone()),
            Numeric::Finite { digits, scale } => (digits, *scale),
        };
        let result_scale = result_scale(digits, scale, &Digits::from(i128::from(count)));
        // digits / 10^scale / count = x / 10^result_scale, so x = digits · 10^(result_scale - scale) / count.
        let shift = i64::from(result_scale) - i64::from(scale);
        let (numerator, denominator) = match u32::try_from(shift) {
            Ok(up) => (digits.times_power_of_ten(up), Digits::from(i128::from(count))),
            Err(_) => {
                let down = u32::try_from(-shift).ok()?;
                (
                    digits.clone(),
                    Digits::from(i128::from(count)).times_power_of_ten(down),
                )
            }
        };
        Some(Numeric::Finite {
            digits: divide_rounded(&numerator, &denominator),
            scale: result_scale,
        })
    }
}

/// The scale of `dividend · 10^-scale / divisor`, the divisor being an integer.
fn result_scale(dividend: &Digits, scale: u16, divisor: &Digits) -> u16 {
    let (weight1, first1) = first_digit(dividend, scale);
    let (weight2, first2) = first_digit(divisor, 0);
    let mut quotient_weight = weight1 - weight2;
    if first1 <= first2 {
        quotient_weight -= 1;
    }
    let wanted = SIGNIFICANT_DIGITS - quotient_weight * DECIMALS_PER_DIGIT;
    let chosen = wanted.max(i64::from(scale)).clamp(0, MAX_RESULT_SCALE);
    // The clamp keeps it between 0 and 1000.
    u16::try_from(chosen).unwrap_or(0)
}

/// Weight and value of the first non-zero base-10000 digit; zeros for zero.
fn first_digit(digits: &Digits, scale: u16) -> (i64, u16) {
    if digits.is_zero() {
        return (0, 0);
    }
    let exponent = digits.exponent(scale);
    let wanted = usize::try_from(exponent.rem_euclid(DECIMALS_PER_DIGIT) + 1).unwrap_or(1);
    let decimal = digits.to_decimal();
    let first = decimal.bytes().chain(std::iter::repeat(b'0')).take(wanted);
    (
        exponent.div_euclid(DECIMALS_PER_DIGIT),
        first.fold(0, |value, d| value * 10 + u16::from(d - b'0')),
    )
}

/// Rounded half away from zero; the denominator is positive.
fn divide_rounded(numerator: &Digits, denominator: &Digits) -> Digits {
    if let (Digits::Small(n), Digits::Small(d)) = (numerator, denominator)
        && let (Some(quotient), Some(rest)) = (n.checked_div(*d), n.checked_rem(*d))
    {
        // rest · 2 >= d, without overflow.
        let up = rest.unsigned_abs() >= d.unsigned_abs() - rest.unsigned_abs();
        return Digits::Small(if up { quotient + n.signum() } else { quotient });
    }
    let (n, d) = (numerator.to_big(), denominator.to_big());
    let (quotient, rest) = (&n / &d, &n % &d);
    let doubled = rest.magnitude() * 2u8;
    Digits::from(match doubled.cmp(d.magnitude()) {
        Ordering::Less => quotient,
        Ordering::Equal | Ordering::Greater => quotient + i32::from(numerator.signum()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn avg(sum: &str, count: i64) -> String {
        let sum = Numeric::from_text(sum.as_bytes()).expect("a number in a test");
        sum.divided_by(count).expect("a positive count").to_text()
    }

    /// Each line as PostgreSQL 15 prints `sum::numeric / count`.
    #[test]
    fn scale_and_rounding_are_postgres_own() {
        assert_eq!(avg("1", 3), "0.33333333333333333333");
        assert_eq!(avg("2", 3), "0.66666666666666666667");
        assert_eq!(avg("-2", 3), "-0.66666666666666666667");
        assert_eq!(avg("6", 3), "2.0000000000000000");
        assert_eq!(avg("10", 4), "2.5000000000000000");
        assert_eq!(avg("0", 5), "0.00000000000000000000");
        assert_eq!(avg("100000", 3), "33333.333333333333");
        assert_eq!(avg("0.5", 1), "0.50000000000000000000");
        assert_eq!(avg("NaN", 3), "NaN");
        assert_eq!(avg("-Infinity", 3), "-Infinity");
    }

    #[test]
    fn a_count_that_is_not_positive_gives_nothing() {
        assert_eq!(Numeric::from_i64(1).divided_by(0), None);
        assert_eq!(Numeric::from_i64(1).divided_by(-1), None);
    }
}
