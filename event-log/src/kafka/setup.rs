//! Making the topics of a log, and checking that the cluster keeps what the log promises.
//!
//! `init` makes what is missing and changes nothing that is there; what it finds wrong it names,
//! with the setting, the value found and the value needed. Opening a log checks the same.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaErrorCode;
use tokio::runtime::Handle;

use super::config::KafkaConfig;
use super::failure::{storage, trouble};
use super::logging::Logging;
use super::producer::{Message, Producer};
use super::scan::Scanner;
use crate::port::{AppendError, LogError};

mod connecting;
mod promises;

pub use connecting::NotConnected;
pub use promises::BrokenPromise;

use connecting::explain;
use promises::{Promise, Topic, broken};

/// How long a broker may take to answer. In seconds: 10.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long new topics may take to be known everywhere. In seconds: 30.
const KNOWN_MAX: Duration = Duration::from_secs(30);

/// The key, among the owners, of the record that says who the log is.
const INCARNATION: &str = "incarnation";

/// Why a cluster cannot serve as a log.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The cluster cannot be reached, or failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// No broker lets this process in.
    #[error("could not connect to Kafka while {doing}: {cause}")]
    NotConnected {
        /// What was being done.
        doing: &'static str,
        /// The cause, with the setting to look at.
        cause: NotConnected,
    },
    /// A topic, or the record that says who the log is, has not been made yet.
    #[error("{0} is missing on the cluster; `callboard kafka init` makes it")]
    Missing(String),
    /// The cluster would lose or change what the log promises to keep.
    #[error("the cluster breaks {} of the log: {}{}", promises_in_words(.0), join(.0), mending(.0))]
    Promises(Vec<BrokenPromise>),
    /// The name of a topic would not be one.
    #[error("expected a topic prefix of `a-z A-Z 0-9 . _ -`, up to 200 of them, got `{0}`")]
    Prefix(String),
}

/// Whether it helps to wait where a cluster cannot serve as a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Somebody has to change something.
    ForGood,
    /// Hard to say: look again, and believe it then.
    Doubtful,
    /// It does: the cluster is not there yet, or not any more.
    Passing,
}

impl SetupError {
    /// Whether it helps to wait.
    #[must_use]
    pub fn outlook(&self) -> Outlook {
        match self {
            Self::NotConnected { cause, .. } => cause.outlook(),
            Self::Log(error) if error.is_away() => Outlook::Passing,
            Self::Log(_) | Self::Missing(_) | Self::Promises(_) | Self::Prefix(_) => {
                Outlook::ForGood
            }
        }
    }
}

fn promises_in_words(broken: &[BrokenPromise]) -> String {
    if broken.len() == 1 { "a promise".to_owned() } else { format!("{} promises", broken.len()) }
}

fn join(broken: &[BrokenPromise]) -> String {
    broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// How settings of topics are changed, if any of those is one: they have names with points in them.
fn mending(broken: &[BrokenPromise]) -> &'static str {
    if broken.iter().any(|it| it.setting.contains('.')) {
        " (settings of a topic are changed with `kafka-configs.sh --bootstrap-server <brokers> --alter \
         --entity-type topics --entity-name <topic> --add-config <setting>=<value>`)"
    } else {
        ""
    }
}

/// A log on a cluster that keeps its promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// See [`crate::EventLog::incarnation`].
    pub incarnation: String,
    /// How many partitions the log has.
    pub partitions: u32,
}

/// Makes the topics of a log of this many partitions, and who it is, where they are missing, and
/// checks all of it.
///
/// # Errors
///
/// [`SetupError`] if a promise is broken, also by a topic that was there already, or the cluster
/// cannot be reached.
pub async fn init(config: &KafkaConfig, partitions: u32) -> Result<Found, SetupError> {
    let config = config.clone();
    let runtime = Handle::current();
    let work = move || Cluster::connect(config, runtime)?.init(partitions);
    tokio::task::spawn_blocking(work).await.map_err(|_| LogError::Closed)?
}

/// Checks that there is a log and that the cluster keeps its promises.
///
/// # Errors
///
/// As for [`init`], and [`SetupError::Missing`] if there is no log.
pub async fn check(config: &KafkaConfig) -> Result<Found, SetupError> {
    let config = config.clone();
    let runtime = Handle::current();
    let work = move || Cluster::connect(config, runtime)?.check(None);
    tokio::task::spawn_blocking(work).await.map_err(|_| LogError::Closed)?
}

