//! A log whose readers are given nothing for as long as a test wants, or that lacks replicas, or a part
//! of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use event_log::{
    ClaimError, EventLog, LogError, Membership, Owners, Partition, Position, Reader, Recorded,
    Snapshot, Writer,
};
use tokio::sync::watch;

/// Whether records are held back, and what is missing. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    records: watch::Sender<bool>,
    lacks_replicas: Arc<AtomicBool>,
    is_gone: Arc<AtomicBool>,
}

impl Hold {
    /// As many replicas as it needs.
    pub(crate) fn new(is_held: bool) -> Self {
        let (lacks_replicas, is_gone) = Default::default();
        Self { records: watch::Sender::new(is_held), lacks_replicas, is_gone }
    }

    /// Holds back what is recorded from now on.
    pub(crate) fn hold(&self) {
        self.records.send_replace(true);
    }

    /// Gives all that was held back.
    pub(crate) fn release(&self) {
        self.records.send_replace(false);
    }

    /// Has the log say that it lacks replicas from now on.
    pub(crate) fn lose_replicas(&self) {
        self.lacks_replicas.store(true, Ordering::SeqCst);
    }

    /// Has the log say that a part of it was removed.
    pub(crate) fn remove(&self) {
        self.is_gone.store(true, Ordering::SeqCst);
    }
}

/// The log as whoever follows it sees it.
#[derive(Debug)]
pub(crate) struct HeldLog {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) hold: Hold,
}

#[derive(Debug)]
struct HeldReader {
    reader: Box<dyn Reader>,
    released: watch::Receiver<bool>,
}

#[async_trait]
impl Reader for HeldReader {
    async fn next(&mut self, records_max: usize) -> Result<Vec<Recorded>, LogError> {
        let records = self.reader.next(records_max).await?;
        self.released.wait_for(|it| !it).await.map_err(|_| LogError::Closed)?;
        Ok(records)
    }
}

#[async_trait]
impl EventLog for HeldLog {
    fn incarnation(&self) -> &str {
        self.log.incarnation()
    }
    fn partitions(&self) -> u32 {
        self.log.partitions()
    }
    async fn claim(&self, partition: Partition) -> Result<Box<dyn Writer>, ClaimError> {
        self.log.claim(partition).await
    }
    async fn read(&self, at: Partition, from: Position) -> Result<Box<dyn Reader>, LogError> {
        let reader = self.log.read(at, from).await?;
        Ok(Box::new(HeldReader { reader, released: self.hold.records.subscribe() }))
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
    async fn has_too_few_replicas(&self) -> bool {
        self.hold.lacks_replicas.load(Ordering::SeqCst)
    }
    fn is_gone(&self) -> bool {
        self.hold.is_gone.load(Ordering::SeqCst)
    }
}
