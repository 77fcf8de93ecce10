//! A whole write side on a log and a vault in memory, with a clock that tests move.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use domain::catalog::KindSet;
use domain::id::{ActorId, TenantId};
use domain::operation::{EntityChange, ExpectedRevision, Operation};
use domain::principal::Principal;
use event_log::port::SERIES_BITS;
use event_log::{EventLog, MemoryLog, Partition, Position, Recorded, Snapshot};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;
use vault::{Keyring, MemoryVault, Root};

use crate::clock::testing::TestClock;
use crate::request::{CommandError, Outcome, Request};
use crate::settings::Settings;
use crate::snapshot::FOLD_VERSION;
use crate::state::State;
use crate::{Commands, StartError};

/// How long anything may take before a test gives up on it.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Everything outlives the write side, so it can be stopped and started again.
#[derive(Debug)]
pub(crate) struct Installation {
    pub(crate) log: MemoryLog,
    pub(crate) vault: Arc<MemoryVault>,
    pub(crate) keyring: Keyring,
    pub(crate) clock: TestClock,
    pub(crate) settings: Settings,
    pub(crate) commands: Commands,
    folder: TempDir,
}

impl Installation {
    /// One partition, nothing recorded.
    pub(crate) async fn new() -> Self {
        Self::with(1, |_| ()).await
    }

    pub(crate) async fn with(partitions: u32, change: impl FnOnce(&mut Settings)) -> Self {
        let log = MemoryLog::new(partitions);
        let root = Root::from_hex(&"07".repeat(32), "the test").unwrap();
        let vault = Arc::new(MemoryVault::default());
        let keyring = Keyring::open(vault.clone(), root).await.unwrap();
        let clock = TestClock::at("2026-03-01T12:00:00Z");
        let folder = TempDir::new().unwrap();
        let mut settings = Settings::new(folder.path().join("identities"));
        settings.snapshot_every = NonZeroU64::MAX;
        change(&mut settings);
        let commands = start(&log, &keyring, &clock, &settings).await.unwrap();
        Self { log, vault, keyring, clock, settings, commands, folder }
    }

    /// Stops in an orderly way and starts again.
    pub(crate) async fn restart(&mut self) {
        self.commands.stop().await;
        self.start_again().await;
    }

    /// Starts another write side on the same log, which fences the one before.
    pub(crate) async fn start_again(&mut self) {
        self.start_on(Arc::new(self.log.clone())).await;
    }

    /// The same as it sees the log through `log`.
    pub(crate) async fn start_on(&mut self, log: Arc<dyn EventLog>) {
        // An index has one user; a new process would begin with what is on disk.
        self.settings.identities = self.folder.path().join(Uuid::now_v7().to_string());
        let (keyring, clock) = (self.keyring.clone(), Arc::new(self.clock.clone()));
        let started = Commands::start(log, keyring, clock, self.settings.clone());
        self.commands = started.await.unwrap();
    }

    /// Registers a tenant and waits until it can act.
    pub(crate) async fn tenant(&self, slug: &str) -> Principal {
        let tenant = TenantId(Uuid::now_v7());
        let register = Operation::RegisterTenant {
            tenant,
            slug: slug.parse().unwrap(),
            name: slug.parse().unwrap(),
            owner: None,
        };
        self.submit(&operator(), register).await.unwrap();
        self.commands.created(tenant, SOON).await.unwrap();
        Principal::unchecked(tenant, ActorId(Uuid::now_v7()))
    }

    pub(crate) async fn submit(
        &self,
        principal: &Principal,
        operation: Operation,
    ) -> Result<Outcome, CommandError> {
        self.ask(principal, Request::new(operation)).await
    }

    pub(crate) async fn ask(
        &self,
        principal: &Principal,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        let asked = self.commands.submit(principal, request);
        tokio::time::timeout(SOON, asked).await.expect("an answer comes soon")
    }

    /// A copy of what the owner of a partition knows.
    pub(crate) async fn state(&self, partition: Partition) -> State {
        let owner = self.commands.owner(partition);
        owner.peek(State::clone).await.expect("the owner runs")
    }

    /// Stops, and leaves no snapshot that the next start could use.
    pub(crate) async fn forget_snapshots(&self) {
        self.commands.stop().await;
        for partition in (0..self.log.partitions()).map(Partition) {
            let mut writer = self.log.claim(partition).await.unwrap();
            let upto = Position::START;
            // Of our version, and without what every one has.
            let none = Snapshot { upto, fold: FOLD_VERSION << SERIES_BITS, chunks: Vec::new() };
            writer.save_snapshot(none).await.unwrap();
        }
    }

    /// Everything recorded in a partition.
    pub(crate) async fn records(&self, partition: Partition) -> Vec<Recorded> {
        let end = self.log.end(partition).await.unwrap();
        let mut records = Vec::new();
        let mut next = Position::START;
        let mut reader = self.log.read(partition, next).await.unwrap();
        while next < end {
            records.extend(reader.next(1_000).await.unwrap());
            next = records.last().unwrap().position.next();
        }
        records
    }
}

async fn start(
    log: &MemoryLog,
    keyring: &Keyring,
    clock: &TestClock,
    settings: &Settings,
) -> Result<Commands, StartError> {
    let (log, clock) = (Arc::new(log.clone()), Arc::new(clock.clone()));
    Commands::start(log, keyring.clone(), clock, settings.clone()).await
}

/// Somebody who runs the installation.
pub(crate) fn operator() -> Principal {
    Principal::unchecked(TenantId::SYSTEM, ActorId(Uuid::from_u128(1)))
}

/// Registers a new tenant.
pub(crate) fn register(slug: &str) -> Operation {
    let tenant = TenantId(Uuid::now_v7());
    let (name, slug) = (slug.parse().unwrap(), slug.parse().unwrap());
    Operation::RegisterTenant { tenant, slug, name, owner: None }
}

/// Puts a component of this name.
pub(crate) fn put(name: &str) -> Operation {
    put_described(name, "as it is")
}

/// Puts a component that is described so.
pub(crate) fn put_described(name: &str, description: &str) -> Operation {
    Operation::ApplyEntities { changes: vec![change(name, description)] }
}

pub(crate) fn change(name: &str, description: &str) -> EntityChange {
    let descriptor = json!({
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": { "name": name, "description": description },
        "spec": { "type": "service", "lifecycle": "production", "owner": "group:default/team" },
    });
    EntityChange::Put { descriptor, location: None, expected: ExpectedRevision::Any }
}

pub(crate) fn remove(name: &str) -> Operation {
    let reference = format!("component:default/{name}");
    let expected = ExpectedRevision::Any;
    Operation::ApplyEntities { changes: vec![EntityChange::Remove { reference, expected }] }
}

/// The usual kinds.
pub(crate) const KINDS: KindSet = KindSet::Extended;
