//! Nobody waits for long for tables that are to take the place of others.

use std::pin::Pin;
use std::sync::atomic::Ordering;

use super::moods::{Mood, World};
use super::*;

on_each_kind! {
    whoever_is_shown_goes_on_while_the_log_does_not_say_where_it_ends
    whoever_is_shown_goes_on_while_other_tables_do_not_catch_up
    nobody_waits_for_what_the_log_has_lost
}

/// Waits until something has happened, while `rebuild` goes on.
async fn until(
    happened: impl Fn() -> bool,
    mut rebuild: Pin<&mut impl Future<Output = Result<(), EngineError>>>,
) {
    let waiting = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        waited = tokio::time::timeout(PATIENCE, waiting) => waited.expect("it happens"),
        done = &mut rebuild => panic!("it did not wait: {done:?}"),
    }
}

/// Begins a rebuild that has asked where the log ends, and will be told where it ended then.
async fn wait_for_the_end(
    world: &World,
    mut rebuild: Pin<&mut impl Future<Output = Result<(), EngineError>>>,
) {
    let asked = || world.moody.asked.load(Ordering::SeqCst);
    let before = asked();
    world.is_in(Mood::Rests);
    // The new tables have asked where it ends, and so has their worker before it began to read.
    until(|| asked() == before + 3, rebuild.as_mut()).await;
    world.is_in(Mood::HidesItsEnd);
    // Once the tables are filled, their worker looks anew; then the end is asked for that they are to reach.
    until(|| asked() == before + 5, rebuild).await;
}

async fn whoever_is_shown_goes_on_while_the_log_does_not_say_where_it_ends(on: Kind) {
    let mut world = World::new(on, Mood::Works).await;
    let projections = world.start().await;
    let first = world.register(&["first"]).await;
    visible(&projections, first).await;
    let mut rebuild = Box::pin(projections.rebuild(Model::Catalog));
    wait_for_the_end(&world, rebuild.as_mut()).await;
    let second = world.register(&["second"]).await;
    let models = visible(&projections, second).await;
    assert_eq!(models.set(Model::Catalog).generation, 1);
    assert_eq!(entities_of(&models, tenant(1)).await, 2);
    world.is_in(Mood::Works);
    tokio::time::timeout(PATIENCE, rebuild).await.unwrap().unwrap();
    let models = visible(&projections, second).await;
    assert_eq!(models.set(Model::Catalog).generation, 2);
    assert_eq!(entities_of(&models, tenant(1)).await, 2);
    projections.stop().await;
}

async fn whoever_is_shown_goes_on_while_other_tables_do_not_catch_up(on: Kind) {
    let mut world = World::new(on, Mood::Works).await;
    let projections = world.start().await;
    let first = world.register(&["first"]).await;
    visible(&projections, first).await;
    let mut rebuild = Box::pin(projections.rebuild(Model::Catalog));
    let others = world.moody.opened.lock().unwrap().len();
    wait_for_the_end(&world, rebuild.as_mut()).await;
    // What comes now is read for the old tables and not for the new ones.
    world.moody.hidden.send_replace(Some((others, first.next())));
    let second = world.register(&["second"]).await;
    visible(&projections, second).await;
    world.is_in(Mood::Works);
    // So the old ones stop, but then they are followed again.
    until(|| world.moody.opened.lock().unwrap().contains(&second), rebuild.as_mut()).await;
    let third = world.register(&["third"]).await;
    let models = visible(&projections, third).await;
    assert_eq!(models.set(Model::Catalog).generation, 1);
    world.moody.hidden.send_replace(None);
    tokio::time::timeout(PATIENCE, rebuild).await.unwrap().unwrap();
    let models = visible(&projections, third).await;
    assert_eq!(models.set(Model::Catalog).generation, 2);
    assert_eq!(entities_of(&models, tenant(1)).await, 3);
    projections.stop().await;
}

async fn nobody_waits_for_what_the_log_has_lost(on: Kind) {
    let mut world = World::new(on, Mood::Works).await;
    let projections = world.start().await;
    let position = world.register(&["web"]).await;
    visible(&projections, position).await;
    projections.stop().await;
    let tables = database(&world.place).await.place(table_set::set_name(Model::Audit, 1));
    let mut tables = tables.connect(crate::store::Access::Write).await.unwrap();
    let beyond = crate::store::Sql::new("UPDATE checkpoints SET position = 1000");
    beyond.execute(&mut tables).await.unwrap();
    drop(tables);
    let projections = world.start().await;
    let rebuild = projections.rebuild(Model::Audit);
    tokio::time::timeout(PATIENCE, rebuild).await.expect("it ends").unwrap();
    let models = visible(&projections, position).await;
    assert_eq!(models.position(Model::Audit, Partition(0)), Some(position));
    projections.stop().await;
}
