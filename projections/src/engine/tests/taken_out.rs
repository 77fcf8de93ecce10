//! A tenant of which something is refused when tables become searchable is taken out and replayed,
//! whatever happens in between.

use async_trait::async_trait;
use event_log::{ClaimError, LogError, Membership, Owners, Position, Reader, Snapshot, Writer};
use tokio::sync::watch;

use super::processes::{self, partitions};
use super::refusals::{World, names, parked, position_of, refuse_second};
use super::unfit::{Safe, halted, person};
use super::*;
use crate::engine::table_set::{Halt, TableSet};
use crate::store::Sql;

on_each_kind! {
    whoever_is_parked_already_is_taken_out_too
    whoever_was_taken_out_is_replayed_by_the_next_process
    without_the_mark_it_stays_parked
    a_replay_that_fails_is_tried_again_until_told_to_stop
    a_worker_replays_what_another_has_taken_out
    tables_of_an_earlier_version_can_be_marked
    a_log_that_does_not_say_where_an_event_is_holds_nobody_up_for_good
}

/// What is searched for the names that [`World::append_poison`] uses.
const POISON: &str = "key = 'metadata.name' AND value IN ('poison-1', 'poison-2', 'poison-3')";

/// A live catalog that refuses a tenant's second poison as soon as it becomes searchable.
async fn catalog(world: &World) -> Arc<TableSet> {
    let set = world.table_set(Model::Catalog).await;
    refuse_second(&set, "search", POISON).await;
    set.make_live();
    set
}

/// Fills such a catalog, as a process does that ends before anybody who was taken out is replayed.
async fn settled(world: &World) {
    let (set, partition) = (catalog(world).await, Partition(0));
    let (end, live) = applied(world, &set).await;
    set.committed(partition, end, world.log.as_ref(), &live).await.unwrap();
    assert_eq!(set.taken_out(Some(partition)).await.unwrap(), Some(tenant(1)));
    assert_eq!(set.taken_out(Some(Partition(1))).await.unwrap(), None);
}

/// Applies everything to such a catalog, and leaves to be settled what ends there.
async fn applied(world: &World, set: &TableSet) -> (Position, live::Live) {
    let partition = Partition(0);
    let mut reader = world.log.read(partition, Position::START).await.unwrap();
    let records = reader.next(1_000).await.unwrap();
    let end = world.log.end(partition).await.unwrap();
    let keyring = &world.keyring;
    let prepared = batch::prepare(set.model, partition, records, keyring).await.unwrap();
    assert_eq!(prepared.last.as_ref().map(|it| it.position.next()), Some(end));
    let checkpoint = set.checkpoint(partition).await.unwrap();
    let guard = Guard::default();
    batch::apply(set, keyring, partition, &checkpoint, prepared, guard).await.unwrap();
    (end, live::Live::open(&database(&world.place).await).await.unwrap())
}

/// A log that lets nobody read.
#[derive(Debug)]
struct Silent(Arc<dyn EventLog>);

#[async_trait]
impl EventLog for Silent {
    fn incarnation(&self) -> &str {
        self.0.incarnation()
    }
    fn partitions(&self) -> u32 {
        self.0.partitions()
    }
    async fn claim(&self, partition: Partition) -> Result<Box<dyn Writer>, ClaimError> {
        self.0.claim(partition).await
    }
    async fn read(&self, _: Partition, _: Position) -> Result<Box<dyn Reader>, LogError> {
        std::future::pending().await
    }
    async fn end(&self, partition: Partition) -> Result<Position, LogError> {
        self.0.end(partition).await
    }
    async fn snapshot(&self, of: Partition, version: u32) -> Result<Option<Snapshot>, LogError> {
        self.0.snapshot(of, version).await
    }
    async fn join(&self, says: &str) -> Result<Box<dyn Membership>, LogError> {
        self.0.join(says).await
    }
    fn owners(&self) -> watch::Receiver<Owners> {
        self.0.owners()
    }
}

