//! The consumers that all readers of a log share.
//!
//! A consumer can hold each partition once. So there are as many consumers as the partition with
//! most readers has of them, not one for each reader, and every partition that is held has a queue
//! of its own, which wakes its reader's task. One thread looks after all of them.

use std::collections::HashSet;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Notify;

use super::config::KafkaConfig;
use super::ends::number;
use super::failure::{storage, trouble};
use super::logging::Logging;
use crate::port::{LogError, Partition, Position};

/// How many readers one partition can have at a time in one process.
const CONSUMERS_MAX: usize = 32;

/// How many readers there can be at a time in one process for each partition of the log: five read
/// models, five more that are to take their place, the write side's state, what live streams share
/// and reactions are 13, and the rest is for those who look something up.
const READERS_EACH_MAX: usize = 16;

/// The same for a log of few partitions, in all.
const READERS_FEW_MAX: usize = 512;

/// What all readers of a process together fetch ahead if all are behind at once, beside what the last
/// fetch of each unpacks to. In KiB: 512 MiB.
const AHEAD_ALL_MAX_KIB: usize = 512 * 1024;

/// How many consumers without any partition are kept.
const IDLE_MAX: usize = 4;

/// How often what the clients have to say is taken from them.
const LOOK_AFTER: Duration = Duration::from_millis(500);

type Consumer = BaseConsumer<Logging>;

/// The consumers of a log.
pub(super) struct Readers {
    config: KafkaConfig,
    topic: String,
    /// How many there can be at a time.
    readers_max: usize,
    consumers: Arc<Mutex<Vec<Arc<Pooled>>>>,
    released: mpsc::Sender<Released>,
}

/// How many readers there can be of a log with so many partitions.
fn readers_max(partitions: u32) -> usize {
    (partitions as usize * READERS_EACH_MAX).max(READERS_FEW_MAX)
}

/// A consumer and the partitions it holds.
struct Pooled {
    consumer: Arc<Consumer>,
    held: Mutex<HashSet<Partition>>,
}

/// A partition that nobody reads over this consumer any more.
struct Released(Arc<Pooled>, Partition);

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Readers {
    /// Starts the thread that looks after the consumers of a log with so many partitions; it ends
    /// once this and all leases are gone.
    pub(super) fn start(config: KafkaConfig, partitions: u32) -> Result<Self, LogError> {
        let topic = config.events();
        let consumers = Arc::new(Mutex::new(Vec::new()));
        let (released, returned) = mpsc::channel();
        let keeper = Keeper { topic: topic.clone(), consumers: consumers.clone() };
        std::thread::Builder::new()
            .name("kafka-readers".to_owned())
            .spawn(move || keeper.run(&returned))
            .map_err(|source| LogError::Storage {
                doing: "starting a thread".to_owned(),
                source,
            })?;
        Ok(Self { config, topic, readers_max: readers_max(partitions), consumers, released })
    }

    /// Begins to fetch `partition` from `from` on. Blocks for a moment.
    pub(super) fn lease(&self, partition: Partition, from: Position) -> Result<Lease, LogError> {
        let doing = || format!("beginning to read `{}` {partition} at {from}", self.topic);
        let pooled = self.pooled(partition).map_err(|it| match it {
            Some(error) => storage(doing(), error),
            None => trouble(
                doing(),
                format!(
                    "there are {CONSUMERS_MAX} readers of it or {} in all already; \
                     let fewer things follow it, or spread them over more processes",
                    self.readers_max
                ),
            ),
        })?;
        let notify = Arc::new(Notify::new());
        let mut lease = Lease {
            queue: None,
            notify: notify.clone(),
            pooled: pooled.clone(),
            partition,
            released: self.released.clone(),
        };
        let Some(mut queue) = pooled.consumer.split_partition_queue(&self.topic, number(partition))
        else {
            return Err(trouble(doing(), "the client does not know the partition"));
        };
        queue.set_nonempty_callback(move || notify.notify_one());
        lease.queue = Some(queue);
        let offset = i64::try_from(from.0).expect("positions come from offsets");
        let mut assigned = TopicPartitionList::new();
        assigned
            .add_partition_offset(&self.topic, number(partition), Offset::Offset(offset))
            .and_then(|()| pooled.consumer.incremental_assign(&assigned))
            .map_err(|it| storage(doing(), it))?;
        Ok(lease)
    }

    /// A consumer that does not hold `partition`, and holds it from now on.
    fn pooled(&self, partition: Partition) -> Result<Arc<Pooled>, Option<KafkaError>> {
        let mut consumers = lock(&self.consumers);
        if consumers.iter().map(|it| lock(&it.held).len()).sum::<usize>() >= self.readers_max {
            return Err(None);
        }
        if let Some(free) = consumers.iter().find(|it| lock(&it.held).insert(partition)) {
            return Ok(free.clone());
        }
        if consumers.len() >= CONSUMERS_MAX {
            return Err(None);
        }
        let ahead_kib = AHEAD_ALL_MAX_KIB / self.readers_max;
        let consumer: Consumer = self.config.follower(ahead_kib).create_with_context(Logging)?;
        let held = Mutex::new(HashSet::from([partition]));
        let pooled = Arc::new(Pooled { consumer: Arc::new(consumer), held });
        consumers.push(pooled.clone());
        Ok(pooled)
    }

    /// How many consumers there are.
    #[cfg(test)]
    pub(super) fn consumers(&self) -> usize {
        lock(&self.consumers).len()
    }
}

