//! The broker that tests run against, and topics that go away with the test.

use std::io::Write as _;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use xtask::services::kafka::Distribution;
use xtask::services::{KAFKA, KAFKA_LIBS};

use crate::kafka::logging::Logging;
use crate::kafka::{KafkaConfig, KafkaLog, SESSION_TIMEOUT, Security, init};

/// How long anything may take that must come. In seconds: 60.
pub(super) const PATIENCE_MAX: Duration = Duration::from_secs(60);

/// Whether there is a broker to test on; says so if not.
pub(super) fn is_there() -> bool {
    given(KAFKA).is_some()
}

/// What brokers of a test's own are started from.
pub(super) fn distribution() -> Option<Distribution> {
    given(KAFKA_LIBS).map(Distribution::at)
}

fn given(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|it| !it.is_empty());
    if value.is_none() {
        // Nobody may be reading.
        drop(writeln!(std::io::stderr(), "skipped: `{variable}` is not set"));
    }
    value
}

/// How to reach a log that no other test has, on the broker that is shared.
pub(super) fn config() -> KafkaConfig {
    somewhere(given(KAFKA).expect("the test asked before"))
}

/// The same on other brokers.
pub(super) fn somewhere(bootstrap: String) -> KafkaConfig {
    let prefix = format!("test-{}.", crate::identity::random_hex());
    KafkaConfig {
        bootstrap,
        prefix,
        replication: 1,
        session_timeout: SESSION_TIMEOUT,
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

impl Topics {
    /// The log on these topics, as another process would open it.
    pub(super) async fn open(&self) -> KafkaLog {
        KafkaLog::open(self.config.clone()).await.unwrap()
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        let config = self.config.clone();
        // A thread, since this one may be in the middle of a runtime.
        let removing = std::thread::spawn(move || {
            let admin: AdminClient<_> = config.client().create_with_context(Logging).unwrap();
            let topics = [config.events(), config.snapshots(), config.barriers(), config.owners()];
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let names = topics.each_ref().map(String::as_str);
            drop(runtime.block_on(admin.delete_topics(&names, &AdminOptions::new())));
        });
        drop(removing.join());
    }
}
