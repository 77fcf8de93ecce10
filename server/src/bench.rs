//! Measuring: what a target says, what came out, and what it was compared with.
//!
//! The server is measured as a process of its own, through its doors, by a load generator on
//! the same machine; CPU per operation is the server's alone. Nothing here is a test: a missed
//! target is printed as missed.

mod child;
mod cluster;
mod handover;
mod identities;
mod in_process;
mod load;
mod mixed;
mod over_http;
mod write_side;
mod yardstick;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::cli::Bench;
use crate::config::Config;
use crate::output;

/// One measured target.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub what: &'static str,
    /// What came out.
    pub measured: String,
    /// What it was compared with, in the same run unless a source is named.
    pub baseline: String,
    /// The target.
    pub target: &'static str,
    /// Whether it was met.
    pub verdict: Verdict,
}

/// Whether a target was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It was.
    Met,
    /// It was not.
    Missed,
    /// It was, by less than it speaks of: `--thorough` measures all of it.
    #[serde(rename = "met so far")]
    SoFar,
    /// There is none.
    None,
}

impl Verdict {
    /// Met if `is_met`.
    pub(crate) fn of(is_met: bool) -> Self {
        if is_met { Self::Met } else { Self::Missed }
    }

    /// The same where only `measured` was looked at of the `whole` that the target speaks of.
    pub(crate) fn of_part(is_met: bool, measured: u64, whole: u64) -> Self {
        match Self::of(is_met) {
            Self::Met if measured < whole => Self::SoFar,
            verdict => verdict,
        }
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// How long a row runs.
    pub seconds: Duration,
    /// How long usage is ingested.
    pub ingest: Duration,
    /// How many events the read models are rebuilt from.
    pub events: u64,
    /// How many usage identities are remembered.
    pub identities: u64,
    /// How often a process that owns partitions is stopped.
    pub stops: usize,
    /// How often one is killed.
    pub kills: usize,
    /// How many partitions a log on Kafka has.
    pub partitions: u32,
}

impl Extent {
    fn of(options: &Bench) -> Self {
        let (seconds, partitions) = (Duration::from_secs(options.seconds), options.partitions);
        if options.thorough {
            let ingest = Duration::from_secs(600);
            return Self {
                seconds,
                ingest,
                events: 1_000_000,
                identities: 100_000_000,
                stops: 50,
                kills: 25,
                partitions,
            };
        }
        Self {
            seconds,
            ingest: seconds,
            events: 200_000,
            identities: 2_000_000,
            stops: 10,
            kills: 5,
            partitions,
        }
    }
}

/// Measures every row, in a folder that is deleted afterwards.
///
/// # Errors
///
/// If a part cannot be measured.
pub(crate) async fn run(config: &Config, options: &Bench) -> Result<Vec<Row>> {
    let parent = options.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let scratch = parent.join(format!("callboard-bench-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let extent = Extent::of(options);
    let rows = if options.kafka {
        on_cluster(config, &scratch, &extent).await
    } else {
        rows(config, &scratch, &extent).await
    };
    std::fs::remove_dir_all(&scratch)?;
    rows
}

async fn rows(config: &Config, scratch: &Path, extent: &Extent) -> Result<Vec<Row>> {
    let mut rows = vec![tokio::task::spawn_blocking(yardstick::row).await??];
    rows.push(write_side::commands(&scratch.join("commands"), extent.seconds).await?);
    rows.extend(over_http::rows(config, &scratch.join("over-http"), extent).await?);
    let mixed = scratch.join("mixed");
    rows.push(mixed::rebuilt(&mixed, extent.events).await?);
    rows.push(over_http::started(&mixed, extent.events).await?);
    let (folder, count) = (scratch.join("identities"), extent.identities);
    std::fs::create_dir_all(&folder)?;
    rows.push(tokio::task::spawn_blocking(move || identities::measured(&folder, count)).await??);
    Ok(rows)
}

async fn on_cluster(config: &Config, scratch: &Path, extent: &Extent) -> Result<Vec<Row>> {
    let mut rows = vec![tokio::task::spawn_blocking(yardstick::row).await??];
    rows.extend(cluster::rows(config, scratch, extent).await?);
    Ok(rows)
}

/// The rows as a table.
pub(crate) fn table(rows: &[Row]) -> String {
    let cells: Vec<[String; 5]> = rows
        .iter()
        .map(|it| {
            let verdict = match it.verdict {
                Verdict::Met => "met",
                Verdict::Missed => "MISSED",
                Verdict::SoFar => "met so far",
                Verdict::None => "-",
            };
            let (what, target) = (it.what.to_owned(), it.target.to_owned());
            [what, it.measured.clone(), it.baseline.clone(), target, verdict.to_owned()]
        })
        .collect();
    output::table(["what", "measured", "against", "target", "verdict"], &cells)
}

/// `part` of `whole` in percent, rounded down.
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100) / whole.max(1)
}

/// Operations in a second.
pub(crate) fn rate(count: u64, took: Duration) -> u64 {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1_000_000) / micros
}
