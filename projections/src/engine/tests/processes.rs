//! Several processes on one log and one database: each is a [`Projections`] of its own.

use std::collections::BTreeSet;

use event_log::{Position, Writer};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::*;
use crate::engine::table_set::{TableSet, set_name};
use crate::store::{Access, Sql};
use crate::temporary::on_postgres;

/// A log of two partitions with a tenant each, the first on the first, and a database.
pub(super) struct World {
    pub(super) place: Temporary,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) keyring: Keyring,
    pub(super) history: History,
    second: Box<dyn Writer>,
}

/// One process.
pub(super) struct Process {
    pub(super) projections: Projections,
    pub(super) written: watch::Sender<BTreeSet<Partition>>,
}

pub(super) fn partitions(numbers: &[u32]) -> BTreeSet<Partition> {
    numbers.iter().copied().map(Partition).collect()
}

impl World {
    pub(super) async fn new(on: Kind) -> Self {
        Self::with(on, keyring().await).await
    }

    pub(super) async fn with(on: Kind, keyring: Keyring) -> Self {
        let place = Temporary::new(on).await;
        let log = Arc::new(MemoryLog::new(2)) as Arc<dyn EventLog>;
        let history = History::new(log.clone(), &keyring).await;
        let second = log.claim(Partition(1)).await.unwrap();
        Self { place, log, keyring, history, second }
    }

    /// Appends so many entities of the tenant of `partition`, and answers where that ends.
    pub(super) async fn register(
        &mut self,
        partition: u32,
        prefix: &str,
        count: usize,
    ) -> Position {
        for number in 0..count {
            let name = component(&format!("{prefix}-{number}"));
            self.history.register(tenant(u128::from(partition) + 1), &name, None).await;
        }
        match partition {
            0 => self.history.append().await,
            _ => *self.second.append(self.history.take()).await.unwrap().last().unwrap(),
        }
    }

    /// A process that writes these partitions.
    pub(super) async fn process(&self, written: &[u32]) -> Process {
        self.process_with(written, settings(&self.place)).await
    }

    pub(super) async fn process_with(&self, written: &[u32], settings: Settings) -> Process {
        let (written, told) = watch::channel(partitions(written));
        let settings = Settings { written: Some(told), ..settings };
        let projections = Projections::start(settings, self.log.clone(), self.keyring.clone());
        Process { projections: projections.await.unwrap(), written }
    }

    pub(super) async fn table_set(&self, model: Model, generation: u64) -> Arc<TableSet> {
        let database = database(&self.place).await;
        let set = TableSet::open(&database, model, generation, self.log.as_ref(), READERS);
        Arc::new(set.await.unwrap())
    }
}

impl Process {
    pub(super) async fn shows(&self, partition: u32, position: Position) -> ReadModels {
        let models = self.projections.models();
        let partition = Partition(partition);
        models.wait_for(&Model::ALL, partition, position, PATIENCE).await.unwrap();
        models
    }

    pub(super) async fn entities(&self, partition: u32) -> u64 {
        entities_of(&self.projections.models(), tenant(u128::from(partition) + 1)).await
    }

