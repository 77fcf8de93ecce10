//! The controls of the suite: logs that break one clause each, and are found out.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{Log, fences_snapshots_of_the_earlier_writer, fences_the_earlier_writer};
use super::{loses_nothing_when_a_pending_read_is_dropped, never_splits_a_command};
use crate::memory::MemoryLog;
use crate::port::{
    AppendError, Batch, ClaimError, EventLog, LogError, Partition, Position, Reader, Recorded,
    Snapshot, Writer,
};

/// What a log does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// Every claim gets the same writer.
    Unfenced,
    /// Readers return exactly as many records as they are asked for.
    Splits,
    /// Readers take records out before they can hand them out.
    Forgets,
}

#[derive(Debug)]
struct Flawed {
    log: MemoryLog,
    flaw: Flaw,
    writer: Arc<Mutex<Option<Box<dyn Writer>>>>,
}

#[async_trait]
impl EventLog for Flawed {
    fn incarnation(&self) -> &str {
        self.log.incarnation()
    }

    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    async fn claim(&self, partition: Partition) -> Result<Box<dyn Writer>, ClaimError> {
        if self.flaw != Flaw::Unfenced {
            return self.log.claim(partition).await;
        }
        let mut writer = self.writer.lock().await;
        if writer.is_none() {
            *writer = Some(self.log.claim(partition).await?);
        }
        Ok(Box::new(SharedWriter(self.writer.clone())))
    }

    async fn read(
        &self,
        partition: Partition,
        from: Position,
    ) -> Result<Box<dyn Reader>, LogError> {
        let reader = self.log.read(partition, from).await?;
        Ok(Box::new(FlawedReader { reader, flaw: self.flaw, rest: Vec::new() }))
    }

    async fn end(&self, partition: Partition) -> Result<Position, LogError> {
        self.log.end(partition).await
    }

    async fn snapshot(&self, partition: Partition) -> Result<Option<Snapshot>, LogError> {
        self.log.snapshot(partition).await
    }
}

#[derive(Debug)]
struct SharedWriter(Arc<Mutex<Option<Box<dyn Writer>>>>);

#[async_trait]
impl Writer for SharedWriter {
    async fn append(&mut self, batch: Batch) -> Result<Vec<Position>, AppendError> {
        self.0.lock().await.as_mut().unwrap().append(batch).await
    }

    async fn save_snapshot(&mut self, changed: Snapshot) -> Result<(), AppendError> {
        self.0.lock().await.as_mut().unwrap().save_snapshot(changed).await
    }
}

#[derive(Debug)]
struct FlawedReader {
    reader: Box<dyn Reader>,
    flaw: Flaw,
    rest: Vec<Recorded>,
}

#[async_trait]
impl Reader for FlawedReader {
    async fn next(&mut self, records_max: usize) -> Result<Vec<Recorded>, LogError> {
        if self.rest.is_empty() {
            self.rest = self.reader.next(records_max).await?;
        }
        let mut found = std::mem::take(&mut self.rest);
        match self.flaw {
            Flaw::Splits => self.rest = found.split_off(records_max.clamp(1, found.len())),
            Flaw::Forgets => tokio::task::yield_now().await,
            Flaw::None | Flaw::Unfenced => (),
        }
        Ok(found)
    }
}

/// Whether a log with this flaw passes the clause.
async fn passes<F>(flaw: Flaw, clause: fn(Log) -> F) -> bool
where
    F: Future<Output = ()> + Send + 'static,
{
    let log = Flawed { log: MemoryLog::new(2), flaw, writer: Arc::default() };
    tokio::spawn(clause(Arc::new(log))).await.is_ok()
}

#[tokio::test]
async fn a_log_without_fences_is_found_out() {
    for flaw in [Flaw::None, Flaw::Unfenced] {
        assert_eq!(passes(flaw, fences_the_earlier_writer).await, flaw == Flaw::None);
        assert_eq!(passes(flaw, fences_snapshots_of_the_earlier_writer).await, flaw == Flaw::None);
    }
}

#[tokio::test]
async fn a_reader_that_splits_commands_is_found_out() {
    assert!(passes(Flaw::None, never_splits_a_command).await);
    assert!(!passes(Flaw::Splits, never_splits_a_command).await);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_forgets_is_found_out() {
    assert!(passes(Flaw::None, loses_nothing_when_a_pending_read_is_dropped).await);
    assert!(!passes(Flaw::Forgets, loses_nothing_when_a_pending_read_is_dropped).await);
}
