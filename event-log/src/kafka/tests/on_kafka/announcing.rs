//! Where partitions are served is told by their owners alone, and to everybody.

use crate::kafka::KafkaLog;
use crate::kafka::tests::cluster;
use crate::kafka::tests::raw::Raw;
use crate::port::{AppendError, EventLog, Partition};

const PARTITION: Partition = Partition(1);

/// Waits until `log` has heard that the partition is served at `address`.
async fn hears(log: &KafkaLog, address: &str) {
    let mut owners = log.owners();
    let is_told = owners.wait_for(|it| it[1].as_deref() == Some(address));
    let told = tokio::time::timeout(cluster::PATIENCE_MAX, is_told).await;
    told.expect("it is told in time").expect("the log is open");
}

#[tokio::test]
async fn announcements_reach_other_logs_and_those_that_are_opened_later() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(2).await;
    let (here, there) = (topics.open().await, topics.open().await);
    let mut writer = here.claim(PARTITION).await.unwrap();
    writer.announce("here:1").await.unwrap();
    assert_eq!(here.owners().borrow()[1].as_deref(), Some("here:1"));
    hears(&there, "here:1").await;
    let later = topics.open().await;
    assert_eq!(**later.owners().borrow(), [None, Some("here:1".into())]);
    let mut writer = there.claim(PARTITION).await.unwrap();
    for number in 0..10 {
        let address = format!("there:{number}");
        writer.announce(&address).await.unwrap();
        hears(&here, &address).await;
        hears(&later, &address).await;
    }
    assert_eq!(here.end(PARTITION).await.unwrap().0, 0, "nothing of it is an event");
}

#[tokio::test]
async fn who_was_fenced_cannot_announce() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(2).await;
    let (here, there) = (topics.open().await, topics.open().await);
    let mut zombie = here.claim(PARTITION).await.unwrap();
    zombie.announce("zombie:1").await.unwrap();
    let mut owner = there.claim(PARTITION).await.unwrap();
    for _ in 0..2 {
        let fenced = zombie.announce("zombie:2").await;
        assert!(matches!(fenced, Err(AppendError::Fenced)), "{fenced:?}");
    }
    owner.announce("owner:1").await.unwrap();
    hears(&here, "owner:1").await;
    assert_eq!(topics.open().await.owners().borrow()[1].as_deref(), Some("owner:1"));
    // The control: what is not written with the partition's own producer passes every fence.
    Raw::new(&topics.config, &topics.config.owners()).announce(PARTITION, "zombie:3");
    hears(&here, "zombie:3").await;
    hears(&there, "zombie:3").await;
}
