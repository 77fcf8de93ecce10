//! A log that is what it is but for its readers, each of which a test may put another one around.

use std::fmt;

use async_trait::async_trait;
use event_log::{
    ClaimError, EventLog, LogError, Membership, MemoryLog, Owners, Partition, Position, Reader,
    Snapshot, Writer,
};
use tokio::sync::watch;

type Wrap = dyn Fn(Box<dyn Reader>) -> Box<dyn Reader> + Send + Sync;

/// The log as whoever reads it sees it.
pub(super) struct WrappedLog {
    log: MemoryLog,
    wrap: Box<Wrap>,
}

impl WrappedLog {
    /// `log`, whose readers are what `wrap` makes of them.
    pub(super) fn new(
        log: MemoryLog,
        wrap: impl Fn(Box<dyn Reader>) -> Box<dyn Reader> + Send + Sync + 'static,
    ) -> Self {
        Self { log, wrap: Box::new(wrap) }
    }
}

impl fmt::Debug for WrappedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedLog").finish_non_exhaustive()
    }
}

#[async_trait]
impl EventLog for WrappedLog {
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
        Ok((self.wrap)(self.log.read(partition, from).await?))
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
