//! What is not durable while tables are filled for the first time must be by the time they are.

use std::path::Path;

use super::*;
use crate::engine::checkpoint::Stage;
use crate::engine::live::Live;
use crate::engine::table_set::{TableSet, set_name};
use crate::store::{Access, Sql};

struct World {
    kind: Kind,
    place: Temporary,
    log: Arc<dyn EventLog>,
    keyring: Keyring,
    end: event_log::Position,
}

impl World {
    /// A log with 300 entities, followed to its end and stopped.
    async fn filled(kind: Kind) -> Self {
        let place = Temporary::new(kind).await;
        let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
        let keyring = keyring().await;
        let mut history = History::new(log.clone(), &keyring).await;
        for number in 0..300 {
            history.register(tenant(1), &component(&format!("c{number}")), None).await;
        }
        let end = history.append().await;
        let world = Self { kind, place, log, keyring, end };
        world.starts_with_everything().await;
        world
    }

    async fn starts_with_everything(&self) {
        let projections = start(&self.place, &self.log, &self.keyring).await;
        let models = visible(&projections, self.end).await;
        assert_eq!(entities_of(&models, tenant(1)).await, 300);
        projections.stop().await;
    }

    async fn catalog(&self) -> crate::store::Place {
        database(&self.place).await.place(set_name(Model::Catalog, 1))
    }

    /// Leaves the catalog as a power cut may leave one that was never synced.
    async fn tear(&self) {
        let tables = self.catalog().await;
        match self.kind {
            Kind::Sqlite => self.tear_file(&tables.file().unwrap()),
            Kind::Postgres => {
                let mut writer = tables.connect(Access::Write).await.unwrap();
                Sql::new("DROP TABLE checkpoints, entities").execute(&mut writer).await.unwrap();
            }
        }
    }

    /// What lies beside a file goes too, or pages would still be read from there: it stays if a
    /// reader closes last.
    fn tear_file(&self, path: &Path) {
        for beside in ["db-wal", "db-shm"] {
            let _ = std::fs::remove_file(path.with_extension(beside));
        }
        let length = std::fs::metadata(path).unwrap().len();
        assert!(length > 0);
        std::fs::write(path, vec![0x5a; usize::try_from(length).unwrap()]).unwrap();
    }

    async fn live(&self) -> Live {
        Live::open(&database(&self.place).await).await.unwrap()
    }
}

on_each_kind! {
    what_a_crash_leaves_of_half_filled_tables_is_never_read
    tables_that_are_lost_are_filled_again
    tables_become_durable_and_indexed_once_all_partitions_are_filled
}

async fn what_a_crash_leaves_of_half_filled_tables_is_never_read(on: Kind) {
    let world = World::filled(on).await;
    let live = world.live().await;
    assert_eq!(live.generation(Model::Catalog).await.unwrap(), Some(1));
    // As if the process had ended before the tables were filled.
    live.forget(Model::Catalog, 1).await.unwrap();
    drop(live);
    // In PostgreSQL transactions survive in their order, so nothing is ever torn half filled.
    if on == Kind::Sqlite {
        world.tear().await;
    }
    world.starts_with_everything().await;
    // Tables that were filled are not made again: then nobody would notice the damage.
    world.tear().await;
    let refused =
        Projections::start(settings(&world.place), world.log.clone(), world.keyring.clone());
    assert!(matches!(refused.await, Err(EngineError::Storage { model: Model::Catalog, .. })));
}

/// Applies the first record to `set`, which does not know what has become of it meanwhile.
async fn apply_first(world: &World, set: &TableSet, guard: Guard) -> batch::Outcome {
    let checkpoint = set.checkpoint(Partition(0)).await.unwrap();
    let mut reader = world.log.read(Partition(0), event_log::Position::START).await.unwrap();
    let records = reader.next(1).await.unwrap();
    let prepared = batch::prepare(set.model, Partition(0), records, &world.keyring).await.unwrap();
    let applied =
        batch::apply(set, &world.keyring, Partition(0), &checkpoint, prepared, guard).await;
    applied.unwrap()
}

