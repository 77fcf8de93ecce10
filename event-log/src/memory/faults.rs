//! Appends that end badly on request, and snapshots that take long, so that what stands above can
//! be shown to recover.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::State;
use crate::port::{AppendError, Batch, LogError};

/// How the next append ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused for want of space: nothing is written, the writer stays good.
    Refused,
    /// The outcome is unknown, and the batch was written.
    UnknownWritten,
    /// The outcome is unknown, and the batch was not written.
    UnknownLost,
    /// Another writer has claimed the partition; nothing is written.
    Fenced,
}

impl Fault {
    pub(super) fn strike(self, state: &mut State, batch: Batch) -> AppendError {
        match self {
            Self::Refused => return AppendError::Refused(LogError::Full),
            Self::UnknownWritten => drop(state.push(batch)),
            Self::UnknownLost | Self::Fenced => (),
        }
        state.fence();
        match self {
            Self::Fenced => AppendError::Fenced,
            Self::Refused | Self::UnknownWritten | Self::UnknownLost => {
                AppendError::Unknown(LogError::Storage {
                    doing: "answering an append".to_owned(),
                    source: io::Error::other("made to fail by a test"),
                })
            }
        }
    }
}

/// Decides how the appends of a [`MemoryLog`](super::MemoryLog) end. Clones share their plan.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    planned: Arc<Mutex<VecDeque<Fault>>>,
    holds: Arc<watch::Sender<u32>>,
    /// The same for claims.
    claim_holds: Arc<watch::Sender<u32>>,
    /// The same for asking where a partition ends.
    end_holds: Arc<watch::Sender<u32>>,
    /// The same for slices of snapshots.
    snapshot_holds: Arc<watch::Sender<u32>>,
    /// How many slices of snapshots were handed over, and how many chunks.
    slices: Arc<Mutex<(usize, usize)>>,
}

impl Faults {
    /// Makes the next append that has no fault planned yet end with `fault`.
    pub fn fail_next(&self, fault: Fault) {
        self.planned.lock().expect("no holder of this lock can panic").push_back(fault);
    }

    /// How many planned faults have not struck yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.planned.lock().expect("no holder of this lock can panic").len()
    }

    /// Makes every append wait, before it writes anything, for as long as the guard lives.
    #[must_use]
    pub fn hold(&self) -> Held {
        self.holds.send_modify(|it| *it += 1);
        Held(self.holds.clone())
    }

    /// Makes every claim wait, before it fences anybody, for as long as the guard lives.
    #[must_use]
    pub fn hold_claims(&self) -> Held {
        self.claim_holds.send_modify(|it| *it += 1);
        Held(self.claim_holds.clone())
    }

    /// Keeps everybody waiting who asks where a partition ends, for as long as the guard lives.
    #[must_use]
    pub fn hold_ends(&self) -> Held {
        self.end_holds.send_modify(|it| *it += 1);
        Held(self.end_holds.clone())
    }

    /// Makes every slice of a snapshot wait, before it is taken, for as long as the guard lives.
    #[must_use]
    pub fn hold_snapshots(&self) -> Held {
        self.snapshot_holds.send_modify(|it| *it += 1);
        Held(self.snapshot_holds.clone())
    }

    /// How many slices of snapshots were handed over, and how many chunks in all of them.
    #[must_use]
    pub fn slices(&self) -> (usize, usize) {
        *self.slices.lock().expect("no holder of this lock can panic")
    }

    pub(super) async fn staged(&self, chunks: usize) {
        {
            let mut slices = self.slices.lock().expect("no holder of this lock can panic");
            slices.0 += 1;
            slices.1 += chunks;
        }
        let mut holds = self.snapshot_holds.subscribe();
        holds.wait_for(|it| *it == 0).await.expect("`self` keeps the sender alive");
    }

    pub(super) fn next_append(&self) -> Option<Fault> {
        self.planned.lock().expect("no holder of this lock can panic").pop_front()
    }

    pub(super) async fn released(&self) {
        let mut holds = self.holds.subscribe();
        holds.wait_for(|it| *it == 0).await.expect("`self` keeps the sender alive");
    }

    pub(super) async fn ends_released(&self) {
        let mut holds = self.end_holds.subscribe();
        holds.wait_for(|it| *it == 0).await.expect("`self` keeps the sender alive");
    }

    pub(super) async fn claims_released(&self) {
        let mut holds = self.claim_holds.subscribe();
        holds.wait_for(|it| *it == 0).await.expect("`self` keeps the sender alive");
    }
}

/// Keeps the appends of a log, its claims, its ends or its snapshots waiting until it is dropped.
#[derive(Debug)]
pub struct Held(Arc<watch::Sender<u32>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_modify(|it| *it -= 1);
    }
}
