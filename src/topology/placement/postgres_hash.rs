//! PostgreSQL's own hash partitioning: the same shard as `satisfies_hash_partition` says, so that
//! the servers agree and users can recompute it in SQL. Source of the algorithm: PostgreSQL
//! `src/common/hashfn.c` (Bob Jenkins' lookup3, 64-bit seeded form), `src/backend/access/hash/hashfunc.c`
//! and `compute_partition_hash_value` in `src/backend/partitioning/partbounds.c`.

use crate::model::Value;

/// HASH_PARTITION_SEED.
const SEED: u64 = 0x7A5B_2236_7996_DCFD;

/// Remainder of a key among `modulus` shards.
pub fn shard(key: &[Value], modulus: u32) -> u32 {
    (row_hash(key) % u64::from(modulus.max(1))) as u32
}

/// The hash of all key columns together.
pub fn row_hash(key: &[Value]) -> u64 {
    key.iter().fold(0, |row, value| combine(row, hash(value)))
}

/// hash_combine64.
fn combine(a: u64, b: u64) -> u64 {
    a ^ b
        .wrapping_add(0x49a0_f4dd_15e5_a8e3)
        .wrapping_add(a << 54)
        .wrapping_add(a >> 7)
}

/// What the type's extended hash function (support function 2 of the hash operator class) gives.
fn hash(value: &Value) -> u64 {
    match value {
        Value::Bool(b) => hash_u32(u32::from(*b)),
        Value::Int(i) | Value::Timestamp(i) => hash_i64(*i),
        Value::Date(d) => hash_u32(*d as u32),
        Value::Text(bytes) | Value::Bytea(bytes) => hash_bytes(bytes),
        Value::Uuid(bytes) => hash_bytes(bytes),
    }
}

/// hashint8extended: values that fit into 32 bits hash as int2 and int4 do.
fn hash_i64(value: i64) -> u64 {
    let low = value as u32;
    let high = (value >> 32) as u32;
    hash_u32(low ^ if value >= 0 { high } else { !high })
}

/// hash_bytes_uint32_extended.
fn hash_u32(value: u32) -> u64 {
    let mut s = State::new(4);
    s.a = s.a.wrapping_add(value);
    s.last()
}

/// hash_bytes_extended, as on a little-endian machine.
fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut s = State::new(bytes.len() as u32);
    let mut chunks = bytes.chunks_exact(12);
    for chunk in &mut chunks {
        s.add(word(chunk, 0), word(chunk, 4), word(chunk, 8));
        s.mix();
    }
    let rest = chunks.remainder();
    // The lowest byte of c is left out: it was meant for the length.
    let c = word(rest.get(8..).unwrap_or_default(), 0) << 8;
    s.add(word(rest, 0), word(rest.get(4..).unwrap_or_default(), 0), c);
    s.last()
}

/// Four bytes from `at`, little-endian; those past the end are 0.
fn word(bytes: &[u8], at: usize) -> u32 {
    (0..4)
        .map(|i| u32::from(bytes.get(at + i).copied().unwrap_or(0)) << (8 * i))
        .sum()
}

struct State {
    a: u32,
    b: u32,
    c: u32,
}

impl State {
    fn new(len: u32) -> Self {
        let start = 0x9e37_79b9u32.wrapping_add(len).wrapping_add(3_923_095);
        let mut s = Self {
            a: start,
            b: start,
            c: start,
        };
        s.add((SEED >> 32) as u32, SEED as u32, 0);
        s.mix();
        s
    }

    fn add(&mut self, a: u32, b: u32, c: u32) {
        self.a = self.a.wrapping_add(a);
        self.b = self.b.wrapping_add(b);
        self.c = self.c.wrapping_add(c);
    }

    fn mix(&mut self) {
        let Self { a, b, c } = self;
        let step = |x: &mut u32, y: &mut u32, z: u32, turn: u32| {
            // x -= y; x ^= rot(y, turn); y += z
            *x = x.wrapping_sub(*y) ^ y.rotate_left(turn);
            *y = y.wrapping_add(z);
        };
        step(a, c, *b, 4);
        step(b, a, *c, 6);
        step(c, b, *a, 8);
        step(a, c, *b, 16);
        step(b, a, *c, 19);
        step(c, b, *a, 4);
    }

    fn last(mut self) -> u64 {
        let Self { a, b, c } = &mut self;
        let step = |x: &mut u32, y: u32, turn: u32| *x = (*x ^ y).wrapping_sub(y.rotate_left(turn));
        step(c, *b, 14);
        step(a, *c, 11);
        step(b, *a, 25);
        step(c, *b, 16);
        step(a, *c, 4);
        step(b, *a, 14);
        step(c, *b, 24);
        u64::from(*b) << 32 | u64::from(*c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of `SELECT i, satisfies_hash_partition(…)` on a server; tests/placement_oracle.rs compares
    /// with a live one. These stay even if a server should change.
    #[test]
    fn vectors_are_frozen() {
        let of = |key: Value| shard(&[key], 16);
        let ints: Vec<u32> = (0..8).map(|i| of(Value::Int(i))).collect();
        assert_eq!(ints, [0, 8, 10, 9, 3, 13, 3, 7]);
        let others = [
            of(Value::Int(-1)),
            of(Value::Int(i64::MIN)),
            of(Value::Bool(true)),
            of(Value::Text((*b"").into())),
            of(Value::Text((*b"north").into())),
            of(Value::Text((*b"exactly 12 b").into())),
            of(Value::Text((*b"more than twelve bytes").into())),
            of(Value::Uuid([7; 16])),
            of(Value::Bytea([0, 255].into())),
            of(Value::Date(9_512)),
            of(Value::Timestamp(1)),
        ];
        assert_eq!(others, [5, 15, 8, 6, 6, 8, 3, 10, 9, 13, 8]);
        assert_eq!(
            row_hash(&[Value::Int(1), Value::Text((*b"a").into())]),
            5168779851758693317
        );
    }
}
