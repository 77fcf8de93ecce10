use super::*;
use crate::Tables;
use crate::store::postgres::run;
use crate::store::postgres::tests::{connected, lose_connections, settings};
use crate::store::{Access, Connection, Database, Place, hold};
use crate::temporary::{Kind, on_postgres};

/// Far more than anything here needs.
const PATIENCE: Duration = Duration::from_secs(240);

on_postgres! {
    tables_that_another_process_uses_are_not_removed
    whoever_connects_anew_finds_its_tables
    what_was_seen_on_another_connection_counts_for_nothing
    a_lock_that_is_held_for_long_is_waited_for_in_vain
    a_reader_that_goes_on_for_long_is_waited_for_in_vain
    whoever_removes_tables_for_long_is_not_waited_for_by_who_wants_to_use_them
    whoever_is_cut_off_while_removing_can_go_on
}

/// Does what would never end where something here is broken.
async fn bounded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it comes to an end")
}

/// Waits until whoever looks after schemas has connected anew.
async fn connected_anew(tables: &Place) {
    bounded(async { while tables.exists().await.is_err() {} }).await;
}

async fn used(place: &Place) -> Connection {
    place.connect(Access::Write).await.unwrap()
}

async fn gone(place: &Place) {
    bounded(async {
        while place.exists().await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn tables_that_another_process_uses_are_not_removed(on: Kind) {
    let (place, _) = settings(on).await;
    let database = Database::open(&place.tables()).await.unwrap();
    let [kept, other] = ["test-kept", "test-other"].map(|it| database.place(it.to_owned()));
    let (_, user) = (used(&kept).await, used(&other).await);
    other.remove_unused().await.unwrap();
    assert!(other.exists().await.unwrap(), "it is used");
    drop(user);
    database.remove_others("test", Some("test-kept")).await.unwrap();
    gone(&other).await;
    assert!(kept.exists().await.unwrap(), "it is kept");
    database.remove_others("te", None).await.unwrap();
    gone(&kept).await;
}

/// As after a crash of one of the server's processes: it has ended all connections, and goes on.
async fn whoever_connects_anew_finds_its_tables(on: Kind) {
    let (_place, mut settings) = settings(on).await;
    settings.unused_min = PATIENCE;
    let mut other = connected(&settings).await;
    let database = Database::open(&Tables::Postgres(settings)).await.unwrap();
    let tables = database.place("test".to_owned());
    let mut user = used(&tables).await;
    lose_connections(&mut other).await;
    connected_anew(&tables).await;
    let removing = tables.remove_unused();
    tokio::pin!(removing);
    let removed = tokio::time::timeout(2 * ENDED_TIME_MAX, &mut removing).await;
    removed.expect_err("it goes on looking, since nobody is seen to use them");
    hold(&mut user).await.unwrap();
    bounded(removing).await.expect("it sees who uses them");
    assert!(tables.exists().await.unwrap());
}

async fn what_was_seen_on_another_connection_counts_for_nothing(on: Kind) {
    let (place, settings) = settings(on).await;
    let mut other = connected(&settings).await;
    let database = Database::open(&place.tables()).await.unwrap();
    let tables = database.place("test".to_owned());
    drop(used(&tables).await);
    let Connection::Postgres(mut session) = used(&database.choice()).await else {
        panic!("it is PostgreSQL")
    };
    let seen_on = session.remade();
    lose_connections(&mut other).await;
    connected_anew(&tables).await;
    let mut removed = async |seen_on| {
        let seen = drop_schema(&mut session, "callboard_test", seen_on).await.unwrap();
        (seen, tables.exists().await.unwrap())
    };
    assert_eq!(removed(seen_on).await, (Seen::Unused, true));
    assert_eq!(removed(seen_on + 1).await, (Seen::Missing, false));
}

async fn a_lock_that_is_held_for_long_is_waited_for_in_vain(on: Kind) {
    let (place, _) = settings(on).await;
    let database = Database::open(&place.tables()).await.unwrap();
    let tables = database.place("test".to_owned());
    let _user = used(&tables).await;
    let Connection::Postgres(mut session) = used(&database.choice()).await else {
        panic!("it is PostgreSQL")
    };
    let seen_on = session.remade();
    let seen = bounded(drop_schema(&mut session, "callboard_test", seen_on)).await.unwrap();
    assert_eq!((seen, tables.exists().await.unwrap()), (Seen::Used, true));
}

async fn a_reader_that_goes_on_for_long_is_waited_for_in_vain(on: Kind) {
    let (place, settings) = settings(on).await;
    let database = Database::open(&place.tables()).await.unwrap();
    let tables = database.place("test".to_owned());
    let mut maker = used(&tables).await;
    Sql::new("CREATE TABLE t (a TEXT)").execute(&mut maker).await.unwrap();
    drop(maker);
    // It holds nothing but what it reads.
    let mut reader = connected(&settings).await;
    let reading = "BEGIN; SELECT a FROM callboard_test.t";
    sqlx::raw_sql(reading).execute(&mut reader).await.unwrap();
    let Connection::Postgres(mut session) = used(&database.choice()).await else {
        panic!("it is PostgreSQL")
    };
    let seen_on = session.remade();
    let mut removed =
        async || bounded(drop_schema(&mut session, "callboard_test", seen_on)).await.unwrap();
    assert_eq!((removed().await, tables.exists().await.unwrap()), (Seen::Used, true));
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    assert_eq!((removed().await, tables.exists().await.unwrap()), (Seen::Missing, false));
}

async fn whoever_is_cut_off_while_removing_can_go_on(on: Kind) {
    let (place, settings) = settings(on).await;
    let mut other = connected(&settings).await;
    let database = Database::open(&place.tables()).await.unwrap();
    let tables = database.place("test".to_owned());
    let Connection::Postgres(mut session) = used(&database.choice()).await else {
        panic!("it is PostgreSQL")
    };
    let mut cut_off = async || {
        let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock')";
        bounded(async {
            while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut other).await.unwrap() {}
        })
        .await;
        lose_connections(&mut other).await;
    };
    // It may have waited for the lock long enough before anybody saw that.
    bounded(async {
        loop {
            // Who used them may have been cut off too.
            let _user = used(&tables).await;
            let seen_on = session.remade();
            let mut removing = Box::pin(drop_schema(&mut session, "callboard_test", seen_on));
            let removed = tokio::select! {
                removed = &mut removing => removed,
                () = cut_off() => removing.await,
            };
            if removed.is_err() {
                break;
            }
        }
    })
    .await;
    // It has another connection.
    bounded(async { while look(&mut session, "callboard_test").await.is_err() {} }).await;
}

async fn whoever_removes_tables_for_long_is_not_waited_for_by_who_wants_to_use_them(on: Kind) {
    let (place, settings) = settings(on).await;
    let database = Database::open(&place.tables()).await.unwrap();
    let tables = database.place("test".to_owned());
    drop(used(&tables).await);
    let mut remover = connected(&settings).await;
    let alone = "SELECT pg_advisory_lock(hashtextextended('callboard_test', 0))";
    run(&mut remover, alone.to_owned()).await.unwrap();
    let refused = bounded(tables.connect(Access::Write)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Held(_)), "it is said who is in the way: {refused:?}");
    assert!(refused.is_away(), "and that it helps to ask again");
    run(&mut remover, "SELECT pg_advisory_unlock_all()".to_owned()).await.unwrap();
    bounded(used(&tables)).await;
}
