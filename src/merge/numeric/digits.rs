//! An integer of any size: `i128` while it fits, a big integer beyond. Knows nothing of scales
//! but what its methods are told.

use std::cmp::Ordering;

use bigdecimal::num_bigint::{BigInt, Sign};

/// An exact integer. Always `Small` when it fits, so that equal values have equal forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Digits {
    Small(i128),
    Big(BigInt),
}

impl From<i128> for Digits {
    fn from(value: i128) -> Digits {
        Digits::Small(value)
    }
}

impl From<BigInt> for Digits {
    fn from(value: BigInt) -> Digits {
        match i128::try_from(&value) {
            Ok(small) => Digits::Small(small),
            Err(_) => Digits::Big(value),
        }
    }
}

impl Digits {
    /// From decimal digits without a sign. None: something else is in there, or nothing.
    pub fn from_decimal(digits: &[u8], negative: bool) -> Option<Digits> {
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        // 38 nines are less than 2^127.
        if digits.len() <= 38 {
            let value = digits
                .iter()
                .fold(0i128, |value, d| value * 10 + i128::from(d - b'0'));
            return Some(Digits::Small(if negative { -value } else { value }));
        }
        let value = BigInt::parse_bytes(digits, 10)?;
        Some(Digits::from(if negative { -value } else { value }))
    }

    /// Decimal digits of the absolute value: "0" or without leading zeros.
    pub fn to_decimal(&self) -> String {
        match self {
            Digits::Small(value) => value.unsigned_abs().to_string(),
            Digits::Big(value) => value.magnitude().to_string(),
        }
    }

    pub fn is_zero(&self) -> bool {
        *self == Digits::Small(0)
    }

    pub fn signum(&self) -> i8 {
        match self {
            Digits::Small(value) => match value.cmp(&0) {
                Ordering::Less => -1,
                Ordering::Equal => 0,
                Ordering::Greater => 1,
            },
            Digits::Big(value) => match value.sign() {
                Sign::Minus => -1,
                Sign::NoSign => 0,
                Sign::Plus => 1,
            },
        }
    }

    pub fn to_big(&self) -> BigInt {
        match self {
            Digits::Small(value) => BigInt::from(*value),
            Digits::Big(value) => value.clone(),
        }
    }

    pub fn add(&self, other: &Digits) -> Digits {
        if let (Digits::Small(a), Digits::Small(b)) = (self, other)
            && let Some(sum) = a.checked_add(*b)
        {
            return Digits::Small(sum);
        }
        Digits::from(self.to_big() + other.to_big())
    }

    pub fn times_power_of_ten(&self, power: u32) -> Digits {
        if let Digits::Small(value) = self
            && let Some(product) = 10i128.checked_pow(power).and_then(|ten| value.checked_mul(ten))
        {
            return Digits::Small(product);
        }
        Digits::from(self.to_big() * power_of_ten(power))
    }

    /// The power of ten of the first digit of `self` · 10^-`scale`: 0 for 1 to 9.99, -1 for 0.5.
    /// 0 for zero.
    pub fn exponent(&self, scale: u16) -> i64 {
        let length = match self {
            Digits::Small(0) => return 0,
            Digits::Small(value) => i64::from(value.unsigned_abs().ilog10()),
            Digits::Big(value) => decimal_length(value) - 1,
        };
        length - i64::from(scale)
    }

    /// Cuts up to `most` zeros off the end; says how many.
    pub fn without_trailing_zeros(&self, most: u32) -> (Digits, u32) {
        match self {
            Digits::Small(0) => (Digits::Small(0), most),
            Digits::Small(value) => {
                let (mut value, mut cut) = (*value, 0);
                while cut < most && value % 10 == 0 {
                    value /= 10;
                    cut += 1;
                }
                (Digits::Small(value), cut)
            }
            Digits::Big(value) => {
                let text = value.magnitude().to_string();
                let zeros = text.bytes().rev().take_while(|d| *d == b'0').count();
                let cut = u32::try_from(zeros).unwrap_or(u32::MAX).min(most);
                if cut == 0 {
                    return (self.clone(), 0);
                }
                (Digits::from(value / power_of_ten(cut)), cut)
            }
        }
    }

    pub fn held_bytes(&self) -> usize {
        match self {
            Digits::Small(_) => 0,
            Digits::Big(value) => usize::try_from(value.bits() / 8).unwrap_or(usize::MAX),
        }
    }
}

impl Ord for Digits {
    fn cmp(&self, other: &Digits) -> Ordering {
        match (self, other) {
            (Digits::Small(a), Digits::Small(b)) => a.cmp(b),
            (Digits::Big(a), Digits::Big(b)) => a.cmp(b),
            // A big one lies outside the range of the small ones, on the side that its sign says.
            (Digits::Small(_), Digits::Big(_)) => 0.cmp(&other.signum()),
            (Digits::Big(_), Digits::Small(_)) => self.signum().cmp(&0),
        }
    }
}

impl PartialOrd for Digits {
    fn partial_cmp(&self, other: &Digits) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

pub fn power_of_ten(power: u32) -> BigInt {
    BigInt::from(10u8).pow(power)
}

/// The number of decimal digits, without printing the number: log10 from the bit length is right
/// or one too small, and one comparison says which.
fn decimal_length(value: &BigInt) -> i64 {
    // 2^(bits-1) <= |value| < 2^bits, and log10(2) = 0.30102999566…; the lower bound is rounded down.
    let bits = value.bits();
    let at_least = u128::from(bits.saturating_sub(1)) * 30_102_999_566 / 100_000_000_000;
    let at_least = u32::try_from(at_least).unwrap_or(u32::MAX);
    // |value| >= 10^at_least: so there are at least `at_least + 1` digits.
    let mut length = at_least + 1;
    while value.magnitude() >= power_of_ten(length).magnitude() {
        length += 1;
    }
    i64::from(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_length_is_exact_at_powers_of_ten() {
        for power in [38u32, 39, 40, 77, 100, 1000, 4932, 20_000] {
            let ten = power_of_ten(power);
            assert_eq!(decimal_length(&ten), i64::from(power) + 1);
            assert_eq!(decimal_length(&(&ten - 1u8)), i64::from(power));
            assert_eq!(decimal_length(&(-&ten)), i64::from(power) + 1);
        }
    }

    #[test]
    fn small_and_big_compare() {
        let big = Digits::from_decimal(&[b'9'; 60], false).expect("digits");
        let negative = Digits::from_decimal(&[b'9'; 60], true).expect("digits");
        assert!(big > Digits::Small(i128::MAX) && negative < Digits::Small(i128::MIN) && negative < big);
        assert_eq!(big.add(&negative), Digits::Small(0));
    }
}
