//! Hints that say which shards a statement is about, `shard=` and `key=`, as sets of shards.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use crate::model::{Code, Fault, ShardId};
use crate::topology::{Scheme, Sharding};

use super::super::compile::NamedTable;
use super::super::prune::{Pruning, Shards};
use super::super::value::{Key, text_value};

pub(super) fn hinted_shard(sharding: &Sharding, shard: &str, table: &NamedTable) -> Result<Shards, Fault> {
    let number = shard.parse().ok().map(ShardId);
    let (known, what) = match &sharding.scheme {
        Scheme::Time(time) => {
            let named = time.named(shard);
            let kind = "they are named by their period, as in 2026-09, in the way the table is split";
            (
                named.or(number.filter(|n| time.suffix(*n).is_some())),
                kind.to_owned(),
            )
        }
        Scheme::Hash(_) | Scheme::Range(_) | Scheme::List(_) => {
            let count = sharding.place.len() as i32;
            let known = number.filter(|n| (0..count).contains(&n.0));
            (known, format!("they go from 0 to {}", count - 1))
        }
    };
    let known = known.ok_or_else(|| {
        let name = &table.table.name;
        Fault::new(Code::BAD_HINT, format!("{name} has no shard {shard}: {what}"))
    })?;
    Ok(Shards::These(BTreeSet::from([known])))
}

pub(super) fn hinted_key(
    pruning: &Pruning,
    key: &str,
    table: &NamedTable,
    zone: Option<&TimeZone>,
) -> Result<Shards, Fault> {
    let bad = |why: &str| {
        Fault::new(
            Code::BAD_HINT,
            format!("the key hint '{key}' for {}: {why}", table.table.name),
        )
    };
    let parts: Vec<&str> = if pruning.keys.len() == 1 {
        vec![key]
    } else {
        key.split(',').map(str::trim).collect()
    };
    if parts.len() != pruning.keys.len() {
        return Err(bad("it needs one value for each key column, separated by commas"));
    }
    let mut values = Vec::new();
    let mut types = Vec::new();
    for (text, column) in parts.into_iter().zip(&pruning.keys) {
        let ty = column.ty.ok_or_else(|| bad("the key's type isn't known"))?;
        match text_value(text, ty, zone) {
            Key::Known(v) => values.push(v),
            Key::Null | Key::Nothing | Key::Unknown => return Err(bad("it can't be read as the key's type")),
        }
        types.push(ty);
    }
    let shard = pruning
        .sharding
        .scheme
        .shard_of(&values, &types)
        .ok_or_else(|| bad("no shard holds it"))?;
    Ok(Shards::These(BTreeSet::from([shard])))
}
