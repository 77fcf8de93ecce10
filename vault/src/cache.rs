//! A bounded map of what was read from the vault, which forgets what was not asked for lately
//! and never remembers what was destroyed meanwhile.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bounded by two halves: new entries go to the young half; when it is full it becomes the old
/// one, and what the old one held is forgotten unless it was asked for in the meantime.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    halves: Mutex<Halves<K, V>>,
    half_max: usize,
}

#[derive(Debug)]
struct Halves<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    removals: u64,
}

/// When a reading began; what it finds is kept only if nothing was removed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Began(u64);

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    /// An empty cache of at most about `entries_max`.
    pub(crate) fn new(entries_max: usize) -> Self {
        let halves = Halves { young: HashMap::new(), old: HashMap::new(), removals: 0 };
        Self { halves: Mutex::new(halves), half_max: entries_max.div_ceil(2) }
    }

    /// To be called before the vault is read.
    pub(crate) fn begin(&self) -> Began {
        Began(self.lock().removals)
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut halves = self.lock();
        if let Some(value) = halves.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = halves.old.remove_entry(key)?;
        self.insert(&mut halves, key, value.clone());
        Some(value)
    }

    /// Remembers what a reading that `began` then has found.
    pub(crate) fn put(&self, began: Began, key: K, value: V) {
        let mut halves = self.lock();
        if began == Began(halves.removals) {
            self.insert(&mut halves, key, value);
        }
    }

    /// Forgets every entry whose key is `doomed`, and what running readings will find.
    pub(crate) fn remove(&self, doomed: impl Fn(&K) -> bool) {
        let mut halves = self.lock();
        halves.removals += 1;
        halves.young.retain(|it, _| !doomed(it));
        halves.old.retain(|it, _| !doomed(it));
    }

    fn insert(&self, halves: &mut Halves<K, V>, key: K, value: V) {
        if halves.young.len() >= self.half_max {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(key, value);
    }

    fn lock(&self) -> MutexGuard<'_, Halves<K, V>> {
        // Nothing panics while it is held, and a cache is never wrong for being older.
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
