//! A log with a writer that is told what to append, and that counts who reads it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use commands::Lookups;
use domain::id::TenantId;
use event_log::{
    ClaimError, Draft, EventLog, Link, LogError, Membership, MemoryLog, Owners, Partition,
    Position, Reader, Record, Recorded, Snapshot, Writer,
};
use tokio::sync::watch;
use uuid::Uuid;

use super::PARTITION;

/// A log that counts its readers, and can be told what goes wrong with those to come.
#[derive(Debug)]
pub(super) struct Watched {
    log: MemoryLog,
    pub(super) readers: AtomicUsize,
    pub(super) faults: Mutex<Vec<Fault>>,
    /// Whether it takes a moment to begin to read.
    pub(super) is_slow: AtomicBool,
}

/// What goes wrong with a reader.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Fails,
    Panics,
}

#[derive(Debug)]
struct Faulty(Fault);

#[async_trait]
impl Reader for Faulty {
    async fn next(&mut self, _records_max: usize) -> Result<Vec<Recorded>, LogError> {
        match self.0 {
            Fault::Fails => Err(LogError::Closed),
            Fault::Panics => panic!("the reader panics, as the test wants"),
        }
    }
}

#[async_trait]
impl EventLog for Watched {
    fn incarnation(&self) -> &str {
        self.log.incarnation()
    }
    fn partitions(&self) -> u32 {
        self.log.partitions()
    }
    async fn claim(&self, partition: Partition) -> Result<Box<dyn Writer>, ClaimError> {
        self.log.claim(partition).await
    }
    async fn read(
        &self,
        partition: Partition,
        from: Position,
    ) -> Result<Box<dyn Reader>, LogError> {
        self.readers.fetch_add(1, Ordering::Relaxed);
        if self.is_slow.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        if let Some(fault) = self.faults.lock().unwrap().pop() {
            return Ok(Box::new(Faulty(fault)));
        }
        self.log.read(partition, from).await
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
        self.log.join(says).await
    }
    fn owners(&self) -> watch::Receiver<Owners> {
        self.log.owners()
    }
}

/// A log with its writer.
pub(super) struct World {
    pub(super) watched: Arc<Watched>,
    lookups: Lookups,
    writer: Box<dyn Writer>,
    count: u64,
    link: Link,
    pub(super) positions: Vec<Position>,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::of(1, PARTITION).await
    }

    /// With so many partitions, and the writer of one of them.
    pub(super) async fn of(partitions: u32, partition: Partition) -> Self {
        let (log, readers) = (MemoryLog::new(partitions), AtomicUsize::new(0));
        let watched = Arc::new(Watched {
            log,
            readers,
            faults: Mutex::default(),
            is_slow: AtomicBool::default(),
        });
        let writer = watched.claim(partition).await.unwrap();
        let (lookups, positions) = (Lookups::new(watched.clone()), Vec::new());
        Self { watched, lookups, writer, count: 0, link: Link::GENESIS, positions }
    }

    pub(super) fn lookups(&self) -> Lookups {
        self.lookups.clone()
    }

    pub(super) fn readers(&self) -> usize {
        self.watched.readers.load(Ordering::Relaxed)
    }

    /// Appends one batch of `count` commands with an event each.
    pub(super) async fn append(&mut self, count: u64) {
        let mut batch = Vec::new();
        for _ in 0..count {
            self.count += 1;
            let tenant = TenantId(Uuid::from_u128(1)).to_string();
            let (sequence, id) = (self.count.to_string(), Uuid::from_u128(self.count.into()));
            let id = id.to_string();
            let attributes = [
                "1.0",
                &id,
                "callboard.tenant.renamed.v1",
                "/callboard/test",
                "tenant",
                "2026-01-01T00:00:00Z",
                "/schemas/events/test.json",
                &tenant,
                &tenant,
                &sequence,
                &sequence,
                "1/1",
                &id,
                &id,
                &id,
                &id,
                "application/json",
            ];
            let draft = Draft { attributes, value: b"{}" };
            let record = Record::seal(&draft, self.link, None).unwrap();
            self.link = record.link();
            batch.push(record);
        }
        self.positions.extend(self.writer.append(batch).await.unwrap());
    }
}
