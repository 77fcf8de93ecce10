//! A log on a Kafka cluster, for any number of processes.
//!
//! ```text
//! <prefix>events      one record an event; a partition of the topic is one of the log
//! <prefix>snapshots   compacted, as many partitions; see `snapshots`
//! <prefix>barriers    kept for an hour, as many partitions; what proves that a writer may write
//! <prefix>owners      compacted, one partition; who the log is, and where partitions are served
//! ```
//!
//! A partition has one writer since it has one transactional id: claiming makes a new producer with
//! it, which the coordinator lets fence the one before (`producer`, `appending`, `writer`).
//! Positions are offsets; markers of transactions and aborted records leave gaps, so where a
//! partition ends has to be found out (`ends`). Readers share consumers (`readers`, `reader`), and
//! see neither what is not committed nor what was aborted. `setup` makes the topics and refuses
//! those that would break a promise.
//!
//! Who owns what is agreed on by the members of a consumer group (`group`), and announced by those
//! who do (`owners`). Neither is asked whether a write is allowed: that is for the transactional
//! ids alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::limits;
use crate::membership::{Membership, Owners};
use crate::port::{ClaimError, EventLog, LogError, Partition, Position, Reader, Snapshot, Writer};

mod appending;
mod asking;
mod bare;
mod clock;
mod config;
mod ends;
mod failure;
mod group;
mod logging;
mod message;
mod owners;
mod polled;
mod producer;
mod reader;
mod readers;
mod replicas;
#[cfg(feature = "sabotage")]
pub mod sabotage;
mod scan;
mod setup;
mod snapshots;
#[cfg(test)]
mod tests;
mod topics;
mod writer;

pub use bare::BareProducer;
pub use config::{KafkaConfig, Mechanism, Password, SESSION_TIMEOUT, Security, Tls};
pub use setup::{BrokenPromise, Found, NotConnected, Outlook, SetupError, check, init};

use asking::Asking;
use clock::BrokerClock;
use ends::{Ends, number};
use owners::Directory;
use reader::KafkaReader;
use readers::Readers;
use replicas::{Replicas, Shortage};
use scan::Scanner;
use topics::Topics;

/// A log on a cluster. Dropping it sends its readers home with [`LogError::Closed`]; writers end
/// when they are dropped.
#[derive(Debug)]
pub struct KafkaLog {
    incarnation: String,
    partitions: u32,
    shared: Arc<Shared>,
    closing: watch::Sender<bool>,
}

/// What the log's readers and writers have in common.
#[derive(Debug)]
struct Shared {
    config: KafkaConfig,
    /// The topic of the events.
    events: String,
    /// The topic of the snapshots.
    snapshots: String,
    /// The topic of the barriers.
    barriers: String,
    /// The topic of the owners.
    owners: String,
    clock: BrokerClock,
    scanner: Scanner,
    readers: Readers,
    ends: Ends,
    replicas: Replicas,
    topics: Arc<Topics>,
    /// The question where a partition ends, for each.
    asking: Vec<Asking<Position>>,
    /// The question whether too few replicas are in sync anywhere.
    looking: Asking<bool>,
    /// After the last record that this process has written to each partition of the snapshots.
    known_snapshots: Vec<AtomicI64>,
    directory: Arc<Directory>,
    closed: watch::Receiver<bool>,
}

impl Shared {
    /// See [`Ends::find`]. Blocks. Where the last leader is gone and too few replicas are in sync,
    /// nobody can tell until there are enough.
    fn find_end(&self, partition: Partition) -> Result<Position, LogError> {
        if let Some(gone) = self.topics.gone() {
            return Err(gone);
        }
        let (replicas, number) = (&self.replicas, number(partition));
        let doubt = replicas.doubt(&self.events, number);
        let is_short = || doubt.is_short();
        let found = self.ends.find(&self.scanner, &self.events, partition, is_short);
        found.map_err(|error| {
            if !error.is_away() {
                return error;
            }
            let short = || replicas.look(&self.events, number).map(Shortage::error);
            self.topics.look().or_else(short).unwrap_or(error)
        })
    }

    fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    async fn closed(&self) {
        // An error says that the log is gone, which is the same.
        drop(self.closed.clone().wait_for(|it| *it).await.map(|it| *it));
    }
}

