//! What a member has not been told yet, in order: at most two turns for each partition.
//!
//! The group tells the last owner of a partition to let go and the next one to take it at the same
//! time, and the last one still has to finish what it has begun. So the next one is told once that
//! has been said, or after a while. A claim would end a transaction that is under way, so that nobody
//! could say at once what became of it, and is tried again half a second later.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::kafka::owners::Service;
use crate::membership::{Handover, Turn};
use crate::port::Partition;

/// How long the next owner of a partition waits for the last one to say that it has let go. In
/// seconds: 1. One that is alive says so within some 20 ms, one that has died does not.
const LET_GO_MAX: Duration = Duration::from_secs(1);

/// The same where no owner has said that it serves the partition. In milliseconds: 100.
const UNKNOWN_MAX: Duration = Duration::from_millis(100);

/// The turns of one member, whoever hands them out.
#[derive(Debug)]
pub(super) struct Turns {
    waiting: Mutex<Waiting>,
    changed: Notify,
    /// What has been said last of who serves each partition.
    service: watch::Receiver<Vec<Service>>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The turns, and since when each is there.
    turns: VecDeque<(Turn, Instant)>,
    /// Whether there will be no more.
    ended: bool,
}

impl Waiting {
    /// The first turn that may be told, as far as is known of who serves what.
    fn pop(&mut self, service: &[Service]) -> Option<Turn> {
        let now = Instant::now();
        let may_be_told = |turn: &(Turn, Instant)| until(turn, service).is_none_or(|it| it <= now);
        let index = self.turns.iter().position(|it| self.ended || may_be_told(it))?;
        self.turns.remove(index).map(|(turn, _)| turn)
    }
}

/// Until when a turn waits for somebody else, at most; none if it does not.
fn until((turn, since): &(Turn, Instant), service: &[Service]) -> Option<Instant> {
    let Turn::Take(Partition(partition)) = turn else { return None };
    match service.get(*partition as usize)? {
        Service::LetGo => None,
        Service::Here => Some(*since + LET_GO_MAX),
        Service::Unknown => Some(*since + UNKNOWN_MAX),
    }
}

impl Turns {
    /// Those of a member, to whom `service` shows who serves what.
    pub(super) fn new(service: watch::Receiver<Vec<Service>>) -> Self {
        Self { waiting: Mutex::default(), changed: Notify::new(), service }
    }

    /// The next turn, once there is one; none if there will be no more. Dropping the future loses
    /// nothing.
    pub(super) async fn next(&self) -> Option<Turn> {
        let mut service = self.service.clone();
        loop {
            let wait = {
                let said = service.borrow_and_update();
                let mut waiting = self.waiting();
                if let Some(turn) = waiting.pop(&said) {
                    return Some(turn);
                }
                if waiting.ended {
                    return None;
                }
                waiting.turns.iter().filter_map(|it| until(it, &said)).min()
            };
            let late = async {
                match wait {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let said = async {
                if service.changed().await.is_err() {
                    // The log is closed: nobody says anything any more.
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = self.changed.notified() => (),
                () = said => (),
                () = late => (),
            }
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
        let takes = |(it, _): &(Turn, _)| matches!(it, Turn::Take(taken) if *taken == partition);
        waiting.turns.retain(|it| !takes(it));
        waiting.turns.len() < before
    }

    fn push(&self, turn: Turn) {
        self.waiting().turns.push_back((turn, Instant::now()));
        self.changed.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::watch;

    use super::Turns;
    use crate::kafka::owners::Service;
    use crate::membership::Turn;
    use crate::port::Partition;

    const ONE: Partition = Partition(1);

    /// The turns of a member, where `said` is what was said of each of two partitions.
    fn turns(said: [Service; 2]) -> (Turns, watch::Sender<Vec<Service>>) {
        let service = watch::Sender::new(said.to_vec());
        (Turns::new(service.subscribe()), service)
    }

    #[tokio::test]
    async fn a_partition_is_taken_once_its_last_owner_has_let_go_and_others_do_not_wait_for_that() {
        let (turns, service) = turns([Service::Here, Service::Here]);
        turns.take(ONE);
        turns.lost(Partition(0));
        assert!(matches!(turns.next().await, Some(Turn::Lost(Partition(0)))));
        assert!(tokio::time::timeout(Duration::from_millis(1), turns.next()).await.is_err());
        service.send_modify(|it| it[1] = Service::LetGo);
        // Long before it would be taken anyway.
        let taken = tokio::time::timeout(Duration::from_millis(900), turns.next()).await;
        assert!(matches!(taken, Ok(Some(Turn::Take(ONE)))), "{taken:?}");
    }

    #[tokio::test]
    async fn an_owner_that_never_lets_go_is_not_waited_for_long() {
        for said in [Service::Here, Service::Unknown] {
            let (turns, service) = turns([Service::LetGo, said]);
            turns.take(ONE);
            assert!(matches!(turns.next().await, Some(Turn::Take(ONE))));
            turns.take(ONE);
            // Nor is one that nothing will be heard of any more.
            drop(service);
            assert!(matches!(turns.next().await, Some(Turn::Take(ONE))));
        }
    }

    #[tokio::test]
    async fn what_nobody_has_been_told_is_taken_back() {
        let (turns, _service) = turns([Service::LetGo; 2]);
        turns.take(ONE);
        turns.give(ONE);
        turns.take(ONE);
        turns.lost(ONE);
        turns.end();
        assert!(turns.next().await.is_none());
    }

    #[tokio::test]
    async fn a_partition_is_given_or_lost_before_it_is_taken_again() {
        let (turns, _service) = turns([Service::LetGo; 2]);
        turns.take(ONE);
        assert!(matches!(turns.next().await, Some(Turn::Take(ONE))));
        turns.give(ONE);
        turns.take(ONE);
        assert!(matches!(turns.next().await, Some(Turn::Give(ONE, _))));
        assert!(matches!(turns.next().await, Some(Turn::Take(ONE))));
    }
}
