//! What the readers and the writer of one partition share.
//!
//! The lock is held to copy a few pointers, never while a file is touched: no reader can make
//! the writer wait for a disk, and no reader learns of anything before it is durable.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use super::location::Location;
use super::segment::{Segment, SparseIndex};
use crate::port::Recorded;

/// How many bytes of the newest records are kept in memory for readers that follow closely.
/// In bytes: 8 MiB, a few dozen milliseconds of the highest rate. Tests keep next to nothing, so
/// that their readers meet the files as well.
const TAIL_BYTES_MAX: usize = if cfg!(test) { 8 * 1024 } else { 8 * 1024 * 1024 };

/// Everything about one partition.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) location: Arc<Location>,
    state: Mutex<State>,
    end: watch::Sender<End>,
}

/// How far a reader may go.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// The position after the last durable record.
    pub(super) position: u64,
    /// Nothing comes any more, and the files may be somebody else's.
    pub(super) closed: bool,
}

/// Where the records are.
#[derive(Debug)]
pub(super) struct State {
    /// Sealed parts in order, without gaps, from the first position on.
    pub(super) sealed: Vec<Part>,
    pub(super) open: Open,
    tail: Tail,
}

/// A sealed run of records.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) sequence: u64,
    pub(super) first: u64,
    pub(super) end: u64,
    pub(super) stored: Stored,
}

/// How a sealed run is stored.
#[derive(Clone, Debug)]
pub(super) enum Stored {
    /// As the segment it was written to, until it is archived.
    Segment { segment: Arc<Segment>, index: Arc<SparseIndex>, end_offset: u64 },
    /// As an archive.
    Archive,
}

/// The segment that is written to.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) segment: Arc<Segment>,
    pub(super) first: u64,
    pub(super) index: SparseIndex,
    /// Everything before this offset is durable.
    pub(super) end_offset: u64,
}

/// Where reading can start to reach a position.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) stored: StoredAt,
    /// The position after the last one that is there to be read.
    pub(super) end: u64,
}

/// The file of a [`Place`].
#[derive(Debug)]
pub(super) enum StoredAt {
    /// The frame at `offset` begins with `first`; nothing is durable from `limit`.
    Segment { segment: Arc<Segment>, first: u64, offset: u64, limit: u64 },
    /// The archive with this sequence.
    Archive { sequence: u64 },
}

/// The newest records.
#[derive(Debug, Default)]
struct Tail {
    batches: VecDeque<(u64, Arc<[Recorded]>)>,
    bytes: usize,
}

impl Shared {
    pub(super) fn new(location: Arc<Location>, sealed: Vec<Part>, open: Open, end: u64) -> Self {
        let state = Mutex::new(State { sealed, open, tail: Tail::default() });
        let end = watch::Sender::new(End { position: end, closed: false });
        Self { location, state, end }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock can panic")
    }

    /// The position after the last durable record.
    pub(super) fn end(&self) -> u64 {
        self.end.borrow().position
    }

    /// Tells when the end moves or the log closes.
    pub(super) fn follow(&self) -> watch::Receiver<End> {
        self.end.subscribe()
    }

    /// Sends every reader home.
    pub(super) fn close(&self) {
        self.end.send_modify(|it| it.closed = true);
    }

    /// Shows `records`, which are durable now and stand before the position `end`, in the frame
    /// from `offset` to `end_offset`. Returns what is no longer kept in memory: freeing it takes
    /// a while.
    pub(super) fn publish(
        &self,
        records: Arc<[Recorded]>,
        end: u64,
        (offset, end_offset): (u64, u64),
    ) -> Vec<Arc<[Recorded]>> {
        let first = end - records.len() as u64;
        let mut state = self.state();
        state.open.index.note(first, offset);
        state.open.end_offset = end_offset;
        let forgotten = state.tail.push(first, records);
        drop(state);
        self.end.send_modify(|it| it.position = end);
        forgotten
    }

    /// From now on the sealed part with this sequence is read from its archive.
    pub(super) fn archived(&self, sequence: u64) {
        let mut state = self.state();
        if let Some(part) = state.sealed.iter_mut().rfind(|it| it.sequence == sequence) {
            part.stored = Stored::Archive;
        }
    }

    /// Sealed segments that are not archived yet, oldest first.
    pub(super) fn unarchived(&self) -> Vec<Part> {
        let state = self.state();
        let segments = state.sealed.iter().filter(|it| matches!(it.stored, Stored::Segment { .. }));
        segments.cloned().collect()
    }

    /// Batches from memory that hold `from` and about `records_max` records after it.
    pub(super) fn recent(&self, from: u64, records_max: usize) -> Vec<Arc<[Recorded]>> {
        let state = self.state();
        let after = state.tail.batches.partition_point(|(first, _)| *first <= from);
        let Some(start) = after.checked_sub(1) else { return Vec::new() };
        let mut count = 0;
        let mut found = Vec::new();
        for (_, records) in state.tail.batches.range(start..) {
            found.push(records.clone());
            // The first batch may begin before `from`: it counts for one only.
            count += if found.len() == 1 { 1 } else { records.len() };
            if count >= records_max {
                break;
            }
        }
        found
    }

    /// Where to start reading to reach `position`, which is before the end.
    pub(super) fn place(&self, position: u64) -> Place {
        let end = self.end();
        let state = self.state();
        let after = state.sealed.partition_point(|it| it.end <= position);
        let Some(part) = state.sealed.get(after) else {
            let Open { segment, first, index, end_offset } = &state.open;
            return Place {
                stored: StoredAt::segment(segment, *first, index, position, *end_offset),
                end,
            };
        };
        let stored = match &part.stored {
            Stored::Archive => StoredAt::Archive { sequence: part.sequence },
            Stored::Segment { segment, index, end_offset } => {
                StoredAt::segment(segment, part.first, index, position, *end_offset)
            }
        };
        Place { stored, end: part.end }
    }
}

impl StoredAt {
    fn segment(
        segment: &Arc<Segment>,
        first: u64,
        index: &SparseIndex,
        position: u64,
        limit: u64,
    ) -> Self {
        let (first, offset) = index.before(position).unwrap_or((first, 0));
        Self::Segment { segment: segment.clone(), first, offset, limit }
    }
}

impl Tail {
    fn push(&mut self, first: u64, records: Arc<[Recorded]>) -> Vec<Arc<[Recorded]>> {
        self.bytes += bytes_of(&records);
        self.batches.push_back((first, records));
        let mut forgotten = Vec::new();
        while self.bytes > TAIL_BYTES_MAX
            && let Some((_, oldest)) = self.batches.pop_front()
        {
            self.bytes -= bytes_of(&oldest);
            forgotten.push(oldest);
        }
        forgotten
    }
}

fn bytes_of(records: &[Recorded]) -> usize {
    let content: usize = records.iter().map(|it| it.record.canonical().len()).sum();
    content + size_of_val(records)
}
