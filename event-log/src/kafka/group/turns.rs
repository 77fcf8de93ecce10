//! What a member has not been told yet, in order: at most two turns for each partition.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::membership::{Handover, Turn};
use crate::port::Partition;

/// The turns of one member, whoever hands them out.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    turns: VecDeque<Turn>,
    /// Whether there will be no more.
    ended: bool,
}

impl Turns {
    /// The next turn, once there is one; none if there will be no more.
    pub(super) async fn next(&self) -> Option<Turn> {
        loop {
            {
                let mut waiting = self.waiting();
                if let Some(turn) = waiting.turns.pop_front() {
                    return Some(turn);
                }
                if waiting.ended {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    pub(super) fn take(&self, partition: Partition) {
        self.push(Turn::Take(partition));
    }

    /// Tells that `partition` is to be let go of, unless nobody was told that it was to be taken.
    pub(super) fn give(&self, partition: Partition) {
        if !self.take_back(partition) {
            // Nobody waits: the next owner's claim fences whoever is late.
            let (handover, _) = Handover::new();
            self.push(Turn::Give(partition, handover));
        }
    }

    pub(super) fn lost(&self, partition: Partition) {
        if !self.take_back(partition) {
            self.push(Turn::Lost(partition));
        }
    }

    /// Ends it, after what is waiting.
    pub(super) fn end(&self) {
        self.waiting().ended = true;
        self.changed.notify_one();
    }

    /// Whether `partition` was to be taken and nobody has been told.
    fn take_back(&self, partition: Partition) -> bool {
        let mut waiting = self.waiting();
        let before = waiting.turns.len();
        waiting.turns.retain(|it| !matches!(it, Turn::Take(taken) if *taken == partition));
        waiting.turns.len() < before
    }

    fn push(&self, turn: Turn) {
        self.waiting().turns.push_back(turn);
        self.changed.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Turns;
    use crate::membership::Turn;
    use crate::port::Partition;

    const ONE: Partition = Partition(1);

    #[tokio::test]
    async fn what_nobody_has_been_told_is_taken_back() {
        let turns = Turns::default();
        turns.take(ONE);
        turns.give(ONE);
        turns.take(ONE);
        turns.lost(ONE);
        turns.end();
        assert!(turns.next().await.is_none());
    }

    #[tokio::test]
    async fn a_partition_is_given_or_lost_before_it_is_taken_again() {
        let turns = Turns::default();
        turns.take(ONE);
        assert!(matches!(turns.next().await, Some(Turn::Take(ONE))));
        turns.give(ONE);
        turns.take(ONE);
        assert!(matches!(turns.next().await, Some(Turn::Give(ONE, _))));
        assert!(matches!(turns.next().await, Some(Turn::Take(ONE))));
    }
}
