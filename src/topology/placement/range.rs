//! Shards by rising bounds of one key column: below the first bound, between, from the last on.

use std::ops::Bound;

use crate::model::{ShardId, Value};

use super::{Range, ShardRange};

impl Range {
    pub fn count(&self) -> u32 {
        self.bounds.len() as u32 + 1
    }

    /// None: the key is of another type than the bounds.
    pub fn shard_of(&self, key: &Value) -> Option<ShardId> {
        self.comparable(key).then(|| self.position(key))
    }

    /// Shards that may hold keys between.
    pub fn shards_between(&self, lo: Bound<&Value>, hi: Bound<&Value>) -> ShardRange {
        let first = match lo {
            Bound::Included(v) | Bound::Excluded(v) if self.ordered(v) => self.position(v).0,
            Bound::Unbounded | Bound::Included(_) | Bound::Excluded(_) => 0,
        };
        let last = match hi {
            // Keys below a bound are in the shard before it.
            Bound::Excluded(v) if self.ordered(v) && self.bounds.contains(v) => self.position(v).0 - 1,
            Bound::Included(v) | Bound::Excluded(v) if self.ordered(v) => self.position(v).0,
            Bound::Unbounded | Bound::Included(_) | Bound::Excluded(_) => self.bounds.len() as i32,
        };
        ShardRange {
            first: Some(first),
            last: Some(last),
        }
    }

    fn position(&self, key: &Value) -> ShardId {
        ShardId(self.bounds.partition_point(|bound| bound <= key) as i32)
    }

    fn comparable(&self, key: &Value) -> bool {
        self.bounds
            .first()
            .is_none_or(|b| std::mem::discriminant(b) == std::mem::discriminant(key))
    }

    /// Text is placed by its bytes, but a condition in SQL compares by the column's collation: what
    /// lies between two texts there says nothing about bytes.
    fn ordered(&self, value: &Value) -> bool {
        self.comparable(value) && !matches!(value, Value::Text(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range() -> Range {
        Range {
            bounds: vec![Value::Int(10), Value::Int(20)],
        }
    }

    #[test]
    fn a_bound_belongs_to_the_shard_above_it() {
        let shard = |i| range().shard_of(&Value::Int(i)).unwrap().0;
        assert_eq!(
            [
                shard(i64::MIN),
                shard(9),
                shard(10),
                shard(19),
                shard(20),
                shard(i64::MAX)
            ],
            [0, 0, 1, 1, 2, 2]
        );
        assert_eq!(range().shard_of(&Value::Bool(true)), None);
    }

    #[test]
    fn between_gives_every_shard_that_may_hold_a_match() {
        let b = |lo: Bound<i64>, hi: Bound<i64>| {
            let (lo, hi) = (lo.map(Value::Int), hi.map(Value::Int));
            let shards = range().shards_between(lo.as_ref(), hi.as_ref());
            (shards.first.unwrap()..=shards.last.unwrap()).collect::<Vec<_>>()
        };
        use Bound::*;
        assert_eq!(b(Unbounded, Unbounded), [0, 1, 2]);
        assert_eq!(b(Unbounded, Excluded(10)), [0]);
        assert_eq!(b(Unbounded, Included(10)), [0, 1]);
        assert_eq!(b(Excluded(9), Excluded(11)), [0, 1]);
        assert_eq!(b(Included(20), Unbounded), [2]);
        assert_eq!(b(Included(30), Excluded(5)), [] as [i32; 0]);
    }

    #[test]
    fn text_comparisons_do_not_narrow() {
        let range = Range {
            bounds: vec![Value::Text((*b"m").into())],
        };
        let a = Value::Text((*b"a").into());
        let both = ShardRange {
            first: Some(0),
            last: Some(1),
        };
        assert_eq!(
            range.shards_between(Bound::Included(&a), Bound::Included(&a)),
            both
        );
        assert_eq!(range.shard_of(&a), Some(ShardId(0)));
    }
}
