//! Several write sides on one log, each with a share of its partitions that tests move about.

use std::num::NonZeroU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use domain::id::{ActorId, TenantId};
use domain::operation::Operation;
use domain::principal::Principal;
use event_log::memory::Group;
use event_log::{EventLog, MemoryLog, Partition, Position, Recorded};
use tempfile::TempDir;
use uuid::Uuid;
use vault::{Keyring, MemoryVault, Root};

use super::installation::{SOON, operator};
use crate::clock::testing::TestClock;
use crate::request::{CommandError, Outcome, Request};
use crate::settings::{Sabotage, Settings};
use crate::state::State;
use crate::{Cause, Commands, Peers};

/// The write sides, and what they share.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) log: MemoryLog,
    pub(super) group: Group,
    pub(super) keyring: Keyring,
    pub(super) clock: TestClock,
    pub(super) nodes: Vec<Commands>,
    pub(super) settings: Settings,
    folder: TempDir,
}

/// The way from one to another, without a network.
#[derive(Debug, Default)]
struct Direct(OnceLock<Vec<Commands>>);

#[async_trait]
impl Peers for Direct {
    async fn react(&self, owner: Partition, cause: Cause) -> Result<(), CommandError> {
        let mut nodes = self.0.get().into_iter().flatten();
        match nodes.find(|it| it.owned().borrow().contains(&owner)) {
            Some(node) => node.react_to(cause).await,
            None => Err(CommandError::NotOwner(owner)),
        }
    }
}

impl Cluster {
    /// So many write sides, none of which owns anything yet.
    pub(super) async fn new(nodes: usize, partitions: u32, sabotage: Option<Sabotage>) -> Self {
        Self::with(nodes, partitions, |it| it.sabotage = sabotage).await
    }

    pub(super) async fn with(
        nodes: usize,
        partitions: u32,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let log = MemoryLog::new(partitions);
        let root = Root::from_hex(&"07".repeat(32), "the test").unwrap();
        let keyring = Keyring::open(Arc::new(MemoryVault::default()), root).await.unwrap();
        let clock = TestClock::at("2026-03-01T12:00:00Z");
        let folder = TempDir::new().unwrap();
        let mut settings = Settings::new(folder.path().to_owned());
        settings.snapshot_every = NonZeroU64::MAX;
        let peers = Arc::new(Direct::default());
        settings.peers = Some(peers.clone());
        change(&mut settings);
        let group = log.group();
        let mut cluster = Self { log, group, keyring, clock, nodes: Vec::new(), settings, folder };
        for _ in 0..nodes {
            cluster.join().await;
        }
        peers.0.set(cluster.nodes.clone()).unwrap();
        cluster
    }

    /// Starts one more write side, which begins with what is in the log.
    pub(super) async fn join(&mut self) {
        self.join_on(Arc::new(self.log.clone())).await;
    }

    /// The same as it sees the log through `log`.
    pub(super) async fn join_on(&mut self, log: Arc<dyn EventLog>) {
        let address = format!("node-{}", self.nodes.len());
        self.join_at(log, address).await;
    }

    /// The same, which says that it is reached at `address`.
    pub(super) async fn join_at(&mut self, log: Arc<dyn EventLog>, address: String) {
        let mut settings = self.settings.clone();
        settings.identities = self.folder.path().join(Uuid::now_v7().to_string());
        settings.address = Some(address);
        let clock = Arc::new(self.clock.clone());
        let started = Commands::start(log, self.keyring.clone(), clock, settings);
        self.nodes.push(started.await.unwrap());
    }

    /// Hands a partition over, and waits until it is served.
    pub(super) async fn hand_over(&self, partition: u32, node: usize) {
        self.group.hand_over(Partition(partition), node).await;
        self.serves(partition, node).await;
    }

    /// Gives a partition to another one, while its owner hears nothing of it.
    pub(super) async fn seize(&self, partition: u32, node: usize) {
        self.group.seize(Partition(partition), node);
        self.serves(partition, node).await;
    }

    /// Waits until one of them serves a partition and no other does.
    pub(super) async fn serves_alone(&self, partition: u32, node: usize) {
        self.serves(partition, node).await;
        for (_, other) in self.nodes.iter().enumerate().filter(|(it, _)| *it != node) {
            let mut owned = other.owned();
            let gone = owned.wait_for(|it| !it.contains(&Partition(partition)));
            drop(tokio::time::timeout(SOON, gone).await.expect("it lets go soon").unwrap());
        }
    }

    async fn serves(&self, partition: u32, node: usize) {
        let mut owned = self.nodes[node].owned();
        let served = owned.wait_for(|it| it.contains(&Partition(partition)));
        drop(tokio::time::timeout(SOON, served).await.expect("it is served soon").unwrap());
    }

    /// Registers a tenant and waits until it can act.
    pub(super) async fn tenant(&self, slug: &str) -> Principal {
        let tenant = TenantId(Uuid::now_v7());
        let (name, slug) = (slug.parse().unwrap(), slug.parse().unwrap());
        let register = Operation::RegisterTenant { tenant, slug, name, owner: None };
        self.ask(&operator(), Request::new(register)).await.unwrap();
        self.nodes[0].created(tenant, SOON).await.unwrap();
        Principal::unchecked(tenant, ActorId(Uuid::now_v7()))
    }

    pub(super) async fn submit(
        &self,
        who: &Principal,
        operation: Operation,
    ) -> Result<Outcome, CommandError> {
        self.ask(who, Request::new(operation)).await
    }

    /// Asks one after the other until one of them owns the partition.
    pub(super) async fn ask(
        &self,
        who: &Principal,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        ask_any(&self.nodes, who, request).await
    }

    /// What one of them knows of a partition, once it has read all of it.
    pub(super) async fn state(&self, node: usize, partition: u32) -> State {
        self.nodes[node].owner(Partition(partition)).read(State::clone).await.unwrap()
    }

    /// How many take part at present.
    pub(super) async fn log_members(&self) -> usize {
        self.log.members().await.unwrap().len()
    }

    /// Everything recorded in a partition.
    pub(super) async fn records(&self, partition: u32) -> Vec<Recorded> {
        let partition = Partition(partition);
        let end = self.log.end(partition).await.unwrap();
        let mut records: Vec<Recorded> = Vec::new();
        let mut reader = self.log.read(partition, Position::START).await.unwrap();
        while records.last().map_or(Position::START, |it| it.position.next()) < end {
            records.extend(reader.next(1_000).await.unwrap());
        }
        records
    }
}

/// Asks one after the other until one of them owns the partition.
pub(super) async fn ask_any(
    nodes: &[Commands],
    who: &Principal,
    request: Request,
) -> Result<Outcome, CommandError> {
    let asking = async {
        for node in nodes.iter().cycle() {
            match node.submit(who, request.clone()).await {
                Err(CommandError::NotOwner(_)) => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                answer => return answer,
            }
        }
        unreachable!("there are nodes")
    };
    tokio::time::timeout(SOON, asking).await.expect("an answer comes soon")
}
