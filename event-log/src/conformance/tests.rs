//! The controls of the suite: logs that break one clause each, and are found out.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::{Log, appends_beside_a_snapshot, shows_a_snapshot_once_it_is_finished};
use super::{fences_snapshots_of_the_earlier_writer, fences_the_earlier_writer};
use super::{fences_the_announcement_of_the_earlier_writer, gives_every_partition_to_one_alone};
use super::{loses_nothing_when_a_pending_read_is_dropped, never_splits_a_command};
use super::{tells_by_a_barrier_who_is_the_writer, tells_where_partitions_are_served};
use crate::membership::{Membership, Owners};
use crate::memory::MemoryLog;
use crate::port::{
    AppendError, Batch, ClaimError, EventLog, LogError, Partition, Position, Reader, Recorded,
    Snapshot, SnapshotChunk, SnapshotWriter, Writer,
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
    /// What is staged of a snapshot counts at once.
    Hasty,
    /// Nothing is appended while a snapshot is written.
    Stands,
    /// One partition is given to nobody.
    Withholds,
    /// Only the first announcement is told.
    Mutters,
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
        let mut writer = self.writer.lock().await;
        if writer.is_none() || self.flaw != Flaw::Unfenced {
            *writer = Some(self.log.claim(partition).await?);
        }
        if matches!(self.flaw, Flaw::Unfenced | Flaw::Hasty | Flaw::Stands | Flaw::Mutters) {
            let writing = Arc::default();
            return Ok(Box::new(SharedWriter(self.writer.clone(), self.flaw, writing, false)));
        }
        Ok(writer.take().expect("it was just put there"))
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

    async fn snapshot(
        &self,
        partition: Partition,
        version: u32,
    ) -> Result<Option<Snapshot>, LogError> {
        self.log.snapshot(partition, version).await
    }

    async fn join(&self, says: &str) -> Result<Box<dyn Membership>, LogError> {
        let mut membership = self.log.join(says).await?;
        if self.flaw == Flaw::Withholds {
            membership.next().await?;
        }
        Ok(membership)
    }

    fn owners(&self) -> watch::Receiver<Owners> {
        self.log.owners()
    }
}

#[derive(Debug)]
struct SharedWriter(Arc<Mutex<Option<Box<dyn Writer>>>>, Flaw, Arc<Mutex<()>>, bool);

#[async_trait]
impl Writer for SharedWriter {
    async fn append(&mut self, batch: Batch) -> Result<Vec<Position>, AppendError> {
        let _writing = self.2.lock().await;
        self.0.lock().await.as_mut().unwrap().append(batch).await
    }

    async fn barrier(&mut self) -> Result<(), AppendError> {
        self.0.lock().await.as_mut().unwrap().barrier().await
    }

    async fn announce(&mut self, address: &str) -> Result<(), AppendError> {
        if self.1 == Flaw::Mutters && std::mem::replace(&mut self.3, true) {
            return self.barrier().await;
        }
        self.0.lock().await.as_mut().unwrap().announce(address).await
    }

    fn begin_snapshot(&mut self, upto: Position, fold: u32) -> Box<dyn SnapshotWriter> {
        let mut shared = self.0.try_lock().unwrap();
        let writer = shared.as_mut().unwrap();
        let writing = writer.begin_snapshot(upto, fold);
        match self.1 {
            Flaw::Hasty => {
                let writer = self.0.clone();
                Box::new(HastySnapshot { writer, upto, fold })
            }
            Flaw::Stands => {
                let held = self.2.clone().try_lock_owned().ok();
                Box::new(StandingSnapshot { writing, _held: held })
            }
            _ => writing,
        }
    }
}

/// Makes every slice a snapshot of its own.
#[derive(Debug)]
struct HastySnapshot {
    writer: Arc<Mutex<Option<Box<dyn Writer>>>>,
    upto: Position,
    fold: u32,
}

#[async_trait]
impl SnapshotWriter for HastySnapshot {
    async fn stage(&mut self, chunks: Vec<SnapshotChunk>) -> Result<(), AppendError> {
        let changed = Snapshot { upto: self.upto, fold: self.fold, chunks };
        self.writer.lock().await.as_mut().unwrap().save_snapshot(changed).await
    }

    async fn finish(self: Box<Self>) -> Result<(), AppendError> {
        Ok(())
    }
}

/// Keeps appends waiting while it is there.
#[derive(Debug)]
struct StandingSnapshot {
    writing: Box<dyn SnapshotWriter>,
    _held: Option<OwnedMutexGuard<()>>,
}

#[async_trait]
impl SnapshotWriter for StandingSnapshot {
    async fn stage(&mut self, slice: Vec<SnapshotChunk>) -> Result<(), AppendError> {
        self.writing.stage(slice).await
    }

    async fn finish(self: Box<Self>) -> Result<(), AppendError> {
        self.writing.finish().await
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
            _ => (),
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
        let passed = passes(flaw, tells_by_a_barrier_who_is_the_writer).await;
        assert_eq!(passed, flaw == Flaw::None);
        assert_eq!(passes(flaw, fences_snapshots_of_the_earlier_writer).await, flaw == Flaw::None);
        let passed = passes(flaw, fences_the_announcement_of_the_earlier_writer).await;
        assert_eq!(passed, flaw == Flaw::None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_shows_early_or_stands_in_the_way_is_found_out() {
    for flaw in [Flaw::None, Flaw::Hasty] {
        let passed = passes(flaw, shows_a_snapshot_once_it_is_finished).await;
        assert_eq!(passed, flaw == Flaw::None);
    }
    for flaw in [Flaw::None, Flaw::Stands] {
        assert_eq!(passes(flaw, appends_beside_a_snapshot).await, flaw == Flaw::None);
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

#[tokio::test(start_paused = true)]
async fn a_log_that_keeps_who_owns_what_to_itself_is_found_out() {
    for flaw in [Flaw::None, Flaw::Withholds] {
        let passed = passes(flaw, gives_every_partition_to_one_alone).await;
        assert_eq!(passed, flaw == Flaw::None);
    }
    for flaw in [Flaw::None, Flaw::Mutters] {
        assert_eq!(passes(flaw, tells_where_partitions_are_served).await, flaw == Flaw::None);
    }
}
