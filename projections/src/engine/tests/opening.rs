//! Opening tables while another process rests in the middle of what it does with them.

use sqlx::{Connection as _, PgConnection};

use super::processes::World;
use super::*;
use crate::engine::table_set::TableSet;
use crate::store::{Access, Connection, Sql, StoreError, begin, take_turns};
use crate::temporary::on_postgres;

on_postgres! {
    tables_are_opened_while_somebody_rests_on_their_checkpoints
    who_rests_while_making_tables_is_not_waited_for_for_long
    who_makes_tables_for_long_is_named_and_what_is_there_is_opened_meanwhile
}

/// Far more than opening takes, and less than a session may rest that holds something. In seconds: 50.
const OPENED_MAX: Duration = Duration::from_secs(50);

async fn opened<T>(opening: impl Future<Output = T>) -> T {
    tokio::time::timeout(OPENED_MAX, opening).await.expect("they are opened soon")
}

/// What the server does not end by itself.
async fn may_rest(session: &mut Connection) {
    let forever = Sql::new("SET idle_in_transaction_session_timeout = 0");
    forever.execute(session).await.unwrap();
}

async fn tables_are_opened_while_somebody_rests_on_their_checkpoints(on: Kind) {
    let world = World::new(on).await;
    let paused = world.table_set(Model::Audit, 1).await;
    let mut writer = paused.writer().await;
    may_rest(&mut writer).await;
    let mut transaction = begin(&mut writer).await.unwrap();
    let moving = Sql::new("UPDATE checkpoints SET at = at + 1");
    assert_eq!(moving.execute(&mut transaction).await.unwrap(), 2);
    opened(world.table_set(Model::Audit, 1)).await;
    opened(world.process(&[0])).await;
    transaction.commit().await.expect("it held them all the while");
}

async fn who_rests_while_making_tables_is_not_waited_for_for_long(on: Kind) {
    let world = World::new(on).await;
    let database = database(&world.place).await;
    let mut paused = database.place("test".to_owned()).connect(Access::Write).await.unwrap();
    let mut transaction = begin(&mut paused).await.unwrap();
    take_turns(&mut transaction).await.unwrap();
    opened(world.table_set(Model::Audit, 1)).await;
    let asked = Sql::new("SELECT 1").execute(&mut transaction).await;
    asked.expect_err("the server has ended it");
}

async fn who_makes_tables_for_long_is_named_and_what_is_there_is_opened_meanwhile(on: Kind) {
    let world = World::new(on).await;
    let database = database(&world.place).await;
    world.table_set(Model::Audit, 1).await;
    let crate::Tables::Postgres(settings) = world.place.tables() else { panic!("it is one") };
    let mut holder = PgConnection::connect(&settings.url).await.unwrap();
    let lock = format!("SELECT pg_advisory_lock({})", crate::store::postgres::MAKING);
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut holder).await.unwrap();
    opened(world.table_set(Model::Audit, 1)).await;
    let log = world.log.as_ref();
    let refused = opened(TableSet::open(&database, Model::Audit, 2, log, READERS)).await;
    let refused = refused.unwrap_err();
    assert!(refused.is_away() && refused.is_passing(), "{refused:?}");
    let EngineError::Storage { source, .. } = &refused else { panic!("{refused:?}") };
    let said = source.downcast_ref::<StoreError>().expect("it is of the store").to_string();
    assert!(said.contains("another process holds these tables"), "{said}");
    holder.close().await.unwrap();
    opened(world.table_set(Model::Audit, 2)).await;
}
