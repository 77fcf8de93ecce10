//! `callboard kafka`: the topics of a log on Kafka, made and checked.

use anyhow::{Context, Result};
use event_log::kafka;
use serde::Serialize;

use crate::cli::Kafka;
use crate::config::Config;
use crate::output::{self, Format};

/// What is on the cluster.
#[derive(Debug, Serialize)]
struct Report {
    prefix: String,
    incarnation: String,
    partitions: u32,
    replication: u32,
}

/// Makes what is missing on the cluster, unless it is only to be checked, and says what is there.
///
/// # Errors
///
/// If the cluster breaks a promise, or cannot be reached.
pub(crate) async fn run(config: &Config, format: Format, what: &Kafka) -> Result<()> {
    let Kafka::Init { partitions, replication, check } = what;
    let mut cluster = config.log.kafka.cluster()?;
    cluster.replication = replication.unwrap_or(cluster.replication);
    let found = if *check {
        kafka::check(&cluster).await.context("the log on Kafka is not fit for use")?
    } else {
        kafka::init(&cluster, *partitions).await.context("the log on Kafka is not fit for use")?
    };
    let report = Report {
        prefix: cluster.prefix,
        incarnation: found.incarnation,
        partitions: found.partitions,
        replication: cluster.replication,
    };
    output::result(format, &report, |it| {
        let Report { prefix, incarnation, partitions, replication } = it;
        format!(
            "The log {incarnation} on topics `{prefix}events`, `{prefix}snapshots`, \
             `{prefix}barriers` and `{prefix}owners`: {partitions} partitions, kept {replication} times; every promise \
             is kept"
        )
    })
}