/// The cluster, asked by one who may change it. Everything here blocks.
struct Cluster {
    config: KafkaConfig,
    admin: AdminClient<Logging>,
    runtime: Handle,
}

/// The topics of the cluster, by name.
type Topics = HashMap<String, Topic>;

impl Cluster {
    fn connect(config: KafkaConfig, runtime: Handle) -> Result<Self, SetupError> {
        let legal = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
        if config.prefix.len() > 200 || !config.prefix.chars().all(legal) {
            return Err(SetupError::Prefix(config.prefix));
        }
        let admin = config.client().create_with_context(Logging);
        let admin = admin.map_err(|it| storage("connecting to Kafka", it))?;
        Ok(Self { config, admin, runtime })
    }

    fn init(&self, partitions: u32) -> Result<Found, SetupError> {
        let (topics, brokers) = self.topics()?;
        if brokers < self.config.replication {
            return Err(SetupError::Promises(vec![BrokenPromise {
                of: "the cluster".to_owned(),
                setting: "number of brokers".to_owned(),
                found: brokers.to_string(),
                needed: format!("at least {}", self.config.replication),
            }]));
        }
        let promises = Promise::all(&self.config, partitions);
        self.create(promises.iter().filter(|it| !topics.contains_key(&it.topic)))?;
        self.wait_for(&promises)?;
        self.identify()?;
        self.check(Some(partitions))
    }

    fn check(&self, partitions: Option<u32>) -> Result<Found, SetupError> {
        let (topics, _) = self.topics()?;
        let events = self.config.events();
        let Some(found) = topics.get(&events) else {
            return Err(SetupError::Missing(format!("topic `{events}`")));
        };
        let promises = Promise::all(&self.config, partitions.unwrap_or(found.partitions));
        let missing = promises.iter().find(|it| !topics.contains_key(&it.topic));
        if let Some(Promise { topic, .. }) = missing {
            return Err(SetupError::Missing(format!("topic `{topic}`")));
        }
        let Some(incarnation) = self.incarnation()? else {
            let owners = self.config.owners();
            return Err(SetupError::Missing(format!("record `{INCARNATION}` of topic `{owners}`")));
        };
        let transactions = Promise::transactions(&self.config);
        let promises: Vec<_> = promises.into_iter().chain([transactions]).collect();
        let settings = self.settings(&promises, &topics)?;
        let broken: Vec<_> = promises
            .iter()
            .flat_map(|it| broken(it, topics.get(&it.topic), settings.get(&it.topic)))
            .collect();
        if !broken.is_empty() {
            return Err(SetupError::Promises(broken));
        }
        Ok(Found { incarnation, partitions: found.partitions })
    }

    /// All topics, and how many brokers there are.
    fn topics(&self) -> Result<(Topics, u32), SetupError> {
        let metadata = self.admin.inner().fetch_metadata(None, ANSWER_MAX);
        let metadata = metadata.map_err(|error| {
            let doing = "asking for the topics of the cluster";
            match explain(&self.config, &error) {
                Some(cause) => SetupError::NotConnected { doing, cause },
                None => storage(doing, error).into(),
            }
        })?;
        let topics = metadata.topics().iter().map(|it| (it.name().to_owned(), Topic::of(it)));
        let brokers = u32::try_from(metadata.brokers().len()).unwrap_or(u32::MAX);
        Ok((topics.collect(), brokers))
    }

