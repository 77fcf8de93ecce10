//! Why no broker lets this process in, and which setting to look at.
//!
//! The client goes on trying whatever the cause, and in the end says only that time is up. What it
//! puts into its log meanwhile says more.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;

use super::Outlook;
use crate::kafka::config::KafkaConfig;
use crate::kafka::logging;

/// What the client calls lines about connections that failed.
const FAILED: &str = "FAIL";

/// How long a client is watched that tries to connect. In seconds: 3.
const WATCHED_MAX: Duration = Duration::from_secs(3);

/// A context that remembers what the client said of its connections last.
#[derive(Clone, Debug, Default)]
struct Attentive(Arc<Mutex<Option<String>>>);

impl Attentive {
    fn heard(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Attentive {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        if facility == FAILED {
            let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *heard = Some(text.to_owned());
        }
        logging::line(level, facility, text);
    }

    fn error(&self, problem: KafkaError, reason: &str) {
        logging::error(&problem, reason);
    }
}

impl ConsumerContext for Attentive {}

/// Why `error` came about, found out by trying again with a client that is watched: what one says
/// is only heard where it is polled. Nothing where that one connects or is silent. Blocks.
pub(super) fn explain(config: &KafkaConfig, error: &KafkaError) -> Option<NotConnected> {
    let attentive = Attentive::default();
    let watched: BaseConsumer<_> = config.scanner().create_with_context(attentive.clone()).ok()?;
    if watched.fetch_metadata(None, WATCHED_MAX).is_ok() {
        return None;
    }
    let until = Instant::now() + WATCHED_MAX;
    while attentive.heard().is_none() && Instant::now() < until {
        drop(watched.poll(Duration::from_millis(50)));
    }
    let heard = attentive.heard()?;
    Some(NotConnected { cause: Cause::of(&heard), heard, error: error.to_string() })
}

/// No broker lets this process in.
#[derive(Debug)]
pub struct NotConnected {
    cause: Cause,
    heard: String,
    error: String,
}

impl NotConnected {
    /// Whether waiting helps.
    pub(super) fn outlook(&self) -> Outlook {
        match self.cause {
            Cause::Password | Cause::Certificate => Outlook::ForGood,
            // A broker that is just starting or ending may break off what it has begun to say.
            Cause::Protocol => Outlook::Doubtful,
            // Also where the name is not known: it may be, once its machine is there.
            Cause::Address => Outlook::Passing,
        }
    }
}

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cause, heard, error } = self;
        write!(f, "{}: {heard} ({error})", cause.advice())
    }
}

impl std::error::Error for NotConnected {}

/// What is most likely wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// User, password or the way it is proved.
    Password,
    /// A certificate.
    Certificate,
    /// TLS on one side only, or a password.
    Protocol,
    /// The address, or what is there.
    Address,
}

impl Cause {
    /// Reads what the client said.
    fn of(heard: &str) -> Self {
        let says = |words: &[&str]| words.iter().any(|it| heard.contains(it));
        if says(&["certificate", "unknown ca"]) {
            Self::Certificate
        } else if says(&["SASL authentication error", "Authentication failed", "SASL mechanism"]) {
            Self::Password
        } else if says(&["security.protocol", "SSL handshake failed", "APIVERSION_QUERY"]) {
            Self::Protocol
        } else {
            Self::Address
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Password => {
                "the brokers refuse the user or the password; see `log.kafka.user`, \
                 `log.kafka.password_file` and `log.kafka.mechanism`"
            }
            Self::Certificate => {
                "the brokers and this process do not accept each other's certificates; see \
                 `log.kafka.authorities_file`, `log.kafka.certificate_file` and whether the \
                 brokers' certificates have the names in `log.kafka.bootstrap`"
            }
            Self::Protocol => {
                "what listens at `log.kafka.bootstrap` does not speak what `log.kafka.security` says"
            }
            Self::Address => "no broker can be reached at `log.kafka.bootstrap`",
        }
    }
}
