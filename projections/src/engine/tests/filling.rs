//! What is not durable while tables are filled for the first time must be by the time they are.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::engine::live::Live;
use crate::engine::table_set::{Stage, TableSet};
use crate::store::Sql;

struct World {
    folder: TempDir,
    log: Arc<dyn EventLog>,
    keyring: Keyring,
    end: event_log::Position,
}

impl World {
    /// A log with 300 entities, followed to its end and stopped.
    async fn filled() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
        let keyring = keyring().await;
        let mut history = History::new(log.clone(), &keyring).await;
        for number in 0..300 {
            history.register(tenant(1), &component(&format!("c{number}")), None).await;
        }
        let end = history.append().await;
        let world = Self { folder, log, keyring, end };
        world.starts_with_everything().await;
        world
    }

    async fn starts_with_everything(&self) {
        let projections = start(self.folder.path(), &self.log, &self.keyring).await;
        let models = visible(&projections, self.end).await;
        assert_eq!(entities_of(&models, tenant(1)).await, 300);
        projections.stop().await;
    }

    fn file(&self, model: Model) -> PathBuf {
        self.folder.path().join(format!("{model}-v{}-g1.db", model.schema().version))
    }

    /// Leaves the catalog's file as a power cut may leave one that was never synced. What lies
    /// beside it goes, or pages would still be read from there: it stays if a reader closes last.
    fn tear(&self) {
        let path = self.file(Model::Catalog);
        for beside in ["db-wal", "db-shm"] {
            let _ = std::fs::remove_file(path.with_extension(beside));
        }
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(length > 0);
        std::fs::write(&path, vec![0x5a; usize::try_from(length).unwrap()]).unwrap();
    }

    async fn live(&self) -> Live {
        Live::open(self.folder.path()).await.unwrap()
    }
}

#[tokio::test]
async fn what_a_crash_leaves_of_half_filled_tables_is_never_read() {
    let world = World::filled().await;
    let live = world.live().await;
    assert_eq!(live.generation(Model::Catalog).await.unwrap(), Some(1));
    // As if the process had ended before the tables were filled.
    live.forget(Model::Catalog).await.unwrap();
    drop(live);
    world.tear();
    world.starts_with_everything().await;
    // Tables that were filled are not made again: then nobody would notice the damage.
    world.tear();
    let refused =
        Projections::start(settings(world.folder.path()), world.log.clone(), world.keyring.clone());
    assert!(matches!(refused.await, Err(EngineError::Storage { model: Model::Catalog, .. })));
}

#[tokio::test]
async fn tables_that_are_lost_are_filled_again() {
    let world = World::filled().await;
    for suffix in ["", "-wal", "-shm"] {
        let mut file = world.file(Model::Catalog).into_os_string();
        file.push(suffix);
        let _ = std::fs::remove_file(file);
    }
    world.starts_with_everything().await;
    assert_eq!(world.live().await.generation(Model::Catalog).await.unwrap(), Some(1));
}

/// How careful the writer is, and how many of the audit's readers' indexes there are.
async fn care_and_indexes(set: &TableSet) -> (i64, i64) {
    let mut writer = set.writer().await;
    let mut number = async |sql| {
        Sql::new(sql).fetch_optional(&mut writer).await.unwrap().unwrap().integer(0).unwrap()
    };
    let indexes = "SELECT count(*) FROM sqlite_master WHERE name LIKE 'events_by_%'";
    (number("PRAGMA synchronous").await, number(indexes).await)
}

#[tokio::test]
async fn tables_become_durable_and_indexed_once_all_partitions_are_filled() {
    const OFF: i64 = 0;
    const NORMAL: i64 = 1;
    let folder = tempfile::tempdir().unwrap();
    // The third partition has nothing, so nobody waits for word of it.
    let log = Arc::new(MemoryLog::new(3)) as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let mut history = History::new(log.clone(), &keyring).await;
    history.register(tenant(1), &component("web"), None).await;
    let end = history.append().await.next();
    history.register(tenant(2), &component("web"), None).await;
    let mut second = log.claim(Partition(1)).await.unwrap();
    let second_end = second.append(history.take()).await.unwrap()[0].next();
    let live = Live::open(folder.path()).await.unwrap();
    let set = TableSet::open(folder.path(), Model::Audit, 1, log.as_ref(), READERS, Stage::Filling);
    let set = set.await.unwrap();
    set.make_live();
    let indexes = i64::try_from(Model::Audit.schema().indexes.len()).unwrap();
    let nowhere = event_log::Position::START;
    for (partition, upto, expected, generation) in [
        (Partition(1), nowhere, (OFF, 0), None),
        (Partition(0), nowhere, (OFF, 0), None),
        (Partition(0), end, (OFF, 0), None),
        (Partition(1), second_end, (NORMAL, indexes), Some(1)),
    ] {
        set.committed(partition, upto, &live).await.unwrap();
        assert_eq!(care_and_indexes(&set).await, expected);
        assert_eq!(live.generation(Model::Audit).await.unwrap(), generation);
    }
    // What was written before is in the file itself, not only beside it.
    let length = std::fs::metadata(folder.path().join("audit-v1-g1.db")).unwrap().len();
    assert!(length > 4_096 * 8);
}
