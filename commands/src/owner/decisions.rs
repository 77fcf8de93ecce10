//! What became of a batch: records to append, and answers to give once they are durable.

use std::ops::Range;

use domain::usage::Verdict;
use event_log::Record;

use super::envelope::Envelope;
use crate::idempotency::Remembered;
use crate::request::{CommandError, EventSummary};
use crate::timers::Timer;

/// A decided batch.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    pub(crate) records: Vec<Record>,
    /// The requests in the order they were decided.
    pub(crate) open: Vec<Open>,
    /// Which records something follows from.
    pub(crate) triggers: Vec<usize>,
    /// Timers that fired without anything coming of it.
    pub(crate) spent: Vec<Timer>,
}

/// A request that was decided and not answered.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) envelope: Envelope,
    pub(crate) decided: Decided,
}

/// What was decided about a request.
#[derive(Debug)]
pub(crate) enum Decided {
    /// It was accepted.
    Accepted(Accepted),
    /// It had no effect.
    Refused(CommandError),
    /// It was prepared under settings that changed while it waited.
    Stale,
    /// It was decided in an earlier batch.
    Remembered(Remembered),
    /// It repeats an earlier request of this batch.
    SameAs(usize),
}

/// What was not decided, since it does not fit the batch any more: it is for the next one.
#[derive(Debug)]
pub(crate) struct NoRoom(pub(crate) Envelope);

/// An accepted request.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Where its records are in the batch, if there are any.
    pub(crate) records: Range<usize>,
    pub(crate) sequence: u64,
    pub(crate) events: Vec<EventSummary>,
    pub(crate) verdicts: Vec<Verdict>,
    /// Where to go on, if it is not finished.
    pub(crate) resume: Option<u64>,
}
