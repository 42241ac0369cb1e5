//! Conditions on a table's key → the shards that may hold the rows.
//!
//! The safe direction: always a superset of the shards. A condition whose constant isn't known
//! exactly is left out.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use crate::model::catalog::Collation;
use crate::model::{KeyType, NodeId, ShardId, Value};
use crate::topology::Sharding;
use crate::topology::placement::{Scheme, ShardRange};

use super::query::Compare;
use super::scope::{Column, Cond, Facts, Home, TableRef};
use super::value::{Constants, Key};

/// More combinations of key values than this are not worth their computation: all shards.
const MAX_KEYS: usize = 20_000;

/// One key column of a table reference: its type and every condition on it.
#[derive(Clone, Debug)]
pub struct KeyConds {
    /// None: not known, or a type or collation whose equality can't be computed.
    pub ty: Option<KeyType>,
    /// The server orders the type as `Value` does.
    pub ordered: bool,
    pub conds: Vec<Cond>,
}

/// A sharded table reference, ready to be pruned.
#[derive(Clone, Debug)]
pub struct Pruning {
    pub sharding: Arc<Sharding>,
    pub keys: Vec<KeyConds>,
}

/// A set of shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shards {
    All,
    Between(ShardRange),
    These(BTreeSet<ShardId>),
}

/// The type of a key column, if equality on it is computable.
pub fn key_type(table: &TableRef, column: &str, declared: Option<KeyType>) -> (Option<KeyType>, bool) {
    let info = table.info.as_ref().and_then(|i| i.column(column));
    match info {
        Some(info) => {
            let ty = info
                .key_type()
                .filter(|_| info.collation != Collation::Nondeterministic);
            (
                ty,
                info.collation == Collation::None || info.collation == Collation::Bytes,
            )
        }
        None => (
            declared,
            declared.is_some_and(|t| !matches!(t, KeyType::Text | KeyType::Bpchar)),
        ),
    }
}

impl Pruning {
    pub fn new(facts: &Facts, table: &TableRef) -> Option<Pruning> {
        let Home::Sharded(sharding) = &table.home else {
            return None;
        };
        let keys = sharding
            .key
            .iter()
            .map(|k| {
                let column = Column {
                    entity: table.entity,
                    name: k.column.clone(),
                };
                let conds = facts
                    .sources_of(&column)
                    .iter()
                    .flat_map(|c| facts.conds.get(c).into_iter().flatten().cloned())
                    .collect();
                let (ty, ordered) = key_type(table, &k.column, k.ty);
                KeyConds { ty, ordered, conds }
            })
            .collect();
        Some(Pruning {
            sharding: sharding.clone(),
            keys,
        })
    }

    /// Is there a condition at all that could narrow the route?
    pub fn is_hopeless(&self) -> bool {
        self.keys.iter().any(|k| k.conds.is_empty())
    }

    /// The shard that a single `key = constant` leaves. None: `shards` must tell.
    pub fn one_shard(&self, constants: &Constants<'_>) -> Option<ShardId> {
        let [key] = self.keys.as_slice() else { return None };
        let [Cond::OneOf(list)] = key.conds.as_slice() else {
            return None;
        };
        let ([value], Some(ty)) = (list.as_slice(), key.ty) else {
            return None;
        };
        match constants.one_key(value, ty)? {
            Key::Known(value) => self.sharding.scheme.shard_of(&[value], &[ty]),
            Key::Null | Key::Nothing | Key::Unknown => None,
        }
    }

    pub fn shards(&self, constants: &Constants<'_>) -> Shards {
        let mut lists = Vec::new();
        for key in &self.keys {
            lists.push(key.values(constants));
        }
        let listed = self.listed(&lists);
        let between = match self.keys.as_slice() {
            [key] => key.between(constants, &self.sharding.scheme),
            _ => None,
        };
        match (listed, between) {
            (None, None) => Shards::All,
            (None, Some(range)) => Shards::Between(range),
            (Some(list), None) => Shards::These(list),
            (Some(list), Some(range)) => {
                Shards::These(list.into_iter().filter(|s| range.contains(*s)).collect())
            }
        }
    }

