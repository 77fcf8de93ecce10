//! What a member has not been told yet, in order: at most two turns for each partition.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

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

    /// Tells that `partition` is to be let go of, and what resolves when it has been. None if it
    /// was never told that it was to be taken, so that there is nothing to let go of.
    pub(super) fn give(&self, partition: Partition) -> Option<oneshot::Receiver<()>> {
        if self.take_back(partition) {
            return None;
        }
        let (handover, dropped) = Handover::new();
        self.push(Turn::Give(partition, handover));
        Some(dropped)
    }

    pub(super) fn lost(&self, partition: Partition) {
        if !self.take_back(partition) {
            self.push(Turn::Lost(partition));
        }
    }

    /// Nobody waits any more for `partition` to be let go of: whoever has not been told so far is
    /// told that it is lost.
    pub(super) fn overdue(&self, partition: Partition) {
        let mut waiting = self.waiting();
        let given = |it: &&mut Turn| matches!(it, Turn::Give(given, _) if *given == partition);
        if let Some(turn) = waiting.turns.iter_mut().find(given) {
            *turn = Turn::Lost(partition);
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
        assert!(turns.give(ONE).is_none(), "there is nothing to let go of");
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
        let mut given = turns.give(ONE).unwrap();
        turns.take(ONE);
        let Some(Turn::Give(ONE, handover)) = turns.next().await else { panic!("it is given") };
        assert!(given.try_recv().is_err_and(|it| it == super::oneshot::error::TryRecvError::Empty));
        drop(handover);
        assert!(
            given.try_recv().is_err_and(|it| it == super::oneshot::error::TryRecvError::Closed)
        );
        assert!(matches!(turns.next().await, Some(Turn::Take(ONE))));
    }

    #[tokio::test]
    async fn who_was_not_told_in_time_hears_that_it_is_lost() {
        let turns = Turns::default();
        turns.take(ONE);
        assert!(matches!(turns.next().await, Some(Turn::Take(ONE))));
        drop(turns.give(ONE));
        turns.overdue(ONE);
        turns.end();
        assert!(matches!(turns.next().await, Some(Turn::Lost(ONE))));
        assert!(turns.next().await.is_none());
    }
}
