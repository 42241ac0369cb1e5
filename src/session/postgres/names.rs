//! What a client calls by names of its own: prepared statements and portals. Most have the empty name, which is
//! an ordinary one here but for its place: it is found without computing a hash.

use std::collections::HashMap;

pub(super) struct Names<T> {
    unnamed: Option<T>,
    named: HashMap<Box<[u8]>, T>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            unnamed: None,
            named: HashMap::new(),
        }
    }
}

impl<T> Names<T> {
    pub fn get(&self, name: &[u8]) -> Option<&T> {
        match name {
            [] => self.unnamed.as_ref(),
            name => self.named.get(name),
        }
    }

    pub fn get_mut(&mut self, name: &[u8]) -> Option<&mut T> {
        match name {
            [] => self.unnamed.as_mut(),
            name => self.named.get_mut(name),
        }
    }

    pub fn contains_key(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    /// Gives what had the name before.
    pub fn insert(&mut self, name: &[u8], value: T) -> Option<T> {
        match name {
            [] => self.unnamed.replace(value),
            name => self.named.insert(name.into(), value),
        }
    }

    pub fn remove(&mut self, name: &[u8]) -> Option<T> {
        match name {
            [] => self.unnamed.take(),
            // An empty map computes the hash all the same.
            _ if self.named.is_empty() => None,
            name => self.named.remove(name),
        }
    }

    pub fn clear(&mut self) {
        self.unnamed = None;
        self.named.clear();
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.unnamed.iter_mut().chain(self.named.values_mut())
    }

    /// Only those of which `keep` says so stay.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        if self.unnamed.as_ref().is_some_and(|value| !keep(value)) {
            self.unnamed = None;
        }
        self.named.retain(|_, value| keep(value));
    }

    /// All of them, in no order.
    pub fn into_values(self) -> impl Iterator<Item = T> {
        self.unnamed.into_iter().chain(self.named.into_values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_name_is_a_name_like_others() {
        let mut names = Names::default();
        names.insert(b"", 1);
        names.insert(b"a", 2);
        names.insert(b"", 3);
        assert_eq!(
            (names.get(b""), names.get(b"a"), names.get(b"b")),
            (Some(&3), Some(&2), None)
        );
        names.retain(|n| *n == 3);
        assert!(names.contains_key(b"") && !names.contains_key(b"a"));
        assert_eq!(names.remove(b""), Some(3));
        assert_eq!(names.remove(b""), None);
        names.insert(b"", 4);
        names.insert(b"c", 5);
        names.values_mut().for_each(|n| *n += 1);
        let mut all: Vec<i32> = names.into_values().collect();
        all.sort_unstable();
        assert_eq!(all, [5, 6]);
    }
}
