//! A log that stops being readable just when its owner has to know what became of a batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use domain::id::TenantId;
use domain::operation::Operation;
use event_log::memory::Fault;
use event_log::{
    ClaimError, EventLog, LogError, Membership, MemoryLog, Owners, Partition, Position, Reader,
    Recorded, Snapshot, Writer,
};
use tokio::sync::watch;
use uuid::Uuid;

use super::installation::{Installation, SOON, operator};
use crate::Commands;
use crate::request::{CommandError, Outcome, Request};
use crate::settings::Sabotage;

/// A log whose next reader fails after the first command it has read.
#[derive(Clone, Debug)]
struct CutLog {
    log: MemoryLog,
    cut: Arc<AtomicBool>,
}

#[derive(Debug)]
struct CutReader {
    reader: Box<dyn Reader>,
    has_read: bool,
}

#[async_trait]
impl EventLog for CutLog {
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
        let reader = self.log.read(partition, from).await?;
        if self.cut.swap(false, Ordering::SeqCst) {
            return Ok(Box::new(CutReader { reader, has_read: false }));
        }
        Ok(reader)
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

#[async_trait]
impl Reader for CutReader {
    async fn next(&mut self, _: usize) -> Result<Vec<Recorded>, LogError> {
        if std::mem::replace(&mut self.has_read, true) {
            let source = std::io::Error::other("made to fail by a test");
            return Err(LogError::Storage { doing: "reading".to_owned(), source });
        }
        self.reader.next(1).await
    }
}

/// Registers two tenants in one batch whose outcome is unknown although it was written, while
/// the log can be read only in part at first.
async fn register_two(
    sabotage: Option<Sabotage>,
) -> (Installation, [TenantId; 2], [Result<Outcome, CommandError>; 2]) {
    let mut installation = Installation::with(1, |it| it.sabotage = sabotage).await;
    installation.commands.stop().await;
    let log = CutLog { log: installation.log.clone(), cut: Arc::default() };
    let cut = log.cut.clone();
    let (keyring, clock) = (installation.keyring.clone(), Arc::new(installation.clock.clone()));
    let mut settings = installation.settings.clone();
    settings.identities = settings.identities.with_file_name("cut");
    installation.commands = Commands::start(Arc::new(log), keyring, clock, settings).await.unwrap();

    cut.store(true, Ordering::SeqCst);
    installation.log.faults().fail_next(Fault::UnknownWritten);
    let tenants = [TenantId(Uuid::now_v7()), TenantId(Uuid::now_v7())];
    let register = |tenant, slug: &str| Operation::RegisterTenant {
        tenant,
        slug: slug.parse().unwrap(),
        name: slug.parse().unwrap(),
    };
    let principal = operator();
    let commands = &installation.commands;
    let one = commands.submit(&principal, Request::new(register(tenants[0], "acme")));
    let other = commands.submit(&principal, Request::new(register(tenants[1], "umbrella")));
    let (one, other) = tokio::time::timeout(SOON, async { tokio::join!(one, other) })
        .await
        .expect("an answer comes soon");
    assert!(!cut.load(Ordering::SeqCst), "a reader was cut");
    (installation, tenants, [one, other])
}

#[tokio::test]
async fn what_was_read_before_reading_failed_is_not_decided_twice() {
    let (installation, tenants, outcomes) = register_two(None).await;
    for outcome in outcomes {
        assert_eq!(outcome.unwrap().events.len(), 1);
    }
    for tenant in tenants {
        installation.commands.created(tenant, SOON).await.expect("what follows is not lost");
    }
}

#[tokio::test]
async fn forgetting_what_was_read_would_decide_it_twice() {
    let (_, _, outcomes) = register_two(Some(Sabotage::ForgetRead)).await;
    let [one, other] = outcomes;
    assert_ne!(one.unwrap().events.len(), 1, "the check would notice");
    assert_eq!(other.unwrap().events.len(), 1);
}
