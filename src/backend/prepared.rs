//! Which statements are prepared on one server connection, under which names. Bounded; the least
//! recently used goes first. Must never name a statement that the server doesn't have.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// Statements kept per connection. PostgreSQL keeps each with its plan: tens of kilobytes.
pub const MAX_PREPARED: usize = 500;

/// A statement's name on the server, without its zero byte.
pub type StatementName = Arc<str>;

#[derive(Debug)]
struct Entry {
    name: StatementName,
    used: u64,
}

/// Keys are hashes already, under a key that nobody knows (`statement_key`): hashing them once more gains nothing.
#[derive(Debug, Default)]
struct IsHash(u64);

impl Hasher for IsHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// Names are never given twice on a connection, so a statement that failed to be prepared, or one
/// still waiting to be closed, can't be taken for another.
#[derive(Debug, Default)]
pub struct Prepared {
    entries: HashMap<u64, Entry, BuildHasherDefault<IsHash>>,
    clock: u64,
    named: u64,
    /// Introduced since the connection last owed nothing: an error may have skipped their Parse.
    unconfirmed: Vec<u64>,
    /// On the server (or maybe), but not in `entries` any more.
    to_close: Vec<StatementName>,
}

impl Prepared {
    /// The name of `key`, and whether it must be parsed first.
    pub fn prepare(&mut self, key: u64) -> (StatementName, bool) {
        if let Some(name) = self.get(key) {
            return (name, false);
        }
        if self.entries.len() >= MAX_PREPARED
            && let Some(oldest) = self
                .entries
                .iter()
                .min_by_key(|(_, e)| e.used)
                .map(|(key, _)| *key)
        {
            self.forget(oldest);
        }
        self.named += 1;
        let name: StatementName = format!("margay_{}", self.named).into();
        self.entries.insert(
            key,
            Entry {
                name: name.clone(),
                used: self.clock,
            },
        );
        self.unconfirmed.push(key);
        (name, true)
    }

    pub fn get(&mut self, key: u64) -> Option<StatementName> {
        self.clock += 1;
        let entry = self.entries.get_mut(&key)?;
        entry.used = self.clock;
        Some(entry.name.clone())
    }

    pub fn forget(&mut self, key: u64) {
        if let Some(entry) = self.entries.remove(&key) {
            self.to_close.push(entry.name);
        }
    }

    pub fn forget_all(&mut self) {
        self.entries.clear();
        self.unconfirmed.clear();
        self.to_close.clear();
    }

    /// Everything sent has been answered; `failed`: one answer was an error.
    pub fn settled(&mut self, failed: bool) {
        if failed {
            // Some may have been parsed before the error: closing what isn't there is no error.
            for key in std::mem::take(&mut self.unconfirmed) {
                self.forget(key);
            }
        }
        self.unconfirmed.clear();
    }

    pub fn evicted(&self) -> usize {
        self.to_close.len()
    }

    pub fn take_evicted(&mut self) -> Vec<StatementName> {
        std::mem::take(&mut self.to_close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_is_evicted() {
        let mut prepared = Prepared::default();
        let names: Vec<_> = (0..MAX_PREPARED as u64)
            .map(|key| prepared.prepare(key).0)
            .collect();
        prepared.settled(false);
        assert!(prepared.get(0).is_some());
        assert!(prepared.prepare(9999).1);
        assert_eq!(prepared.take_evicted(), vec![names[1].clone()]);
        assert_eq!(prepared.get(1), None);
        assert_eq!(prepared.prepare(0), (names[0].clone(), false));
    }

    #[test]
    fn what_a_failed_batch_introduced_is_forgotten_and_never_named_again() {
        let mut prepared = Prepared::default();
        let (kept, _) = prepared.prepare(1);
        prepared.settled(false);
        let (lost, _) = prepared.prepare(2);
        prepared.settled(true);
        assert_eq!(prepared.get(1), Some(kept));
        assert_eq!(prepared.get(2), None);
        let (again, fresh) = prepared.prepare(2);
        assert!(fresh && again != lost);
        assert_eq!(prepared.take_evicted(), vec![lost]);
    }
}
