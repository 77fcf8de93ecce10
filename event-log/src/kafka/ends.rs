//! Where each partition of the events ends: after its last record that is durable.
//!
//! The cluster only tells the last stable offset, which lies behind markers of transactions and
//! records that were aborted. What this process appended itself it knows; for the rest the last
//! record is looked for, backwards from the stable offset, and remembered.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use rdkafka::message::Message as _;

use super::position;
use super::scan::Scanner;
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

    /// Notes that records before `end` were committed, and their marker right after them.
    pub(super) fn committed(&self, partition: Partition, end: i64) {
        self.note(partition, Known { end, searched: end + 1 });
    }

    /// The end, as far as it is known.
    pub(super) fn known(&self, partition: Partition) -> Position {
        position(self.get(partition).end)
    }

    /// The end, after asking the cluster. Blocks.
    pub(super) fn find(
        &self,
        scanner: &Scanner,
        topic: &str,
        partition: Partition,
    ) -> Result<Position, LogError> {
        let extent = scanner.extent(topic, number(partition))?;
        let known = self.get(partition);
        if extent.stable > known.searched {
            let floor = known.end.max(extent.low);
            let end = search(scanner, topic, partition, floor, extent.stable)?;
            // Where everything was deleted a reader would wait where the rest begins.
            self.note(partition, Known { end: end.unwrap_or(floor), searched: extent.stable });
        }
        Ok(self.known(partition))
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
        scanner.scan(topic, number(partition), from, |message| {
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

/// A partition as Kafka counts them.
pub(super) fn number(partition: Partition) -> i32 {
    i32::try_from(partition.0).expect("a log has far fewer partitions")
}
