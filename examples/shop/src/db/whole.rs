//! A whole number out of whatever integer type the server answers with: sum(bigint) is numeric on
//! PostgreSQL, sum(int) is bigint, count is bigint. A numeric with a fraction or beyond 64 bits is an
//! error, never rounded.

use std::error::Error;

use tokio_postgres::types::{FromSql, Type};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole(pub i64);

impl<'a> FromSql<'a> for Whole {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Whole, Box<dyn Error + Sync + Send>> {
        if *ty == Type::NUMERIC {
            return numeric(raw).map(Whole);
        }
        Ok(Whole(match *ty {
            Type::INT2 => i64::from(i16::from_sql(ty, raw)?),
            Type::INT4 => i64::from(i32::from_sql(ty, raw)?),
            _ => i64::from_sql(ty, raw)?,
        }))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT2 | Type::INT4 | Type::INT8 | Type::NUMERIC)
    }
}

/// Reads numeric's binary form: count of base-10000 digits, weight of the first, sign, scale, digits.
fn numeric(raw: &[u8]) -> Result<i64, Box<dyn Error + Sync + Send>> {
    let mut words = raw
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let mut word = || words.next().ok_or("numeric value is cut short");
    let count = usize::from(word()?);
    let weight = i32::from(word()? as i16);
    let negative = match word()? {
        0 => false,
        0x4000 => true,
        _ => return Err("numeric value is not a finite number".into()),
    };
    word()?;
    let mut value: i128 = 0;
    for place in 0..count {
        let digit = i128::from(word()?);
        let exponent = weight - i32::try_from(place)?;
        if exponent < 0 {
            if digit != 0 {
                return Err("numeric value has a fraction".into());
            }
            continue;
        }
        // Five base-10000 digits hold every 64-bit number.
        if exponent > 4 {
            return Err("numeric value does not fit into 64 bits".into());
        }
        value += digit * 10_000_i128.pow(exponent as u32);
    }
    Ok(i64::try_from(if negative { -value } else { value })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn whole_numerics_are_read_exactly() {
        assert_eq!(numeric(&encoded(&[0, 0, 0, 0])).expect("zero"), 0);
        assert_eq!(numeric(&encoded(&[1, 0, 0x4000, 0, 42])).expect("small"), -42);
        // 12,0000 keeps only its first digit on the wire: trailing zeros are implied by the weight.
        assert_eq!(
            numeric(&encoded(&[1, 1, 0, 0, 12])).expect("implied zeros"),
            120_000
        );
        assert_eq!(
            numeric(&encoded(&[3, 1, 0, 2, 1, 2, 0])).expect("zero fraction"),
            10_002
        );
    }

    #[test]
    fn a_fraction_or_a_number_beyond_64_bits_is_refused() {
        assert!(numeric(&encoded(&[2, 0, 0, 2, 1, 5000])).is_err());
        assert!(numeric(&encoded(&[1, 5, 0, 0, 1])).is_err());
        assert!(numeric(&encoded(&[5, 4, 0, 0, 1000, 0, 0, 0, 0])).is_err());
        assert!(numeric(&encoded(&[0, 0, 0xC000, 0])).is_err());
        assert!(numeric(&[0, 9]).is_err());
    }
}
