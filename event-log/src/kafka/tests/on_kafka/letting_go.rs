//! Partitions that move while something is under way, and members whose coordinator hangs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use xtask::services::kafka::Plan;

use super::membership::{Group, Manner, PARTITIONS, SESSION, absent_minded};
use crate::conformance::command;
use crate::kafka::logging::Logging;
use crate::kafka::replicas::partition_of;
use crate::kafka::tests::cluster::{self, PATIENCE_MAX};
use crate::kafka::{KafkaConfig, KafkaLog, init};
use crate::membership::Turn;
use crate::port::{EventLog, Partition};

/// How long the last batch of an owner takes. In milliseconds: 400, longer than anybody is waited
/// for of whom nothing was announced.
const SLOW: Duration = Duration::from_millis(400);

/// How many partitions move when a second member joins.
const MOVED: u32 = PARTITIONS / 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_when_partitions_move_is_finished_first() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(PARTITIONS).await;
    let (here, there) = (topics.open().await, topics.open().await);
    let mut first = here.join("one").await.unwrap();
    let mut writers = BTreeMap::new();
    for _ in 0..PARTITIONS {
        let Ok(Turn::Take(partition)) = first.next().await else { panic!("it is alone") };
        let mut writer = here.claim(partition).await.unwrap();
        writer.announce("one:1").await.unwrap();
        writers.insert(partition, writer);
    }
    let mut second = there.join("two").await.unwrap();
    let taking = tokio::spawn(async move {
        let mut taken = BTreeSet::new();
        for _ in 0..MOVED {
            let Ok(Turn::Take(partition)) = second.next().await else { panic!("it has nothing") };
            // Fences whoever has not finished.
            there.claim(partition).await.unwrap().announce("two:1").await.unwrap();
            taken.insert(partition);
        }
        (taken, second, there)
    });
    let (mut given, mut finishing) = (BTreeSet::<Partition>::new(), Vec::new());
    for _ in 0..MOVED {
        let Ok(Turn::Give(partition, _)) = first.next().await else { panic!("the other has none") };
        let mut writer = writers.remove(&partition).unwrap();
        finishing.push(tokio::spawn(async move {
            tokio::time::sleep(SLOW).await;
            let written = writer.append(command(1, 2)).await;
            writer.let_go().await;
            written
        }));
        given.insert(partition);
    }
    for finished in finishing {
        finished.await.unwrap().expect("nobody has fenced it");
    }
    let (taken, ..) = tokio::time::timeout(PATIENCE_MAX, taking).await.unwrap().unwrap();
    assert_eq!(taken, given);
}

/// Which broker, from 0, coordinates the group.
fn coordinator(config: &KafkaConfig) -> usize {
    let client: BaseConsumer<Logging> = config.client().create_with_context(Logging).unwrap();
    let metadata = client.fetch_metadata(Some("__consumer_offsets"), PATIENCE_MAX).unwrap();
    let partitions = metadata.topics()[0].partitions();
    let number = partition_of(&config.group(), i32::try_from(partitions.len()).unwrap()).unwrap();
    let leader = partitions.iter().find(|it| it.id() == number).unwrap().leader();
    usize::try_from(leader - 1).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_coordinator_hangs_while_all_join_anew_loses_everything() {
    let Some(distribution) = cluster::distribution() else { return };
    // Nobody else takes over what the coordinator does.
    let plan = Plan::new(3).with("broker.session.timeout.ms", "120000");
    let brokers = tokio::task::block_in_place(|| plan.start(&distribution)).unwrap();
    let bootstrap = brokers.bootstrap();
    let config =
        KafkaConfig { replication: 3, session_timeout: SESSION, ..cluster::somewhere(bootstrap) };
    init(&config, PARTITIONS).await.unwrap();
    let group = Group::new();
    let log = KafkaLog::open(config.clone()).await.unwrap();
    let _one = group.join(&log, 1, Manner::Polite).await;
    group.until(|it| it.counts() == [4]).await;
    let absent = absent_minded(&config);
    // Two were to be given, and are served for no longer than a bound; it waits for the other one.
    group.until(|it| it.counts() == [2]).await;
    let coordinator = tokio::task::block_in_place(|| coordinator(&config));
    brokers.broker(coordinator).pause().unwrap();
    // Long before the client itself gives up on joining, and while two brokers answer.
    let lost = group.until(|it| it.lost.contains_key(&1));
    let lost = tokio::time::timeout(4 * SESSION, lost).await;
    brokers.broker(coordinator).resume().unwrap();
    assert!(lost.is_ok(), "it says that it is deaf");
    tokio::task::block_in_place(|| drop(absent));
    group.until(|it| it.counts() == [4]).await;
}
