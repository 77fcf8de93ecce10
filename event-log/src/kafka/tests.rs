//! The adapter against a real broker: the contract, and what only Kafka can do wrong.
//!
//! The tests on a broker are in `on_kafka`. They return at once, and say so, where
//! `CALLBOARD_TEST_KAFKA` does not name one.

mod cluster;

mod on_kafka {
    use std::sync::Arc;

    use super::cluster::{self, Topics};
    use crate::kafka::KafkaLog;

    /// An empty log on topics of its own.
    async fn log() -> (Arc<KafkaLog>, Topics) {
        let topics = cluster::topics(2).await;
        (Arc::new(KafkaLog::open(topics.config.clone()).await.unwrap()), topics)
    }

    crate::conformance_tests!({
        if !cluster::is_there() {
            return;
        }
        log().await
    });
}
