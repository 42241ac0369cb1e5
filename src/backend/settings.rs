//! Session settings (GUCs) as a client set them, and the SQL that takes a connection from one set
//! to another. Values are kept as written; nothing here judges them.

use std::collections::BTreeMap;

/// Name → value, the value as it stands on the right-hand side of `SET name = …`. Ordered by name,
/// so that equal settings compare and print equal.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Settings {
    values: BTreeMap<Box<str>, Box<str>>,
}

impl Settings {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|v| &**v)
    }

    /// `name` is folded to lower case.
    pub fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_ascii_lowercase().into(), value.into());
    }

    pub fn reset(&mut self, name: &str) {
        self.values.remove(&*name.to_ascii_lowercase());
    }

    pub fn reset_all(&mut self) {
        self.values.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(n, v)| (&**n, &**v))
    }

    /// One batch of SET and RESET that takes a connection from `self` to `target`; None: they are equal.
    pub fn diff_sql(&self, _target: &Settings) -> Option<String> {
        todo!()
    }
}