    fn create<'a>(&self, missing: impl Iterator<Item = &'a Promise>) -> Result<(), SetupError> {
        let missing: Vec<_> = missing.collect();
        if missing.is_empty() {
            return Ok(());
        }
        let replication = i32::try_from(self.config.replication).unwrap_or(i32::MAX);
        let topics: Vec<_> = missing
            .iter()
            .map(|promise| {
                let partitions = i32::try_from(promise.partitions).unwrap_or(i32::MAX);
                let replication = TopicReplication::Fixed(replication);
                let topic = NewTopic::new(&promise.topic, partitions, replication);
                promise.settings().fold(topic, |topic, (name, value)| topic.set(name, value))
            })
            .collect();
        let made = self.runtime.block_on(self.admin.create_topics(&topics, &options()));
        for result in made.map_err(|it| storage("creating topics", it))? {
            match result {
                // Somebody else was faster; the check will see what was made of it.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => (),
                Err((topic, code)) => {
                    let doing = format!("creating topic `{topic}`");
                    return Err(storage(doing, KafkaError::AdminOp(code)).into());
                }
            }
        }
        Ok(())
    }

    /// Waits until every partition of the topics has somebody who answers for it.
    fn wait_for(&self, promises: &[Promise]) -> Result<(), SetupError> {
        let deadline = Instant::now() + KNOWN_MAX;
        loop {
            let (topics, _) = self.topics()?;
            let is_led = |it: &Promise| topics.get(&it.topic).is_some_and(|it| it.is_led);
            let Some(missing) = promises.iter().find(|it| !is_led(it)) else { return Ok(()) };
            if Instant::now() >= deadline {
                let doing = format!("waiting for topic `{}`", missing.topic);
                return Err(trouble(doing, "a partition has no leader").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Gives the log an identity, unless it has one.
    fn identify(&self) -> Result<(), SetupError> {
        // The producer comes first: of two who do this at once, one is fenced and fails.
        let owners = self.config.owners();
        let mut producer = Producer::fence(&self.config, &format!("{owners}-init"), || None)?;
        if self.incarnation()?.is_some() {
            return Ok(());
        }
        let incarnation = crate::identity::random_hex();
        let message = Message {
            topic: &owners,
            partition: 0,
            key: INCARNATION.as_bytes(),
            value: Some(incarnation.as_bytes()),
            timestamp: None,
            headers: None,
        };
        let written = producer.transact([message].into_iter());
        let offset = written.map_err(|error| match error {
            AppendError::Refused(error) | AppendError::Unknown(error) => error,
            AppendError::Fenced => trouble("naming the log", "somebody else is doing the same"),
        })?;
        let end = offset.first().map_or(0, |it| it + 1);
        Scanner::new(&self.config).settled(&owners, 0, end)?;
        Ok(())
    }

    /// Who the log is, if it has been said.
    fn incarnation(&self) -> Result<Option<String>, SetupError> {
        let (owners, scanner) = (self.config.owners(), Scanner::new(&self.config));
        let extent = scanner.extent(&owners, 0)?;
        let mut found = None;
        if extent.low < extent.stable {
            scanner.scan_all(&owners, 0, extent.low, |message| {
                if message.key() == Some(INCARNATION.as_bytes()) {
                    let text = message.payload().map(String::from_utf8_lossy);
                    found = text.map(std::borrow::Cow::into_owned);
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(found)
    }

    /// The settings of each topic that `promises` are about.
    fn settings(
        &self,
        promises: &[Promise],
        topics: &Topics,
    ) -> Result<HashMap<String, ConfigResource>, SetupError> {
        let asked: Vec<_> = promises.iter().map(|it| ResourceSpecifier::Topic(&it.topic)).collect();
        let told = self.runtime.block_on(self.admin.describe_configs(&asked, &options()));
        let told = told.map_err(|it| storage("asking for the settings of topics", it))?;
        let mut settings = HashMap::new();
        for resource in told {
            // What is wrong with a topic that is missing is said elsewhere.
            let Ok(resource) = resource else { continue };
            let OwnedResourceSpecifier::Topic(name) = &resource.specifier else { continue };
            // The client keeps to itself that it is not let see them; every topic has some.
            if resource.entries.is_empty() && topics.contains_key(name) {
                let doing = format!("asking for the settings of topic `{name}` (describe-configs)");
                let denied = KafkaError::AdminOp(RDKafkaErrorCode::TopicAuthorizationFailed);
                return Err(storage(doing, denied).into());
            }
            settings.insert(name.clone(), resource);
        }
        Ok(settings)
    }
}

/// The settings that a new topic of events gets.
#[cfg(test)]
pub(super) fn settings_of_events(config: &KafkaConfig) -> Vec<(String, String)> {
    let promises = Promise::all(config, 1);
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    promises[0].settings().map(owned).collect()
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_MAX)).operation_timeout(Some(ANSWER_MAX))
}
