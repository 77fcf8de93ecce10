use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::store::{Database, Sql, define};
use crate::temporary::{Kind, Temporary, on_each_kind};

/// Longer than any test lasts.
const LONG: Duration = Duration::from_secs(3_600);

/// How long anything may take before a test gives up on it.
const SOON: Duration = Duration::from_secs(60);

const A: Uuid = Uuid::from_u128(0xa);
const B: Uuid = Uuid::from_u128(0xb);

async fn readers(place: &Temporary, connections_max: u32, time_max: Duration) -> Readers {
    let database = Database::open(&place.tables()).await.unwrap();
    let place = database.place("test".to_owned());
    let mut writer = place.connect(Access::Write).await.unwrap();
    define(&mut writer, "CREATE TABLE t (tenant UUID)").await.unwrap();
    Readers::new(place, Bounds { connections_max, time_max })
}

/// Counts until it is stopped.
async fn endless(readers: &Readers, tenant: Uuid) -> StoreError {
    let sql = Sql::new(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    );
    let mut reader = readers.acquire(tenant).await.unwrap();
    sql.fetch(&mut reader).await.map(|_| ()).unwrap_err()
}

/// Waits until so many connections are free. Those of PostgreSQL are free soon after their read.
async fn free(readers: &Readers, count: usize) {
    let free = async {
        while readers.room.available_permits() != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, free).await.expect("no more and no fewer are free");
}

/// Waits until no statement runs but our own.
async fn idle_server(writer: &mut Connection) {
    let text = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND state = 'active' AND pid <> pg_backend_pid()";
    while Sql::new(text).fetch_optional(writer).await.unwrap().unwrap().integer(0).unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
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

on_each_kind! {
    a_read_that_takes_too_long_is_interrupted_and_the_next_is_answered
    a_tenant_with_heavy_reads_leaves_others_their_share
    a_read_nobody_waits_for_stops_the_database_too
    shares_of_tenants_that_read_nothing_are_forgotten
}

async fn a_read_that_takes_too_long_is_interrupted_and_the_next_is_answered(on: Kind) {
    let place = Temporary::new(on).await;
    // A round trip to a busy server may take a while.
    let (time, count) = match on {
        Kind::Sqlite => (Duration::from_millis(50), 2_000),
        Kind::Postgres => (Duration::from_secs(1), 200),
    };
    let readers = readers(&place, 1, time).await;
    for _ in 0..3 {
        let stopped = tokio::time::timeout(SOON, endless(&readers, A)).await;
        let error = stopped.expect("the database stops");
        assert!(error.is_interrupted(), "{error}");
        little(&readers, A).await;
    }
    // A connection that rested for longer than a read may take reads again.
    tokio::time::sleep(time + Duration::from_millis(10)).await;
    for _ in 0..count {
        little(&readers, A).await;
    }
    free(&readers, 1).await;
    assert_eq!(locked(&readers.idle).len(), 1, "it is used again and again");
}

async fn a_tenant_with_heavy_reads_leaves_others_their_share(on: Kind) {
    let place = Temporary::new(on).await;
    let readers = Arc::new(readers(&place, 4, LONG).await);
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
    free(&readers, 2).await;
    assert!(heavy.iter().all(|it| !it.is_finished()), "and was not stopped for B");
    // Nobody waits for them any more: they stop, and A is answered again.
    for it in heavy {
        it.abort();
        assert!(it.await.unwrap_err().is_cancelled());
    }
    little(&readers, A).await;
    free(&readers, 4).await;
}

async fn a_read_nobody_waits_for_stops_the_database_too(on: Kind) {
    let place = Temporary::new(on).await;
    let readers = readers(&place, 1, LONG).await;
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
    let mut writer = readers.place.connect(Access::Write).await.unwrap();
    let gone = async {
        match &over {
            None => idle_server(&mut writer).await,
            // The thread of the connection lets go of its half once the statement has ended.
            Some(over) => {
                while Arc::strong_count(over) > 1 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("the statement has ended");
    assert!(locked(&readers.idle).is_empty());
}

async fn shares_of_tenants_that_read_nothing_are_forgotten(on: Kind) {
    let place = Temporary::new(on).await;
    let readers = readers(&place, 2, LONG).await;
    let held = readers.acquire(A).await.unwrap();
    for number in 0..2 * SHARES_MAX as u128 {
        drop(readers.share_of(Uuid::from_u128(0x1000 + number)));
    }
    let shares = locked(&readers.shares);
    assert!(shares.len() <= SHARES_MAX, "{}", shares.len());
    assert_eq!(shares[&A].available_permits(), 0, "but not one that is in use");
    drop(held);
}
