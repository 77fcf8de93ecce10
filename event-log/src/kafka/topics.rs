//! Whether the topics of a log are there while it is open.
//!
//! One that somebody has removed does not come back: what is made under its name is another log, at
//! whose end nothing must be recorded that was decided on the old one. So once a topic was seen to be
//! gone nothing is taken or told any more, until the process starts again. The client goes on trying
//! by itself. So the cluster is asked every now and then, and where something fails; and once more
//! after a while, since a broker that has just started may not know a topic yet.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::watch;

use super::config::KafkaConfig;
use super::logging::Logging;
use crate::port::LogError;

/// How long the brokers may take to say whether they know a topic. In seconds: 1.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// How long it takes until it is asked once more whether a topic is gone. In seconds: 3.
const BELIEVED_AFTER: Duration = Duration::from_secs(3);

/// How long what was seen to be there is not asked about again. In milliseconds: 500.
const LOOKED_AGAIN: Duration = Duration::from_millis(500);

/// How often it is looked although nothing fails. In seconds: 5.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often it is looked whether the log is closed. In milliseconds: 250.
const PAUSE: Duration = Duration::from_millis(250);

/// What is known of the topics of a log.
pub(super) struct Topics {
    config: KafkaConfig,
    /// Held by whoever looks.
    looking: Mutex<Looking>,
    /// The first that was seen to be gone.
    gone: OnceLock<String>,
}

#[derive(Default)]
struct Looking {
    /// None until there was something to ask.
    client: Option<BaseConsumer<Logging>>,
    /// When it was looked last.
    last: Option<Instant>,
}

impl std::fmt::Debug for Topics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topics").field("gone", &self.gone).finish_non_exhaustive()
    }
}

/// Looks every now and then, on a thread of its own, until the log is closed or a topic is gone.
pub(super) fn watch(topics: Arc<Topics>, closed: watch::Receiver<bool>) -> Result<(), LogError> {
    // Also if nobody is left who could close it.
    let is_closed = move || *closed.borrow() || closed.has_changed().is_err();
    let look_on = move || {
        let mut next = Instant::now() + LOOK_EVERY;
        while !is_closed() && topics.gone.get().is_none() {
            std::thread::sleep(PAUSE);
            if next <= Instant::now() {
                drop(topics.look());
                next = Instant::now() + LOOK_EVERY;
            }
        }
    };
    std::thread::Builder::new()
        .name("kafka-topics".to_owned())
        .spawn(look_on)
        .map(drop)
        .map_err(|source| LogError::Storage { doing: "starting a thread".to_owned(), source })
}

impl Topics {
    pub(super) fn new(config: KafkaConfig) -> Self {
        Self { config, looking: Mutex::default(), gone: OnceLock::new() }
    }

    /// That a topic is gone, if it was seen.
    pub(super) fn gone(&self) -> Option<LogError> {
        let topic = self.gone.get()?;
        Some(LogError::Gone { of: format!("topic `{topic}` of the log") })
    }

    /// The same, after a look if the last one was a while ago. Blocks then.
    pub(super) fn look(&self) -> Option<LogError> {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = looking.last.is_some_and(|it| it.elapsed() < LOOKED_AGAIN);
        if self.gone.get().is_some() || is_recent {
            return self.gone();
        }
        if let Some(topic) = self.missing(&mut looking) {
            tracing::warn!(topic, "a topic of the log is missing; it is asked for once more");
            std::thread::sleep(BELIEVED_AFTER);
            if self.missing(&mut looking).as_ref() == Some(&topic) {
                tracing::error!(
                    topic,
                    "a topic of the log is gone: nothing is recorded or told any more until the \
                     next start; stop all processes, and see the guide to a log on Kafka"
                );
                // Nobody else looks meanwhile.
                let _ = self.gone.set(topic);
            }
        }
        looking.last = Some(Instant::now());
        self.gone()
    }

    /// A topic that the cluster does not know, as far as it answers.
    fn missing(&self, looking: &mut Looking) -> Option<String> {
        let client = match &looking.client {
            Some(client) => client,
            None => looking.client.insert(self.connect().ok()?),
        };
        // What the client has to say would gather otherwise.
        while client.poll(Duration::ZERO).is_some() {}
        let is_missing = |topic: &String| {
            let found = client.fetch_metadata(Some(topic), ANSWER_MAX);
            let error = found.ok().and_then(|it| it.topics().first()?.error());
            error.map(RDKafkaErrorCode::from) == Some(RDKafkaErrorCode::UnknownTopicOrPartition)
        };
        let config = &self.config;
        let topics = [config.events(), config.owners(), config.snapshots(), config.barriers()];
        topics.into_iter().find(is_missing)
    }

    fn connect(&self) -> Result<BaseConsumer<Logging>, KafkaError> {
        self.config.client().create_with_context(Logging)
    }
}
