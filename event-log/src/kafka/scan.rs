//! Reading a partition from a position up to where it ends now, without following it: for what
//! lies in compacted topics, and to find the last record of a partition.
//!
//! Everything here blocks. Aborted records are never seen.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::config::KafkaConfig;
use super::failure::{is_passing, storage, trouble};
use super::logging::Logging;
use crate::port::LogError;

/// How long a broker may take to say where a partition ends. In seconds: 5.
const WATERMARKS_MAX: Duration = Duration::from_secs(5);

/// How long to wait before a partition that moves is asked about again.
const MOVING_PAUSE: Duration = Duration::from_millis(20);

/// How long a scan may go without a message. In seconds: 15.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// How long a transaction that has been committed may take to become visible. In seconds: 10.
const VISIBLE_MAX: Duration = Duration::from_secs(10);

/// How long to wait before it is asked again whether a transaction is visible. In milliseconds: 2.
const VISIBLE_PAUSE: Duration = Duration::from_millis(2);

/// How many consumers are kept for later scans.
const IDLE_MAX: usize = 2;

type Consumer = BaseConsumer<Logging>;

/// Reads partitions from one place to another.
pub(super) struct Scanner {
    /// Consumers that see what is committed.
    visible: Pool,
    /// Consumers that see everything; only asked where partitions end.
    everything: Pool,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner").finish_non_exhaustive()
    }
}

/// Where a partition begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// The first offset that has not been deleted.
    pub(super) low: i64,
    /// The last stable offset: before it, every transaction has been committed or aborted.
    pub(super) stable: i64,
}

impl Scanner {
    pub(super) fn new(config: &KafkaConfig) -> Self {
        let mut everything = config.scanner();
        everything.set("isolation.level", "read_uncommitted");
        Self { visible: Pool::new(config.scanner()), everything: Pool::new(everything) }
    }

    /// Where `partition` of `topic` begins and ends at present.
    pub(super) fn extent(&self, topic: &str, partition: i32) -> Result<Extent, LogError> {
        let found = self.visible.with(|consumer| watermarks(consumer, topic, partition));
        found.map(|(low, stable)| Extent { low, stable })
    }

    /// After everything that enough replicas have, be it committed or not. What is told of this
    /// is as true as the broker is the partition's leader.
    pub(super) fn high(&self, topic: &str, partition: i32) -> Result<i64, LogError> {
        Ok(self.everything.with(|consumer| watermarks(consumer, topic, partition))?.1)
    }

    /// The same, once everything before `known`, which has been committed, is visible.
    pub(super) fn settled(
        &self,
        topic: &str,
        partition: i32,
        known: i64,
    ) -> Result<Extent, LogError> {
        let mut patience = Patience::new();
        loop {
            let found = self.extent(topic, partition)?;
            if found.stable >= known {
                return Ok(found);
            }
            patience.wait(topic, partition, found.stable, known)?;
        }
    }

    /// Shows every visible message from `from` to the end to `each`, until that breaks off.
    pub(super) fn scan(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        each: impl FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
    ) -> Result<(), LogError> {
        self.visible.with(|consumer| {
            let doing = format!("reading `{topic}` {partition} from {from}");
            let mut assigned = TopicPartitionList::new();
            assigned
                .add_partition_offset(topic, partition, Offset::Offset(from))
                .and_then(|()| consumer.assign(&assigned))
                .map_err(|it| storage(&doing, it))?;
            let read = read(consumer, each).map_err(|it| match it {
                Some(error) => storage(&doing, error),
                None => trouble(&doing, "no broker answers"),
            });
            consumer.unassign().map_err(|it| storage(&doing, it))?;
            read
        })
    }
}

/// How long to wait until a transaction that has been decided on shows.
pub(super) struct Patience(Instant);

impl Patience {
    pub(super) fn new() -> Self {
        Self(Instant::now() + VISIBLE_MAX)
    }

    /// Waits for a moment, as long as there is hope that what is before `wanted` becomes stable.
    pub(super) fn wait(
        &mut self,
        topic: &str,
        partition: i32,
        stable: i64,
        wanted: i64,
    ) -> Result<(), LogError> {
        if Instant::now() >= self.0 {
            let reason =
                format!("a transaction stays open: it is stable up to {stable}, not {wanted}");
            return Err(trouble(format!("waiting for `{topic}` {partition}"), reason));
        }
        std::thread::sleep(VISIBLE_PAUSE);
        Ok(())
    }
}

/// Consumers with the same settings, kept for later.
struct Pool {
    settings: ClientConfig,
    idle: Mutex<Vec<Consumer>>,
}

impl Pool {
    const fn new(settings: ClientConfig) -> Self {
        Self { settings, idle: Mutex::new(Vec::new()) }
    }

    /// Lends a consumer, which is only kept if nothing went wrong with it.
    fn with<T>(&self, work: impl FnOnce(&Consumer) -> Result<T, LogError>) -> Result<T, LogError> {
        let idle = self.idle().pop();
        let consumer = match idle {
            Some(consumer) => consumer,
            None => self
                .settings
                .create_with_context(Logging)
                .map_err(|it| storage("connecting to Kafka", it))?,
        };
        let done = work(&consumer)?;
        // Serves what the client has to say, which would gather otherwise.
        while consumer.poll(Duration::ZERO).is_some() {}
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX {
            idle.push(consumer);
        }
        Ok(done)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Consumer>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a partition begins, and ends as far as `consumer` may see it.
fn watermarks(consumer: &Consumer, topic: &str, partition: i32) -> Result<(i64, i64), LogError> {
    let deadline = Instant::now() + WATERMARKS_MAX;
    loop {
        match consumer.fetch_watermarks(topic, partition, WATERMARKS_MAX) {
            Ok(found) => return Ok(found),
            // The partition is new, or moves, or the broker has just started and does not know all
            // of them yet. The client would believe that for minutes, if nobody had it ask again.
            Err(error) if is_moving(&error) && Instant::now() < deadline => {
                std::thread::sleep(MOVING_PAUSE);
                let left = deadline.saturating_duration_since(Instant::now());
                drop(consumer.fetch_metadata(Some(topic), left));
            }
            Err(error) => {
                return Err(storage(format!("asking where `{topic}` {partition} ends"), error));
            }
        }
    }
}

/// Whether `error` says that another broker is to be asked.
fn is_moving(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::ReplicaNotAvailable
                | Code::OffsetNotAvailable
                | Code::UnknownPartition
                | Code::UnknownTopicOrPartition
        )
    )
}

/// Reads until the end of the one partition that is assigned. The error is none for a silence.
fn read(
    consumer: &Consumer,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
) -> Result<(), Option<KafkaError>> {
    let mut heard = Instant::now();
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                if each(&message).is_break() {
                    return Ok(());
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            // The client as a whole is in trouble and goes on trying; so do we, for a while.
            Some(Err(error)) if is_passing(&error) => {
                if heard.elapsed() >= SILENCE_MAX {
                    return Err(Some(error));
                }
                continue;
            }
            Some(Err(error)) => return Err(Some(error)),
            None if heard.elapsed() >= SILENCE_MAX => return Err(None),
            None => continue,
        }
        heard = Instant::now();
    }
}
