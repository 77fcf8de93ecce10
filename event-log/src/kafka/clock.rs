//! What time it is at the brokers: the leader of a partition of the topic of barriers gives a record its own
//! time when it appends it, and says which.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{Message as _, Timestamp};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::config::KafkaConfig;
use super::failure::storage;
use super::logging;
use crate::port::LogError;

/// The key of such a record.
const KEY: &str = "clock";

/// How long the brokers may take to answer. In seconds: 5.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How long one call into the client may take. In milliseconds: 100.
const CALL_MAX: Duration = Duration::from_millis(100);

/// The clock of the brokers of a log.
pub(super) struct BrokerClock {
    config: KafkaConfig,
    /// None until it was asked for the first time.
    client: Mutex<Option<BaseProducer<Stamped>>>,
}

impl fmt::Debug for BrokerClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerClock").finish_non_exhaustive()
    }
}

impl BrokerClock {
    pub(super) fn new(config: KafkaConfig) -> Self {
        Self { config, client: Mutex::default() }
    }

    /// What time it is there; none if the topic keeps the time of whoever writes. Blocks.
    pub(super) fn ask(&self) -> Result<Option<SystemTime>, LogError> {
        let failed = |it| storage("asking the brokers what time it is", it);
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let client = match &mut *client {
            Some(client) => client,
            none => {
                let mut settings = self.config.client();
                settings.set("acks", "all").set("linger.ms", "0");
                settings.set("message.timeout.ms", ANSWER_MAX.as_millis().to_string());
                let made = settings.create_with_context(Stamped::default()).map_err(failed)?;
                none.insert(made)
            }
        };
        let topic = self.config.barriers();
        client.client().context().take();
        // Not the time of this process: a topic that keeps what it is given would only repeat it.
        let record = BaseRecord::<str, [u8]>::to(&topic).partition(0).key(KEY).timestamp(0);
        client.send(record).map_err(|(error, _)| failed(error))?;
        let deadline = Instant::now() + 2 * ANSWER_MAX;
        while Instant::now() < deadline {
            client.poll(CALL_MAX);
            if let Some(answer) = client.client().context().take() {
                return Ok(time_of(answer.map_err(failed)?));
            }
        }
        Err(failed(KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut)))
    }
}

fn time_of(stamp: Timestamp) -> Option<SystemTime> {
    match stamp {
        Timestamp::LogAppendTime(millis) => {
            Some(UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).ok()?))
        }
        Timestamp::CreateTime(_) | Timestamp::NotAvailable => None,
    }
}

/// What the brokers have said of the last record.
#[derive(Default)]
struct Stamped(Mutex<Option<Result<Timestamp, KafkaError>>>);

impl Stamped {
    fn take(&self) -> Option<Result<Timestamp, KafkaError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Stamped {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        logging::line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        logging::error(&error, reason);
    }
}

impl ProducerContext for Stamped {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let answer = match result {
            Ok(message) => Ok(message.timestamp()),
            Err((error, _)) => Err(error.clone()),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }
}
