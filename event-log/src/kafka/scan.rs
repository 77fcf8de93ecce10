//! Reading a partition from a position up to where it ends now, without following it: for what
//! lies in compacted topics, and to find the last record of a partition.
//!
//! Everything here blocks. Aborted records are never seen.

mod pool;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
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
use pool::Pool;

/// How long a broker may take to say where a partition ends. In seconds: 5.
const WATERMARKS_MAX: Duration = Duration::from_secs(5);

/// How long the broker that was last known to lead a partition may take, before it is looked up who does
/// now, and how long that may take. In seconds: 1. The client itself would go on trying to reach one that
/// is down for as long as it is asked, and for minutes each time anew.
const LEADER_MAX: Duration = Duration::from_secs(1);

/// The same where too few replicas are in sync. In milliseconds: 500. The next leader does not say then
/// where the partition ends if the last one has not told it what all had, and the client would go on
/// asking it.
const SHORT_MAX: Duration = Duration::from_millis(500);

/// How long to wait before a partition that moves is asked about again.
const MOVING_PAUSE: Duration = Duration::from_millis(20);

/// How long a scan may go without a message. In seconds: 15.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// How long a transaction that has been committed may take to become visible. In seconds: 10.
const VISIBLE_MAX: Duration = Duration::from_secs(10);

/// How long to wait before it is asked again whether a transaction is visible. In milliseconds: 2.
const VISIBLE_PAUSE: Duration = Duration::from_millis(2);

/// How long who looks for the end of a partition waits for others who do. In seconds: 2, since somebody
/// waits for it who reads; each takes milliseconds, unless its broker says nothing.
const END_WAIT_MAX: Duration = Duration::from_secs(2);

/// The same for who reads a whole topic. In seconds: 20, longer than anybody reads from a broker that
/// says nothing; those who read much take longer.
const TOPIC_WAIT_MAX: Duration = Duration::from_secs(20);

type Consumer = BaseConsumer<Logging>;

