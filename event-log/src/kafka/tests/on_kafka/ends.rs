//! A process that does not write a partition asks where it ends.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaErrorCode;
use xtask::services::kafka::Plan;

use crate::conformance::command;
use crate::kafka::logging::Logging;
use crate::kafka::scan::Scanner;
use crate::kafka::tests::cluster;
use crate::kafka::tests::on_kafka::faults::Behind;
use crate::kafka::tests::on_kafka::replicas::leader;
use crate::kafka::{KafkaConfig, KafkaLog, init, position};
use crate::port::{EventLog, Partition, Position};

const PARTITION: Partition = Partition(0);

/// How often it is asked: enough that some questions come before the marker of the append.
const ASKED: u64 = 200;

/// What is stable at present, as `log` is told.
async fn stable(log: &KafkaLog) -> Position {
    let shared = log.shared.clone();
    let asked = move || shared.scanner.extent(&shared.events, 0).unwrap().stable;
    position(tokio::task::spawn_blocking(asked).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_appended_is_before_the_end_that_another_process_is_told() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(1).await;
    let (here, there, follower) = (topics.open().await, topics.open().await, topics.open().await);
    let mut writer = here.claim(PARTITION).await.unwrap();
    let mut reader = follower.read(PARTITION, Position::START).await.unwrap();
    let following = tokio::spawn(async move {
        let mut read = 0;
        while read < ASKED * 2 {
            read += reader.next(100).await.unwrap().len() as u64;
        }
    });
    let (mut behind, mut took) = (0, [Duration::ZERO; 2]);
    for number in 0..ASKED {
        let appended = writer.append(command(number * 2 + 1, 2)).await.unwrap();
        let end = appended[1].next();
        // The control: what is stable may end before it.
        behind += u64::from(number % 4 == 0 && stable(&there).await < end);
        for (log, took) in [&there, &follower].into_iter().zip(&mut took) {
            let asked = Instant::now();
            assert_eq!(log.end(PARTITION).await.unwrap(), end, "of append {number}");
            *took += asked.elapsed();
        }
    }
    following.await.unwrap();
    let each = took.map(|it| it / u32::try_from(ASKED).unwrap());
    let told = format!(
        "an end takes {:?} where nobody follows, {:?} where somebody does; \
         {behind} of {} times what was appended was not stable yet",
        each[0],
        each[1],
        ASKED / 4
    );
    drop(writeln!(std::io::stderr(), "{told}"));
}

#[tokio::test]
async fn who_follows_a_partition_need_not_look_for_its_end() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(1).await;
    let (here, there) = (topics.open().await, topics.open().await);
    let mut writer = here.claim(PARTITION).await.unwrap();
    let mut reader = there.read(PARTITION, Position::START).await.unwrap();
    for number in 0..5 {
        let appended = writer.append(command(number * 3 + 1, 3)).await.unwrap();
        // The control: nothing is known before it has been read.
        assert!(there.shared.ends.known(PARTITION) < appended[2].next());
        assert_eq!(reader.next(100).await.unwrap().len(), 3);
        assert_eq!(there.shared.ends.known(PARTITION), appended[2].next());
        assert_eq!(there.end(PARTITION).await.unwrap(), appended[2].next());
    }
}

/// As a broker that has just started, or a partition that has just been made.
#[tokio::test]
async fn a_partition_that_no_broker_knows_yet_is_asked_for_again() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(1).await;
    let (scanner, events) = (Arc::new(Scanner::new(&topics.config)), topics.config.events());
    let consumer: BaseConsumer = topics.config.scanner().create().unwrap();
    let unknown = consumer.fetch_watermarks(&events, 1, Duration::from_secs(5)).unwrap_err();
    assert_eq!(unknown.rdkafka_error_code(), Some(RDKafkaErrorCode::UnknownPartition));
    let name = events.clone();
    let asking = tokio::task::spawn_blocking(move || scanner.high(&name, 1, || false));
    // The first question is answered long before.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!asking.is_finished());
    let admin: AdminClient<_> = topics.config.client().create_with_context(Logging).unwrap();
    let more = [NewPartitions::new(&events, 2)];
    admin.create_partitions(&more, &AdminOptions::new()).await.unwrap();
    assert_eq!(asking.await.unwrap().unwrap(), 0);
}

/// How many connections those take at most who ask where partitions end, and read them: each of two
/// clients that are asked, and of four that read, has one to whom it was told of, and one to the broker.
/// The four that read whole topics are not needed here, since nothing is in them.
const CONNECTIONS_MAX: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_ask_for_all_partitions_at_once_share_a_few_connections_also_in_vain() {
    const PARTITIONS: u32 = 32;
    let Some(behind) = Behind::start(PARTITIONS).await else { return };
    let (log, proxy) = (behind.open().await, &behind.proxy);
    let ends = async || join_all((0..PARTITIONS).map(|it| log.end(Partition(it)))).await;
    let before = proxy.connections();
    for _ in 0..3 {
        for end in ends().await {
            assert_eq!(end.unwrap(), Position::START);
        }
        for none in join_all((0..PARTITIONS).map(|it| log.snapshot(Partition(it), 1))).await {
            assert!(none.unwrap().is_none());
        }
    }
    let made = proxy.connections() - before;
    assert!(made <= CONNECTIONS_MAX, "{made} connections were made");

    // Nobody is answered, on no connection. Each client goes on trying: what is bounded is how many.
    let before = proxy.connections();
    proxy.cut_first(before);
    for _ in 0..2 {
        for end in ends().await {
            let error = end.unwrap_err();
            assert!(error.is_away(), "{error:?}");
        }
    }
    let made = proxy.connections() - before;
    proxy.mend();
    assert!(made <= PARTITIONS as usize, "{made} connections were made in vain");
    for end in ends().await {
        assert_eq!(end.unwrap(), Position::START, "afterwards everybody is answered");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_partition_ends_is_asked_of_its_next_leader_once_the_last_one_is_gone() {
    let Some(distribution) = cluster::distribution() else { return };
    let brokers = tokio::task::block_in_place(|| Plan::new(3).start(&distribution)).unwrap();
    let config = KafkaConfig { replication: 3, ..cluster::somewhere(brokers.bootstrap()) };
    init(&config, 1).await.unwrap();
    let (here, there) =
        tokio::join!(KafkaLog::open(config.clone()), KafkaLog::open(config.clone()));
    let (here, there) = (here.unwrap(), there.unwrap());
    let mut writer = here.claim(PARTITION).await.unwrap();
    let end = writer.append(command(1, 2)).await.unwrap()[1].next();
    assert_eq!(there.end(PARTITION).await.unwrap(), end);

    let last = tokio::task::block_in_place(|| leader(&config)).unwrap();
    tokio::task::block_in_place(|| brokers.broker(last).kill()).unwrap();
    let moving = async {
        while tokio::task::block_in_place(|| leader(&config)).is_none_or(|it| it == last) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(cluster::PATIENCE_MAX, moving).await.expect("another one leads it");
    // Who was told of the last one is told of the next within one question.
    assert_eq!(there.end(PARTITION).await.unwrap(), end);
}