async fn whoever_does_not_know_that_tables_are_filled_is_turned_away(on: Kind) {
    let world = World::filled(on).await;
    let database = database(&world.place).await;
    let live = world.live().await;
    let open = async || {
        let log = world.log.as_ref();
        let set = TableSet::open(&database, Model::Catalog, 2, log, READERS).await.unwrap();
        assert_eq!(set.stage(), Stage::Filling);
        set
    };
    let (one, two) = (open().await, open().await);
    let end = world.end.next();
    one.committed(Partition(0), end, world.log.as_ref(), &live).await.unwrap();
    assert_eq!((one.stage(), two.stage()), (Stage::Filled, Stage::Filling));
    let turned_away = apply_first(&world, &two, Guard::CompareAndSet).await;
    assert!(matches!(turned_away, batch::Outcome::Overtaken));
    // It is the comparison that does so.
    assert!(matches!(
        apply_first(&world, &two, Guard::SetOnly).await,
        batch::Outcome::Applied { .. }
    ));
}

/// It goes by what the tables say, not by what this process has last heard of them.
async fn whoever_is_resumed_in_tables_that_another_has_filled_can_be_found(on: Kind) {
    let world = World::filled(on).await;
    let database = database(&world.place).await;
    let open = async || {
        let log = world.log.as_ref();
        TableSet::open(&database, Model::Catalog, 2, log, READERS).await.unwrap()
    };
    let (one, two) = (open().await, open().await);
    let live = world.live().await;
    one.committed(Partition(0), world.end.next(), world.log.as_ref(), &live).await.unwrap();
    assert_eq!((one.stage(), two.stage()), (Stage::Filled, Stage::Filling));
    // As if all had been applied, but for a tenant that was parked at its first event.
    let mut reader = world.log.read(Partition(0), world.end).await.unwrap();
    let last = reader.next(1).await.unwrap();
    let mut moved = Sql::new("UPDATE checkpoints SET position = ");
    moved.bind(checkpoint::stored(world.end)).push(", event = ");
    moved.bind(last[0].record.attribute(event_log::Attribute::Id));
    moved.execute(&mut *one.writer().await).await.unwrap();
    let mut park =
        Sql::new("INSERT INTO parked (tenant, partition, position, at, reason) VALUES (");
    park.bind(tenant(1).0).push(", 0, 0, 0, '')");
    park.execute(&mut *one.writer().await).await.unwrap();
    let tools = tools(&world.place, &world.log, &world.keyring).await;
    assert_eq!(resume::resume(&two, &tools, tenant(1)).await.unwrap(), None);
    let found = "SELECT count(*) FROM search WHERE key = 'metadata.name'";
    let found = Sql::new(found).fetch_optional(&mut *one.writer().await).await.unwrap().unwrap();
    assert_eq!(found.integer(0).unwrap(), 300);
}

/// Whether anybody waits for what another has locked.
async fn somebody_waits(world: &World) -> bool {
    let place = database(&world.place).await.choice();
    let mut connection = place.connect(Access::Write).await.unwrap();
    let sql = "SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    !Sql::new(sql).fetch(&mut connection).await.unwrap().is_empty()
}

async fn a_resumed_tenant_waits_for_a_worker_elsewhere(on: Kind) {
    let world = World::filled(on).await;
    let projections = start(&world.place, &world.log, &world.keyring).await;
    let models = visible(&projections, world.end).await;
    let mut park =
        Sql::new("INSERT INTO parked (tenant, partition, position, at, reason) VALUES (");
    park.bind(tenant(1).0).push(", 0, 0, 0, '')");
    let set = models.set(Model::Audit);
    Sql::new("DELETE FROM events").execute(&mut *set.writer().await).await.unwrap();
    park.execute(&mut *set.writer().await).await.unwrap();
    // The worker of another process has left out what follows the tenant's last event, and is
    // about to say so.
    let place = database(&world.place).await.place(set_name(Model::Audit, 1));
    let mut elsewhere = place.connect(Access::Write).await.unwrap();
    let mut transaction = crate::store::begin(&mut elsewhere).await.unwrap();
    let moved = "UPDATE checkpoints SET position = position WHERE partition = 0";
    Sql::new(moved).execute(&mut transaction).await.unwrap();
    let resume = projections.resume(Model::Audit, tenant(1));
    tokio::pin!(resume);
    while !somebody_waits(&world).await {
        tokio::select! {
            biased;
            _ = &mut resume => panic!("it did not wait"),
            () = tokio::time::sleep(Duration::from_millis(5)) => (),
        }
    }
    transaction.commit().await.unwrap();
    assert_eq!(resume.await.unwrap(), None);
}