/// A partition that is fetched for one reader, until it is dropped.
pub(super) struct Lease {
    queue: Option<PartitionQueue<Logging>>,
    /// Notified whenever the queue stops being empty.
    notify: Arc<Notify>,
    pooled: Arc<Pooled>,
    partition: Partition,
    released: mpsc::Sender<Released>,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("partition", &self.partition).finish_non_exhaustive()
    }
}

impl Lease {
    /// The next message that is there already.
    pub(super) fn poll(&self) -> Option<Result<BorrowedMessage<'_>, KafkaError>> {
        self.queue.as_ref()?.poll(Duration::ZERO)
    }

    /// Waits until there may be another message.
    pub(super) async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // First, since it calls back into the client.
        self.queue = None;
        // If the thread is gone, so are the consumers.
        drop(self.released.send(Released(self.pooled.clone(), self.partition)));
    }
}

/// The thread's side.
struct Keeper {
    topic: String,
    consumers: Arc<Mutex<Vec<Arc<Pooled>>>>,
}

impl Keeper {
    fn run(&self, returned: &mpsc::Receiver<Released>) {
        loop {
            match returned.recv_timeout(LOOK_AFTER) {
                Ok(released) => self.release(&released),
                Err(RecvTimeoutError::Timeout) => self.listen(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        lock(&self.consumers).clear();
    }

    fn release(&self, Released(pooled, partition): &Released) {
        let mut unassigned = TopicPartitionList::new();
        unassigned.add_partition(&self.topic, number(*partition));
        if let Err(error) = pooled.consumer.incremental_unassign(&unassigned) {
            // It goes on holding the partition, so nobody gets what is left of this reader.
            tracing::warn!(
                log.partition = %partition,
                error = &error as &dyn std::error::Error,
                "a partition could not be given back"
            );
            return;
        }
        lock(&pooled.held).remove(partition);
        self.shrink();
    }

    /// Lets go of consumers that nobody needs.
    fn shrink(&self) {
        let mut consumers = lock(&self.consumers);
        let mut idle = 0;
        let gone = consumers.extract_if(.., |it| {
            idle += usize::from(lock(&it.held).is_empty());
            idle > IDLE_MAX && lock(&it.held).is_empty()
        });
        let gone: Vec<_> = gone.collect();
        drop(consumers);
        drop(gone);
    }

    /// Takes from the clients what they have to say; readers have queues of their own.
    fn listen(&self) {
        let consumers = lock(&self.consumers).clone();
        for pooled in consumers {
            while pooled.consumer.poll(Duration::ZERO).is_some() {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
