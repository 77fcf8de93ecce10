//! Too few replicas in sync, on three brokers of the test's own: writes are refused by the name of
//! what is missing, and go on by themselves once it is back.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use xtask::services::kafka::Plan;

use crate::conformance::command;
use crate::kafka::logging::Logging;
use crate::kafka::setup::settings_of_events;
use crate::kafka::tests::cluster::{self, PATIENCE_MAX};
use crate::kafka::{KafkaConfig, KafkaLog, init};
use crate::port::{AppendError, ClaimError, EventLog, LogError, Partition, Position, Writer};

const PARTITION: Partition = Partition(0);

/// How many appends are refused in a row while a broker is down: more than the client could give
/// up on in the time of this test, 10 s each.
const REFUSALS: usize = 40;

/// Makes the topic of the events, each of whose records has to be on three brokers.
async fn make_events(config: &KafkaConfig) {
    let admin: AdminClient<_> = config.client().create_with_context(Logging).unwrap();
    let events = config.events();
    let new = NewTopic::new(&events, 1, TopicReplication::Fixed(3));
    let settings = settings_of_events(config);
    let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
    let new = new.set("min.insync.replicas", "3");
    admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
}

/// Which broker, from 0, leads the partition, if any does.
pub(super) fn leader(config: &KafkaConfig) -> Option<usize> {
    let client: BaseConsumer<Logging> = config.client().create_with_context(Logging).unwrap();
    let metadata = client.fetch_metadata(Some(&config.events()), PATIENCE_MAX).unwrap();
    usize::try_from(metadata.topics()[0].partitions()[0].leader() - 1).ok()
}

/// What the log says is missing, if an error says that.
fn missing(error: &LogError) -> Option<String> {
    matches!(error, LogError::TooFewReplicas { in_sync: 2, needed: 3, .. })
        .then(|| error.to_string())
}

/// Appends until the log says what is missing.
async fn refusal(log: &KafkaLog, writer: &mut Box<dyn Writer>) -> String {
    let refused = async {
        loop {
            let error = match writer.append(command(100, 2)).await {
                // Somebody leads the partition who does not know of it yet.
                Ok(_) => panic!("two brokers took it"),
                Err(AppendError::Refused(error)) => error,
                Err(AppendError::Fenced | AppendError::Unknown(_)) => {
                    match log.claim(PARTITION).await {
                        Ok(claimed) => {
                            *writer = claimed;
                            continue;
                        }
                        Err(ClaimError::Log(error)) => error,
                        Err(error) => panic!("{error}"),
                    }
                }
            };
            if let Some(missing) = missing(&error) {
                return missing;
            }
        }
    };
    tokio::time::timeout(2 * PATIENCE_MAX, refused).await.expect("it is told in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_replicas_in_sync_are_named_and_come_back() {
    let Some(distribution) = cluster::distribution() else { return };
    let brokers = tokio::task::block_in_place(|| Plan::new(3).start(&distribution)).unwrap();
    let config = KafkaConfig { replication: 3, ..cluster::somewhere(brokers.bootstrap()) };
    make_events(&config).await;
    init(&config, 1).await.unwrap();
    let log = KafkaLog::open(config.clone()).await.unwrap();
    let mut writer = log.claim(PARTITION).await.unwrap();
    writer.append(command(1, 2)).await.unwrap();
    assert!(!log.has_too_few_replicas().await);
    let other = KafkaLog::open(config.clone()).await.unwrap();

    // The one that leads the partition. The others need not know yet how much all of them have.
    let leader = tokio::task::block_in_place(|| leader(&config)).unwrap();
    tokio::task::block_in_place(|| brokers.broker(leader).kill().unwrap());
    let told = refusal(&log, &mut writer).await;
    let words = format!(
        "partition 0 of topic `{}` has 2 of the 3 replicas in sync that writes need \
         (`min.insync.replicas`)",
        config.events()
    );
    assert!(told.starts_with(&words), "{told}");
    assert!(log.has_too_few_replicas().await);
    // From now on nobody waits for the client to give up.
    let many = async {
        for _ in 0..REFUSALS {
            assert_eq!(refusal(&log, &mut writer).await, told);
            assert!(writer.barrier().await.is_err(), "nothing rests on what cannot be written");
        }
    };
    tokio::time::timeout(PATIENCE_MAX, many).await.expect("they are refused at once");
    // Nor for a claim, also where nothing is left to be ended.
    let many = async {
        for _ in 0..REFUSALS {
            let error = log.claim(PARTITION).await.expect_err("nothing could be written after it");
            let ClaimError::Log(error) = &error else { panic!("{error}") };
            assert_eq!(missing(error).as_deref(), Some(&*told));
        }
    };
    tokio::time::timeout(PATIENCE_MAX, many).await.expect("they are refused at once, too");
    // Whoever asks where the partition ends is told, or that nobody can say.
    match other.end(PARTITION).await {
        Ok(end) => assert_eq!(end, Position(2)),
        Err(error) => assert_eq!(missing(&error).as_deref(), Some(&*told)),
    }

    // Where nobody is left who could tell, what was known before holds.
    for broker in (0..3).filter(|it| *it != leader) {
        tokio::task::block_in_place(|| brokers.broker(broker).kill().unwrap());
    }
    let error = log.end(PARTITION).await.expect_err("no broker runs");
    assert_eq!(missing(&error).as_deref(), Some(&*told), "{error}");

    tokio::task::block_in_place(|| brokers.restart().unwrap());
    let goes_on = async {
        loop {
            match writer.append(command(3, 2)).await {
                Ok(_) => return,
                Err(AppendError::Refused(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(_) => match log.claim(PARTITION).await {
                    Ok(claimed) => writer = claimed,
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                },
            }
        }
    };
    tokio::time::timeout(PATIENCE_MAX, goes_on).await.expect("it goes on by itself");
    assert!(!log.has_too_few_replicas().await);
    let mut reader = other.read(PARTITION, Position::START).await.unwrap();
    let mut found = Vec::new();
    while found.len() < 4 {
        found.extend(reader.next(10).await.unwrap().into_iter().map(|it| it.record));
    }
    assert_eq!(found, [command(1, 2), command(3, 2)].concat(), "nothing is between");
}

/// How often an append is tried: more than once, since an answer is good for 500 ms only.
const TRIES: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_to_be_short_is_refused_before_the_brokers_are_asked_and_the_writer_stays() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(1).await;
    let log = topics.open().await;
    let mut writer = log.claim(PARTITION).await.unwrap();
    writer.append(command(1, 2)).await.unwrap();
    let mut recorded = 2;
    let mut refused = None;
    for _ in 0..TRIES {
        log.shared.replicas.pretend(&topics.config.events(), 0);
        match writer.append(command(1 + recorded, 2)).await {
            Ok(_) => recorded += 2,
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    // These brokers would take it.
    let is_named = matches!(
        refused,
        Some(AppendError::Refused(LogError::TooFewReplicas { in_sync: 1, needed: 2, .. }))
    );
    assert!(is_named, "{refused:?}");
    let goes_on = async {
        while writer.append(command(1 + recorded, 2)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE_MAX, goes_on).await.expect("it was no more than that");
}
