use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::store::Sql;

/// Longer than any test lasts.
const LONG: Duration = Duration::from_secs(3_600);

/// How long anything may take before a test gives up on it.
const SOON: Duration = Duration::from_secs(60);

const A: Uuid = Uuid::from_u128(0xa);
const B: Uuid = Uuid::from_u128(0xb);

async fn readers(folder: &TempDir, connections_max: u32, time_max: Duration) -> Readers {
    let path: &Path = &folder.path().join("tables.db");
    let mut writer = connect(path, Access::Write).await.unwrap();
    Sql::new("CREATE TABLE IF NOT EXISTS t (a BIGINT)").execute(&mut writer).await.unwrap();
    Readers::new(path, Bounds { connections_max, time_max })
}

/// Counts until it is stopped.
async fn endless(readers: &Readers, tenant: Uuid) -> StoreError {
    let sql = Sql::new(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    );
    let mut reader = readers.acquire(tenant).await.unwrap();
    sql.fetch(&mut reader).await.map(|_| ()).unwrap_err()
}

/// Reads next to nothing.
async fn little(readers: &Readers, tenant: Uuid) {
    let read = async {
        let mut reader = readers.acquire(tenant).await.unwrap();
        let rows = Sql::new("SELECT count(*) FROM t").fetch(&mut reader).await.unwrap();
        reader.finish();
        assert_eq!(rows.len(), 1);
    };
    tokio::time::timeout(SOON, read).await.expect("it is answered");
}

#[tokio::test]
async fn a_read_that_takes_too_long_is_interrupted_and_the_next_is_answered() {
    let folder = TempDir::new().unwrap();
    let readers = readers(&folder, 1, Duration::from_millis(50)).await;
    for _ in 0..3 {
        let stopped = tokio::time::timeout(SOON, endless(&readers, A)).await;
        let error = stopped.expect("the database stops");
        assert!(error.is_interrupted(), "{error}");
        little(&readers, A).await;
    }
    // A connection that rested for longer than a read may take reads again.
    tokio::time::sleep(Duration::from_millis(60)).await;
    for _ in 0..2_000 {
        little(&readers, A).await;
    }
    assert_eq!(locked(&readers.idle).len(), 1, "it is used again and again");
}

#[tokio::test]
async fn a_tenant_with_heavy_reads_leaves_others_their_share() {
    let folder = TempDir::new().unwrap();
    let readers = Arc::new(readers(&folder, 4, LONG).await);
    let heavy = || {
        let readers = readers.clone();
        tokio::spawn(async move { endless(&readers, A).await })
    };
    let heavy: Vec<_> = (0..10).map(|_| heavy()).collect();
    // Half of the connections are counting for A; its other reads wait in its own line.
    while readers.room.available_permits() > 2 {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        little(&readers, B).await;
    }
    assert_eq!(readers.room.available_permits(), 2, "A has its share and no more");
    assert!(heavy.iter().all(|it| !it.is_finished()), "and was not stopped for B");
    // Nobody waits for them any more: they stop, and A is answered again.
    for it in heavy {
        it.abort();
        assert!(it.await.unwrap_err().is_cancelled());
    }
    little(&readers, A).await;
    assert_eq!(readers.room.available_permits(), 4);
}

#[tokio::test]
async fn a_read_nobody_waits_for_stops_the_database_too() {
    let folder = TempDir::new().unwrap();
    let readers = readers(&folder, 1, LONG).await;
    let over = {
        let mut reader = readers.acquire(A).await.unwrap();
        let over = reader.open().deadline.clone();
        let sql = Sql::new(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
             SELECT count(*) FROM n",
        );
        let waited = tokio::time::timeout(Duration::from_millis(50), sql.fetch(&mut reader)).await;
        assert!(waited.is_err(), "it counts");
        over
    };
    // The thread of the connection lets go of its half once the statement has ended.
    let gone = async {
        while Arc::strong_count(&over) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("the statement has ended");
    assert!(locked(&readers.idle).is_empty());
}

#[tokio::test]
async fn shares_of_tenants_that_read_nothing_are_forgotten() {
    let folder = TempDir::new().unwrap();
    let readers = readers(&folder, 2, LONG).await;
    let held = readers.acquire(A).await.unwrap();
    for number in 0..2 * SHARES_MAX as u128 {
        drop(readers.share_of(Uuid::from_u128(0x1000 + number)));
    }
    let shares = locked(&readers.shares);
    assert!(shares.len() <= SHARES_MAX, "{}", shares.len());
    assert_eq!(shares[&A].available_permits(), 0, "but not one that is in use");
    drop(held);
}
