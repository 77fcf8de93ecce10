//! A producer that obeys none of our rules, and a consumer that hides nothing.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::owners::Service;
use crate::kafka::{KafkaConfig, message, owners};
use crate::port::Partition;
use crate::record::Record;

/// How long anything may take.
pub(super) const PATIENCE_MAX: Duration = Duration::from_secs(20);

/// A transactional producer with an identity of its own, which fences nobody.
pub(super) struct Raw {
    producer: ThreadedProducer<DefaultProducerContext>,
    topic: String,
}

impl Raw {
    pub(super) fn new(config: &KafkaConfig, topic: &str) -> Self {
        let id = format!("raw-{}", crate::identity::random_hex());
        let producer: ThreadedProducer<_> = config.producer(&id).create().unwrap();
        producer.init_transactions(PATIENCE_MAX).unwrap();
        Self { producer, topic: topic.to_owned() }
    }

    /// Writes records to partition 0 and leaves the transaction open.
    pub(super) fn write(&self, records: &[Record]) {
        self.producer.begin_transaction().unwrap();
        for record in records {
            self.send("raw", record.value_bytes(), Some(message::headers(record)));
        }
        self.producer.flush(PATIENCE_MAX).unwrap();
    }

    /// Writes something that is no record, for good.
    pub(super) fn write_nonsense(&self) {
        self.producer.begin_transaction().unwrap();
        self.send("raw", b"nonsense", None);
        self.commit();
    }

    /// Writes an announcement as an owner would, for good.
    pub(super) fn announce(&self, partition: Partition, address: &str) {
        self.producer.begin_transaction().unwrap();
        self.send(&owners::key(partition), owners::value(address, Service::Here).as_bytes(), None);
        self.commit();
    }

    fn send(&self, key: &str, value: &[u8], headers: Option<OwnedHeaders>) {
        let record = BaseRecord::to(&self.topic).partition(0).key(key).payload(value);
        let record = BaseRecord { headers, ..record };
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
    }

    pub(super) fn commit(&self) {
        self.producer.commit_transaction(PATIENCE_MAX).unwrap();
    }

    pub(super) fn abort(&self) {
        self.producer.abort_transaction(PATIENCE_MAX).unwrap();
    }
}

/// How many records partition 0 holds, those that were aborted included.
pub(super) fn count_of_all(config: &KafkaConfig, topic: &str) -> usize {
    let mut scanner = config.scanner();
    let consumer: BaseConsumer =
        scanner.set("isolation.level", "read_uncommitted").create().unwrap();
    let mut assigned = TopicPartitionList::new();
    assigned.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&assigned).unwrap();
    let mut count = 0;
    while let Some(Ok(_)) = consumer.poll(PATIENCE_MAX) {
        count += 1;
    }
    count
}
