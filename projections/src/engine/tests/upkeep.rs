//! What is committed gets into SQLite's file without a commit that copies it.

use super::*;

/// How much is written: as many events as make upkeep due, far fewer pages than make a commit copy.
const EVENTS: u64 = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_is_copied_into_the_file_beside_the_commits() {
    let place = Temporary::new(Kind::Sqlite).await;
    let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let projections = start(&place, &log, &keyring).await;
    // What tables need that were just filled is copied too.
    let set = projections.models().set(Model::Catalog).clone();
    let mut progress = set.progress();
    let filled = progress.wait_for(|_| set.stage() == checkpoint::Stage::Filled);
    tokio::time::timeout(PATIENCE, filled).await.unwrap().unwrap();
    let file = database(&place).await.place(table_set::set_name(Model::Catalog, 1)).file().unwrap();
    let length = || std::fs::metadata(&file).unwrap().len();
    let before = length();

    let mut history = History::new(log.clone(), &keyring).await;
    for number in 0..EVENTS {
        history.register(tenant(1), &component(&format!("part-{number}")), None).await;
    }
    let position = history.append().await;
    visible(&projections, position).await;
    let copied = async {
        while length() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, copied).await.expect("somebody copies it");
    projections.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_keeps_up_tables_whose_workers_have_stopped() {
    let place = Temporary::new(Kind::Sqlite).await;
    let log = Arc::new(MemoryLog::new(1)) as Arc<dyn EventLog>;
    let database = database(&place).await;
    let set = table_set::TableSet::open(&database, Model::Audit, 1, log.as_ref(), READERS);
    let set = Arc::new(set.await.unwrap());
    let tools = tools(&place, &log, &keyring().await).await;
    for _ in 0..100 {
        crew::Workers::start(&set, &tools).stop().await;
        assert_eq!(Arc::strong_count(&set), 1);
    }
}
