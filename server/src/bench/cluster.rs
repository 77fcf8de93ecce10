//! The rows that need a Kafka cluster and a PostgreSQL database: those that the settings name, with
//! topics of a prefix of their own, and tables in a database that should be empty.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use commands::Request;
use event_log::kafka::{self, BareProducer, KafkaConfig};
use event_log::{EventLog, KafkaLog, Partition, Record};

use super::child::processor_time_of;
use super::in_process::{InProcess, tenant};
use super::load::closed_loop;
use super::mixed::{self, Target};
use super::write_side::{register, sample};
use super::{Extent, Row, Verdict, handover, percent, rate};
use crate::config::{Config, StorageKind};
use crate::folder::{Folder, Purpose};

/// How often the log and the baseline take turns.
const TURNS: u32 = 4;

/// How much of the rate of a bare producer is to be reached. In percent: 70.
const SHARE_MIN: u64 = 70;

/// Measures all of them.
///
/// # Errors
///
/// If a service cannot be reached, or a part does not start.
pub(crate) async fn rows(config: &Config, scratch: &Path, extent: &Extent) -> Result<Vec<Row>> {
    let (log, cluster) = made(config, "commands", 1).await?;
    let folder = Folder::open(&scratch.join("commands"), Purpose::Serve)?;
    let write_side = InProcess::with(folder, log.clone()).await?;
    let (mut rows, most) = commanded(&write_side, extent.seconds).await?;
    write_side.commands.stop().await;
    drop(write_side);
    let records = sample(log.as_ref()).await?;
    let (appends, bare) = appended(config, &cluster, records, extent.seconds).await?;
    if let Some(row) = rows.last_mut() {
        let share = percent(most, bare);
        row.baseline = format!("{share} % of the bare producer below");
        (row.target, row.verdict) = (">= 70 %", Verdict::of(share >= SHARE_MIN));
    }
    rows.push(appends);

    let (log, _) = made(config, "mixed", extent.partitions).await?;
    let folder = Folder::open(&scratch.join("mixed"), Purpose::Serve)?;
    let tables = config.storage.tables(folder.models())?;
    let write_side = InProcess::with(folder, log).await?;
    let target = Target {
        what: "all read models from mixed events, Kafka to PostgreSQL",
        words: "1M in <= 60 s",
        rate_min: 16_667,
    };
    rows.push(mixed::rebuilt_in(write_side, tables, extent.events, &target).await?);
    if config.storage.read_models == StorageKind::Postgresql {
        let (log, cluster) = made(config, "handover", extent.partitions).await?;
        let folder = scratch.join("handover");
        rows.extend(handover::rows(config, log, cluster.prefix, &folder, extent).await?);
    }
    Ok(rows)
}

/// A new log on the cluster, with topics that nobody else uses.
async fn made(
    config: &Config,
    name: &str,
    partitions: u32,
) -> Result<(Arc<dyn EventLog>, KafkaConfig)> {
    let mut cluster = config.log.kafka.cluster()?;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_millis();
    cluster.prefix = format!("{}bench-{now}-{name}.", cluster.prefix);
    kafka::init(&cluster, partitions).await.context("the topics cannot be made")?;
    let log = KafkaLog::open(cluster.clone()).await.context("the log cannot be opened")?;
    Ok((Arc::new(log), cluster))
}

/// How long commands take with few and with many callers, and how many are done in a second with most.
async fn commanded(write_side: &InProcess, seconds: Duration) -> Result<(Vec<Row>, u64)> {
    let member = tenant(&write_side.commands, "bench").await?;
    let next = Arc::new(AtomicU64::new(0));
    let (mut rows, mut most) = (Vec::new(), 0);
    for (callers, what) in [
        (1, "durable commands in process on Kafka, 1 caller"),
        (64, "durable commands in process on Kafka, 64 callers"),
        (256, "durable commands in process on Kafka, 256 callers"),
    ] {
        let (commands, member, next) = (write_side.commands.clone(), member.clone(), next.clone());
        let measured = closed_loop(callers, seconds, move |_, _| {
            let operation = register(next.fetch_add(1, Ordering::Relaxed));
            let (commands, member) = (commands.clone(), member.clone());
            async move {
                commands.submit(&member, Request::new(operation)).await?;
                Ok(())
            }
        });
        let measured = measured.await?;
        most = rate(measured.count, measured.took);
        rows.push(Row {
            what,
            measured: format!(
                "{most}/s, p50 {}, p99 {}",
                measured.quantile_ms(0.5),
                measured.quantile_ms(0.99)
            ),
            baseline: "-".to_owned(),
            target: "-",
            verdict: Verdict::None,
        });
    }
    Ok((rows, most))
}

/// What came of one side of a comparison.
#[derive(Default)]
struct Figures {
    count: u64,
    took: Duration,
    cpu: Duration,
}

impl Figures {
    fn rate(&self) -> u64 {
        rate(self.count, self.took)
    }

    /// Processor time of this process for each event, in nanoseconds.
    fn cpu_ns(&self) -> u64 {
        u64::try_from(self.cpu.as_nanos()).unwrap_or(u64::MAX) / self.count.max(1)
    }
}

/// The log's writer against a bare transactional producer with the same batches, in turns, and how many
/// records that one appends in a second.
async fn appended(
    config: &Config,
    cluster: &KafkaConfig,
    records: Vec<Record>,
    seconds: Duration,
) -> Result<(Row, u64)> {
    let (log, _) = made(config, "log", 1).await?;
    let cluster = cluster.clone();
    let bare = tokio::task::spawn_blocking(move || BareProducer::connect(&cluster)).await??;
    let (bare, records) = (Arc::new(bare), Arc::new(records));
    let (mut ours, mut theirs) = (Figures::default(), Figures::default());
    for _ in 0..TURNS {
        let mut writer = log.claim(Partition(0)).await?;
        let (began, cpu) = (Instant::now(), processor_time_of("self")?);
        while began.elapsed() < seconds / TURNS {
            ours.count += writer.append(records.to_vec()).await?.len() as u64;
        }
        ours.took += began.elapsed();
        ours.cpu += processor_time_of("self")?.saturating_sub(cpu);
        drop(writer);

        let (began, cpu) = (Instant::now(), processor_time_of("self")?);
        let (bare, records) = (bare.clone(), records.clone());
        let appended = tokio::task::spawn_blocking(move || {
            let mut count = 0;
            while began.elapsed() < seconds / TURNS {
                bare.append(&records)?;
                count += records.len() as u64;
            }
            anyhow::Ok(count)
        });
        theirs.count += appended.await??;
        theirs.took += began.elapsed();
        theirs.cpu += processor_time_of("self")?.saturating_sub(cpu);
    }
    let (share, cost) =
        (percent(ours.rate(), theirs.rate()), percent(ours.cpu_ns(), theirs.cpu_ns()));
    let row = Row {
        what: "appends to Kafka, batches of 256",
        measured: format!(
            "{}/s ({share} %), {} ns CPU each ({cost} %)",
            ours.rate(),
            ours.cpu_ns()
        ),
        baseline: format!(
            "bare transactional producer, same batches: {}/s, {} ns CPU each",
            theirs.rate(),
            theirs.cpu_ns()
        ),
        target: ">= 70 % of the rate, <= 2x the CPU",
        verdict: Verdict::of(share >= SHARE_MIN && cost <= 200),
    };
    Ok((row, theirs.rate()))
}
