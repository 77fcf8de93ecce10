//! How long whoever follows the log pauses when something fails, over several outages.

use super::moods::{Mood, World};
use super::*;
use crate::engine::table_set::{Progress, TableSet};
use crate::engine::worker::Worker;

on_each_kind! {
    every_outage_is_met_with_the_same_short_pauses
    whoever_pauses_goes_on_as_soon_as_another_is_answered
}

/// A worker of `model` on tables of its own.
async fn worker(
    world: &World,
    tools: &Tools,
    model: Model,
) -> (Arc<TableSet>, Worker, watch::Sender<bool>) {
    let database = database(&world.place).await;
    let set = TableSet::open(&database, model, 1, world.log.as_ref(), READERS).await.unwrap();
    let (set, stop) = (Arc::new(set), watch::Sender::new(false));
    let worker = Worker::new(set.clone(), tools.clone(), Partition(0), stop.subscribe());
    (set, worker, stop)
}

/// Waits until the first partition of `set` is so.
async fn becomes(set: &TableSet, is_so: impl Fn(&Progress) -> bool) {
    let mut progress = set.progress();
    let became = progress.wait_for(|it: &Vec<Progress>| is_so(&it[0]));
    tokio::time::timeout(PATIENCE, became).await.unwrap().unwrap();
}

async fn every_outage_is_met_with_the_same_short_pauses(on: Kind) {
    let mut world = World::new(on, Mood::Works).await;
    let position = world.register(&["web"]).await;
    let tools = tools(&world.place, &world.log, &world.keyring).await;
    let (set, mut worker, _stop) = worker(&world, &tools, Model::Audit).await;
    let applied = |it: &Progress| it.applied.as_ref().is_some_and(|it| it.position == position);
    tokio::select! {
        ended = worker.attempt() => panic!("it ended: {ended:?}"),
        () = becomes(&set, applied) => (),
    }
    for round in 0..3 {
        world.is_in(Mood::Fails);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pauses.push(worker.attempt().await.unwrap_err().as_millis());
        }
        let expected = [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000];
        assert_eq!(pauses, expected, "round {round}");
        // It is answered, and nothing is to be applied.
        world.is_in(Mood::Works);
        tokio::select! {
            ended = worker.attempt() => panic!("it ended: {ended:?}"),
            () = becomes(&set, |it| it.stopped.is_none()) => (),
        }
    }
}

async fn whoever_pauses_goes_on_as_soon_as_another_is_answered(on: Kind) {
    const AN_HOUR: Duration = Duration::from_secs(3_600);
    let mut world = World::new(on, Mood::Works).await;
    world.register(&["web"]).await;
    let tools = tools(&world.place, &world.log, &world.keyring).await;
    let (pausing, worker_of_one, _stop) = worker(&world, &tools, Model::Audit).await;
    let (trying, worker_of_other, _stop) = worker(&world, &tools, Model::Billing).await;
    world.is_in(Mood::Fails);
    let all = [worker_of_one.pausing(AN_HOUR), worker_of_other];
    let all = all.map(|it| tokio::spawn(it.run()));
    for set in [&pausing, &trying] {
        becomes(set, |it| it.stopped.is_some()).await;
    }
    world.is_in(Mood::Works);
    for set in [&trying, &pausing] {
        becomes(set, |it| it.stopped.is_none() && it.applied.is_some()).await;
    }
    for it in all {
        it.abort();
    }
}
