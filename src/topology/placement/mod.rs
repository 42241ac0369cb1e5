//! Key → shard. The functions here are frozen: changing one would lose rows. Each has test vectors;
//! docs/rules.md says how to recompute them in SQL.

use std::ops::Bound;
use std::sync::Arc;

use crate::model::{KeyType, ShardId, Value};

pub mod canonical;
pub mod crc32;
pub mod ddl;
pub mod list;
pub mod modulo;
pub mod murmur3;
pub mod postgres_hash;
pub mod range;
pub mod ring;
pub mod time;

pub use ddl::{partition_by, physical_name, shard_bounds};

/// How a key becomes a shard.
#[derive(Clone, Debug, PartialEq)]
pub enum Scheme {
    Hash(Hash),
    Time(Time),
    Range(Range),
    List(List),
}

impl Scheme {
    /// The shard of a key. `types`: of the key's columns, in their order (only time reads them).
    /// None: the key belongs to no shard, or isn't of a type the scheme can place. A period of time
    /// always has a number (negative before `from`), whether it was created or not.
    pub fn shard_of(&self, key: &[Value], types: &[KeyType]) -> Option<ShardId> {
        match (self, key) {
            (Scheme::Hash(hash), key) => hash.shard_of(key),
            (Scheme::Time(time), [key]) => time.period_of(key, *types.first()?),
            (Scheme::Range(range), [key]) => range.shard_of(key),
            (Scheme::List(list), [key]) => list.shard_of(key),
            (Scheme::Time(_) | Scheme::Range(_) | Scheme::List(_), _) => None,
        }
    }

    /// Shards that may hold keys between `lo` and `hi`: never too few. Only a key of one column
    /// narrows anything, and only under time and range.
    pub fn shards_between(&self, lo: Bound<&Value>, hi: Bound<&Value>, ty: KeyType) -> ShardRange {
        match self {
            Scheme::Hash(_) | Scheme::List(_) => ShardRange::ALL,
            Scheme::Time(time) => time.periods_between(lo, hi, ty),
            Scheme::Range(range) => range.shards_between(lo, hi),
        }
    }
}

/// Consecutive shards, both ends included; None = open. Empty if `first > last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShardRange {
    pub first: Option<i32>,
    pub last: Option<i32>,
}

impl ShardRange {
    pub const ALL: Self = Self {
        first: None,
        last: None,
    };

    pub fn one(shard: ShardId) -> Self {
        Self {
            first: Some(shard.0),
            last: Some(shard.0),
        }
    }

    pub fn is_empty(self) -> bool {
        matches!((self.first, self.last), (Some(first), Some(last)) if first > last)
    }

    pub fn contains(self, shard: ShardId) -> bool {
        self.first.is_none_or(|first| first <= shard.0) && self.last.is_none_or(|last| shard.0 <= last)
    }

    /// The shards in both.
    pub fn and(self, other: Self) -> Self {
        let later = |a: Option<i32>, b: Option<i32>| a.max(b);
        let sooner = |a: Option<i32>, b: Option<i32>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, None) | (None, one) => one,
        };
        Self {
            first: later(self.first, other.first),
            last: sooner(self.last, other.last),
        }
    }
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

impl HashFunction {
    /// As written in rules.
    pub fn name(self) -> &'static str {
        match self {
            HashFunction::Postgres => "postgres",
            HashFunction::Modulo => "modulo",
            HashFunction::Crc32 => "crc32",
            HashFunction::Murmur3 => "murmur3",
            HashFunction::Ring => "ring",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Hash {
    pub function: HashFunction,
    pub count: u32,
    /// For `Ring` only: built once, since building it takes longer than a query.
    ring: Option<Arc<ring::Ring>>,
}

impl PartialEq for Hash {
    fn eq(&self, other: &Self) -> bool {
        // The ring follows from the rest.
        self.function == other.function && self.count == other.count
    }
}

impl Hash {
    pub fn new(function: HashFunction, count: u32) -> Self {
        let ring = (function == HashFunction::Ring).then(|| Arc::new(ring::Ring::new(count)));
        Self {
            function,
            count,
            ring,
        }
    }

    /// None: `modulo` of a key that isn't one integer.
    pub fn shard_of(&self, key: &[Value]) -> Option<ShardId> {
        let shard = match self.function {
            HashFunction::Postgres => postgres_hash::shard(key, self.count),
            HashFunction::Modulo => modulo::shard(key, self.count)?,
            HashFunction::Crc32 => crc32::shard(key, self.count),
            HashFunction::Murmur3 => murmur3::shard(key, self.count),
            HashFunction::Ring => self.ring.as_ref()?.shard(key)?,
        };
        Some(ShardId(shard as i32))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Every {
    /// As written in rules.
    pub fn name(self) -> &'static str {
        match self {
            Every::Hour => "hour",
            Every::Day => "day",
            Every::Week => "week",
            Every::Month => "month",
            Every::Year => "year",
        }
    }
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
    /// What happens to old periods; None: nothing.
    pub retire: Option<Retire>,
}

/// What happens to old periods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retire {
    /// Periods kept, the current one included.
    pub after: u32,
    pub action: RetireAction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetireAction {
    Detach,
    Drop,
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
