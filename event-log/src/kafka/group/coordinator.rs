//! Whether the broker is there that coordinates the group.
//!
//! The others know nothing of the group: while they answer and the coordinator does not, no member
//! hears of any change. It is asked by a client of its own, since a broker answers what came over
//! one connection in order, and the member's may be waiting for all to have joined.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;

use crate::kafka::config::KafkaConfig;
use crate::kafka::logging::Logging;

/// How long the coordinator may take to answer. In seconds: 1.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Asks the coordinator of the group.
#[derive(Default)]
pub(super) struct Coordinator(Option<BaseConsumer<Logging>>);

impl Coordinator {
    /// Whether it answers, whichever broker it is by now. Blocks.
    pub(super) fn answers(&mut self, config: &KafkaConfig) -> bool {
        let answered = self.ask(config);
        if let Err(error) = &answered {
            let error = error as &dyn std::error::Error;
            tracing::debug!(error, "the coordinator of the group does not say that it is there");
        }
        answered.is_ok()
    }

    fn ask(&mut self, config: &KafkaConfig) -> Result<(), KafkaError> {
        let client = match &self.0 {
            Some(client) => client,
            None => self.0.insert(config.asker().create_with_context(Logging)?),
        };
        // Nothing is ever committed to the group. Whoever can say so coordinates it.
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&config.events(), 0);
        client.committed_offsets(asked, ANSWER_MAX).map(drop)
    }
}
