//! A log in memory: the real semantics without the disk, for tests.
//!
//! It fences, follows, splits and refuses exactly like the adapters that keep what they are
//! given; nothing survives the process. Positions have a gap before every batch but the first,
//! as they have on Kafka, so that nobody comes to count on their being dense. [`Faults`] makes
//! appends end badly on request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::limits;
use crate::membership::{Alone, Announced, Membership, Owners};
use crate::port::{
    AppendError, Batch, ClaimError, EventLog, FOLD_VERSIONS_MAX, LogError, Partition, Position,
    Reader, Recorded, Snapshot, SnapshotChunk, SnapshotWriter, Writer, version_of,
};

mod faults;
mod group;
#[cfg(test)]
mod tests;

pub use faults::{Fault, Faults, Held};
pub use group::Group;

/// A log that lives as long as its last handle; clones share it.
#[derive(Clone, Debug)]
pub struct MemoryLog {
    incarnation: Arc<str>,
    partitions: Arc<[Arc<Shared>]>,
    faults: Faults,
    announced: Announced,
    group: Arc<OnceLock<Group>>,
}

impl MemoryLog {
    /// An empty log with this many partitions.
    #[must_use]
    pub fn new(partitions: u32) -> Self {
        Self {
            incarnation: crate::identity::random_hex().into(),
            partitions: (0..partitions).map(|it| Arc::new(Shared::new(Partition(it)))).collect(),
            faults: Faults::default(),
            announced: Announced::nothing(partitions),
            group: Arc::default(),
        }
    }

    /// The handle that makes appends end badly.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// Who owns what, as a test says, among those who join from now on. Without it, whoever joins
    /// takes everything.
    #[must_use]
    pub fn group(&self) -> Group {
        self.group.get_or_init(|| Group::of(self.partitions())).clone()
    }

