//! Whether a partition has as many replicas in sync as a write to it needs.
//!
//! The cluster says so to the client alone, which goes on trying and in the end says that time is
//! up. So the cluster is asked after a write that was not taken and a claim that did not succeed,
//! never before. Where there are too few, what is to be written is refused at once, until it has
//! been asked again and there are enough.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataTopic;
use tokio::runtime::Handle;

use super::config::KafkaConfig;
use super::logging::Logging;
use crate::port::LogError;

/// The topic in which brokers keep what became of transactions.
pub(super) const TRANSACTIONS: &str = "__transaction_state";

/// How many replicas a write needs, as Kafka calls it.
const NEEDED: &str = "min.insync.replicas";

/// How long the brokers may take to answer each of two questions. In seconds: 1.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// How long an answer that there are too few is good for. In milliseconds: 500.
const LOOKED_AGAIN: Duration = Duration::from_millis(500);

/// What is known about too few replicas, for all partitions of all topics of a log.
pub(super) struct Replicas {
    config: KafkaConfig,
    runtime: Handle,
    /// None until there was something to ask.
    admin: Mutex<Option<Arc<AdminClient<Logging>>>>,
    short: Mutex<BTreeMap<Place, Short>>,
}

/// Whether a partition is short of replicas, for somebody who waits for something else meanwhile: where
/// it is not known to be, that is looked up only now and then.
pub(super) struct Doubt<'a> {
    replicas: &'a Replicas,
    topic: &'a str,
    partition: i32,
    looked: Cell<Instant>,
}

impl Doubt<'_> {
    /// Whether it is short. Blocks.
    pub(super) fn is_short(&self) -> bool {
        if self.replicas.known(self.topic, self.partition).is_some() {
            return true;
        }
        if self.looked.get().elapsed() < LOOKED_AGAIN {
            return false;
        }
        let found = self.replicas.look(self.topic, self.partition);
        self.looked.set(Instant::now());
        found.is_some()
    }
}

/// A partition of a topic.
pub(super) type Place = (String, i32);

/// What a partition lacks.
#[derive(Clone, Debug)]
pub(super) struct Shortage {
    place: Place,
    in_sync: usize,
    needed: usize,
}

/// What the cluster says of a partition's replicas.
#[derive(Clone, Debug)]
enum Said {
    /// Enough of them are in sync.
    Enough,
    Short(Shortage),
    /// Nothing: nobody leads it, or it is gone.
    Nothing,
}

/// A shortage, and when it was looked at last.
#[derive(Debug)]
struct Short {
    shortage: Shortage,
    looked: Instant,
}

impl std::fmt::Debug for Replicas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replicas").field("short", &self.short).finish_non_exhaustive()
    }
}

impl Shortage {
    /// The same as an error.
    pub(super) fn error(self) -> LogError {
        let Self { place: (topic, partition), in_sync, needed } = self;
        LogError::TooFewReplicas {
            of: format!("partition {partition} of topic `{topic}`"),
            in_sync,
            needed,
            setting: NEEDED,
        }
    }
}

impl Replicas {
    /// Knows of no shortage. Within a runtime, in which it waits for answers later.
    pub(super) fn new(config: KafkaConfig) -> Self {
        let (admin, short) = (Mutex::default(), Mutex::default());
        Self { config, runtime: Handle::current(), admin, short }
    }

    /// What `topic` lacks, if there were too few replicas when it was looked last, and there still
    /// are. Blocks then.
    pub(super) fn known(&self, topic: &str, partition: i32) -> Option<Shortage> {
        let place = (topic.to_owned(), partition);
        {
            let short = self.short();
            let Short { shortage, looked } = short.get(&place)?;
            if looked.elapsed() < LOOKED_AGAIN {
                return Some(shortage.clone());
            }
        }
        self.look(topic, partition)
    }

    /// Begins to doubt that a partition of `topic` has enough.
    pub(super) fn doubt<'a>(&'a self, topic: &'a str, partition: i32) -> Doubt<'a> {
        Doubt { replicas: self, topic, partition, looked: Cell::new(Instant::now()) }
    }

