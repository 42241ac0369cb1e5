//! Consistent hashing of the canonical text over the shards, 100 points on the ring per shard: one
//! more shard moves only its own share of the keys. Neither the bytes that are hashed nor the hash
//! come from `std::hash`, whose output is not promised to stay: both are frozen here.

use std::hash::{Hash, Hasher};

use consistent_hash::{Node, RingHash, StaticHashRing};

use crate::model::Value;

use super::canonical;

/// Points on the ring per shard.
const POINTS: usize = 100;
/// More shards would take seconds to build and hundreds of megabytes.
pub const MOST_SHARDS: u32 = 4096;

/// A ring over shards 0…count-1.
pub struct Ring(StaticHashRing<'static, Point, u32, Frozen>);

impl Ring {
    pub fn new(count: u32) -> Self {
        let nodes = (0..count).map(|shard| {
            // Keys are ordered as bytes; the text form keeps that order out of the hash's input.
            Node::new(Point(format!("shard-{shard}").into_bytes()))
                .value(shard)
                .quantity(POINTS)
        });
        Self(StaticHashRing::new(Frozen, nodes))
    }

    /// None: a ring without shards.
    pub fn shard(&self, key: &[Value]) -> Option<u32> {
        self.0
            .calc_candidates(&Point(canonical::bytes(key)))
            .next()
            .map(|node| node.value)
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ring({} points)", self.0.len())
    }
}

/// Bytes that hash as themselves: no length, no terminator.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Point(Vec<u8>);

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

struct Frozen;

impl RingHash for Frozen {
    fn hash_item<T: Hash>(&self, item: &T) -> u64 {
        let mut hasher = Fnv::default();
        item.hash(&mut hasher);
        hasher.finish()
    }

    fn hash_vnode<K: Hash>(&self, key: &K, sequence: usize) -> u64 {
        let mut hasher = Fnv::default();
        key.hash(&mut hasher);
        hasher.write(format!("#{sequence}").as_bytes());
        hasher.finish()
    }
}

/// FNV-1a 64, then the finalizer of MurmurHash3 64, since FNV alone leaves neighbours close together.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        let mut h = self.0;
        h = (h ^ h >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        h = (h ^ h >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        h ^ h >> 33
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_frozen() {
        let ring = Ring::new(16);
        let shards: Vec<u32> = (0..8).filter_map(|i| ring.shard(&[Value::Int(i)])).collect();
        assert_eq!(shards, FROZEN);
    }

    const FROZEN: [u32; 8] = [5, 12, 4, 4, 3, 11, 0, 2];

    #[test]
    fn one_more_shard_takes_keys_but_moves_none_between_the_others() {
        let (before, after) = (Ring::new(16), Ring::new(17));
        let mut moved = 0;
        for i in 0..10_000 {
            let (b, a) = (before.shard(&[Value::Int(i)]), after.shard(&[Value::Int(i)]));
            if a != b {
                assert_eq!(a, Some(16));
                moved += 1;
            }
        }
        assert!((200..1200).contains(&moved), "{moved} of 10000 moved");
    }
}