    /// Waits until requests are answered from this generation.
    async fn goes_over_to(&self, model: Model, generation: u64) {
        let gone_over = async {
            while self.projections.models().set(model).generation != generation {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, gone_over).await.unwrap();
    }
}

on_postgres! {
    each_shows_what_the_others_write
    whoever_does_not_look_sees_nothing_of_others
    a_partition_changes_hands
    a_process_that_owns_nothing_learns_that_the_tables_are_filled
    what_one_left_half_filled_another_fills_on
    a_rebuild_in_one_process_is_gone_over_to_by_the_others
    two_rebuilds_of_one_model_at_a_time_are_one
    a_process_with_another_log_stops_alone
    connections_that_are_lost_cost_and_double_nothing
    a_rebuild_goes_on_after_connections_were_lost
    tables_are_held_again_after_connections_were_lost
}

async fn each_shows_what_the_others_write(on: Kind) {
    let mut world = World::new(on).await;
    let mut ends = [world.register(0, "a", 300).await, world.register(1, "b", 200).await];
    // All of them start at the same time, on a database in which nothing is.
    let (one, two, door) =
        tokio::join!(world.process(&[0]), world.process(&[1]), world.process(&[]));
    for round in 0..20_u64 {
        for process in [&one, &two, &door] {
            for (partition, end) in (0..).zip(ends) {
                process.shows(partition, end).await;
            }
            let counts = (process.entities(0).await, process.entities(1).await);
            assert_eq!(counts, (300 + round, 200 + round));
        }
        let name = format!("more-{round}");
        ends = [world.register(0, &name, 1).await, world.register(1, &name, 1).await];
    }
    for it in door.projections.status().await.unwrap() {
        assert!(it.complete, "{it:?}");
    }
    for it in [one, two, door] {
        it.projections.stop().await;
    }
}

async fn whoever_does_not_look_sees_nothing_of_others(on: Kind) {
    let mut world = World::new(on).await;
    let owner = world.process(&[0, 1]).await;
    let mut blind = world.process(&[]).await;
    blind.projections.observer.take().unwrap().stop().await;
    let end = world.register(0, "a", 1).await;
    owner.shows(0, end).await;
    let models = blind.projections.models();
    let waited = models.wait_for(&[Model::Audit], Partition(0), end, Duration::from_millis(600));
    assert_eq!(waited.await.unwrap_err().events_behind, 1);
}

async fn a_partition_changes_hands(on: Kind) {
    let mut world = World::new(on).await;
    let (one, two) = (world.process(&[0, 1]).await, world.process(&[]).await);
    for round in 0..10 {
        let (takes, gives) = if round % 2 == 0 { (&two, &one) } else { (&one, &two) };
        world.register(0, &format!("before-{round}"), 20).await;
        // For a moment both write, or nobody does.
        let (first, then) = if round % 4 < 2 { (takes, gives) } else { (gives, takes) };
        for it in [first, then] {
            it.written.send_modify(|all| {
                if !all.remove(&Partition(0)) {
                    all.insert(Partition(0));
                }
            });
            world.register(0, &format!("{round}-{}", it.written.borrow().len()), 10).await;
        }
        let end = world.register(0, &format!("after-{round}"), 10).await;
        for process in [&one, &two] {
            process.shows(0, end).await;
            let filter = AuditFilter::default();
            let models = process.projections.models();
            let count = audit::count(&models, &member(tenant(1)), &filter).await.unwrap();
            assert_eq!(count, (round + 1) * 50);
        }
    }
}

async fn a_process_that_owns_nothing_learns_that_the_tables_are_filled(on: Kind) {
    let mut world = World::new(on).await;
    let end = world.register(0, "a", 100).await;
    let door = world.process(&[]).await;
    let behind = door.projections.models().reader(Model::Catalog, tenant(1)).await;
    assert!(matches!(behind, Err(crate::ReadError::NotYetVisible(_))));
    assert!(door.projections.status().await.unwrap().iter().all(|it| !it.complete));
    let owner = world.process(&[0, 1]).await;
    door.shows(0, end).await;
    assert_eq!(door.entities(0).await, 100);
    drop(owner);
}

/// How far the catalog is on the first partition by its own account, and whether it is filled.
async fn catalog_at(world: &World) -> (u64, bool) {
    let set = world.table_set(Model::Catalog, 1).await;
    let checkpoint = set.checkpoint(Partition(0)).await.unwrap();
    let reached = checkpoint.place.map_or(0, |it| it.position.next().0);
    (reached, checkpoint.stage == checkpoint::Stage::Filled)
}

async fn what_one_left_half_filled_another_fills_on(on: Kind) {
    let mut world = World::new(on).await;
    let end = world.register(0, "a", 3_000).await;
    world.register(1, "b", 10).await;
    let background = Runtime::new().unwrap();
    let filled_on = Some(background.handle().clone());
    let small = Settings { batch_max: 8, filled_on, ..settings(&world.place) };
    let killed = world.process_with(&[0, 1], small).await;
    let set = killed.projections.models().set(Model::Catalog).clone();
    let begun = |it: &Vec<table_set::Progress>| it[0].applied.is_some();
    set.progress().wait_for(begun).await.unwrap();
    // All its tasks end where they are, in the midst of their transactions.
    background.shutdown_background();
    drop((set, killed));
    let (left, filled) = catalog_at(&world).await;
    assert!(left > 0 && left < end.0 && !filled, "it was half filled: {left}, {filled}");

    let other = world.process(&[0, 1]).await;
    let began = other.projections.models().position(Model::Catalog, Partition(0)).unwrap();
    assert!(began.next().0 >= left, "it goes on at {left}, not at {began}");
    other.shows(0, end).await;
    assert_eq!(other.entities(0).await, 3_000);
    assert_eq!(catalog_at(&world).await, (end.next().0, true));
}

async fn a_rebuild_in_one_process_is_gone_over_to_by_the_others(on: Kind) {
    let mut world = World::new(on).await;
    let mut end = world.register(0, "a", 500).await;
    let (one, two) = (world.process(&[0]).await, world.process(&[1]).await);
    two.shows(0, end).await;
    let (mut seen, mut count) = ([0, 0], 500);
    for generation in 2..4 {
        let rebuild = one.projections.rebuild(Model::Catalog);
        tokio::pin!(rebuild);
        let mut rebuilt = false;
        while two.projections.models().set(Model::Catalog).generation != generation {
            if !rebuilt {
                tokio::select! {
                    done = &mut rebuild => {
                        done.unwrap();
                        rebuilt = true;
                    }
                    () = tokio::task::yield_now() => (),
                }
            }
            end = world.register(0, &format!("more-{count}"), 1).await;
            count += 1;
            for (it, seen) in [&one, &two].into_iter().zip(&mut seen) {
                let now = it.entities(0).await;
                assert!(now >= *seen, "{now} after {seen}");
                *seen = now;
            }
        }
        if !rebuilt {
            rebuild.await.unwrap();
        }
        for it in [&one, &two] {
            it.shows(0, end).await;
            assert_eq!(it.entities(0).await, count);
        }
    }
    // Both have let go of the old tables.
    let database = database(&world.place).await;
    let gone = async {
        for generation in [1, 2] {
            while database.place(set_name(Model::Catalog, generation)).exists().await.unwrap() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    let late = world.process(&[]).await;
    assert_eq!(late.projections.models().set(Model::Catalog).generation, 3);
    assert_eq!(late.entities(0).await, count);
}

async fn two_rebuilds_of_one_model_at_a_time_are_one(on: Kind) {
    let mut world = World::new(on).await;
    let end = world.register(0, "a", 500).await;
    let (one, two) = (world.process(&[0]).await, world.process(&[1]).await);
    for it in [&one, &two] {
        it.shows(0, end).await;
    }
    let rebuilt = tokio::join!(
        one.projections.rebuild(Model::Catalog),
        two.projections.rebuild(Model::Catalog)
    );
    rebuilt.0.unwrap();
    rebuilt.1.unwrap();
    let newest = [&one, &two].map(|it| it.projections.models().set(Model::Catalog).generation);
    let newest = *newest.iter().max().unwrap();
    for it in [&one, &two] {
        it.goes_over_to(Model::Catalog, newest).await;
        assert_eq!(it.entities(0).await, 500);
    }
    let end = world.register(0, "more", 1).await;
    for it in [&one, &two] {
        it.shows(0, end).await;
        assert_eq!(it.entities(0).await, 501);
    }
}

async fn a_process_with_another_log_stops_alone(on: Kind) {
    let mut world = World::new(on).await;
    let first = world.register(0, "a", 100).await;
    let mut other = World::new(on).await;
    other.register(0, "other", 2_000).await;
    let stranger = Settings { written: None, ..settings(&world.place) };
    // The tables are only half filled when the stranger comes.
    let owner = world.process(&[]).await;
    let stranger =
        Projections::start(stranger, other.log.clone(), other.keyring.clone()).await.unwrap();
    let set = stranger.models().set(Model::Catalog).clone();
    let stopped = |it: &Vec<table_set::Progress>| it.iter().all(|it| it.stopped.is_some());
    let said = set.progress().wait_for(stopped).await.unwrap()[0].stopped.clone().unwrap();
    assert!(said.reason().contains("incarnation"), "{said:?}");
    owner.written.send_replace(partitions(&[0, 1]));
    owner.shows(0, first).await;
    let last = world.register(0, "b", 100).await;
    owner.shows(0, last).await;
    assert_eq!(owner.entities(0).await, 200);
    assert!(set.progress().borrow().iter().all(|it| it.stopped.is_some()), "it stays stopped");
}

/// Ends every connection that writes.
pub(super) async fn break_connections(world: &World) {
    let place = database(&world.place).await.place("projections".to_owned());
    let mut connection = place.connect(Access::Write).await.unwrap();
    let text = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND usename = current_user
            AND pid <> pg_backend_pid()";
    Sql::new(text).fetch(&mut connection).await.unwrap();
}

async fn connections_that_are_lost_cost_and_double_nothing(on: Kind) {
    let mut world = World::new(on).await;
    // Both write the first partition, so that one may go on where the other was cut off.
    let (one, two) = (world.process(&[0]).await, world.process(&[0, 1]).await);
    let door = world.process(&[]).await;
    let mut end = Position::START;
    for round in 0..20 {
        end = world.register(0, &format!("r{round}"), 200).await;
        break_connections(&world).await;
    }
    for it in [&one, &two, &door] {
        it.shows(0, end).await;
        assert_eq!(it.entities(0).await, 4_000);
        let filter = AuditFilter::default();
        let models = it.projections.models();
        assert_eq!(audit::count(&models, &member(tenant(1)), &filter).await.unwrap(), 4_000);
    }
    let set = world.table_set(Model::Analytics, 1).await;
    let count = Sql::new("SELECT CAST(sum(commands) AS BIGINT) FROM days");
    let counted = count.fetch_optional(&mut *set.writer().await).await.unwrap().unwrap();
    assert_eq!(counted.count(0).unwrap(), 4_000);
}

/// A process that writes nothing, and waits for nothing, still reads.
async fn tables_are_held_again_after_connections_were_lost(on: Kind) {
    let mut world = World::new(on).await;
    let end = world.register(0, "a", 10).await;
    let owner = world.process(&[0, 1]).await;
    owner.shows(0, end).await;
    owner.projections.stop().await;
    let door = world.process(&[]).await;
    let database = database(&world.place).await;
    let mut connection = database.choice().connect(Access::Write).await.unwrap();
    break_connections(&world).await;
    let held =
        "SELECT count(DISTINCT objid) FROM pg_locks JOIN pg_database ON pg_database.oid = database
        WHERE locktype = 'advisory' AND datname = current_database()";
    let held_again = async {
        loop {
            let row = Sql::new(held).fetch_optional(&mut connection).await;
            // The list of live sets is held too.
            if row.is_ok_and(|it| it.unwrap().integer(0).unwrap() > Model::ALL.len() as i64) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), held_again).await.unwrap();
    // Whose own connection was lost too.
    let other = super::database(&world.place).await;
    other.place(set_name(Model::Catalog, 1)).remove_unused().await.unwrap();
    assert_eq!(door.entities(0).await, 10);
}

async fn a_rebuild_goes_on_after_connections_were_lost(on: Kind) {
    let mut world = World::new(on).await;
    let end = world.register(0, "a", 2_000).await;
    let process = world.process(&[0, 1]).await;
    process.shows(0, end).await;
    for generation in 2..5 {
        let rebuild = process.projections.rebuild(Model::Catalog);
        tokio::pin!(rebuild);
        for _ in 0..5 {
            let pause = tokio::time::sleep(Duration::from_millis(50));
            tokio::select! {
                biased;
                done = &mut rebuild => panic!("it ended too early to be broken: {done:?}"),
                () = pause => break_connections(&world).await,
            }
        }
        tokio::time::timeout(PATIENCE, rebuild).await.unwrap().unwrap();
        assert_eq!(process.projections.models().set(Model::Catalog).generation, generation);
        assert_eq!(process.entities(0).await, 2_000);
    }
}
