//! Groups rows of partial aggregates by value and combines them. Everything must have come before
//! the first group is given; memory is bounded by `Held`.

use std::collections::HashMap;

use bytes::Bytes;

use super::columns::{Columns, Comparable, Field, value, write_row};
use super::combine::{Partial, Recipe};
use super::distinct::canonical_key;
use super::held::Held;
use crate::model::Fault;

#[derive(Debug)]
struct Group {
    /// The first row that came: gives the group keys as they were written there.
    first: Bytes,
    partials: Box<[Partial]>,
}

#[derive(Debug)]
pub struct Grouping {
    keys: Vec<Comparable>,
    /// One per column, hidden ones included.
    recipes: Vec<Recipe>,
    groups: Vec<Group>,
    by_key: HashMap<Box<[u8]>, usize>,
    fields: Vec<Field>,
    key: Vec<u8>,
}

impl Grouping {
    pub fn new(keys: Vec<Comparable>, recipes: Vec<Recipe>) -> Grouping {
        Grouping {
            keys,
            recipes,
            groups: Vec::new(),
            by_key: HashMap::new(),
            fields: Vec::new(),
            key: Vec::new(),
        }
    }

    pub fn push(&mut self, columns: &Columns, held: &mut Held, row: &[u8]) -> Result<(), Fault> {
        columns.fields(row, &mut self.fields)?;
        self.key.clear();
        canonical_key(&self.keys, row, &self.fields, &mut self.key)?;
        let index = match self.by_key.get(self.key.as_slice()) {
            Some(index) => *index,
            None => {
                let own = self.key.len() + row.len() + self.recipes.len() * size_of::<Partial>();
                held.take(own + size_of::<Group>() + size_of::<(Box<[u8]>, usize)>() * 2)?;
                self.by_key.insert(self.key.as_slice().into(), self.groups.len());
                // A copy, since `row` is a slice of a whole read buffer.
                let first = Bytes::copy_from_slice(row);
                self.groups.push(Group {
                    first,
                    partials: self.recipes.iter().map(Recipe::start).collect(),
                });
                self.groups.len() - 1
            }
        };
        let Some(group) = self.groups.get_mut(index) else {
            return Err(Fault::internal("a group's index is wrong"));
        };
        for (partial, recipe) in group.partials.iter_mut().zip(&self.recipes) {
            partial.add(recipe, row, &self.fields, held)?;
        }
        Ok(())
    }

    /// One row per group, hidden columns included.
    pub fn results(&mut self, columns: &Columns) -> Result<Vec<Bytes>, Fault> {
        self.by_key.clear();
        let mut groups = std::mem::take(&mut self.groups);
        if groups.is_empty() && self.keys.is_empty() {
            // Without GROUP BY there is one row, whatever came.
            let nulls = write_row(vec![None; columns.count()].into_iter()).ok_or_else(too_long)?;
            groups.push(Group {
                first: nulls,
                partials: self.recipes.iter().map(Recipe::start).collect(),
            });
        }
        groups
            .into_iter()
            .map(|group| self.result(columns, &group))
            .collect()
    }

    fn result(&mut self, columns: &Columns, group: &Group) -> Result<Bytes, Fault> {
        columns.fields(&group.first, &mut self.fields)?;
        let mut values = Vec::with_capacity(self.recipes.len());
        for (index, (partial, recipe)) in group.partials.iter().zip(&self.recipes).enumerate() {
            values.push(partial.result(recipe, value(&group.first, &self.fields, index)?));
        }
        write_row(values.iter().map(Option::as_deref)).ok_or_else(too_long)
    }
}

fn too_long() -> Fault {
    Fault::internal("a combined row is too long for the protocol")
}
