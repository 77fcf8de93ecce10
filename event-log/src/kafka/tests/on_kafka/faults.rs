//! Answers that get lost, and brokers that go away, on a broker of the test's own.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use xtask::services::kafka::{Cluster, Plan};

use crate::conformance::command;
use crate::kafka::producer::losses_at;
use crate::kafka::tests::cluster;
use crate::kafka::tests::proxy::{END_TRANSACTION, INIT_PRODUCER, Proxy};
use crate::kafka::{KafkaConfig, KafkaLog, init};
use crate::port::{AppendError, EventLog, LogError, Partition, Position, Writer};

const PARTITION: Partition = Partition(0);

/// How long to wait before it is asked again. In milliseconds: 500.
const AGAIN: Duration = Duration::from_millis(500);

/// A broker that is reached through a proxy only, and a log on it.
pub(super) struct Behind {
    pub(super) cluster: Cluster,
    pub(super) proxy: Proxy,
    pub(super) config: KafkaConfig,
}

impl Behind {
    pub(super) async fn start(partitions: u32) -> Option<Self> {
        let distribution = cluster::distribution()?;
        let proxy = Proxy::start();
        let advertised = format!("PLAINTEXT://{}", proxy.address());
        let starting = tokio::task::spawn_blocking(move || {
            Plan::new(1).with("advertised.listeners", &advertised).start(&distribution)
        });
        let cluster = starting.await.unwrap().unwrap();
        proxy.forward_to(cluster.broker(0).address());
        let config = cluster::somewhere(proxy.address());
        init(&config, partitions).await.unwrap();
        Some(Self { cluster, proxy, config })
    }

    pub(super) async fn open(&self) -> KafkaLog {
        KafkaLog::open(self.config.clone()).await.unwrap()
    }
}

