//! What a reader makes of a partition that is not as it should be, and what readers share.

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions};

use crate::conformance::{TENANT, command, record};
use crate::kafka::logging::Logging;
use crate::kafka::tests::cluster::{self, Topics};
use crate::kafka::tests::raw::Raw;
use crate::port::{EventLog, LogError, Partition, Position};
use crate::record::Record;

const PARTITION: Partition = Partition(0);

/// A log into which somebody wrote `records` past us.
async fn written(records: &[Record]) -> Topics {
    let topics = cluster::topics(1).await;
    let raw = Raw::new(&topics.config, &topics.config.events());
    raw.write(records);
    raw.commit();
    topics
}

/// Reads from `from` until something is wrong, and says how many records came before.
async fn until_damage(topics: &Topics, from: Position) -> (usize, String) {
    let log = topics.open().await;
    let mut reader = log.read(PARTITION, from).await.unwrap();
    let mut read = 0;
    loop {
        match reader.next(100).await {
            Ok(found) => read += found.len(),
            Err(LogError::Damaged { place, reason }) => {
                return (read, format!("{place}: {reason}"));
            }
            Err(other) => panic!("expected damage, got {other}"),
        }
    }
}

#[tokio::test]
async fn a_command_that_is_torn_is_refused_where_it_tears() {
    if !cluster::is_there() {
        return;
    }
    let piece = |number, place| record(TENANT, number, place);
    let torn = [piece(1, "1/2"), piece(2, "2/2"), piece(3, "1/3"), piece(4, "2/3")];
    // Another command begins, the next piece is not the one that is due, nothing comes.
    for (next, part) in [
        (Some("1/1"), "record 3/3 of it is due, and this is 1/1"),
        (Some("4/4"), "is 4/4"),
        (None, "the log ends"),
    ] {
        let next = next.map(|it| piece(5, it));
        let records: Vec<_> = torn.iter().cloned().chain(next).collect();
        let topics = written(&records).await;
        let (read, reason) = until_damage(&topics, Position::START).await;
        assert_eq!(read, 2, "the whole command comes before");
        let place = format!("topic {}, partition 0, offset ", topics.config.events());
        assert!(reason.contains(&place) && reason.contains(part), "{reason}");
    }
    // The control: the missing piece makes it whole.
    let records: Vec<_> = torn.into_iter().chain([piece(5, "3/3")]).collect();
    let topics = written(&records).await;
    let log = topics.open().await;
    let mut reader = log.read(PARTITION, Position::START).await.unwrap();
    let mut read = 0;
    while read < 5 {
        read += reader.next(1).await.unwrap().len();
    }
    let (read, reason) = {
        let topics = written(&records[3..4]).await;
        until_damage(&topics, Position::START).await
    };
    assert!(read == 0 && reason.contains("record 1/3 of it is due"), "{reason}");
}

#[tokio::test]
async fn a_message_that_is_no_record_is_named() {
    if !cluster::is_there() {
        return;
    }
    let topics = written(&command(1, 2)).await;
    Raw::new(&topics.config, &topics.config.events()).write_nonsense();
    let (read, reason) = until_damage(&topics, Position::START).await;
    assert_eq!(read, 2);
    assert!(reason.contains("offset 3: it has no headers"), "{reason}");
}

#[tokio::test]
async fn records_that_were_deleted_are_missed() {
    if !cluster::is_there() {
        return;
    }
    let topics = written(&[command(1, 2), command(3, 2)].concat()).await;
    let admin: AdminClient<_> = topics.config.client().create_with_context(Logging).unwrap();
    let mut upto = TopicPartitionList::new();
    upto.add_partition_offset(&topics.config.events(), 0, Offset::Offset(2)).unwrap();
    admin.delete_records(&upto, &AdminOptions::new()).await.unwrap();
    let (read, reason) = until_damage(&topics, Position::START).await;
    assert!(read == 0 && reason.contains("offset 0: it is not there"), "{reason}");
    // The control: what was left is there.
    let log = topics.open().await;
    let mut reader = log.read(PARTITION, Position(2)).await.unwrap();
    assert_eq!(reader.next(100).await.unwrap().len(), 2);
}

#[tokio::test]
async fn readers_share_as_many_consumers_as_one_partition_has_readers() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(8).await;
    let log = topics.open().await;
    let mut readers = Vec::new();
    for partition in (0..8).map(Partition) {
        let mut writer = log.claim(partition).await.unwrap();
        writer.append(command(1, 2)).await.unwrap();
        for _ in 0..3 {
            let mut reader = log.read(partition, Position::START).await.unwrap();
            assert_eq!(reader.next(10).await.unwrap().len(), 2);
            readers.push(reader);
        }
    }
    assert_eq!((readers.len(), log.shared.readers.consumers()), (24, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_partition_of_a_wide_log_has_as_many_readers_as_it_needs_and_no_more_than_that() {
    const PARTITIONS: u32 = 64;
    /// Two sets of five read models, who tells of what is new, the write side, a claim, live streams, a
    /// reaction and what comes once in a while.
    const NEEDED: u32 = 16;
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(PARTITIONS).await;
    let log = topics.open().await;
    let shared = &log.shared;
    let mut leases = Vec::new();
    for _ in 0..NEEDED {
        for partition in (0..PARTITIONS).map(Partition) {
            leases.push(shared.readers.lease(partition, Position::START).unwrap());
        }
    }
    let refused = loop {
        let next = Partition(u32::try_from(leases.len()).unwrap() % PARTITIONS);
        match shared.readers.lease(next, Position::START) {
            Ok(lease) => leases.push(lease),
            Err(error) => break error,
        }
    };
    assert_eq!(leases.len(), 20 * PARTITIONS as usize);
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("or 1280 in all already"), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_are_given_back_are_there_for_whoever_comes_next() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(1).await;
    let log = topics.open().await;
    for _ in 0..3 {
        let lease = |_| log.shared.readers.lease(Partition(0), Position::START).unwrap();
        let leases: Vec<_> = (0..crate::READERS_OF_ONE_MAX).map(lease).collect();
        drop(leases);
    }
}