    fn partition(&self, partition: Partition) -> Option<&Arc<Shared>> {
        self.partitions.get(partition.0 as usize)
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    fn incarnation(&self) -> &str {
        &self.incarnation
    }

    fn partitions(&self) -> u32 {
        u32::try_from(self.partitions.len()).expect("made from a u32")
    }

    async fn claim(&self, partition: Partition) -> Result<Box<dyn Writer>, ClaimError> {
        let shared = self.partition(partition).ok_or(ClaimError::NoSuchPartition(partition))?;
        self.faults.claims_released().await;
        let epoch = shared.state().fence();
        let faults = self.faults.clone();
        let (begun, announced) = (Arc::default(), self.announced.clone());
        Ok(Box::new(MemoryWriter { shared: shared.clone(), epoch, faults, begun, announced }))
    }

    async fn read(
        &self,
        partition: Partition,
        from: Position,
    ) -> Result<Box<dyn Reader>, LogError> {
        let shared = self.partition(partition).ok_or(LogError::NoSuchPartition(partition))?;
        let end = shared.state().end;
        if from > end {
            return Err(LogError::BeyondEnd { partition, asked: from, end });
        }
        let changes = shared.changed.subscribe();
        Ok(Box::new(MemoryReader { shared: shared.clone(), changes, from }))
    }

    async fn end(&self, partition: Partition) -> Result<Position, LogError> {
        let shared = self.partition(partition).ok_or(LogError::NoSuchPartition(partition))?;
        self.faults.ends_released().await;
        Ok(shared.state().end)
    }

    async fn snapshot(
        &self,
        partition: Partition,
        version: u32,
    ) -> Result<Option<Snapshot>, LogError> {
        let shared = self.partition(partition).ok_or(LogError::NoSuchPartition(partition))?;
        let state = shared.state();
        let found = state.snapshots.iter().find(|it| version_of(it.fold) == version);
        Ok(found.map(Merged::to_snapshot))
    }

    async fn join(&self, says: &str) -> Result<Box<dyn Membership>, LogError> {
        let shared = self.group.get().map(|it| it.join(says));
        Ok(shared.unwrap_or_else(|| Alone::of(self.partitions())))
    }

    async fn members(&self) -> Result<Vec<String>, LogError> {
        Ok(self.group.get().map(Group::members).unwrap_or_default())
    }

    fn owners(&self) -> watch::Receiver<Owners> {
        self.announced.subscribe()
    }
}

/// One partition: what is stored, and who waits for more.
#[derive(Debug)]
struct Shared {
    partition: Partition,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Shared {
    fn new(partition: Partition) -> Self {
        Self { partition, state: Mutex::default(), changed: watch::Sender::new(()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock can panic")
    }
}

#[derive(Debug, Default)]
struct State {
    records: Vec<Recorded>,
    end: Position,
    /// The claim that may write; earlier ones are fenced.
    epoch: u64,
    /// The newest of each version, in the order in which they were saved.
    snapshots: Vec<Merged>,
}

impl State {
    /// Makes every writer so far a stranger, and returns the epoch of the next.
    fn fence(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    fn push(&mut self, batch: Batch) -> Vec<Position> {
        let gap = u64::from(!self.records.is_empty());
        let first = self.end.0 + gap;
        let recorded = (first..).zip(batch);
        let recorded = recorded.map(|(at, record)| Recorded { position: Position(at), record });
        let before = self.records.len();
        self.records.extend(recorded);
        let positions: Vec<_> = self.records[before..].iter().map(|it| it.position).collect();
        self.end = positions.last().map_or(self.end, |it| it.next());
        positions
    }
}

/// The newest snapshot of a version, with all changes merged.
#[derive(Debug)]
struct Merged {
    upto: Position,
    fold: u32,
    chunks: BTreeMap<String, Bytes>,
}

impl Merged {
    fn to_snapshot(&self) -> Snapshot {
        let chunks = self.chunks.iter();
        let chunks = chunks
            .map(|(key, bytes)| SnapshotChunk { key: key.clone(), bytes: Some(bytes.clone()) });
        Snapshot { upto: self.upto, fold: self.fold, chunks: chunks.collect() }
    }

    fn merge(before: Option<Self>, changed: Snapshot) -> Self {
        let kept = before.filter(|it| it.fold == changed.fold);
        let mut chunks = kept.map(|it| it.chunks).unwrap_or_default();
        for SnapshotChunk { key, bytes } in changed.chunks {
            match bytes {
                Some(bytes) => chunks.insert(key, bytes),
                None => chunks.remove(&key),
            };
        }
        Self { upto: changed.upto, fold: changed.fold, chunks }
    }
}

#[derive(Debug)]
struct MemoryWriter {
    shared: Arc<Shared>,
    epoch: u64,
    faults: Faults,
    /// How many snapshots it has begun.
    begun: Arc<AtomicU64>,
    announced: Announced,
}

impl Shared {
    /// The state, if the claim `epoch` still owns it.
    fn owned(&self, epoch: u64) -> Result<MutexGuard<'_, State>, AppendError> {
        let state = self.state();
        if state.epoch == epoch { Ok(state) } else { Err(AppendError::Fenced) }
    }
}

#[async_trait]
impl Writer for MemoryWriter {
    async fn append(&mut self, batch: Batch) -> Result<Vec<Position>, AppendError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        limits::check_batch(&batch).map_err(AppendError::Refused)?;
        self.faults.released().await;
        let mut state = self.shared.owned(self.epoch)?;
        let positions = match self.faults.next_append() {
            None => state.push(batch),
            Some(fault) => return Err(fault.strike(&mut state, batch)),
        };
        drop(state);
        self.shared.changed.send_replace(());
        Ok(positions)
    }

    async fn barrier(&mut self) -> Result<(), AppendError> {
        self.shared.owned(self.epoch).map(drop)
    }

    async fn announce(&mut self, address: &str) -> Result<(), AppendError> {
        let _state = self.shared.owned(self.epoch)?;
        self.announced.put(self.shared.partition, address);
        Ok(())
    }

    fn begin_snapshot(&mut self, upto: Position, fold: u32) -> Box<dyn SnapshotWriter> {
        Box::new(MemorySnapshot {
            shared: self.shared.clone(),
            epoch: self.epoch,
            number: self.begun.fetch_add(1, Ordering::SeqCst) + 1,
            begun: self.begun.clone(),
            faults: self.faults.clone(),
            staged: Snapshot { upto, fold, chunks: Vec::new() },
        })
    }
}

#[derive(Debug)]
struct MemorySnapshot {
    shared: Arc<Shared>,
    epoch: u64,
    number: u64,
    /// The number of the last one that its writer began.
    begun: Arc<AtomicU64>,
    faults: Faults,
    staged: Snapshot,
}

impl MemorySnapshot {
    /// The state, if this snapshot may still become the newest one.
    fn owned(&self) -> Result<MutexGuard<'_, State>, AppendError> {
        let state = self.shared.owned(self.epoch)?;
        if self.begun.load(Ordering::SeqCst) != self.number {
            return Err(AppendError::Fenced);
        }
        limits::check_within(self.shared.partition, self.staged.upto, state.end)
            .map_err(AppendError::Refused)?;
        Ok(state)
    }
}

#[async_trait]
impl SnapshotWriter for MemorySnapshot {
    async fn stage(&mut self, slice: Vec<SnapshotChunk>) -> Result<(), AppendError> {
        limits::check_slice(&slice).map_err(AppendError::Refused)?;
        self.faults.staged(slice.len()).await;
        drop(self.owned()?);
        self.staged.chunks.extend(slice);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), AppendError> {
        let mut state = self.owned()?;
        let version = version_of(self.staged.fold);
        let mut before =
            state.snapshots.extract_if(.., |it| version_of(it.fold) == version).collect::<Vec<_>>();
        let merged = Merged::merge(before.pop(), self.staged.clone());
        state.snapshots.push(merged);
        let excess = state.snapshots.len().saturating_sub(FOLD_VERSIONS_MAX);
        state.snapshots.drain(..excess);
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryReader {
    shared: Arc<Shared>,
    changes: watch::Receiver<()>,
    from: Position,
}

#[async_trait]
impl Reader for MemoryReader {
    async fn next(&mut self, records_max: usize) -> Result<Vec<Recorded>, LogError> {
        loop {
            self.changes.mark_unchanged();
            if let Some(found) = self.available(records_max) {
                self.from = found.last().map_or(self.from, |it| it.position.next());
                return Ok(found);
            }
            self.changes.changed().await.map_err(|_| LogError::Closed)?;
        }
    }
}

impl MemoryReader {
    fn available(&self, records_max: usize) -> Option<Vec<Recorded>> {
        let state = self.shared.state();
        let start = state.records.partition_point(|it| it.position < self.from);
        let rest = &state.records[start..];
        let count = crate::record::whole_commands(rest, records_max);
        (count > 0).then(|| rest[..count].to_vec())
    }
}
