//! A producer whose reports and log lines are taken from it by a thread of its own, which costs next
//! to nothing while there are none.
//!
//! The client's own `ThreadedProducer` does the same, but waits whole milliseconds of its 100 and asks
//! again and again for what is left of the last one: a third of a millisecond of processor time each, a
//! quarter of a processor for the 64 producers of a process that owns as many partitions.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, ProducerContext};

use super::failure::storage;
use crate::port::LogError;

/// How long the thread waits for something to be said before it looks whether it is to end. In
/// microseconds: 100,050, what the client waits in whole milliseconds and about as much more as it takes
/// to wake up, so that nothing is left to wait for then.
const LOOK: Duration = Duration::from_micros(100_050);

/// A producer and its thread, which ends with it.
pub(super) struct Polled<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<C: ProducerContext + 'static> Polled<C> {
    /// Makes a producer that tells `context` what happens.
    pub(super) fn new(config: &ClientConfig, context: C) -> Result<Self, LogError> {
        let failed = |it: KafkaError| storage("making a producer".to_owned(), it);
        let producer: BaseProducer<C> = config.create_with_context(context).map_err(failed)?;
        let (producer, ended) = (Arc::new(producer), Arc::<AtomicBool>::default());
        let (polled, is_over) = (producer.clone(), ended.clone());
        let thread = std::thread::Builder::new()
            .name("kafka-reports".to_owned())
            .spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    polled.poll(LOOK);
                }
            })
            .map_err(|source| LogError::Storage {
                doing: "starting a thread".to_owned(),
                source,
            })?;
        Ok(Self { producer, ended, thread: Some(thread) })
    }
}

impl<C: ProducerContext + 'static> Deref for Polled<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &BaseProducer<C> {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for Polled<C> {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panics only where a context does, which has been said then.
            drop(thread.join());
        }
    }
}
