//! A tenant as its clients know it together, and how long it was not served.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::answers::Done;
use crate::harness::Api;

/// How many there are.
pub(crate) const TENANTS: usize = 4;

/// One tenant, at the doors of both processes.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) id: String,
    pub(crate) doors: [Api; 2],
    known: Mutex<Known>,
    changes: Mutex<Pulse>,
    reads: Mutex<Pulse>,
}

/// What has been acknowledged to anybody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The tenant's last sequence.
    pub(crate) sequence: u64,
    /// Where all of this can be seen; empty while nothing is known.
    pub(crate) position: String,
    /// How many entries of usage count.
    pub(crate) used: u64,
}

/// How often something went well, and the longest time in which it did not.
#[derive(Debug)]
struct Pulse {
    count: u64,
    last: Instant,
    longest: Duration,
}

impl Pulse {
    fn new() -> Self {
        Self { count: 0, last: Instant::now(), longest: Duration::ZERO }
    }

    fn beat(&mut self) {
        self.count += 1;
        self.longest = self.longest.max(self.last.elapsed());
        self.last = Instant::now();
    }

    fn begin_anew(&mut self) -> Duration {
        self.last = Instant::now();
        std::mem::take(&mut self.longest)
    }
}

impl Tenant {
    pub(crate) fn new(id: String, doors: [Api; 2]) -> Self {
        let (changes, reads) = (Mutex::new(Pulse::new()), Mutex::new(Pulse::new()));
        Self { id, doors, known: Mutex::default(), changes, reads }
    }

    /// What is known at this moment.
    pub(crate) fn known(&self) -> Known {
        lock(&self.known).clone()
    }

    /// Takes in what was acknowledged to a client, and how many entries of usage that were.
    pub(crate) fn learn(&self, done: &Done, used: u64) {
        let mut known = lock(&self.known);
        known.used += used;
        if done.sequence > known.sequence {
            known.sequence = done.sequence;
            known.position.clone_from(&done.position);
        }
    }

    /// A change was acknowledged.
    pub(crate) fn changed(&self) {
        lock(&self.changes).beat();
    }

    /// A read that waits for what is known was answered.
    pub(crate) fn read(&self) {
        lock(&self.reads).beat();
    }

    /// How many changes were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        lock(&self.changes).count
    }

    /// Begins to measure anew, and answers the longest time between two acknowledgements, and
    /// between two answered reads, so far.
    pub(crate) fn longest_gaps(&self) -> [Duration; 2] {
        [lock(&self.changes).begin_anew(), lock(&self.reads).begin_anew()]
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panics while holding it fails the test anyway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
