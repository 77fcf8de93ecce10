//! What each topic of a log must be like, and what a cluster makes of it.

use std::fmt;

use rdkafka::admin::ConfigResource;
use rdkafka::metadata::MetadataTopic;

use crate::kafka::config::{KafkaConfig, MESSAGE_BYTES_MAX};
use crate::kafka::replicas::TRANSACTIONS;

/// A setting of the cluster that would break a promise of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenPromise {
    /// What the setting is of, in words.
    pub of: String,
    /// The setting by its name.
    pub setting: String,
    /// Its value.
    pub found: String,
    /// What the value must be.
    pub needed: String,
}

impl fmt::Display for BrokenPromise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, setting, found, needed } = self;
        write!(f, "`{setting}` of {of} is {found}, needed: {needed}")
    }
}

/// What is asked of one topic.
#[derive(Debug)]
pub(super) struct Promise {
    pub(super) topic: String,
    pub(super) partitions: u32,
    replication: u32,
    asked: Vec<(&'static str, Need)>,
    /// Settings that new topics get but that promise nothing.
    besides: Vec<(&'static str, &'static str)>,
}

/// What a value must be.
#[derive(Debug)]
enum Need {
    Exactly(&'static str),
    AtLeast(String),
}

impl Need {
    fn value(&self) -> &str {
        match self {
            Self::Exactly(value) => value,
            Self::AtLeast(value) => value,
        }
    }

    fn is_met(&self, found: &str) -> bool {
        match self {
            Self::Exactly(value) => found == *value,
            Self::AtLeast(least) => found
                .parse::<u64>()
                .ok()
                .zip(least.parse().ok())
                .is_some_and(|(it, least)| it >= least),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(value) => f.write_str(value),
            Self::AtLeast(value) => write!(f, "at least {value}"),
        }
    }
}

impl Promise {
    /// What is asked of the topics of a log.
    pub(super) fn all(config: &KafkaConfig, partitions: u32) -> Vec<Self> {
        let events = [
            ("cleanup.policy", Need::Exactly("delete")),
            ("retention.ms", Need::Exactly("-1")),
            ("retention.bytes", Need::Exactly("-1")),
            ("message.timestamp.type", Need::Exactly("CreateTime")),
        ];
        let compacted = || [("cleanup.policy", Need::Exactly("compact"))];
        // Recorded time may be what a test or an import says it is.
        let free_time = ("message.timestamp.after.max.ms", "9223372036854775807");
        let compaction = [("min.compaction.lag.ms", "3600000"), ("segment.bytes", "134217728")];
        // By it processes tell whether their clocks are right.
        let stamped = [("message.timestamp.type", Need::Exactly("LogAppendTime"))];
        let passing = [("retention.ms", "3600000"), ("segment.bytes", "16777216")];
        vec![
            Self::new(config, config.events(), partitions, events, &[free_time]),
            Self::new(config, config.snapshots(), partitions, compacted(), &compaction),
            Self::new(config, config.barriers(), partitions, stamped, &passing),
            Self::new(config, config.owners(), 1, compacted(), &[]),
        ]
    }

    /// What is asked of the topic in which brokers keep what became of transactions.
    pub(super) fn transactions(config: &KafkaConfig) -> Self {
        let compacted = [("cleanup.policy", Need::Exactly("compact"))];
        let mut this = Self::new(config, TRANSACTIONS.to_owned(), 0, compacted, &[]);
        this.asked.retain(|it| it.0 != "max.message.bytes");
        this
    }

    fn new<const COUNT: usize>(
        config: &KafkaConfig,
        topic: String,
        partitions: u32,
        asked: [(&'static str, Need); COUNT],
        besides: &[(&'static str, &'static str)],
    ) -> Self {
        // A majority: what was acknowledged outlives any one broker if there are three.
        let in_sync = config.replication / 2 + 1;
        let everywhere = [
            ("min.insync.replicas", Need::AtLeast(in_sync.to_string())),
            ("unclean.leader.election.enable", Need::Exactly("false")),
            ("max.message.bytes", Need::AtLeast(MESSAGE_BYTES_MAX.to_string())),
        ];
        Self {
            topic,
            partitions,
            replication: config.replication,
            asked: everywhere.into_iter().chain(asked).collect(),
            besides: besides.to_vec(),
        }
    }

    /// The settings a new topic gets.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let asked = self.asked.iter().map(|(name, need)| (*name, need.value()));
        asked.chain(self.besides.iter().copied())
    }
}

/// What the cluster says about a topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Topic {
    pub(super) partitions: u32,
    /// The replicas of the partition that has the fewest.
    replication: u32,
    /// Whether every partition has a leader.
    pub(super) is_led: bool,
}

impl Topic {
    pub(super) fn of(metadata: &MetadataTopic) -> Self {
        let count = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
        let partitions = metadata.partitions();
        let replication = partitions.iter().map(|it| count(it.replicas().len())).min();
        Self {
            partitions: count(partitions.len()),
            replication: replication.unwrap_or_default(),
            is_led: !partitions.is_empty() && partitions.iter().all(|it| it.leader() >= 0),
        }
    }
}

/// What of `promise` the cluster does not keep.
pub(super) fn broken(
    promise: &Promise,
    topic: Option<&Topic>,
    settings: Option<&ConfigResource>,
) -> Vec<BrokenPromise> {
    let of = format!("topic `{}`", promise.topic);
    let broken = |setting: &str, found: String, needed: String| BrokenPromise {
        of: of.clone(),
        setting: setting.to_owned(),
        found,
        needed,
    };
    let mut all = Vec::new();
    let found = topic.map_or(0, |it| it.partitions);
    if promise.partitions > 0 && found != promise.partitions {
        all.push(broken("partitions", found.to_string(), promise.partitions.to_string()));
    }
    let replication = topic.map_or(0, |it| it.replication);
    if replication < promise.replication {
        let needed = format!("at least {}", promise.replication);
        all.push(broken("replication", replication.to_string(), needed));
    }
    for (name, need) in &promise.asked {
        let value = settings.and_then(|it| it.get(name)).and_then(|it| it.value.as_deref());
        if !value.is_some_and(|it| need.is_met(it)) {
            let found = value.unwrap_or("not to be read").to_owned();
            all.push(broken(name, found, need.to_string()));
        }
    }
    all
}
