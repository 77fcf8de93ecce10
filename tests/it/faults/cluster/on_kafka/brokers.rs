//! Brokers that fail, one or all, and a network between a process and its brokers that is cut.

use std::time::Duration;

use xtask::services::kafka::{Broker, Cluster as Brokers, Plan};

use super::{count, turn};
use crate::faults::cluster::arena::Arena;
use crate::faults::cluster::print;
use crate::faults::cluster::proxy::Proxy;
use crate::harness::{Ground, given_postgres, kafka_distribution};

/// How many brokers there are where they fail.
const BROKERS: usize = 3;

/// How long a broker, or all of them, stay down at most where that is shorter than a session. In
/// milliseconds.
const DOWN_MAX: u64 = 1_500;

/// How much longer than a session they stay away at most where it is longer. In milliseconds.
const BEYOND_MAX: u64 = 5_000;

/// Three brokers, and what runs on them.
async fn brokers(plan: Plan) -> Option<(Brokers, Ground)> {
    let (distribution, postgres) = (kafka_distribution()?, given_postgres()?);
    let brokers = tokio::task::block_in_place(|| plan.start(&distribution));
    let brokers = brokers.expect("brokers start");
    let bootstrap = brokers.bootstrap();
    let bootstraps = [bootstrap.clone(), bootstrap];
    let replication = brokers.brokers().len();
    Some((brokers, Ground { bootstraps, replication, postgres }))
}

/// Restarts of one of three brokers, killed and stopped in turn: `fast` 0, `ci` 1, `full` 10.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_one_of_three_brokers_restarts() {
    let restarts = count(0, 1, 10);
    if restarts == 0 {
        return;
    }
    let _turn = turn().await;
    let Some((brokers, ground)) = brokers(Plan::new(BROKERS)).await else { return };
    let mut arena = Arena::open(&ground).await;
    for number in 0..restarts {
        arena
            .round("broker restarted", async |arena| {
                let which = usize::try_from(arena.random.below(3)).expect("it is small");
                let broker = brokers.broker(which);
                let ended = tokio::task::block_in_place(|| match number % 2 {
                    0 => broker.kill(),
                    _ => broker.stop(),
                });
                ended.expect("it ends");
                tokio::time::sleep(Duration::from_millis(arena.random.below(DOWN_MAX))).await;
                tokio::task::block_in_place(|| broker.restart()).expect("it starts again");
            })
            .await;
    }
    arena.close("broker restarted").await;
}

/// How long after a process was started a broker begins to hang, at most. In milliseconds: 4,000,
/// in which it joins the owners.
const STARTING_MAX: u64 = 4_000;

/// How often owners may be fenced, each by another, in one pause of a broker: 16. There are four
/// partitions, and where two owners are not told of each other, one is fenced in every session.
const FENCED_MAX: usize = 16;

/// Each of three brokers paused for longer than a session, among them the one that coordinates the
/// owners: `fast` 0, `ci` 3, `full` 6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_do_not_take_partitions_from_each_other_while_a_broker_hangs() {
    let pauses = count(0, 3, 6);
    if pauses == 0 {
        return;
    }
    let _turn = turn().await;
    let Some((brokers, ground)) = brokers(Plan::new(BROKERS)).await else { return };
    let mut arena = Arena::open(&ground).await;
    for number in 0..pauses {
        let (starting, before) = (number % 2, fenced(&arena));
        arena
            .round("broker paused", async |arena| {
                drop(arena.servers[starting].take());
                let begins = Duration::from_millis(arena.random.below(STARTING_MAX));
                let away = arena.session + Duration::from_millis(arena.random.below(BEYOND_MAX));
                let broker = brokers.broker(number % BROKERS);
                // Partitions are shared anew about when it hangs.
                let hanging = async {
                    tokio::time::sleep(begins).await;
                    broker.pause().expect("it runs");
                    tokio::time::sleep(away).await;
                    broker.resume().expect("it is there");
                };
                tokio::join!(hanging, arena.start_again(starting));
            })
            .await;
        let fenced = fenced(&arena) - before;
        print(&format!("  {fenced} times an owner was fenced"));
        assert!(fenced <= FENCED_MAX, "{fenced} times an owner was fenced");
    }
    arena.close("broker paused").await;
}

/// How often owners have said that they were fenced.
fn fenced(arena: &Arena) -> usize {
    let said = |which| {
        let log = arena.installation(which).home().join("server.log");
        let log = std::fs::read_to_string(log).unwrap_or_default();
        log.lines().filter(|it| it.contains("claiming") && it.contains("Fenced")).count()
    };
    said(0) + said(1)
}

/// All brokers down and up again, longer and shorter than a session in turn: `fast` 0, `ci` 1,
/// `full` 6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_goes_on_when_all_brokers_come_back() {
    let outages = count(0, 1, 6);
    if outages == 0 {
        return;
    }
    let _turn = turn().await;
    let Some((brokers, ground)) = brokers(Plan::new(BROKERS)).await else { return };
    let mut arena = Arena::open(&ground).await;
    for number in 0..outages {
        arena
            .round("all brokers down", async |arena| {
                let kill = || brokers.brokers().iter().try_for_each(Broker::kill);
                tokio::task::block_in_place(kill).expect("they can be killed");
                let away = match number % 2 {
                    0 => arena.session + Duration::from_millis(arena.random.below(BEYOND_MAX)),
                    _ => Duration::from_millis(arena.random.below(DOWN_MAX)),
                };
                tokio::time::sleep(away).await;
                tokio::task::block_in_place(|| brokers.restart()).expect("they start again");
            })
            .await;
    }
    arena.close("all brokers down").await;
}

/// Cuts between a process and its brokers, longer and shorter than a session in turn: `fast` 0,
/// `ci` 1, `full` 10.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_cut_off_from_its_brokers_says_nothing_of_the_past() {
    let cuts = count(0, 1, 10);
    if cuts == 0 {
        return;
    }
    let _turn = turn().await;
    let proxy = Proxy::start().await;
    let plan = Plan::new(1).with_detours([proxy.address()]);
    let Some((brokers, mut ground)) = brokers(plan).await else { return };
    proxy.forward_to(brokers.broker(0).detour().expect("it has one"));
    ground.bootstraps[0] = proxy.address().to_string();
    let mut arena = Arena::open(&ground).await;
    for number in 0..cuts {
        // The process that is cut off is to be one that owns something.
        arena.an_owner().await;
        arena
            .round("network cut", async |arena| {
                proxy.cut();
                match number % 2 {
                    0 => {
                        tokio::time::sleep(arena.session).await;
                        arena.goes_on().await;
                    }
                    _ => {
                        let away = Duration::from_millis(arena.random.below(DOWN_MAX));
                        tokio::time::sleep(away).await;
                    }
                }
                proxy.mend();
            })
            .await;
    }
    arena.close("network cut").await;
}
