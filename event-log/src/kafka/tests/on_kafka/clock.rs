//! What time it is at the brokers, which is not what this process says.

use std::time::{Duration, SystemTime};

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};

use crate::kafka::logging::Logging;
use crate::kafka::tests::cluster::{self, PATIENCE_MAX};
use crate::port::EventLog as _;

/// How far the brokers of tests, which run on this machine, may seem to be off: whole milliseconds are
/// told.
const ROUNDING: Duration = Duration::from_millis(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_say_what_time_it_is_and_never_repeat_what_they_were_told() {
    if !cluster::is_there() {
        return;
    }
    let topics = cluster::topics(1).await;
    let log = topics.open().await;
    for _ in 0..3 {
        let before = SystemTime::now();
        let there = log.time().await.unwrap().expect("they say so");
        // What is asked with says 1970.
        assert!(there + ROUNDING >= before && there <= SystemTime::now(), "{there:?}");
    }

    // The control: a topic that keeps the time of whoever writes has none of its own.
    let admin: AdminClient<_> = topics.config.client().create_with_context(Logging).unwrap();
    let barriers = topics.config.barriers();
    let resource = ResourceSpecifier::Topic(&barriers);
    let changed = AlterConfig::new(resource).set("message.timestamp.type", "CreateTime");
    admin.alter_configs([&changed], &AdminOptions::new()).await.unwrap();
    let heard = async {
        while log.time().await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE_MAX, heard).await.expect("it has no time to tell any more");
}