/// Everybody who writes the tables waits for whoever settles them. It is tried again later.
async fn a_log_that_does_not_say_where_an_event_is_holds_nobody_up_for_good(on: Kind) {
    let mut world = World::new(on).await;
    world.append_poison().await;
    let (set, partition) = (catalog(&world).await, Partition(0));
    let (end, live) = applied(&world, &set).await;
    let silent = Silent(world.log.clone());
    let settling = set.committed(partition, end, &silent, &live);
    let settled = tokio::time::timeout(PATIENCE, settling).await.expect("it is given up");
    assert!(settled.is_err());
    drop(set.writer().await);
    set.committed(partition, end, world.log.as_ref(), &live).await.unwrap();
    assert_eq!(set.taken_out(Some(partition)).await.unwrap(), Some(tenant(1)));
}

/// Whether anybody in the catalog is still to be replayed.
async fn is_somebody_taken_out(projections: &Projections) -> bool {
    let models = projections.models();
    models.set(Model::Catalog).taken_out(None).await.unwrap().is_some()
}

async fn positions(projections: &Projections) -> Vec<(TenantId, event_log::Position)> {
    parked(projections).await.iter().map(|it| (it.tenant, it.position)).collect()
}

/// Its events up to what was refused are there again, but not those up to what had it parked first.
async fn whoever_is_parked_already_is_taken_out_too(on: Kind) {
    let mut world = World::new(on).await;
    world.register(1, &["poison-1", "poison-2", "between"]).await;
    let stream = Stream::Entity(EntityId(Uuid::from_u128(9)));
    world.history.raw(tenant(1), stream, "callboard.entity.exploded.v1", b"{}");
    world.register(1, &["after"]).await;
    world.register(2, &["web"]).await;
    let position = world.history.append().await;
    let set = catalog(&world).await;
    world.fill(&set).await;
    drop(set);
    let projections = world.start().await;
    let models = visible(&projections, position).await;
    assert_eq!(names(&models, 2).await, ["web"]);
    assert_eq!(names(&models, 1).await, ["poison-1"]);
    let second = position_of(world.log.as_ref(), 1, "2").await;
    assert_eq!(positions(&projections).await, [(tenant(1), second)]);
    assert!(!is_somebody_taken_out(&projections).await);
    // Once that is mended it gets as far as it was.
    let set = models.set(Model::Catalog);
    Sql::new("DROP INDEX second").execute(&mut *set.writer().await).await.unwrap();
    let stuck = projections.resume(Model::Catalog, tenant(1)).await.unwrap().unwrap();
    assert_eq!(stuck.position, position_of(world.log.as_ref(), 1, "4").await);
    assert!(stuck.reason.contains("exploded"), "{}", stuck.reason);
    assert_eq!(names(&models, 1).await, ["between", "poison-1", "poison-2"]);
    projections.stop().await;
}

async fn whoever_was_taken_out_is_replayed_by_the_next_process(on: Kind) {
    let mut world = World::new(on).await;
    world.append_poison().await;
    settled(&world).await;
    let projections = world.start().await;
    world.register(2, &["late"]).await;
    let position = world.history.append().await;
    let models = visible(&projections, position).await;
    assert_eq!(names(&models, 1).await, ["after-1", "poison-1"]);
    assert_eq!(names(&models, 2).await, ["after-1", "after-2", "after-3", "late"]);
    assert_eq!(names(&models, 3).await, ["after-1", "more-1", "more-2", "poison-2"]);
    let first = position_of(world.log.as_ref(), 1, "3").await;
    let third = position_of(world.log.as_ref(), 3, "5").await;
    assert_eq!(positions(&projections).await, [(tenant(1), first), (tenant(3), third)]);
    assert!(!is_somebody_taken_out(&projections).await);
    projections.stop().await;
}

