//! MurmurHash3 x86 32-bit with seed 0 of the canonical text, unsigned, mod count.
//! Source: Austin Appleby, SMHasher, `MurmurHash3_x86_32` (public domain).

use crate::model::Value;

use super::canonical;

pub fn shard(key: &[Value], count: u32) -> u32 {
    hash(&canonical::bytes(key)) % count.max(1)
}

fn hash(bytes: &[u8]) -> u32 {
    let scramble = |k: u32| {
        k.wrapping_mul(0xcc9e_2d51)
            .rotate_left(15)
            .wrapping_mul(0x1b87_3593)
    };
    let mut h = 0u32;
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        let k = chunk.iter().rev().fold(0u32, |k, byte| k << 8 | u32::from(*byte));
        h = (h ^ scramble(k))
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64);
    }
    let rest = chunks
        .remainder()
        .iter()
        .rev()
        .fold(0u32, |k, byte| k << 8 | u32::from(*byte));
    h ^= scramble(rest);
    h ^= bytes.len() as u32;
    h = (h ^ h >> 16).wrapping_mul(0x85eb_ca6b);
    h = (h ^ h >> 13).wrapping_mul(0xc2b2_ae35);
    h ^ h >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors_hold() {
        assert_eq!(hash(b""), 0);
        assert_eq!(hash(b"test"), 0xba6b_d213);
        assert_eq!(hash(b"Hello, world!"), 0xc036_3e43);
        assert_eq!(hash(b"The quick brown fox jumps over the lazy dog"), 0x2e4f_f723);
    }

    #[test]
    fn shards_are_frozen() {
        let shards: Vec<u32> = (0..8).map(|i| shard(&[Value::Int(i)], 16)).collect();
        assert_eq!(shards, FROZEN);
    }

    const FROZEN: [u32; 8] = [15, 3, 7, 4, 8, 4, 0, 8];
}