    fn listed(&self, lists: &[Option<Vec<Value>>]) -> Option<BTreeSet<ShardId>> {
        let lists: Vec<&Vec<Value>> = lists.iter().map(Option::as_ref).collect::<Option<_>>()?;
        let types: Vec<KeyType> = self.keys.iter().map(|k| k.ty).collect::<Option<_>>()?;
        let combinations = lists.iter().try_fold(1usize, |n, l| n.checked_mul(l.len()))?;
        if combinations > MAX_KEYS {
            return None;
        }
        let mut keys: Vec<Vec<Value>> = vec![Vec::new()];
        for list in lists {
            keys = keys
                .into_iter()
                .flat_map(|key| {
                    list.iter()
                        .map(move |v| key.iter().cloned().chain([v.clone()]).collect())
                })
                .collect();
        }
        // A key that belongs to no shard has no rows anywhere.
        Some(
            keys.iter()
                .filter_map(|key| self.sharding.scheme.shard_of(key, &types))
                .collect(),
        )
    }
}

impl KeyConds {
    /// The values that equality conditions leave. None: there is no such condition.
    fn values(&self, constants: &Constants<'_>) -> Option<Vec<Value>> {
        let ty = self.ty?;
        let mut result: Option<BTreeSet<Value>> = None;
        for cond in &self.conds {
            let keys = match cond {
                Cond::OneOf(list) => {
                    let mut all = Vec::new();
                    let complete = list.iter().all(|e| match constants.keys(e, ty) {
                        Some(keys) => {
                            all.extend(keys);
                            true
                        }
                        None => false,
                    });
                    complete.then_some(all)
                }
                Cond::AnyOf(array) => constants.array(array, ty),
                Cond::Bound { .. } => None,
            };
            let Some(keys) = keys else { continue };
            let mut values = BTreeSet::new();
            let mut unknown = false;
            for key in keys {
                match key {
                    Key::Known(v) => {
                        values.insert(v);
                    }
                    Key::Null | Key::Nothing => {}
                    Key::Unknown => unknown = true,
                }
            }
            if unknown {
                continue;
            }
            result = Some(match result {
                None => values,
                Some(before) => before.intersection(&values).cloned().collect(),
            });
        }
        result.map(|set| set.into_iter().collect())
    }

    fn between(&self, constants: &Constants<'_>, scheme: &Scheme) -> Option<ShardRange> {
        let ty = self.ty.filter(|_| self.ordered)?;
        let mut range: Option<ShardRange> = None;
        for cond in &self.conds {
            let Cond::Bound { op, value } = cond else { continue };
            let bound = match constants.key(value, ty) {
                Key::Known(v) => v,
                // Nothing compares with NULL.
                Key::Null => {
                    return Some(ShardRange {
                        first: Some(1),
                        last: Some(0),
                    });
                }
                Key::Nothing | Key::Unknown => continue,
            };
            let next = match op {
                Compare::Lt => scheme.shards_between(Bound::Unbounded, Bound::Excluded(&bound), ty),
                Compare::Le => scheme.shards_between(Bound::Unbounded, Bound::Included(&bound), ty),
                Compare::Gt => scheme.shards_between(Bound::Excluded(&bound), Bound::Unbounded, ty),
                Compare::Ge => scheme.shards_between(Bound::Included(&bound), Bound::Unbounded, ty),
                Compare::Eq | Compare::Ne => continue,
            };
            range = Some(range.map_or(next, |r| r.and(next)));
        }
        range
    }
}

impl Shards {
    /// The nodes that hold them.
    pub fn nodes(&self, sharding: &Sharding) -> BTreeSet<NodeId> {
        match self {
            Shards::All => sharding.nodes.iter().copied().collect(),
            Shards::These(set) => set.iter().map(|s| sharding.node_of(*s)).collect(),
            Shards::Between(range) => match self.listed(sharding) {
                Some(list) => list.into_iter().map(|s| sharding.node_of(s)).collect(),
                None if range.is_empty() => BTreeSet::new(),
                None => sharding.nodes.iter().copied().collect(),
            },
        }
    }

    /// The shards one by one. None: an unbounded number (time).
    pub fn listed(&self, sharding: &Sharding) -> Option<Vec<ShardId>> {
        match self {
            Shards::These(set) => Some(set.iter().copied().collect()),
            Shards::All => Some((0..sharding.fixed_shards()? as i32).map(ShardId).collect()),
            Shards::Between(range) => {
                let (first, last) = match sharding.fixed_shards() {
                    Some(n) => (
                        range.first.unwrap_or(0).max(0),
                        range.last.unwrap_or(n as i32 - 1).min(n as i32 - 1),
                    ),
                    None => (range.first?, range.last?),
                };
                // Beyond this every node holds one of them anyway.
                (i64::from(last) - i64::from(first) < 4096).then(|| (first..=last).map(ShardId).collect())
            }
        }
    }
}
