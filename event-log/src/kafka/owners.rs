//! Where partitions are served, as their owners have announced it in the topic `<prefix>owners`.
//!
//! ```text
//! <partition>   {"address":"…"}, or {"address":"…","letGo":true} once that is over; written with the
//!               producer of the partition, so only by its owner
//! ```
//!
//! That an owner has let go is for the next one, which waits for it; for others it stays where the
//! partition is served until somebody else has said so.
//!
//! Of two announcements of a partition the one further back in the topic counts, whichever is
//! heard of first. A process reads all there is before it opens the log, and follows it from then
//! on. A transaction that was left open there holds up later announcements of all partitions until
//! it is ended: by the next claim of its partition, or by the cluster after 15 s.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;

use super::config::{AHEAD_KIB, KafkaConfig};
use super::failure::is_passing;
use super::logging::Logging;
use super::scan::Scanner;
use crate::membership::Announced;
use crate::port::{LogError, Partition};

/// How often it is looked whether the log has been closed. In milliseconds: 250.
const LOOK: Duration = Duration::from_millis(250);

/// How long to wait after a failure that does not pass by itself. In seconds: 1.
const PAUSE: Duration = Duration::from_secs(1);

/// The key of the announcements of `partition`.
pub(super) fn key(partition: Partition) -> String {
    partition.to_string()
}

/// What was said last of who serves a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Nothing.
    Unknown,
    /// That its owner does.
    Here,
    /// That its owner does no longer.
    LetGo,
}

/// The value of an announcement.
pub(super) fn value(address: &str, service: Service) -> String {
    match service {
        Service::Unknown | Service::Here => serde_json::json!({ "address": address }),
        Service::LetGo => serde_json::json!({ "address": address, "letGo": true }),
    }
    .to_string()
}

/// What is announced by a message, if it is an announcement.
fn announcement<'a>(key: &str, value: &'a [u8]) -> Option<(Partition, serde_json::Value)> {
    let partition = key.parse().ok()?;
    Some((Partition(partition), serde_json::from_slice::<'a, _>(value).ok()?))
}

/// What has been announced, and how far back in the topic.
#[derive(Debug)]
pub(super) struct Directory {
    announced: Announced,
    /// The offset of the announcement that counts, for each partition; -1 where there is none.
    newest: Mutex<Vec<i64>>,
    service: watch::Sender<Vec<Service>>,
}

impl Directory {
    pub(super) fn new(partitions: u32) -> Self {
        let newest = Mutex::new(vec![-1; partitions as usize]);
        let service = watch::Sender::new(vec![Service::Unknown; partitions as usize]);
        Self { announced: Announced::nothing(partitions), newest, service }
    }

    /// What was said last of each partition.
    pub(super) fn service(&self) -> watch::Receiver<Vec<Service>> {
        self.service.subscribe()
    }

    pub(super) const fn announced(&self) -> &Announced {
        &self.announced
    }

    /// Takes in an announcement that stands at `offset`.
    pub(super) fn put(&self, partition: Partition, address: &str, service: Service, offset: i64) {
        let (mut newest, index) =
            (self.newest.lock().unwrap_or_else(PoisonError::into_inner), partition.0 as usize);
        if let Some(known) = newest.get_mut(index).filter(|it| **it < offset) {
            *known = offset;
            self.announced.put(partition, address);
            self.service.send_modify(|it| it[index] = service);
        }
    }

    fn apply(&self, message: &BorrowedMessage<'_>) {
        let key = message.key().and_then(|it| std::str::from_utf8(it).ok());
        let Some((key, value)) = key.zip(message.payload()) else { return };
        let Some((partition, said)) = announcement(key, value) else { return };
        let service = if said["letGo"] == true { Service::LetGo } else { Service::Here };
        if let Some(address) = said["address"].as_str() {
            self.put(partition, address, service, message.offset());
        }
    }

    /// Reads all there is, and returns where to go on. Blocks.
    pub(super) fn read(&self, scanner: &Scanner, topic: &str) -> Result<i64, LogError> {
        let extent = scanner.extent(topic, 0)?;
        if extent.low < extent.stable {
            scanner.scan_all(topic, 0, extent.low, |message| {
                self.apply(message);
                ControlFlow::Continue(())
            })?;
        }
        Ok(extent.stable)
    }
}

/// Follows the announcements from `from` on, on a thread of its own, until the log is closed.
pub(super) fn follow(
    config: KafkaConfig,
    directory: Arc<Directory>,
    from: i64,
    closed: watch::Receiver<bool>,
) -> Result<(), LogError> {
    let mut tail = Tail { config, directory, from: Offset::Offset(from), closed };
    std::thread::Builder::new()
        .name("kafka-owners".to_owned())
        .spawn(move || tail.run())
        .map(drop)
        .map_err(|source| LogError::Storage { doing: "starting a thread".to_owned(), source })
}

struct Tail {
    config: KafkaConfig,
    directory: Arc<Directory>,
    from: Offset,
    closed: watch::Receiver<bool>,
}

impl Tail {
    fn run(&mut self) {
        while !self.is_closed() {
            let Err(error) = self.read() else { return };
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) {
                // What there is begins elsewhere now. Reading something twice does no harm.
                self.from = Offset::Beginning;
            }
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "where partitions are served cannot be followed; it is tried again"
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// Reads until the log is closed, or a failure that the client does not get over by itself.
    fn read(&mut self) -> Result<(), KafkaError> {
        let consumer: BaseConsumer<Logging> =
            self.config.follower(AHEAD_KIB).create_with_context(Logging)?;
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition_offset(&self.config.owners(), 0, self.from)?;
        consumer.assign(&assigned)?;
        while !self.is_closed() {
            match consumer.poll(LOOK) {
                Some(Ok(message)) => {
                    self.directory.apply(&message);
                    self.from = Offset::Offset(message.offset() + 1);
                }
                Some(Err(error)) if !is_passing(&error) => return Err(error),
                Some(Err(_)) | None => (),
            }
        }
        Ok(())
    }

    /// Also if nobody is left who could close it.
    fn is_closed(&self) -> bool {
        *self.closed.borrow() || self.closed.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::{Directory, Service, announcement, key, value};
    use crate::port::Partition;

    #[test]
    fn an_announcement_is_read_as_it_was_written_and_nothing_else_is_one() {
        let address = "a \"quoted\" host:1";
        for (service, let_go) in [(Service::Here, None), (Service::LetGo, Some(true))] {
            let value = value(address, service);
            let (partition, said) = announcement(&key(Partition(7)), value.as_bytes()).unwrap();
            assert_eq!((partition, said["address"].as_str()), (Partition(7), Some(address)));
            assert_eq!(said["letGo"].as_bool(), let_go);
        }
        assert!(announcement("incarnation", b"{}").is_none());
        assert!(announcement("7", b"00ff").is_none());
    }

    #[test]
    fn the_announcement_further_back_counts() {
        let directory = Directory::new(2);
        directory.put(Partition(1), "new", Service::LetGo, 9);
        directory.put(Partition(1), "old", Service::Here, 4);
        directory.put(Partition(2), "beyond", Service::Here, 10);
        let told = directory.announced().subscribe().borrow().clone();
        assert_eq!(*told, [None, Some("new".into())]);
        assert_eq!(*directory.service().borrow(), [Service::Unknown, Service::LetGo]);
    }
}
