//! A database that crashes may lose the last transactions on read models: nobody shows what is
//! lost, and it is applied again.

use event_log::Position;

use super::processes::{World, break_connections};
use super::*;
use crate::engine::checkpoint::{Checkpoint, Place, Stage, stored};
use crate::engine::table_set::TableSet;
use crate::store::Sql;
use crate::temporary::on_postgres;

on_postgres! {
    what_is_lost_is_shown_by_nobody
    what_is_lost_is_applied_again_though_nothing_new_comes
}

/// Has the audit of the first partition be where it was at `place`, as if what came then had been
/// lost.
async fn go_back(set: &TableSet, place: &Place) {
    let mut writer = set.writer().await;
    let mut lost = Sql::new("DELETE FROM events WHERE position > ");
    lost.bind(stored(place.position));
    lost.execute(&mut writer).await.unwrap();
    let mut moved = Sql::new("UPDATE checkpoints SET position = ");
    moved.bind(stored(place.position)).push(", event = ").bind(place.event.as_str());
    moved.push(" WHERE partition = 0");
    assert_eq!(moved.execute(&mut writer).await.unwrap(), 1);
}

async fn what_is_lost_is_shown_by_nobody(on: Kind) {
    let mut world = World::new(on).await;
    let (owner, door) = (world.process(&[0, 1]).await, world.process(&[]).await);
    let before = world.register(0, "before", 10).await;
    door.shows(0, before).await;
    let set = world.table_set(Model::Audit, 1).await;
    let place = set.checkpoint(Partition(0)).await.unwrap().place.unwrap();
    let lost = world.register(0, "lost", 5).await;
    door.shows(0, lost).await;
    owner.projections.stop().await;
    go_back(&set, &place).await;
    let models = door.projections.models();
    let shown = async || models.position(Model::Audit, Partition(0));
    let gone_back = async {
        while shown().await != Some(before) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone_back).await.expect("it is seen what is there");
    let waited = models.wait_for(&[Model::Audit], Partition(0), lost, Duration::ZERO).await;
    assert_eq!(waited.unwrap_err().events_behind, lost.0 - before.0);
    let owner = world.process(&[0, 1]).await;
    door.shows(0, lost).await;
    assert_eq!(audited(&models).await, 15);
    owner.projections.stop().await;
}

async fn audited(models: &ReadModels) -> u64 {
    audit::count(models, &member(tenant(1)), &AuditFilter::default()).await.unwrap()
}

async fn what_is_lost_is_applied_again_though_nothing_new_comes(on: Kind) {
    let mut world = World::new(on).await;
    let owner = world.process(&[0, 1]).await;
    let before = world.register(0, "before", 10).await;
    owner.shows(0, before).await;
    let set = world.table_set(Model::Audit, 1).await;
    let place = set.checkpoint(Partition(0)).await.unwrap().place.unwrap();
    let lost = world.register(0, "lost", 5).await;
    let models = owner.shows(0, lost).await;
    go_back(&set, &place).await;
    drop(set);
    assert_eq!(audited(&models).await, 10);
    break_connections(&world).await;
    let applied_again = async {
        loop {
            let filter = AuditFilter::default();
            let count = audit::count(&models, &member(tenant(1)), &filter).await;
            if count.is_ok_and(|it| it == 15) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, applied_again).await.expect("it is applied again");
    owner.projections.stop().await;
}

#[tokio::test]
async fn what_was_noted_since_the_tables_were_asked_is_kept() {
    let place = Temporary::new(Kind::Sqlite).await;
    let log = MemoryLog::new(1);
    let database = database(&place).await;
    let set = TableSet::open(&database, Model::Audit, 1, &log, READERS).await.unwrap();
    let at = |position| Place {
        position: Position(position),
        event: "evt_some".to_owned(),
        at: chrono::DateTime::UNIX_EPOCH,
    };
    let said = |position| Checkpoint {
        incarnation: log.incarnation().to_owned(),
        stage: Stage::Filled,
        closed: false,
        place: Some(at(position)),
    };
    let first = Partition(0);
    set.reached(first, at(5));
    let asked = set.known()[0];
    set.reached(first, at(7));
    set.learn(first, asked, said(5));
    assert_eq!(set.known(), [Position(8)], "it was asked before");
    set.learn(first, asked, said(9));
    assert_eq!(set.known(), [Position(10)], "it is further than anybody knew");
    set.learn(first, set.known()[0], said(5));
    assert_eq!(set.known(), [Position(6)], "the tables have lost the rest");
}
