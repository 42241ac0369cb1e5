//! Shards by listed values of one key column.

use crate::model::{ShardId, Value};

use super::List;

impl List {
    /// None: the value is listed nowhere.
    pub fn shard_of(&self, key: &Value) -> Option<ShardId> {
        self.values.get(key).copied()
    }

    /// A shard's values in a fixed order.
    pub fn values_of(&self, shard: ShardId) -> Vec<&Value> {
        let mut values: Vec<&Value> = self
            .values
            .iter()
            .filter(|(_, s)| **s == shard)
            .map(|(v, _)| v)
            .collect();
        values.sort_unstable();
        values
    }
}
