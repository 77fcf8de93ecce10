//! A worker that panics says so, and goes on once it can.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use event_log::{ClaimError, LogError, Membership, Owners, Position, Reader, Snapshot, Writer};
use tokio::sync::watch;

use super::*;

/// A log that panics when it is read, until it is mended.
#[derive(Debug)]
struct Fragile {
    log: MemoryLog,
    is_broken: AtomicBool,
}

#[async_trait]
impl EventLog for Fragile {
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
        assert!(!self.is_broken.load(Ordering::SeqCst), "reading panics, as the test wants");
        self.log.read(at, from).await
    }
    async fn end(&self, partition: Partition) -> Result<Position, LogError> {
        self.log.end(partition).await
    }
    async fn snapshot(&self, partition: Partition) -> Result<Option<Snapshot>, LogError> {
        self.log.snapshot(partition).await
    }
    async fn join(&self) -> Result<Box<dyn Membership>, LogError> {
        self.log.join().await
    }
    fn owners(&self) -> watch::Receiver<Owners> {
        self.log.owners()
    }
}

on_each_kind! {
    a_worker_that_panics_says_so_and_goes_on_once_it_can
}

async fn a_worker_that_panics_says_so_and_goes_on_once_it_can(on: Kind) {
    let place = Temporary::new(on).await;
    let fragile = Arc::new(Fragile { log: MemoryLog::new(1), is_broken: AtomicBool::new(true) });
    let log = fragile.clone() as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let mut history = History::new(log.clone(), &keyring).await;
    history.register(tenant(1), &component("web"), None).await;
    let position = history.append().await;
    let projections = start(&place, &log, &keyring).await;
    for model in Model::ALL {
        let mut progress = projections.models().set(model).progress();
        let says_so = progress.wait_for(|it| it[0].stopped.is_some());
        let says_so = tokio::time::timeout(PATIENCE, says_so).await.unwrap().unwrap();
        assert_eq!(says_so[0].stopped.as_deref(), Some("following panicked"));
    }

    fragile.is_broken.store(false, Ordering::SeqCst);
    let models = visible(&projections, position).await;
    assert_eq!(entities_of(&models, tenant(1)).await, 1);
    let status = projections.status().await.unwrap();
    assert!(status.iter().all(|it| it.partitions[0].stopped.is_none()));
    projections.stop().await;
}
