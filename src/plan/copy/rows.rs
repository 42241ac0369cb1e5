//! How the rows of COPY FROM STDIN are to be read, and the node of each. Must not touch bytes but those of
//! a key.

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::model::{Code, Fault, KeyType, NodeId, TableName, Value};
use crate::topology::Sharding;

use super::super::insert::Fill;
use super::super::value::{Key, binary_value, text_value};
use super::CopyFormat;

/// How the rows of a COPY are told apart, and where each belongs.
#[derive(Debug)]
pub struct CopyRows {
    pub table: TableName,
    pub format: CopyFormat,
    pub header: bool,
    pub delimiter: u8,
    pub null: Box<[u8]>,
    pub quote: u8,
    pub escape: u8,
    /// Of the ENCODING option, as written.
    pub encoding: Option<Box<str>>,
    /// Columns as the client sends them.
    pub columns: usize,
    pub keys: Vec<CopyKey>,
    pub(in crate::plan) fills: Vec<Fill>,
    pub target: CopyTarget,
    pub time_zone: Option<TimeZone>,
}

#[derive(Debug)]
pub enum CopyTarget {
    /// Every row to every part: one node, or copies on all.
    All,
    /// Each row to the part of its key's node.
    ByKey {
        sharding: Arc<Sharding>,
        nodes: Vec<NodeId>,
    },
}

/// A sharding key's column.
#[derive(Debug)]
pub struct CopyKey {
    pub name: Box<str>,
    pub ty: KeyType,
    /// Its place among the fields of a row; behind the last of them: what is filled in.
    pub field: usize,
    /// FORCE_NULL and FORCE_NOT_NULL name it.
    pub force_null: bool,
    pub force_not_null: bool,
    /// Assignment to its type may cut trailing blanks off.
    pub(super) cut_blanks: bool,
}

/// A key's field, as it is in the data.
#[derive(Clone, Copy, Debug)]
pub enum CopyField<'f> {
    Null,
    Text(&'f [u8]),
    Binary(&'f [u8]),
    Id(i64),
}

impl CopyRows {
    /// Which part a row goes to; None: to all of them. `field` gives a field's value by its place.
    pub fn part_of(&self, keys: &[CopyField<'_>]) -> Result<Option<usize>, Fault> {
        let CopyTarget::ByKey { sharding, nodes } = &self.target else {
            return Ok(None);
        };
        let mut values = Vec::with_capacity(self.keys.len());
        let mut types = Vec::with_capacity(self.keys.len());
        for (key, field) in self.keys.iter().zip(keys) {
            types.push(key.ty);
            values.push(self.value(key, *field)?);
        }
        let shard = sharding.scheme.shard_of(&values, &types).ok_or_else(|| {
            let shown: Vec<String> = values.iter().map(ToString::to_string).collect();
            Fault::new(
                Code::KEY_OUTSIDE,
                format!("no shard of {} holds the key {}", self.table, shown.join(", ")),
            )
            .hint("Add the value to the table's rules.")
        })?;
        let node = sharding.node_of(shard);
        let part = nodes.iter().position(|n| *n == node);
        part.map(Some)
            .ok_or_else(|| Fault::internal("a shard is on a node that isn't the table's"))
    }

    fn value(&self, key: &CopyKey, field: CopyField<'_>) -> Result<Value, Fault> {
        let read = match field {
            CopyField::Null => Key::Null,
            CopyField::Id(id) => Key::Known(Value::Int(id)),
            CopyField::Binary(bytes) => binary_value(bytes, key.ty),
            CopyField::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => text_value(text, key.ty, self.time_zone.as_ref()),
                Err(_) => Key::Unknown,
            },
        };
        let table = &self.table;
        match read {
            Key::Known(Value::Text(text)) if key.cut_blanks && text.last() == Some(&b' ') => Err(Fault::new(
                Code::KEY_MISSING,
                format!(
                    "a value of the sharding key {table}.{} ends in blanks, which varchar(n) may cut off",
                    key.name
                ),
            )),
            Key::Known(value) => Ok(value),
            Key::Null => Err(Fault::new(
                Code::KEY_MISSING,
                format!("the sharding key {table}.{} must not be NULL", key.name),
            )
            .sqlstate("23502")),
            Key::Nothing | Key::Unknown => Err(Fault::new(
                Code::KEY_MISSING,
                format!(
                    "the value of the sharding key {table}.{} can't be read as {}",
                    key.name,
                    key.ty.sql()
                ),
            )
            .hint("Write it in the type's standard form.")),
        }
    }
}
