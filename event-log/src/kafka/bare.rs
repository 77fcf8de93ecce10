//! A transactional producer with nothing around it: what the log on Kafka is measured against.
//!
//! It keeps none of the log's promises. It sends the same bytes, and waits for its deliveries
//! without a busy loop, so that its processor time is a fair measure too.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};

use super::config::KafkaConfig;
use super::{failure, message};
use crate::port::LogError;
use crate::record::{Attribute, Record};

/// How long a call into the client may take. In seconds: 30.
const CALL_MAX: Duration = Duration::from_secs(30);

/// Appends to the first partition of the events of a log that nobody else uses.
pub struct BareProducer {
    client: ThreadedProducer<Reports>,
    under_way: UnderWay,
    topic: String,
}

impl fmt::Debug for BareProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BareProducer({})", self.topic)
    }
}

impl BareProducer {
    /// Connects to the cluster of `config`. Blocks.
    ///
    /// # Errors
    ///
    /// [`LogError::Storage`] if the coordinator does not answer.
    pub fn connect(config: &KafkaConfig) -> Result<Self, LogError> {
        let mut settings: ClientConfig = config.client();
        settings
            .set("transactional.id", format!("{}-bare", config.events()))
            .set("compression.type", "zstd")
            .set("linger.ms", "0")
            .set("batch.num.messages", "100000");
        let under_way = UnderWay::default();
        let reports = Reports(under_way.clone());
        let failed = |it| failure::storage("starting a bare producer", it);
        let client: ThreadedProducer<Reports> =
            settings.create_with_context(reports).map_err(failed)?;
        client.init_transactions(CALL_MAX).map_err(failed)?;
        Ok(Self { client, under_way, topic: config.events() })
    }

    /// Writes `batch` in one transaction. Blocks.
    ///
    /// # Errors
    ///
    /// [`LogError::Storage`] if anything of it fails.
    pub fn append(&self, batch: &[Record]) -> Result<(), LogError> {
        let failed = |it: KafkaError| failure::storage("appending", it);
        self.client.begin_transaction().map_err(failed)?;
        self.under_way.add(batch.len());
        for record in batch {
            let key = record.attribute(Attribute::Tenant).as_bytes();
            let message = BaseRecord::to(&self.topic)
                .partition(0)
                .key(key)
                .payload(record.value_bytes())
                .headers(message::headers(record));
            self.client.send(message).map_err(|(it, _)| failed(it))?;
        }
        self.under_way.finished();
        // The binding would wait 100 ms if anything were still in its books when it commits.
        while self.client.in_flight_count() > 0 {
            std::thread::yield_now();
        }
        self.client.commit_transaction(CALL_MAX).map_err(failed)
    }
}

/// How many messages have no delivery report yet.
#[derive(Clone, Debug, Default)]
struct UnderWay(Arc<(Mutex<usize>, Condvar)>);

impl UnderWay {
    fn add(&self, count: usize) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) += count;
    }

    fn remove_one(&self) {
        let (count, none) = &*self.0;
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            none.notify_one();
        }
    }

    /// Waits until there are none. The client itself gives up on a message after a while.
    fn finished(&self) {
        let (count, none) = &*self.0;
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        drop(none.wait_while(count, |it| *it > 0).unwrap_or_else(PoisonError::into_inner));
    }
}

/// Hears of deliveries.
struct Reports(UnderWay);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {
        self.0.remove_one();
    }
}
