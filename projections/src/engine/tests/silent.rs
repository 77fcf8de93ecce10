//! A network that loses what is sent: connections to the database are there, and nothing comes over
//! them any more. Those that are made afterwards are as good as ever.

use xtask::services::Way;

use super::processes::{Process, World, partitions};
use super::*;
use crate::engine::live::Live;
use crate::store::{Connection, Patience};
use crate::temporary::on_postgres;

on_postgres! {
    who_writes_goes_on_over_another_connection
    who_is_within_a_transaction_goes_on_over_another_connection
    who_looks_at_what_others_write_goes_on_over_another_connection
    a_process_ends_although_nothing_comes_any_more
    a_process_that_has_let_go_of_everything_ends_although_its_tables_are_taken
    who_waits_for_minutes_and_is_cut_short_leaves_that_to_nobody
}

/// A world, a way to its server, and a process that writes these partitions and comes that way.
async fn world(on: Kind, written: &[u32]) -> (World, Way, Process) {
    let world = World::new(on).await;
    let way = Way::to(world.place.server()).unwrap();
    let tables = world.place.tables_over(&way);
    let process = world.process_with(written, Settings { tables, ..settings(&world.place) }).await;
    (world, way, process)
}

/// Cuts every connection, of which there are some.
fn cut(way: &Way) {
    assert!(way.cut() > 0, "there is nothing to cut");
}

async fn who_writes_goes_on_over_another_connection(on: Kind) {
    let (mut world, way, process) = world(on, &[0, 1]).await;
    let before = world.register(0, "before", 5).await;
    process.shows(0, before).await;
    for round in 0..2 {
        cut(&way);
        let after = world.register(0, &format!("after-{round}"), 5).await;
        process.shows(0, after).await;
        assert_eq!(process.entities(0).await, 5 * (round + 2));
    }
    process.projections.stop().await;
}

async fn who_is_within_a_transaction_goes_on_over_another_connection(on: Kind) {
    let (mut world, way, process) = world(on, &[0, 1]).await;
    let before = world.register(0, "before", 5).await;
    process.shows(0, before).await;
    let set = world.table_set(Model::Catalog, 1).await;
    // It waits for its checkpoint, which somebody else holds, so it has begun.
    let mut holder = set.writer().await;
    let mut held = crate::store::begin(&mut holder).await.unwrap();
    let mine = crate::store::Sql::new("UPDATE checkpoints SET filled = filled");
    mine.execute(&mut held).await.unwrap();
    let after = world.register(0, "after", 5).await;
    somebody_waits(&mut held).await;
    cut(&way);
    held.rollback().await.unwrap();
    process.shows(0, after).await;
    assert_eq!(process.entities(0).await, 10);
    process.projections.stop().await;
}

/// Waits until anybody waits for what is held.
async fn somebody_waits(held: &mut Connection) {
    let waits = crate::store::Sql::new(
        "SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    let waiting = async {
        while waits.clone().fetch_optional(held).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it waits for the checkpoint");
}

async fn who_looks_at_what_others_write_goes_on_over_another_connection(on: Kind) {
    let (mut world, way, door) = world(on, &[]).await;
    let owner = world.process(&[0, 1]).await;
    let before = world.register(0, "before", 5).await;
    door.shows(0, before).await;
    cut(&way);
    let after = world.register(0, "after", 5).await;
    owner.shows(0, after).await;
    door.shows(0, after).await;
    assert_eq!(door.entities(0).await, 10);
    for it in [door, owner] {
        it.projections.stop().await;
    }
}

async fn a_process_ends_although_nothing_comes_any_more(on: Kind) {
    let (mut world, way, process) = world(on, &[0, 1]).await;
    let before = world.register(0, "before", 5).await;
    process.shows(0, before).await;
    cut(&way);
    world.register(0, "after", 5).await;
    tokio::time::timeout(PATIENCE, process.projections.stop()).await.expect("it ends");
}

/// As at `SIGTERM`: partitions go to others first.
async fn a_process_that_has_let_go_of_everything_ends_although_its_tables_are_taken(on: Kind) {
    let (mut world, _way, process) = world(on, &[0, 1]).await;
    let before = world.register(0, "before", 5).await;
    let models = process.shows(0, before).await;
    let set = models.set(Model::Catalog);
    // As by whoever makes indexes.
    let taken = set.writer().await;
    world.register(0, "after", 5).await;
    process.written.send_replace(partitions(&[]));
    tokio::time::timeout(PATIENCE, process.projections.stop()).await.expect("it ends");
    drop(taken);
}

async fn who_waits_for_minutes_and_is_cut_short_leaves_that_to_nobody(on: Kind) {
    let world = World::new(on).await;
    let one = world.table_set(Model::Catalog, 1).await;
    let two = world.table_set(Model::Catalog, 1).await;
    let live = Live::open(&database(&world.place).await).await.unwrap();
    let mut holder = two.writer().await;
    let mut held = crate::store::begin(&mut holder).await.unwrap();
    let mine = crate::store::Sql::new("UPDATE checkpoints SET filled = filled");
    mine.execute(&mut held).await.unwrap();
    tokio::select! {
        done = one.settle_now(world.log.as_ref(), &live) => panic!("it is held up: {done:?}"),
        () = somebody_waits(&mut held) => (),
    }
    assert_eq!(one.writer().await.patience(), Patience::Rows);
}
