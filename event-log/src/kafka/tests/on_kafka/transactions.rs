//! What is not committed is not seen, and who was fenced writes nothing.

use crate::conformance::{TENANT, command, record};
use crate::kafka::producer::{Message, Producer};
use crate::kafka::tests::cluster;
use crate::kafka::tests::raw::{Raw, count_of_all};
use crate::kafka::{KafkaLog, position};
use crate::port::{AppendError, EventLog, Partition, Position, Recorded, SnapshotChunk};

const PARTITION: Partition = Partition(0);

/// Everything up to the end.
async fn read_all(log: &KafkaLog) -> Vec<Recorded> {
    let end = log.end(PARTITION).await.unwrap();
    let mut reader = log.read(PARTITION, Position::START).await.unwrap();
    let mut all: Vec<Recorded> = Vec::new();
    while all.last().is_none_or(|it| it.position.next() < end) {
        all.extend(reader.next(100).await.unwrap());
    }
    all
}

#[tokio::test]
async fn aborted_records_are_seen_by_nobody_and_do_not_move_the_end() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(1).await;
    let log = topics.open().await;
    let mut writer = log.claim(PARTITION).await.unwrap();
    writer.append(command(1, 2)).await.unwrap();
    let raw = Raw::new(&topics.config, &topics.config.events());
    // More than one step of the search for the end.
    for count in [3, 500] {
        let ours = log.end(PARTITION).await.unwrap();
        raw.write(&command(100, count));
        raw.abort();
        let stranger = topics.open().await;
        assert_eq!(stranger.end(PARTITION).await.unwrap(), ours);
        assert!(stranger.read(PARTITION, ours.next()).await.is_err(), "it is beyond the end");
    }
    writer.append(command(3, 2)).await.unwrap();
    let expected = [command(1, 2), command(3, 2)].concat();
    for log in [log, topics.open().await] {
        let read = read_all(&log).await;
        assert_eq!(read.into_iter().map(|it| it.record).collect::<Vec<_>>(), expected);
    }
    // The control: what was aborted is there.
    assert_eq!(count_of_all(&topics.config, &topics.config.events()), 507);
}

#[tokio::test]
async fn an_open_transaction_holds_back_what_comes_after_it_and_loses_nothing() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(1).await;
    let log = topics.open().await;
    let mut writer = log.claim(PARTITION).await.unwrap();
    writer.append(command(1, 2)).await.unwrap();
    let before = log.end(PARTITION).await.unwrap();
    let raw = Raw::new(&topics.config, &topics.config.events());
    raw.write(&command(100, 2));
    let after = writer.append(command(3, 2)).await.unwrap();
    let (mut ours, stranger) = (log.read(PARTITION, before).await.unwrap(), topics.open().await);
    // Who wrote it knows it is there; nobody reads it before it is certain what comes before it.
    assert_eq!(log.end(PARTITION).await.unwrap(), after[1].next());
    // The control: what is stable ends before what was appended, so that whoever asks has to wait.
    let topic = topics.config.events();
    let shared = stranger.shared.clone();
    let extent = tokio::task::spawn_blocking(move || shared.scanner.extent(&topic, 0));
    assert!(position(extent.await.unwrap().unwrap().stable) <= before.next());
    let mut asking = Box::pin(stranger.end(PARTITION));
    assert!(futures::poll!(&mut asking).is_pending());
    let mut reading = Box::pin(ours.next(100));
    assert!(futures::poll!(&mut reading).is_pending());
    raw.commit();
    assert_eq!(asking.await.unwrap(), after[1].next());
    let mut found = reading.await.unwrap();
    while found.len() < 4 {
        found.extend(ours.next(100).await.unwrap());
    }
    let found: Vec<_> = found.into_iter().map(|it| it.record).collect();
    assert_eq!(found, [command(100, 2), command(3, 2)].concat());
}

#[tokio::test]
async fn a_writer_whose_partition_another_process_has_claimed_writes_nothing() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(1).await;
    let (here, there) = (topics.open().await, topics.open().await);
    let mut zombie = here.claim(PARTITION).await.unwrap();
    // The control: it can write, until the other claims.
    zombie.append(command(1, 2)).await.unwrap();
    zombie.barrier().await.unwrap();
    let mut snapshot = zombie.begin_snapshot(Position(1), 1);
    let mut owner = there.claim(PARTITION).await.unwrap();
    assert_eq!(there.end(PARTITION).await.unwrap(), here.end(PARTITION).await.unwrap());
    let fenced = zombie.append(command(100, 2)).await;
    assert!(matches!(fenced, Err(AppendError::Fenced)), "{fenced:?}");
    assert!(matches!(zombie.barrier().await, Err(AppendError::Fenced)));
    let chunk = SnapshotChunk { key: "key".to_owned(), bytes: Some(vec![1].into()) };
    assert!(matches!(snapshot.stage(vec![chunk]).await, Err(AppendError::Fenced)));
    assert!(matches!(snapshot.finish().await, Err(AppendError::Fenced)));
    owner.append(vec![record(TENANT, 3, "1/1")]).await.unwrap();
    for log in [here, there] {
        assert_eq!(read_all(&log).await.len(), 3);
        assert_eq!(log.snapshot(PARTITION, 0).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_barrier_of_a_fenced_writer_fails_although_nothing_else_was_tried() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(1).await;
    let (here, there) = (topics.open().await, topics.open().await);
    let mut zombie = here.claim(PARTITION).await.unwrap();
    zombie.barrier().await.unwrap();
    let _owner = there.claim(PARTITION).await.unwrap();
    assert!(matches!(zombie.barrier().await, Err(AppendError::Fenced)));
}

/// How many transactions are done, and how many of them may find something in flight when they commit: the
/// client's thread may stand still for longer than is waited for it. Without the wait it is one in eight.
const TRANSACTIONS: (usize, usize) = (200, 4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_in_flight_any_more_when_a_transaction_is_committed() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(1).await;
    let config = topics.config.clone();
    let committing = tokio::task::spawn_blocking(move || {
        let (id, topic) = (format!("{}-0", config.events()), config.barriers());
        let mut producer = Producer::fence(&config, &id, || None).unwrap();
        for _ in 0..TRANSACTIONS.0 {
            let message = Message {
                topic: &topic,
                partition: 0,
                key: b"key",
                value: None,
                timestamp: None,
                headers: None,
            };
            producer.transact([message].into_iter()).unwrap();
        }
        producer.flushed()
    });
    let flushed = committing.await.unwrap();
    assert!(flushed <= TRANSACTIONS.1, "{flushed} of {} had to wait", TRANSACTIONS.0);
}
