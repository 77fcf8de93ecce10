//! Partitions that are filled by others than their owners, since those do not.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use event_log::Position;
use tokio::sync::watch;

use super::moods::{Mood, Moody};
use super::processes::{World, partitions};
use super::*;
use crate::Tables;
use crate::engine::lookout::Lookout;
use crate::engine::share::Share;
use crate::engine::table_set::TableSet;
use crate::engine::worker::{Parting, Tools, Worker};
use crate::store::{Access, Sql};
use crate::temporary::on_postgres;

on_postgres! {
    while_two_versions_serve_each_fills_what_the_other_owns
    whoever_stands_in_is_relieved_by_the_owner
    whoever_stands_in_waits_for_nobody_who_holds_the_partition
    what_nobody_fills_is_taken_up_where_it_was_left
    the_log_is_asked_within_bounds
}

/// Settings under which nobody waits for long before filling what others do not.
fn impatient(place: &Temporary) -> Settings {
    let Tables::Postgres(tables) = place.tables() else { panic!("it is PostgreSQL") };
    let unmoved_min = Duration::from_millis(100);
    let tables = Tables::Postgres(crate::PostgresTables { unmoved_min, ..tables });
    Settings { tables, ..settings(place) }
}

/// Tables of two versions have no more in common than tables of two databases.
async fn while_two_versions_serve_each_fills_what_the_other_owns(on: Kind) {
    let mut world = World::new(on).await;
    let changed = Temporary::new(on).await;
    let mut ends = [world.register(0, "a", 300).await, world.register(1, "b", 200).await];
    let mut counts = [300, 200];
    let old = world.process_with(&[0, 1], impatient(&world.place)).await;
    old.shows(0, ends[0]).await;
    // One of two processes is replaced.
    old.written.send_replace(partitions(&[1]));
    let new = world.process_with(&[0], impatient(&changed)).await;
    for round in 0..10 {
        for process in [&old, &new] {
            for number in [0, 1] {
                process.shows(number, ends[number as usize]).await;
                assert_eq!(process.entities(number).await, counts[number as usize]);
            }
        }
        for number in [0, 1] {
            let name = format!("more-{round}");
            ends[number as usize] = world.register(number, &name, 1).await;
            counts[number as usize] += 1;
        }
    }
    // The other one is replaced too, and fills what is its own.
    old.projections.stop().await;
    let last = world.process_with(&[1], impatient(&changed)).await;
    let end = world.register(1, "last", 10).await;
    for process in [&new, &last] {
        process.shows(1, end).await;
        assert_eq!(process.entities(1).await, counts[1] + 10);
        let models = process.projections.models();
        let count = audit::count(&models, &member(tenant(2)), &AuditFilter::default()).await;
        assert_eq!(count.unwrap(), counts[1] + 10, "nothing is applied twice");
    }
    for it in [new, last] {
        it.projections.stop().await;
    }
}

/// What a process that owns nothing fills with.
async fn tools(world: &World) -> Tools {
    let share = Share::of(Some(watch::channel(BTreeSet::new()).1));
    Tools { share, ..super::tools(&world.place, &world.log, &world.keyring).await }
}

/// Has somebody who owns nothing fill the first partition of `set`, which was left at its beginning.
async fn stand_in(
    world: &World,
    set: &Arc<TableSet>,
) -> (watch::Sender<bool>, JoinHandle<Parting>) {
    let stop = watch::Sender::new(false);
    let worker = Worker::new(set.clone(), tools(world).await, Partition(0), stop.subscribe());
    (stop, tokio::spawn(worker.standing_in(Position::START).run()))
}

/// Waits until the first partition of `set` is filled up to `end`.
async fn fills(set: &TableSet, end: Position) {
    let mut progress = set.progress();
    let filled =
        progress.wait_for(|it| it[0].applied.as_ref().is_some_and(|it| it.position == end));
    tokio::time::timeout(PATIENCE, filled).await.unwrap().unwrap();
}

async fn whoever_stands_in_is_relieved_by_the_owner(on: Kind) {
    let mut world = World::new(on).await;
    let end = world.register(0, "a", 300).await;
    let set = world.table_set(Model::Audit, 1).await;
    let (_stop, standing_in) = stand_in(&world, &set).await;
    fills(&set, end).await;
    assert!(!standing_in.is_finished(), "nobody else fills it");

    let owner = world.process(&[0, 1]).await;
    let relieved = async {
        let mut count = 300;
        while !standing_in.is_finished() {
            let end = world.register(0, &format!("more-{count}"), 1).await;
            owner.shows(0, end).await;
            count += 1;
        }
        count
    };
    let count = tokio::time::timeout(PATIENCE, relieved).await.expect("the owner goes first");
    assert_eq!(standing_in.await.unwrap(), Parting::GaveBack);
    let models = owner.projections.models();
    let audited = audit::count(&models, &member(tenant(1)), &AuditFilter::default()).await.unwrap();
    assert_eq!(audited, count);
    owner.projections.stop().await;
}

