//! The consumers that all readers of a log share.
//!
//! A consumer can hold each partition once. So there are as many consumers as the partition with
//! most readers has of them, not one for each reader, and every partition that is held has a queue
//! of its own, which wakes its reader's task. One thread looks after all of them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
use crate::limits::{READERS_OF_ONE_MAX, readers_max};
use crate::port::{LogError, Partition, Position};

/// What all readers of a process together fetch ahead if all are behind at once, beside what the last
/// fetch of each unpacks to. In KiB: 512 MiB.
const AHEAD_ALL_MAX_KIB: usize = 512 * 1024;

/// How many consumers without any partition are kept.
const IDLE_MAX: usize = 4;

/// How long to wait for a reader that is on its way back, if there is no other. In seconds: 1.
const RETURNED_MAX: Duration = Duration::from_secs(1);

/// How often to look for it. In milliseconds: 5.
const RETURNED_PAUSE: Duration = Duration::from_millis(5);

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
    /// How many are on their way back.
    returning: Arc<AtomicUsize>,
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
        let returning = Arc::<AtomicUsize>::default();
        let keeper = Keeper {
            topic: topic.clone(),
            consumers: consumers.clone(),
            returning: returning.clone(),
        };
        std::thread::Builder::new()
            .name("kafka-readers".to_owned())
            .spawn(move || keeper.run(&returned))
            .map_err(|source| LogError::Storage {
                doing: "starting a thread".to_owned(),
                source,
            })?;
        let readers_max = readers_max(partitions);
        Ok(Self { config, topic, readers_max, consumers, released, returning })
    }

    /// Begins to fetch `partition` from `from` on. Blocks for a moment.
    pub(super) fn lease(&self, partition: Partition, from: Position) -> Result<Lease, LogError> {
        let doing = || format!("beginning to read `{}` {partition} at {from}", self.topic);
        let pooled = self.pooled_in_time(partition).map_err(|it| match it {
            Some(error) => storage(doing(), error),
            None => trouble(
                doing(),
                format!(
                    "there are {READERS_OF_ONE_MAX} readers of it or {} in all already; \
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
            returning: self.returning.clone(),
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

    /// The same as [`Self::pooled`], once what is on its way back has come if there is none else.
    fn pooled_in_time(&self, partition: Partition) -> Result<Arc<Pooled>, Option<KafkaError>> {
        let until = Instant::now() + RETURNED_MAX;
        loop {
            match self.pooled(partition) {
                Err(None) if self.returning.load(SeqCst) > 0 && Instant::now() < until => {
                    std::thread::sleep(RETURNED_PAUSE);
                }
                found => return found,
            }
        }
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
        if consumers.len() >= READERS_OF_ONE_MAX {
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
    returning: Arc<AtomicUsize>,
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
        self.returning.fetch_add(1, SeqCst);
        // If the thread is gone, so are the consumers.
        drop(self.released.send(Released(self.pooled.clone(), self.partition)));
    }
}

/// The thread's side.
struct Keeper {
    topic: String,
    consumers: Arc<Mutex<Vec<Arc<Pooled>>>>,
    returning: Arc<AtomicUsize>,
}

impl Keeper {
    fn run(&self, returned: &mpsc::Receiver<Released>) {
        loop {
            match returned.recv_timeout(LOOK_AFTER) {
                Ok(released) => {
                    self.release(&released);
                    self.returning.fetch_sub(1, SeqCst);
                }
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
        if !gone.is_empty() {
            // It takes a moment to end one, and others are on their way back meanwhile. Where there is no
            // thread to be had they end here.
            drop(std::thread::Builder::new().spawn(move || drop(gone)));
        }
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
