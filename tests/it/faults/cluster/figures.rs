//! What all clients together did, counted while they do it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// A count.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicUsize);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Changes that were acknowledged.
    pub(crate) acknowledged: Count,
    /// Requests that were sent once more, for whatever reason.
    pub(crate) repeated: Count,
    /// Late answers that tell an outcome of before.
    pub(crate) remembered: Count,
    /// Answers that came when nobody needed them any more.
    pub(crate) late: Count,
    /// Requests that were put off, were not asked again, and so must not have taken effect.
    pub(crate) given_up: Count,
    /// Requests that nobody knows the outcome of.
    pub(crate) abandoned: Count,
    /// Reads that were judged.
    pub(crate) looks: Count,
    /// Reads that were not answered.
    pub(crate) unseen: Count,
    /// Starts of a process that ended before it was ready.
    pub(crate) failed_starts: Count,
    /// What was said where there was no outcome, and how often.
    said: Mutex<BTreeMap<String, usize>>,
}

impl Figures {
    /// Notes what was said, without the numbers and names in it.
    pub(crate) fn note(&self, said: &str) {
        let shown: String = said.chars().filter(|it| !it.is_ascii_digit()).take(160).collect();
        *self.said.lock().unwrap_or_else(PoisonError::into_inner).entry(shown).or_default() += 1;
    }

    /// What was said most often, one line each.
    pub(crate) fn said(&self) -> Vec<String> {
        const LINES_MAX: usize = 8;
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<(usize, &String)> = said.iter().map(|it| (*it.1, it.0)).collect();
        all.sort_unstable_by(|one, other| other.cmp(one));
        all.iter().take(LINES_MAX).map(|(count, text)| format!("{count} × {text}")).collect()
    }
}
