//! Floor modulo of an integer key: 0…count-1 for negative keys too (`((k % n) + n) % n` in SQL).

use crate::model::Value;

/// None: not one integer column.
pub fn shard(key: &[Value], count: u32) -> Option<u32> {
    match key {
        [Value::Int(i)] => Some(i.rem_euclid(i64::from(count.max(1))) as u32),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_keys_have_a_shard_from_zero_on() {
        assert_eq!(shard(&[Value::Int(-1)], 16), Some(15));
        assert_eq!(shard(&[Value::Int(i64::MIN)], 3), Some(1));
        assert_eq!(shard(&[Value::Int(33)], 16), Some(1));
        assert_eq!(shard(&[Value::Bool(true)], 16), None);
    }
}
