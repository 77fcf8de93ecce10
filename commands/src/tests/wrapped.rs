//! A log that is what it is but for its readers, writers and members, each of which a test may put
//! another one around, for where it says that it ends and what time it is, and of which a part may have been removed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::SystemTime;

use async_trait::async_trait;
use event_log::{
    ClaimError, EventLog, LogError, Membership, MemoryLog, Owners, Partition, Position, Reader,
    Snapshot, Writer,
};
use tokio::sync::watch;

type Wrap<T> = Box<dyn Fn(Box<T>) -> Box<T> + Send + Sync>;

type End = Box<dyn Fn(Position) -> Position + Send + Sync>;

type Time = Box<dyn Fn() -> Result<Option<SystemTime>, LogError> + Send + Sync>;

/// The log as whoever reads it sees it.
pub(super) struct WrappedLog {
    log: MemoryLog,
    readers: Wrap<dyn Reader>,
    writers: Wrap<dyn Writer>,
    members: Wrap<dyn Membership>,
    end: End,
    time: Time,
    is_gone: Arc<AtomicBool>,
}

impl WrappedLog {
    /// `log`, whose readers are what `wrap` makes of them.
    pub(super) fn new(
        log: MemoryLog,
        wrap: impl Fn(Box<dyn Reader>) -> Box<dyn Reader> + Send + Sync + 'static,
    ) -> Self {
        let (writers, members) = (Box::new(|it| it), Box::new(|it| it));
        let (end, time, is_gone) = (Box::new(|it| it), Box::new(|| Ok(None)), Arc::default());
        Self { log, readers: Box::new(wrap), writers, members, end, time, is_gone }
    }

    /// The same, which ends where `end` says.
    pub(super) fn with_end(
        self,
        end: impl Fn(Position) -> Position + Send + Sync + 'static,
    ) -> Self {
        Self { end: Box::new(end), ..self }
    }

    /// The same, where it is as late as `time` says.
    pub(super) fn with_time(self, time: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.with_time_if(move || Ok(time()))
    }

    /// The same, which may fail to say it.
    pub(super) fn with_time_if(
        self,
        time: impl Fn() -> Result<SystemTime, LogError> + Send + Sync + 'static,
    ) -> Self {
        Self { time: Box::new(move || time().map(Some)), ..self }
    }

    /// The same, of which a part is removed once this says so.
    pub(super) fn with_gone(self, is_gone: Arc<AtomicBool>) -> Self {
        Self { is_gone, ..self }
    }

    /// The same, whose writers are what `wrap` makes of them.
    pub(super) fn with_writers(
        self,
        wrap: impl Fn(Box<dyn Writer>) -> Box<dyn Writer> + Send + Sync + 'static,
    ) -> Self {
        Self { writers: Box::new(wrap), ..self }
    }

    /// The same, whose members are what `wrap` makes of them.
    pub(super) fn with_members(
        self,
        wrap: impl Fn(Box<dyn Membership>) -> Box<dyn Membership> + Send + Sync + 'static,
    ) -> Self {
        Self { members: Box::new(wrap), ..self }
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
        Ok((self.writers)(self.log.claim(partition).await?))
    }

    async fn read(
        &self,
        partition: Partition,
        from: Position,
    ) -> Result<Box<dyn Reader>, LogError> {
        Ok((self.readers)(self.log.read(partition, from).await?))
    }

    async fn end(&self, partition: Partition) -> Result<Position, LogError> {
        Ok((self.end)(self.log.end(partition).await?))
    }

    async fn snapshot(
        &self,
        partition: Partition,
        version: u32,
    ) -> Result<Option<Snapshot>, LogError> {
        self.log.snapshot(partition, version).await
    }

    async fn join(&self, says: &str) -> Result<Box<dyn Membership>, LogError> {
        Ok((self.members)(self.log.join(says).await?))
    }

    async fn members(&self) -> Result<Vec<String>, LogError> {
        self.log.members().await
    }

    async fn time(&self) -> Result<Option<SystemTime>, LogError> {
        (self.time)()
    }

    fn owners(&self) -> watch::Receiver<Owners> {
        self.log.owners()
    }

    fn is_gone(&self) -> bool {
        self.is_gone.load(SeqCst)
    }
}