/// Reads partitions from one place to another, and asks where they end.
pub(super) struct Scanner {
    /// Consumers that see what is committed, to look for the end of a partition with.
    ends: Pool,
    /// The same to read all that is in a partition, which takes longer.
    topics: Pool,
    /// Sees what is committed; only asked where partitions end.
    visible: Asked,
    /// Sees everything; only asked where partitions end.
    everything: Asked,
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
        Self {
            ends: Pool::new(config.scanner(), END_WAIT_MAX),
            topics: Pool::new(config.scanner(), TOPIC_WAIT_MAX),
            visible: Asked::new(config.scanner()),
            everything: Asked::new(everything),
        }
    }

    /// Where `partition` of `topic` begins and ends at present.
    pub(super) fn extent(&self, topic: &str, partition: i32) -> Result<Extent, LogError> {
        let (low, stable) = watermarks(&*self.visible.consumer()?, topic, partition, || false)?;
        Ok(Extent { low, stable })
    }

    /// After everything that enough replicas have, be it committed or not. What is told of this
    /// is as true as the broker is the partition's leader. Asked no longer than a moment while it
    /// `is_short`.
    pub(super) fn high(
        &self,
        topic: &str,
        partition: i32,
        is_short: impl Fn() -> bool,
    ) -> Result<i64, LogError> {
        Ok(watermarks(&*self.everything.consumer()?, topic, partition, is_short)?.1)
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

    /// Shows every visible message from `from`, not far from the end, up to that to `each`, until
    /// that breaks off.
    pub(super) fn scan_end(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        each: impl FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
    ) -> Result<(), LogError> {
        self.scan(&self.ends, topic, partition, from, each)
    }

    /// The same for all that is in a partition of a compacted topic, which begins at `low`.
    pub(super) fn scan_all(
        &self,
        topic: &str,
        partition: i32,
        low: i64,
        each: impl FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
    ) -> Result<(), LogError> {
        self.scan(&self.topics, topic, partition, low, each)
    }

    fn scan(
        &self,
        pool: &Pool,
        topic: &str,
        partition: i32,
        from: i64,
        each: impl FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
    ) -> Result<(), LogError> {
        let answers = || self.extent(topic, partition).map(drop);
        pool.with(answers, |consumer| {
            let doing = format!("reading `{topic}` {partition} from {from}");
            let mut assigned = TopicPartitionList::new();
            assigned
                .add_partition_offset(topic, partition, Offset::Offset(from))
                .and_then(|()| consumer.assign(&assigned))
                .map_err(|it| storage(&doing, it))?;
            let read = read(consumer, &doing, each);
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

    /// Gives up: there is no hope any more.
    pub(super) fn lose(&mut self) {
        self.0 = Instant::now();
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

/// A consumer that anybody may ask something while others do. It is made for the first question and
/// kept, also where no broker answers: it goes on trying to connect by itself.
struct Asked {
    settings: ClientConfig,
    consumer: Mutex<Option<Arc<Consumer>>>,
}

impl Asked {
    const fn new(settings: ClientConfig) -> Self {
        Self { settings, consumer: Mutex::new(None) }
    }

    fn consumer(&self) -> Result<Arc<Consumer>, LogError> {
        let mut made = self.consumer.lock().unwrap_or_else(PoisonError::into_inner);
        let consumer = match &*made {
            Some(consumer) => consumer.clone(),
            None => made.insert(Arc::new(make(&self.settings)?)).clone(),
        };
        listen(&consumer);
        Ok(consumer)
    }
}

fn make(settings: &ClientConfig) -> Result<Consumer, LogError> {
    let made = settings.create_with_context(Logging);
    made.map_err(|it| storage("connecting to Kafka", it))
}

/// Serves what the client has to say, which would gather otherwise.
fn listen(consumer: &Consumer) {
    while consumer.poll(Duration::ZERO).is_some() {}
}

/// Where a partition begins, and ends as far as `consumer` may see it. Whoever is not told within a
/// moment gives up while the partition `is_short` of replicas: nothing changes before it has enough.
fn watermarks(
    consumer: &Consumer,
    topic: &str,
    partition: i32,
    is_short: impl Fn() -> bool,
) -> Result<(i64, i64), LogError> {
    let deadline = Instant::now() + WATERMARKS_MAX;
    let left = || deadline.saturating_duration_since(Instant::now());
    let mut answered_within = if is_short() { SHORT_MAX } else { LEADER_MAX };
    // Also while it is short another leader is looked up once, which may know.
    let mut was_looked_up = false;
    loop {
        match consumer.fetch_watermarks(topic, partition, answered_within) {
            Ok(found) => return Ok(found),
            // The partition is new, or moves, or the broker has just started and does not know all
            // of them yet, or is down. The client would believe that for minutes, if nobody had it
            // ask who leads it now.
            Err(error) if is_moving(&error) && !left().is_zero() => {
                let short = is_short();
                if short && was_looked_up {
                    return Err(unsaid(topic, partition, error));
                }
                std::thread::sleep(MOVING_PAUSE);
                let (looked_up, most) =
                    if short { (SHORT_MAX, SHORT_MAX) } else { (LEADER_MAX, WATERMARKS_MAX) };
                drop(consumer.fetch_metadata(Some(topic), left().min(looked_up)));
                was_looked_up = true;
                answered_within = left().min(most).max(MOVING_PAUSE);
            }
            Err(error) => return Err(unsaid(topic, partition, error)),
        }
    }
}

fn unsaid(topic: &str, partition: i32, error: KafkaError) -> LogError {
    storage(format!("asking where `{topic}` {partition} ends"), error)
}

/// Whether `error` says that another broker is to be asked, or that nobody has answered.
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
                | Code::AllBrokersDown
                | Code::BrokerTransportFailure
                | Code::DestroyBroker
                | Code::OperationTimedOut
        )
    )
}

/// Reads until the end of the one partition that is assigned.
fn read(
    consumer: &Consumer,
    doing: &str,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
) -> Result<(), LogError> {
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
                    return Err(storage(doing, error));
                }
                continue;
            }
            Some(Err(error)) => return Err(storage(doing, error)),
            None if heard.elapsed() >= SILENCE_MAX => {
                return Err(trouble(doing, "the broker that has it does not answer"));
            }
            None => continue,
        }
        heard = Instant::now();
    }
}