async fn tables_that_are_lost_are_filled_again(on: Kind) {
    let world = World::filled(on).await;
    let tables = world.catalog().await;
    tables.remove();
    while tables.exists().await.unwrap() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.starts_with_everything().await;
    assert_eq!(world.live().await.generation(Model::Catalog).await.unwrap(), Some(1));
}

mod several_processes {
    use super::{
        a_resumed_tenant_waits_for_a_worker_elsewhere,
        whoever_does_not_know_that_tables_are_filled_is_turned_away,
        whoever_is_resumed_in_tables_that_another_has_filled_can_be_found,
    };

    crate::temporary::on_postgres! {
        whoever_does_not_know_that_tables_are_filled_is_turned_away
        a_resumed_tenant_waits_for_a_worker_elsewhere
        whoever_is_resumed_in_tables_that_another_has_filled_can_be_found
    }
}

/// How careful the writer is, and how many of the audit's readers' indexes there are.
async fn care_and_indexes(kind: Kind, set: &TableSet) -> (i64, i64) {
    let mut writer = set.writer().await;
    let mut number = async |sql| {
        Sql::new(sql).fetch_optional(&mut writer).await.unwrap().unwrap().integer(0).unwrap()
    };
    let (care, indexes) = match kind {
        Kind::Sqlite => (
            "PRAGMA synchronous",
            "SELECT count(*) FROM sqlite_master WHERE name LIKE 'events_by_%'",
        ),
        Kind::Postgres => (
            "SELECT CASE current_setting('synchronous_commit') WHEN 'off' THEN 0 ELSE 2 END",
            "SELECT count(*) FROM pg_indexes
             WHERE schemaname = current_schema() AND indexname LIKE 'events_by_%'",
        ),
    };
    (number(care).await, number(indexes).await)
}

async fn tables_become_durable_and_indexed_once_all_partitions_are_filled(on: Kind) {
    const OFF: i64 = 0;
    // PostgreSQL keeps the order of transactions in any case.
    let ordered = if on == Kind::Sqlite { 1 } else { OFF };
    let place = Temporary::new(on).await;
    let database = database(&place).await;
    // The third partition has nothing, so nobody waits for word of it.
    let log = Arc::new(MemoryLog::new(3)) as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let mut history = History::new(log.clone(), &keyring).await;
    history.register(tenant(1), &component("web"), None).await;
    let end = history.append().await.next();
    history.register(tenant(2), &component("web"), None).await;
    let mut second = log.claim(Partition(1)).await.unwrap();
    let second_end = second.append(history.take()).await.unwrap()[0].next();
    let live = Live::open(&database).await.unwrap();
    let set = TableSet::open(&database, Model::Audit, 1, log.as_ref(), READERS);
    let set = set.await.unwrap();
    set.make_live();
    let indexes = i64::try_from(Model::Audit.schema().indexes.len()).unwrap();
    let nowhere = event_log::Position::START;
    for (partition, upto, expected, generation) in [
        (Partition(1), nowhere, (OFF, 0), None),
        (Partition(0), nowhere, (OFF, 0), None),
        (Partition(0), end, (OFF, 0), None),
        (Partition(1), second_end, (ordered, indexes), Some(1)),
    ] {
        set.committed(partition, upto, log.as_ref(), &live).await.unwrap();
        assert_eq!(care_and_indexes(on, &set).await, expected);
        assert_eq!(live.generation(Model::Audit).await.unwrap(), generation);
    }
    // What was written before is in the file itself, not only beside it.
    if let Some(file) = database.place(set_name(Model::Audit, 1)).file() {
        assert!(std::fs::metadata(file).unwrap().len() > 4_096 * 8);
    }
}