/// The writer of a partition, from brokers that may have only just started.
pub(super) async fn claimed(log: &KafkaLog, partition: Partition) -> Box<dyn Writer> {
    let claiming = async {
        loop {
            match log.claim(partition).await {
                Ok(writer) => return writer,
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    };
    tokio::time::timeout(cluster::PATIENCE_MAX, claiming).await.expect("it is to be had")
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(cluster::PATIENCE_MAX, waiting).await.expect(what);
}

/// How many records there are.
async fn count(log: &KafkaLog) -> usize {
    let end = log.end(PARTITION).await.unwrap();
    let mut reader = log.read(PARTITION, Position::START).await.unwrap();
    let (mut count, mut reached) = (0, Position::START);
    while reached < end {
        let found = reader.next(100).await.unwrap();
        reached = found.last().unwrap().position.next();
        count += found.len();
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_ends_well_with_another_producer_or_is_unknown() {
    let Some(behind) = Behind::start(1).await else { return };
    let (log, proxy) = (behind.open().await, &behind.proxy);
    let mut writer = log.claim(PARTITION).await.unwrap();
    // The control: where nothing is lost, the producer stays.
    let before = proxy.seen(INIT_PRODUCER);
    for number in 0..3 {
        writer.append(command(1 + 2 * number, 2)).await.unwrap();
    }
    assert_eq!(proxy.seen(INIT_PRODUCER), before);

    proxy.lose(END_TRANSACTION, 1);
    writer.append(command(7, 2)).await.unwrap();
    writer.append(command(9, 2)).await.unwrap();
    assert!(proxy.seen(INIT_PRODUCER) > before, "there is another producer");
    assert_eq!(count(&log).await, 10);

    // No answer comes until the deadline, although the first request has ended the transaction.
    proxy.lose(END_TRANSACTION, 1000);
    let unknown = writer.append(command(11, 2)).await;
    assert!(matches!(unknown, Err(AppendError::Unknown(LogError::Storage { .. }))), "{unknown:?}");
    let after = writer.append(command(100, 2)).await;
    assert!(matches!(after, Err(AppendError::Fenced)), "{after:?}");
    proxy.lose(END_TRANSACTION, 0);
    let mut writer = log.claim(PARTITION).await.unwrap();
    assert_eq!(count(&log).await, 12, "it was committed, and once");
    writer.append(command(13, 2)).await.unwrap();
    assert_eq!(count(&behind.open().await).await, 14);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_connection_was_lost_at_rest_no_loss_goes_unseen() {
    let Some(behind) = Behind::start(1).await else { return };
    let (log, proxy) = (behind.open().await, &behind.proxy);
    let mut writer = log.claim(PARTITION).await.unwrap();
    writer.append(command(1, 2)).await.unwrap();
    let before = proxy.seen(INIT_PRODUCER);
    let connections = proxy.connections();
    proxy.end_all();
    until("the client says so", || losses_at(&proxy.address()) > 0).await;
    until("it connects again", || proxy.connections() > connections).await;
    // It says nothing of the second one.
    proxy.end_all();
    writer.append(command(3, 2)).await.unwrap();
    let renewed = proxy.seen(INIT_PRODUCER);
    assert!(renewed > before, "whose silence is over");
    // The control: one loss, one other producer.
    writer.append(command(5, 2)).await.unwrap();
    assert_eq!(proxy.seen(INIT_PRODUCER), renewed);
    assert_eq!(count(&log).await, 6);
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_has_lost_its_end_is_damaged_to_who_knew_it() {
    let Some(behind) = Behind::start(1).await else { return };
    let log = behind.open().await;
    log.claim(PARTITION).await.unwrap().append(command(1, 2)).await.unwrap();
    let broker = behind.cluster.broker(0);
    let (home, kept) = (broker.log().parent().unwrap().to_owned(), TempDir::new().unwrap());
    tokio::task::block_in_place(|| {
        broker.stop().unwrap();
        copy(&home, kept.path());
        broker.restart().unwrap();
    });
    let mut writer = claimed(&log, PARTITION).await;
    writer.append(command(3, 2)).await.unwrap();
    assert_eq!(count(&log).await, 4);
    tokio::task::block_in_place(|| {
        broker.kill().unwrap();
        std::fs::remove_dir_all(&home).unwrap();
        copy(kept.path(), &home);
        broker.restart().unwrap();
    });
    let noticed = async {
        loop {
            match log.end(PARTITION).await {
                Err(LogError::Damaged { reason, .. }) => return reason,
                // The broker has only just started.
                Err(_) => tokio::time::sleep(AGAIN).await,
                Ok(end) => panic!("it ends at {end:?}, as if nothing were lost"),
            }
        }
    };
    let reason = tokio::time::timeout(cluster::PATIENCE_MAX, noticed).await.expect("it is told");
    assert!(reason.contains("have lost it"), "{reason}");
    assert!(log.claim(PARTITION).await.is_err(), "nobody may write after what is gone");
    let late = writer.append(command(100, 2)).await;
    assert!(late.is_err(), "{late:?}");
    // The control: who never knew more sees nothing wrong.
    assert_eq!(count(&behind.open().await).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_lost_a_request_does_not_go_on_where_another_one_has_written() {
    let Some(behind) = Behind::start(1).await else { return };
    let (here, there) = (behind.open().await, behind.open().await);
    let mut writer = here.claim(PARTITION).await.unwrap();
    writer.append(command(1, 2)).await.unwrap();
    behind.proxy.lose(END_TRANSACTION, 1);
    writer.append(command(3, 2)).await.unwrap();
    // It needs another producer now. Before it takes one, somebody else comes, and this process
    // hears of it.
    let mut other = there.claim(PARTITION).await.unwrap();
    other.append(command(5, 2)).await.unwrap();
    assert_eq!(count(&here).await, 6);
    let after = writer.append(command(100, 2)).await;
    assert!(matches!(after, Err(AppendError::Fenced)), "{after:?}");
    assert_eq!(count(&there).await, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_goes_and_comes_back_leaves_a_log_that_goes_on() {
    let Some(behind) = Behind::start(1).await else { return };
    let log = behind.open().await;
    let mut writer = log.claim(PARTITION).await.unwrap();
    writer.append(command(1, 2)).await.unwrap();
    let mut follower = log.read(PARTITION, Position::START).await.unwrap();
    assert_eq!(follower.next(10).await.unwrap().len(), 2);

    tokio::task::block_in_place(|| behind.cluster.broker(0).kill().unwrap());
    // With its connection went what may have been under way: it asks for another producer in vain.
    let lost = writer.append(command(100, 2)).await;
    assert!(matches!(lost, Err(AppendError::Fenced)), "{lost:?}");
    let refused = log.claim(PARTITION).await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("claiming `"), "{refused}");
    let end = log.end(PARTITION).await.unwrap_err().to_string();
    assert!(end.contains("asking where"), "{end}");

    tokio::task::block_in_place(|| behind.cluster.broker(0).restart().unwrap());
    let mut writer = claimed(&log, PARTITION).await;
    writer.append(command(3, 2)).await.unwrap();
    // The same reader, over the same consumer.
    assert_eq!(follower.next(10).await.unwrap()[0].record, command(3, 2)[0]);
    assert_eq!(count(&log).await, 4);
}

/// How long the coordinator remembers an id that writes nothing. In milliseconds: 4,000, enough for a
/// transaction on a busy machine, where it is a week unless somebody says otherwise.
const REMEMBERED_MS: u64 = 4_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_whose_id_the_brokers_have_forgotten_is_refused_once_and_still_fenced() {
    let Some(distribution) = cluster::distribution() else { return };
    let starting = tokio::task::spawn_blocking(move || {
        let remembered = REMEMBERED_MS.to_string();
        Plan::new(1)
            .with("transactional.id.expiration.ms", &remembered)
            .with("transaction.remove.expired.transaction.cleanup.interval.ms", "100")
            .with("producer.id.expiration.ms", &remembered)
            .with("producer.id.expiration.check.interval.ms", "100")
            .start(&distribution)
    });
    let brokers = starting.await.unwrap().unwrap();
    let config = cluster::somewhere(brokers.bootstrap());
    init(&config, 1).await.unwrap();
    let log = KafkaLog::open(config.clone()).await.unwrap();
    let mut writer = claimed(&log, PARTITION).await;
    let (mut written, mut rest) = (0, Duration::from_millis(2 * REMEMBERED_MS));
    let forgotten = loop {
        tokio::time::sleep(rest).await;
        match writer.append(command(written + 1, 2)).await {
            Ok(_) => written += 2,
            Err(error) => break error,
        }
        rest *= 2;
        assert!(rest < cluster::PATIENCE_MAX, "it is remembered for ever");
    };
    // Nothing was written, and nobody else has come: the producer takes its id again by itself.
    assert!(matches!(forgotten, AppendError::Refused(_)), "{forgotten:?}");
    writer.append(command(written + 1, 2)).await.unwrap();
    written += 2;

    // Who was forgotten and then succeeded does not take it again.
    tokio::time::sleep(rest).await;
    let other = KafkaLog::open(config).await.unwrap();
    let mut next = claimed(&other, PARTITION).await;
    next.append(command(written + 1, 2)).await.unwrap();
    written += 2;
    let late = writer.append(command(written + 1, 2)).await;
    assert!(matches!(late, Err(AppendError::Fenced)), "{late:?}");
    next.append(command(written + 1, 2)).await.unwrap();
    written += 2;
    assert_eq!(count(&log).await, usize::try_from(written).unwrap());

    // Nor does one who was forgotten together with whoever came after it.
    let mut last = claimed(&log, PARTITION).await;
    last.append(command(written + 1, 2)).await.unwrap();
    written += 2;
    tokio::time::sleep(rest).await;
    let forgotten = next.append(command(written + 1, 2)).await;
    assert!(matches!(forgotten, Err(AppendError::Refused(_))), "{forgotten:?}");
    let late = next.append(command(written + 1, 2)).await;
    assert!(matches!(late, Err(AppendError::Fenced)), "{late:?}");
    assert_eq!(count(&log).await, usize::try_from(written).unwrap());
}
