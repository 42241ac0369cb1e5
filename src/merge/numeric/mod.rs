//! PostgreSQL's `numeric`, exactly: a decimal integer, a display scale, and NaN and the infinities.
//! Order and addition; `codec` reads and writes its two formats, `division` divides as the server does.
//! Must not round anywhere but in division, and there as the server does.

mod codec;
mod digits;
mod division;

pub(super) use digits::Digits;

use std::cmp::Ordering;

/// Digits after the point that the storage format can hold (`NUMERIC_DSCALE_MAX`).
pub const MAX_SCALE: u16 = 0x3FFF;

/// The weight of the first base-10000 digit can't be more (`NUMERIC_WEIGHT_MAX`): 131,072 decimal digits
/// before the point. PostgreSQL reports "value overflows numeric format" beyond it.
pub const MAX_WEIGHT: i64 = 0x7FFF;

/// A value of type numeric. Two values may be equal and print differently (1.0, 1.00): `==`
/// compares the value, as SQL does.
#[derive(Clone, Debug)]
pub enum Numeric {
    NegativeInfinity,
    /// `digits` · 10^-`scale`. `scale` is also the number of digits that print after the point.
    Finite {
        digits: Digits,
        scale: u16,
    },
    Infinity,
    NaN,
}

impl Numeric {
    pub fn from_i64(value: i64) -> Numeric {
        Numeric::Finite {
            digits: Digits::from(i128::from(value)),
            scale: 0,
        }
    }

    /// The sum, with the larger of the two scales. NaN wins; opposite infinities give NaN. None:
    /// the result overflows the format.
    pub fn add(&self, other: &Numeric) -> Option<Numeric> {
        use Numeric::{Finite, Infinity, NaN, NegativeInfinity};
        Some(match (self, other) {
            (NaN, _) | (_, NaN) | (Infinity, NegativeInfinity) | (NegativeInfinity, Infinity) => NaN,
            (Infinity, _) | (_, Infinity) => Infinity,
            (NegativeInfinity, _) | (_, NegativeInfinity) => NegativeInfinity,
            (Finite { digits: a, scale: sa }, Finite { digits: b, scale: sb }) => {
                let scale = *sa.max(sb);
                let digits = match sa.cmp(sb) {
                    Ordering::Equal => a.add(b),
                    Ordering::Less => a.times_power_of_ten(u32::from(sb - sa)).add(b),
                    Ordering::Greater => b.times_power_of_ten(u32::from(sa - sb)).add(a),
                };
                let sum = Finite { digits, scale };
                return (sum.weight() <= MAX_WEIGHT).then_some(sum);
            }
        })
    }

    /// The same value with no zeros at the end of the fraction: equal values have equal forms.
    pub fn canonical(&self) -> Numeric {
        match self {
            Numeric::Finite { digits, scale } => {
                let (digits, cut) = digits.without_trailing_zeros(u32::from(*scale));
                Numeric::Finite {
                    digits,
                    scale: scale.saturating_sub(u16::try_from(cut).unwrap_or(*scale)),
                }
            }
            Numeric::NaN | Numeric::Infinity | Numeric::NegativeInfinity => self.clone(),
        }
    }

    /// Bytes on the heap, roughly.
    pub fn held_bytes(&self) -> usize {
        match self {
            Numeric::Finite { digits, .. } => digits.held_bytes(),
            Numeric::NaN | Numeric::Infinity | Numeric::NegativeInfinity => 0,
        }
    }

    /// The power of 10000 of the first non-zero base-10000 digit, counted from the point; 0 for zero
    /// and for what isn't finite.
    fn weight(&self) -> i64 {
        match self {
            Numeric::Finite { digits, scale } if !digits.is_zero() => digits.exponent(*scale).div_euclid(4),
            Numeric::Finite { .. } | Numeric::NaN | Numeric::Infinity | Numeric::NegativeInfinity => 0,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Numeric::NegativeInfinity => 0,
            Numeric::Finite { .. } => 1,
            Numeric::Infinity => 2,
            Numeric::NaN => 3,
        }
    }
}

/// PostgreSQL's order: -Infinity, numbers, Infinity, NaN; NaN equals itself.
impl Ord for Numeric {
    fn cmp(&self, other: &Numeric) -> Ordering {
        match (self, other) {
            (Numeric::Finite { digits: a, scale: sa }, Numeric::Finite { digits: b, scale: sb }) => {
                if sa == sb {
                    return a.cmp(b);
                }
                // Different signs or sizes need no common scale.
                let by_sign = a.signum().cmp(&b.signum());
                if by_sign != Ordering::Equal || a.is_zero() {
                    return by_sign;
                }
                let by_size = a.exponent(*sa).cmp(&b.exponent(*sb));
                if by_size != Ordering::Equal {
                    return if a.signum() < 0 {
                        by_size.reverse()
                    } else {
                        by_size
                    };
                }
                if sa < sb {
                    a.times_power_of_ten(u32::from(sb - sa)).cmp(b)
                } else {
                    a.cmp(&b.times_power_of_ten(u32::from(sa - sb)))
                }
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Numeric) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Numeric {
    fn eq(&self, other: &Numeric) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Numeric {}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Numeric {
        Numeric::from_text(text.as_bytes()).expect("a number in a test")
    }

    #[test]
    fn order_is_postgres_order() {
        let ascending = [
            "-Infinity",
            "-100000000000000000000000000000000000000000000.5",
            "-2",
            "-1.5",
            "0",
            "0.0001",
            "1.000000000000000000000000000000000000000000000001",
            "1.1",
            "9.99",
            "10",
            "340282366920938463463374607431768211456",
            "Infinity",
            "NaN",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(n(a).cmp(&n(b)), i.cmp(&j), "{a} against {b}");
            }
        }
    }

    #[test]
    fn equal_values_of_different_scale_are_equal_and_have_one_canonical_form() {
        assert_eq!(n("1.0"), n("1.000"));
        assert_eq!(n("-0.00"), n("0"));
        assert_eq!(n("1.000").canonical().to_text(), "1");
        assert_eq!(n("100").canonical().to_text(), "100");
        assert_eq!(n("0.000").canonical().to_text(), "0");
        assert_eq!(n("-12.3400").canonical().to_text(), "-12.34");
    }

    #[test]
    fn sum_has_the_larger_scale_and_is_exact_past_128_bits() {
        assert_eq!(n("1.5").add(&n("2.250")).expect("fits").to_text(), "3.750");
        assert_eq!(n("1.5").add(&n("-1.5")).expect("fits").to_text(), "0.0");
        let big = n("170141183460469231731687303715884105727");
        assert_eq!(
            big.add(&n("1.00")).expect("fits").to_text(),
            "170141183460469231731687303715884105728.00"
        );
    }

    #[test]
    fn nan_and_infinities_add_as_in_postgres() {
        assert_eq!(n("NaN").add(&n("1")), Some(Numeric::NaN));
        assert_eq!(n("Infinity").add(&n("-Infinity")), Some(Numeric::NaN));
        assert_eq!(n("Infinity").add(&n("-5")), Some(Numeric::Infinity));
        assert_eq!(n("3").add(&n("-Infinity")), Some(Numeric::NegativeInfinity));
    }

    #[test]
    fn sum_beyond_the_format_overflows() {
        let nines = n(&"9".repeat(131_072));
        assert_eq!(nines.add(&n("1")), None);
        assert!(nines.add(&n("0")).is_some());
    }
}