impl KafkaLog {
    /// Opens the log that [`init`] has made, after checking that the cluster keeps its promises.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if a topic is missing, a promise is broken, or no broker answers.
    pub async fn open(config: KafkaConfig) -> Result<Self, SetupError> {
        let found = check(&config).await?;
        let (closing, closed) = watch::channel(false);
        let partitions = found.partitions;
        let scanner = Scanner::new(&config);
        let directory = Arc::new(Directory::new(partitions));
        let (reading, topic) = (directory.clone(), config.owners());
        let (scanner, from) = blocking(move || {
            let from = reading.read(&scanner, &topic)?;
            Ok((scanner, from))
        })
        .await?;
        owners::follow(config.clone(), directory.clone(), from, closed.clone())?;
        let topics = Arc::new(Topics::new(config.clone()));
        topics::watch(topics.clone(), closed.clone())?;
        let shared = Shared {
            events: config.events(),
            snapshots: config.snapshots(),
            barriers: config.barriers(),
            owners: config.owners(),
            clock: BrokerClock::new(config.clone()),
            scanner,
            readers: Readers::start(config.clone(), partitions)?,
            ends: Ends::new(partitions),
            replicas: Replicas::new(config.clone()),
            topics,
            asking: (0..partitions).map(|_| Asking::new()).collect(),
            looking: Asking::new(),
            known_snapshots: (0..partitions).map(|_| AtomicI64::new(0)).collect(),
            directory,
            closed,
            config,
        };
        Ok(Self { incarnation: found.incarnation, partitions, shared: Arc::new(shared), closing })
    }

    fn shared(&self, partition: Partition) -> Result<Arc<Shared>, LogError> {
        if partition.0 < self.partitions {
            Ok(self.shared.clone())
        } else {
            Err(LogError::NoSuchPartition(partition))
        }
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.closing.send_replace(true);
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    fn incarnation(&self) -> &str {
        &self.incarnation
    }

    fn partitions(&self) -> u32 {
        self.partitions
    }

    async fn claim(&self, partition: Partition) -> Result<Box<dyn Writer>, ClaimError> {
        let shared = self.shared(partition).map_err(|_| ClaimError::NoSuchPartition(partition))?;
        writer::claim(shared, partition).await
    }

    async fn read(
        &self,
        partition: Partition,
        from: Position,
    ) -> Result<Box<dyn Reader>, LogError> {
        let shared = self.shared(partition)?;
        if from > shared.ends.known(partition) {
            let end = self.end(partition).await?;
            limits::check_within(partition, from, end)?;
        }
        Ok(Box::new(KafkaReader::new(shared, partition, from)))
    }

    async fn end(&self, partition: Partition) -> Result<Position, LogError> {
        let shared = self.shared(partition)?;
        let asked = shared.clone();
        let asking = &shared.asking[partition.0 as usize];
        asking.ask(move || asked.find_end(partition)).await
    }

    async fn snapshot(
        &self,
        partition: Partition,
        version: u32,
    ) -> Result<Option<Snapshot>, LogError> {
        let shared = self.shared(partition)?;
        blocking(move || {
            let known = &shared.known_snapshots[partition.0 as usize];
            let known = known.load(Ordering::SeqCst);
            let of = (partition, version);
            snapshots::newest(&shared.scanner, &shared.snapshots, of, known)
        })
        .await
    }

    async fn join(&self, says: &str) -> Result<Box<dyn Membership>, LogError> {
        group::join(&self.shared, says)
    }

    async fn members(&self) -> Result<Vec<String>, LogError> {
        let shared = self.shared.clone();
        blocking(move || group::members(&shared.config)).await
    }

    async fn time(&self) -> Result<Option<SystemTime>, LogError> {
        let shared = self.shared.clone();
        blocking(move || shared.clock.ask()).await
    }

    fn owners(&self) -> watch::Receiver<Owners> {
        self.shared.directory.announced().subscribe()
    }

    async fn has_too_few_replicas(&self) -> bool {
        let shared = self.shared.clone();
        let asked = self.shared.looking.ask(move || Ok(shared.replicas.are_too_few()));
        asked.await.unwrap_or(false)
    }

    fn is_gone(&self) -> bool {
        self.shared.topics.gone().is_some()
    }
}

/// Does something that waits for the cluster where it holds up no task.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| LogError::Closed)?
}

/// An offset as a position. The client has none below zero for a message.
fn position(offset: i64) -> Position {
    Position(u64::try_from(offset).unwrap_or_default())
}