/// It is the mark by which the next process knows.
async fn without_the_mark_it_stays_parked(on: Kind) {
    let mut world = World::new(on).await;
    world.append_poison().await;
    settled(&world).await;
    let set = world.table_set(Model::Catalog).await;
    let unmark = "UPDATE parked SET taken_out = 0";
    Sql::new(unmark).execute(&mut *set.writer().await).await.unwrap();
    drop(set);
    let projections = world.start().await;
    world.register(2, &["late"]).await;
    let position = world.history.append().await;
    let models = visible(&projections, position).await;
    assert_eq!(names(&models, 1).await, [""; 0]);
    assert_eq!(names(&models, 2).await, ["after-1", "after-2", "after-3", "late"]);
    let first = position_of(world.log.as_ref(), 1, "1").await;
    let third = position_of(world.log.as_ref(), 3, "1").await;
    assert_eq!(positions(&projections).await, [(tenant(1), first), (tenant(3), third)]);
    projections.stop().await;
}

async fn a_replay_that_fails_is_tried_again_until_told_to_stop(on: Kind) {
    let safe = Safe::new();
    let mut world = World::with(on, safe.keyring().await).await;
    world.history.register(tenant(1), &person("jane"), None).await;
    world.register(1, &["poison-1", "poison-2", "after"]).await;
    world.register(2, &["web"]).await;
    world.history.append().await;
    settled(&world).await;
    for _ in 0..2 {
        world.keyring = safe.keyring().await;
        safe.fail().await;
        let projections = world.start().await;
        let halt = halted(&projections).await;
        assert!(matches!(&halt, Halt::Passing(it) if it.contains("the vault failed")), "{halt:?}");
        assert!(is_somebody_taken_out(&projections).await);
        assert_eq!(names(&projections.models(), 2).await, ["web"]);
        tokio::time::timeout(PATIENCE, projections.stop()).await.unwrap();
        safe.work().await;
    }
    safe.fail().await;
    let projections = world.start().await;
    halted(&projections).await;
    safe.work().await;
    world.register(2, &["late"]).await;
    let position = world.history.append().await;
    let models = visible(&projections, position).await;
    assert_eq!(names(&models, 1).await, ["poison-1", "jane"]);
    let third = position_of(world.log.as_ref(), 1, "3").await;
    assert_eq!(positions(&projections).await, [(tenant(1), third)]);
    projections.stop().await;
}

/// Of another partition, whose worker had nothing left to do.
async fn a_worker_replays_what_another_has_taken_out(on: Kind) {
    let mut world = processes::World::new(on).await;
    let end = world.register(0, "poison", 3).await;
    world.register(1, "web", 1).await;
    let set = world.table_set(Model::Catalog, 1).await;
    let poison = "key = 'metadata.name' AND value IN ('poison-1', 'poison-2')";
    refuse_second(&set, "search", poison).await;
    let (written, told) = watch::channel(partitions(&[0]));
    let share = share::Share::of(Some(told));
    let tools = Tools { share, ..tools(&world.place, &world.log, &world.keyring).await };
    let workers = crew::Workers::start(&set, &tools);
    let mut progress = set.progress();
    let applied =
        progress.wait_for(|all| all[0].applied.as_ref().is_some_and(|it| it.position >= end));
    tokio::time::timeout(PATIENCE, applied).await.unwrap().unwrap();
    written.send_replace(partitions(&[0, 1]));
    // Nothing more comes, and nobody asks for it.
    let stuck = position_of(world.log.as_ref(), 1, "3").await;
    let replayed = async {
        loop {
            let parked = set.parked().await.unwrap();
            if parked.iter().map(|it| (it.tenant, it.position)).eq([(tenant(1), stuck)]) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, replayed).await.unwrap();
    assert_eq!(set.taken_out(None).await.unwrap(), None);
    workers.stop().await;
}

async fn tables_of_an_earlier_version_can_be_marked(on: Kind) {
    let world = World::new(on).await;
    let set = world.table_set(Model::Catalog).await;
    let earlier = "ALTER TABLE parked DROP COLUMN taken_out";
    Sql::new(earlier).execute(&mut *set.writer().await).await.unwrap();
    set.taken_out(None).await.unwrap_err();
    drop(set);
    let set = world.table_set(Model::Catalog).await;
    assert_eq!(set.taken_out(None).await.unwrap(), None);
}