async fn whoever_stands_in_waits_for_nobody_who_holds_the_partition(on: Kind) {
    let mut world = World::new(on).await;
    let end = world.register(0, "a", 10).await;
    let set = world.table_set(Model::Audit, 1).await;
    // As a process that is paused in the midst of a transaction.
    let place = database(&world.place).await.place(table_set::set_name(Model::Audit, 1));
    let mut paused = place.connect(Access::Write).await.unwrap();
    let mut transaction = crate::store::begin(&mut paused).await.unwrap();
    let held = "UPDATE checkpoints SET position = position WHERE partition = 0";
    Sql::new(held).execute(&mut transaction).await.unwrap();
    let (_stop, standing_in) = stand_in(&world, &set).await;
    let parting = tokio::time::timeout(PATIENCE, standing_in).await.expect("it does not wait");
    assert_eq!(parting.unwrap(), Parting::GaveBack);
    assert_eq!(set.checkpoint(Partition(0)).await.unwrap().place, None);

    transaction.rollback().await.unwrap();
    let (_stop, _standing_in) = stand_in(&world, &set).await;
    fills(&set, end).await;
}

async fn what_nobody_fills_is_taken_up_where_it_was_left(on: Kind) {
    let mut world = World::new(on).await;
    let ends = [world.register(0, "a", 10).await, world.register(1, "b", 10).await];
    let owner = world.process(&[0, 1]).await;
    let other = world.process(&[]).await;
    for (number, end) in (0..).zip(ends) {
        other.shows(number, end).await;
    }
    let Projections { generations, tools, .. } = &other.projections;
    let mut lookout = Lookout::new(generations, tools.clone(), Duration::ZERO);
    let sets = generations.sets();
    let mut neglects = sets[0].neglects();
    lookout.look(&sets).await.unwrap();
    assert!(neglects.is_empty(), "all are at their ends");

    owner.projections.stop().await;
    world.register(1, "more", 1).await;
    lookout.look(&sets).await.unwrap();
    assert_eq!(neglects.try_recv(), Ok((Partition(1), ends[1].next())));
    assert!(neglects.is_empty(), "the first is at its end");
    other.written.send_replace(partitions(&[1]));
    lookout.look(&sets).await.unwrap();
    assert!(neglects.is_empty(), "what is its own it fills anyway");
    other.projections.stop().await;
}

async fn the_log_is_asked_within_bounds(on: Kind) {
    const PARTITIONS: u32 = 20;
    let place = Temporary::new(on).await;
    let moody = Arc::new(Moody::new(PARTITIONS, Mood::Works));
    let log = moody.clone() as Arc<dyn EventLog>;
    let keyring = keyring().await;
    let written = Some(watch::channel(BTreeSet::new()).1);
    let settings = Settings { written, ..settings(&place) };
    let projections = Projections::start(settings, log.clone(), keyring.clone()).await.unwrap();
    let Projections { generations, tools, .. } = &projections;
    let mut lookout = Lookout::new(generations, tools.clone(), Duration::ZERO);
    let sets = generations.sets();
    let mut history = History::new(log.clone(), &keyring).await;
    for round in 0..3 {
        let asked = moody.asked.load(Ordering::SeqCst);
        lookout.look(&sets).await.unwrap();
        let asked = moody.asked.load(Ordering::SeqCst) - asked;
        assert_eq!(asked, 8, "round {round}: once for all models, and not all at a time");
    }
    // Those that were not asked about for longest are next.
    let mut last = log.claim(Partition(PARTITIONS - 1)).await.unwrap();
    history.register(tenant(1), &component("web"), None).await;
    last.append(history.take()).await.unwrap();
    let mut neglects: Vec<_> = sets.iter().map(|it| it.neglects()).collect();
    for _ in 0..3 {
        lookout.look(&sets).await.unwrap();
    }
    for it in &mut neglects {
        assert_eq!(it.try_recv(), Ok((Partition(PARTITIONS - 1), Position::START)));
    }
    projections.stop().await;
}
