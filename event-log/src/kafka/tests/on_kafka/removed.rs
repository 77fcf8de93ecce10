//! A topic that somebody removes while the log is open.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};

use crate::conformance::command;
use crate::kafka::init;
use crate::kafka::logging::Logging;
use crate::kafka::tests::cluster::{self, PATIENCE_MAX};
use crate::port::{AppendError, ClaimError, EventLog, LogError, Partition};

const PARTITION: Partition = Partition(0);

/// Whether an error says that `topic` is gone.
#[track_caller]
fn names(error: &LogError, topic: &str) {
    assert!(matches!(error, LogError::Gone { .. }), "{error}");
    assert!(error.to_string().contains(topic), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_removed_is_named_and_what_is_made_in_its_place_is_another_log() {
    if !cluster::is_there() {
        return;
    }
    for which in 0..4 {
        let topics = cluster::topics(1).await;
        let config = &topics.config;
        let all = [config.events(), config.owners(), config.snapshots(), config.barriers()];
        let topic = all[which].as_str();
        let log = topics.open().await;
        let mut writer = log.claim(PARTITION).await.unwrap();
        writer.append(command(1, 2)).await.unwrap();
        assert!(!log.is_gone());

        let admin: AdminClient<_> = config.client().create_with_context(Logging).unwrap();
        admin.delete_topics(&[topic], &AdminOptions::new()).await.unwrap();
        // Also where nobody needs it at present.
        let noticed = async {
            while !log.is_gone() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE_MAX, noticed).await.expect("it is noticed");
        for is_made_anew in [false, true] {
            if is_made_anew {
                init(config, 1).await.unwrap();
            }
            let Err(AppendError::Refused(error)) = writer.append(command(3, 2)).await else {
                panic!("it is refused: {topic}")
            };
            names(&error, topic);
            let Err(AppendError::Refused(error)) = writer.barrier().await else {
                panic!("nothing rests on it: {topic}")
            };
            names(&error, topic);
            let Err(ClaimError::Log(error)) = log.claim(PARTITION).await else {
                panic!("nobody claims it: {topic}")
            };
            names(&error, topic);
            names(&log.end(PARTITION).await.unwrap_err(), topic);
        }
        assert!(log.is_gone());
        if which > 0 {
            // Whoever opens it then finds what is there.
            let reopened = topics.open().await;
            assert!(!reopened.is_gone());
        }
    }
}
