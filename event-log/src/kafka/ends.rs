//! Where each partition of the events ends: after its last record that is durable.
//!
//! The cluster only tells offsets behind markers of transactions and records that were aborted.
//! What this process appended or read it knows; for the rest the last record is looked for,
//! backwards from the stable offset, and remembered.
//!
//! An append is `Ok` once the coordinator has decided on it; its marker, and so the stable offset,
//! follows some milliseconds later. But before the coordinator was asked, enough replicas had the
//! records: they are before the high watermark. So whoever asks takes that first, and waits until
//! everything before it is known or stable.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use rdkafka::message::Message as _;

use super::position;
use super::scan::{Extent, Patience, Scanner};
use crate::port::{LogError, Partition, Position};

/// How far back the search for the last record begins. In offsets: 64.
const STEP_FIRST: i64 = 64;

/// How much longer each next step back is.
const STEP_FACTOR: i64 = 8;

/// The ends of all partitions, as far as they are known.
#[derive(Debug)]
pub(super) struct Ends(Vec<Mutex<Known>>);

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The position after the last record known.
    end: i64,
    /// The stable offset up to which nothing comes after that.
    searched: i64,
}

impl Ends {
    pub(super) fn new(partitions: u32) -> Self {
        Self((0..partitions).map(|_| Mutex::default()).collect())
    }

    /// Notes that the record right before `end` was committed.
    ///
    /// A partition has one writer at a time, which does one transaction after the other: right
    /// after a committed record comes another one of its transaction, or the marker. So where
    /// nothing comes after `end` and one more offset, there is no later record.
    pub(super) fn committed(&self, partition: Partition, end: i64) {
        self.note(partition, Known { end, searched: end + 1 });
    }

    /// The end, as far as it is known.
    pub(super) fn known(&self, partition: Partition) -> Position {
        position(self.get(partition).end)
    }

    /// The end: everything that any process was told `Ok` for before the call is before it.
    /// Blocks, also as long as a transaction stays open, up to a bound, and only for a moment while the
    /// partition `is_short` of replicas: a transaction that is open then stays so.
    pub(super) fn find(
        &self,
        scanner: &Scanner,
        topic: &str,
        partition: Partition,
        is_short: impl Fn() -> bool,
    ) -> Result<Position, LogError> {
        let high = self.high(scanner, topic, partition, &is_short)?;
        let mut patience = Patience::new();
        while self.get(partition).searched < high {
            let Extent { low, stable } = scanner.extent(topic, number(partition))?;
            if stable < high {
                if is_short() {
                    patience.lose();
                }
                patience.wait(topic, number(partition), stable, high)?;
                continue;
            }
            let floor = self.get(partition).end.max(low);
            let end = search(scanner, topic, partition, floor, stable)?;
            // Where everything was deleted a reader would wait where the rest begins.
            self.note(partition, Known { end: end.unwrap_or(floor), searched: stable });
        }
        Ok(self.known(partition))
    }

    /// After everything that enough replicas have. That is no less than what was committed, unless
    /// the brokers have lost it, a new leader has not caught up yet, or it cannot since too few
    /// replicas are in sync (KIP-966): then nobody commits anything either.
    fn high(
        &self,
        scanner: &Scanner,
        topic: &str,
        partition: Partition,
        is_short: impl Fn() -> bool,
    ) -> Result<i64, LogError> {
        let (known, mut patience) = (self.get(partition).end, Patience::new());
        loop {
            let high = scanner.high(topic, number(partition), &is_short)?;
            if high >= known || is_short() {
                return Ok(high);
            }
            if patience.wait(topic, number(partition), high, known).is_err() {
                return Err(lost(topic, partition, high, known));
            }
        }
    }

    fn get(&self, partition: Partition) -> Known {
        *self.0[partition.0 as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, partition: Partition, found: Known) {
        let mut known = self.0[partition.0 as usize].lock().unwrap_or_else(PoisonError::into_inner);
        known.end = known.end.max(found.end);
        known.searched = known.searched.max(found.searched);
    }
}

/// The position after the last record between `floor` and `stable`.
fn search(
    scanner: &Scanner,
    topic: &str,
    partition: Partition,
    floor: i64,
    stable: i64,
) -> Result<Option<i64>, LogError> {
    let mut step = STEP_FIRST;
    let mut upto = stable;
    while upto > floor {
        let from = (upto - step).max(floor);
        let mut last = None;
        scanner.scan_end(topic, number(partition), from, |message| {
            if message.offset() >= upto {
                return ControlFlow::Break(());
            }
            last = Some(message.offset() + 1);
            ControlFlow::Continue(())
        })?;
        if last.is_some() {
            return Ok(last);
        }
        upto = from;
        step *= STEP_FACTOR;
    }
    Ok(None)
}

/// What is said where the brokers have lost what they had acknowledged.
pub(super) fn lost(topic: &str, partition: Partition, found: i64, known: i64) -> LogError {
    LogError::Damaged {
        place: format!("`{topic}` {partition}"),
        reason: format!(
            "it ends at {found}, but what was acknowledged at {} is behind that: the brokers have \
             lost it",
            known - 1
        ),
    }
}

/// A partition as Kafka counts them.
pub(super) fn number(partition: Partition) -> i32 {
    i32::try_from(partition.0).expect("a log has far fewer partitions")
}
