//! The broker that tests run against, and topics that go away with the test.

use rdkafka::admin::{AdminClient, AdminOptions};

use crate::kafka::logging::Logging;
use crate::kafka::{KafkaConfig, Security, init};

/// Where the brokers are, if there are any.
pub(super) fn bootstrap() -> Option<String> {
    std::env::var("CALLBOARD_TEST_KAFKA").ok().filter(|it| !it.is_empty())
}

/// Whether there is a broker to test on; says so if not.
pub(super) fn is_there() -> bool {
    let there = bootstrap().is_some();
    if !there {
        #[expect(clippy::print_stderr, reason = "a test that shows nothing should say so")]
        {
            eprintln!("skipped: CALLBOARD_TEST_KAFKA names no broker");
        }
    }
    there
}

/// How to reach a log that no other test has.
pub(super) fn config() -> KafkaConfig {
    KafkaConfig {
        bootstrap: bootstrap().expect("the test asked before"),
        prefix: format!("test-{}.", crate::identity::random_hex()),
        replication: 1,
        security: Security::Plaintext,
    }
}

/// A new log of this many partitions.
pub(super) async fn topics(partitions: u32) -> Topics {
    let topics = Topics { config: config() };
    init(&topics.config, partitions).await.unwrap();
    topics
}

/// The topics of one test. Dropping it removes them.
pub(super) struct Topics {
    pub(super) config: KafkaConfig,
}

impl Drop for Topics {
    fn drop(&mut self) {
        let config = self.config.clone();
        // A thread, since this one may be in the middle of a runtime.
        let removing = std::thread::spawn(move || {
            let admin: AdminClient<_> = config.client().create_with_context(Logging).unwrap();
            let (events, snapshots, owners) =
                (config.events(), config.snapshots(), config.owners());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let names = [events.as_str(), &snapshots, &owners];
            drop(runtime.block_on(admin.delete_topics(&names, &AdminOptions::new())));
        });
        drop(removing.join());
    }
}
