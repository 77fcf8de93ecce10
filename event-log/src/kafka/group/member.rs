//! What the client tells a member: which partitions it is assigned, and which it is to give up.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::Turns;
use crate::kafka::logging;
use crate::port::Partition;

/// How long the next owners wait for what is given to be let go of. In seconds: 5.
pub(in crate::kafka) const HANDOVER_MAX: Duration = Duration::from_secs(5);

/// How long to wait before it is looked again whether it has been. In milliseconds: 2.
const HANDOVER_PAUSE: Duration = Duration::from_millis(2);

/// How long what is to be given is served on, so that the next owners can take it at once. In
/// milliseconds: 1,050. A client joins once a second at most, and all of them have just joined to
/// hear of this: who would be told to let go now would be waited for by nobody for the rest of it.
const SERVED_ON: Duration = Duration::from_millis(1050);

/// The context of one consumer.
#[derive(Debug)]
pub(super) struct Member {
    turns: Arc<Turns>,
    leaving: Arc<AtomicBool>,
    /// What it has been assigned; none once it has no say any more.
    owned: Mutex<Option<BTreeSet<Partition>>>,
}

impl Member {
    pub(super) fn new(turns: Arc<Turns>, leaving: Arc<AtomicBool>) -> Self {
        Self { turns, leaving, owned: Mutex::new(Some(BTreeSet::new())) }
    }

    /// Whatever is still owned is lost, and what comes is not told any more.
    pub(super) fn end(&self) {
        let owned = self.owned().take();
        owned.into_iter().flatten().for_each(|it| self.turns.lost(it));
    }

    fn assigned(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        // Nothing is to be fetched.
        if let Err(error) = consumer.pause(partitions) {
            tracing::debug!(error = &error as &dyn std::error::Error, "partitions are not paused");
        }
        let mut owned = self.owned();
        let Some(owned) = &mut *owned else { return };
        for partition in numbers(partitions) {
            if owned.insert(partition) {
                self.turns.take(partition);
            }
        }
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let revoked: Vec<_> = {
            let mut owned = self.owned();
            let Some(owned) = &mut *owned else { return };
            numbers(partitions).filter(|it| owned.remove(it)).collect()
        };
        let hurry = || self.leaving.load(Ordering::SeqCst) || consumer.assignment_lost();
        let served_on = Instant::now() + SERVED_ON;
        while !revoked.is_empty() && !hurry() && Instant::now() < served_on {
            thread::sleep(HANDOVER_PAUSE);
        }
        if consumer.assignment_lost() {
            revoked.into_iter().for_each(|it| self.turns.lost(it));
            return;
        }
        let given = revoked.into_iter().filter_map(|it| Some((it, self.turns.give(it)?)));
        self.wait(given.collect(), hurry);
    }

    /// Waits, bounded, until all of `given` has been let go of. The client goes on saying that the
    /// member is there meanwhile.
    fn wait(&self, mut given: Vec<(Partition, oneshot::Receiver<()>)>, hurry: impl Fn() -> bool) {
        let deadline = Instant::now() + HANDOVER_MAX;
        loop {
            given.retain_mut(|it| it.1.try_recv() == Err(TryRecvError::Empty));
            if given.is_empty() {
                return;
            }
            if hurry() || Instant::now() >= deadline {
                break;
            }
            thread::sleep(HANDOVER_PAUSE);
        }
        for (partition, _) in given {
            tracing::warn!(log.partition = %partition, "the partition was not let go of in time");
            self.turns.overdue(partition);
        }
    }

    fn owned(&self) -> MutexGuard<'_, Option<BTreeSet<Partition>>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn numbers(partitions: &TopicPartitionList) -> impl Iterator<Item = Partition> {
    let elements = partitions.elements();
    let numbers = elements.iter().filter_map(|it| u32::try_from(it.partition()).ok());
    numbers.map(Partition).collect::<Vec<_>>().into_iter()
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        logging::line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        logging::error(&error, reason);
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            self.revoked(consumer, partitions);
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            self.assigned(consumer, partitions);
        }
    }
}
