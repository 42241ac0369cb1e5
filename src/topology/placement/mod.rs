//! Key → shard. The functions here are frozen: changing one would lose rows. Each has test vectors.

use crate::model::{ShardId, Value};

/// How a key becomes a shard.
#[derive(Clone, Debug, PartialEq)]
pub enum Scheme {
    Hash(Hash),
    Time(Time),
    Range(Range),
    List(List),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFunction {
    /// PostgreSQL's own hash partitioning (`satisfies_hash_partition`).
    Postgres,
    /// Floor modulo of an integer key.
    Modulo,
    /// CRC-32 (IEEE) of the canonical text, mod count.
    Crc32,
    /// MurmurHash3 x86 32-bit, seed 0, of the canonical text, mod count.
    Murmur3,
    /// Consistent hashing of the canonical text over the shards.
    Ring,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Hash {
    pub function: HashFunction,
    pub count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Time {
    pub every: Every,
    /// Zone whose calendar cuts a timestamptz key; irrelevant for date and timestamp.
    pub zone: jiff::tz::TimeZone,
    /// First period: microseconds since 2000-01-01 of its local start.
    pub from: i64,
    /// Periods created ahead of now.
    pub ahead: u32,
    /// A key before `from` or after the last period created.
    pub create_outside: bool,
}

/// `bounds.len() + 1` shards: below the first bound, between, from the last on.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    pub bounds: Vec<Value>,
}

/// Shard of each listed value; a key listed nowhere is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    pub values: std::collections::HashMap<Value, ShardId>,
}