    /// Looks what a partition lacks. Where nobody can say, what was known before holds. Blocks.
    pub(super) fn look(&self, topic: &str, partition: i32) -> Option<Shortage> {
        let place = (topic.to_owned(), partition);
        let said = self.ask(&place).unwrap_or_else(|error| {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, topic, partition, "it is not known who is in sync");
            Said::Nothing
        });
        self.note(place, said)
    }

    /// Takes in what the cluster says of `place`, and returns what is known of it now.
    fn note(&self, place: Place, said: Said) -> Option<Shortage> {
        let mut short = self.short();
        match said {
            Said::Short(shortage) => {
                let known = Short { shortage: shortage.clone(), looked: Instant::now() };
                if short.insert(place, known).is_none() {
                    let error = shortage.clone().error();
                    tracing::error!(error = &error as &dyn std::error::Error, "nothing is taken");
                }
                Some(shortage)
            }
            Said::Enough => {
                let (topic, partition) = &place;
                if short.remove(&place).is_some() {
                    tracing::info!(topic, partition, "enough replicas are in sync again");
                }
                None
            }
            Said::Nothing => short.get_mut(&place).map(|it| {
                it.looked = Instant::now();
                it.shortage.clone()
            }),
        }
    }

    /// The same of the partition that holds the transactions of `transactional_id`. Blocks.
    pub(super) fn look_at_transactions(&self, transactional_id: &str) -> Option<Shortage> {
        let admin = self.admin().ok()?;
        let found = admin.inner().fetch_metadata(Some(TRANSACTIONS), ANSWER_MAX).ok()?;
        let count = i32::try_from(found.topics().first()?.partitions().len()).ok()?;
        self.look(TRANSACTIONS, partition_of(transactional_id, count)?)
    }

    /// Whether anything is short at present. Blocks if it was.
    pub(super) fn are_too_few(&self) -> bool {
        let places: Vec<_> = self.short().keys().cloned().collect();
        places.iter().any(|(topic, it)| self.known(topic, *it).is_some())
    }

    /// Asks the cluster for the replicas of a partition, and how many it needs.
    fn ask(&self, place: &Place) -> Result<Said, KafkaError> {
        let (topic, partition) = place;
        let admin = self.admin()?;
        let metadata = admin.inner().fetch_metadata(Some(topic), ANSWER_MAX)?;
        let partitions =
            metadata.topics().first().map(MetadataTopic::partitions).unwrap_or_default();
        // Where nobody leads it, nobody knows who is in sync.
        let led = partitions.iter().find(|it| it.id() == *partition && it.leader() >= 0);
        let Some(in_sync) = led.map(|it| it.isr().len()) else { return Ok(Said::Nothing) };
        let options = AdminOptions::new().request_timeout(Some(ANSWER_MAX));
        let asked = [ResourceSpecifier::Topic(topic)];
        let told = self.runtime.block_on(admin.describe_configs(&asked, &options))?;
        let settings = told.first().and_then(|it| it.as_ref().ok());
        let needed = settings.and_then(|it| it.get(NEEDED)?.value.as_deref()?.parse().ok());
        Ok(match needed {
            Some(needed) if in_sync < needed => {
                Said::Short(Shortage { place: place.clone(), in_sync, needed })
            }
            Some(_) => Said::Enough,
            None => Said::Nothing,
        })
    }

    /// Takes a partition of the events for one that has too few.
    #[cfg(test)]
    pub(super) fn pretend(&self, topic: &str, partition: i32) {
        let place = (topic.to_owned(), partition);
        let shortage = Shortage { place: place.clone(), in_sync: 1, needed: 2 };
        self.note(place, Said::Short(shortage));
    }

    fn admin(&self) -> Result<Arc<AdminClient<Logging>>, KafkaError> {
        let mut admin = self.admin.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(admin) = &*admin {
            return Ok(admin.clone());
        }
        let made = Arc::new(self.config.client().create_with_context(Logging)?);
        Ok(admin.insert(made).clone())
    }

    fn short(&self) -> MutexGuard<'_, BTreeMap<Place, Short>> {
        self.short.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which of `count` partitions the brokers keep something under this name in: transactions, or
/// what they know of a group.
pub(super) fn partition_of(name: &str, count: i32) -> Option<i32> {
    let fold = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    let hash = name.encode_utf16().fold(0, fold);
    hash.checked_abs().unwrap_or(0).checked_rem(count)
}

#[cfg(test)]
mod tests {
    use super::{Replicas, Said, Shortage, partition_of};
    use crate::kafka::{KafkaConfig, SESSION_TIMEOUT, Security};

    #[tokio::test]
    async fn they_are_too_few_until_somebody_says_that_there_are_enough() {
        let replicas = Replicas::new(KafkaConfig {
            bootstrap: "127.0.0.1:1".to_owned(),
            prefix: String::new(),
            replication: 2,
            session_timeout: SESSION_TIMEOUT,
            security: Security::Plaintext,
        });
        let place = ("events".to_owned(), 0);
        let in_sync = |said| replicas.note(place.clone(), said).map(|it| it.in_sync);
        assert_eq!(in_sync(Said::Nothing), None, "nothing is known of it");
        let shortage = Shortage { place: place.clone(), in_sync: 1, needed: 2 };
        assert_eq!(in_sync(Said::Short(shortage)), Some(1));
        // The one that led it is gone too.
        assert_eq!(in_sync(Said::Nothing), Some(1));
        assert!(replicas.are_too_few());
        assert_eq!(in_sync(Said::Enough), None);
        assert_eq!(in_sync(Said::Nothing), None);
        assert!(!replicas.are_too_few());
    }

    #[test]
    fn names_are_spread_as_brokers_spread_them() {
        // As `Utils.abs("…".hashCode()) % 50` of Kafka's clients says; the hashes of the last two are below 0.
        for (name, partition) in
            [("", 0), ("hello", 22), ("callboard-owners", 7), ("callboard.events-1", 27)]
        {
            assert_eq!(partition_of(name, 50), Some(partition), "{name}");
        }
        assert_eq!(partition_of("callboard", 0), None);
    }
}
