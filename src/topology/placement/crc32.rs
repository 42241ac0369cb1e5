//! CRC-32 (IEEE, as zlib and MySQL's `CRC32()`) of the canonical text, mod count. The default on MySQL.

use crate::model::Value;

use super::canonical;

pub fn shard(key: &[Value], count: u32) -> u32 {
    crc32fast::hash(&canonical::bytes(key)) % count.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_those_of_mysql() {
        // SELECT CRC32('42'), CRC32('MySQL');
        assert_eq!(shard(&[Value::Int(42)], u32::MAX), 841_265_288);
        assert_eq!(shard(&[Value::Text((*b"MySQL").into())], u32::MAX), 3_259_397_556);
        assert_eq!(shard(&[Value::Int(42)], 16), 841_265_288 % 16);
    }
}
