//! Rows with equal values in some columns are given once: the first of them.

use std::collections::HashSet;

use super::columns::{Columns, Comparable, Field};
use super::decode::Datum;
use super::held::Held;
use crate::model::Fault;

#[derive(Debug)]
pub struct Distinct {
    columns: Vec<Comparable>,
    seen: HashSet<Box<[u8]>>,
    fields: Vec<Field>,
    key: Vec<u8>,
}

impl Distinct {
    pub fn new(columns: Vec<Comparable>) -> Distinct {
        Distinct {
            columns,
            seen: HashSet::new(),
            fields: Vec::new(),
            key: Vec::new(),
        }
    }

    /// Whether no row with these values was seen before.
    pub fn is_new(&mut self, columns: &Columns, held: &mut Held, row: &[u8]) -> Result<bool, Fault> {
        columns.fields(row, &mut self.fields)?;
        self.key.clear();
        canonical_key(&self.columns, row, &self.fields, &mut self.key)?;
        if self.seen.contains(self.key.as_slice()) {
            return Ok(false);
        }
        held.take(self.key.len() + size_of::<Box<[u8]>>() * 2)?;
        self.seen.insert(self.key.as_slice().into());
        Ok(true)
    }
}

/// Bytes that are equal exactly if the columns' values are; NULLs are equal to each other, as in GROUP BY.
pub fn canonical_key(
    columns: &[Comparable],
    row: &[u8],
    fields: &[Field],
    key: &mut Vec<u8>,
) -> Result<(), Fault> {
    for column in columns {
        let datum: Option<Datum> = column.datum(row, fields)?;
        key.push(u8::from(datum.is_some()));
        if let Some(datum) = datum {
            datum.append_canonical(key);
        }
    }
    Ok(())
}
