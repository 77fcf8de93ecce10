//! Measuring: what a target says, what came out, and what it was compared with.
//!
//! The server is measured as a process of its own, through its doors, by a load generator on
//! the same machine; CPU per operation is the server's alone. Nothing here is a test: a missed
//! target is printed as missed.

mod child;
mod load;
mod over_http;
mod write_side;

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
}

impl Verdict {
    /// Met if `is_met`.
    pub(crate) fn of(is_met: bool) -> Self {
        if is_met { Self::Met } else { Self::Missed }
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
    let seconds = Duration::from_secs(options.seconds);
    let mut rows = vec![write_side::commands(&scratch.join("in-process"), seconds).await?];
    rows.extend(over_http::rows(config, &scratch.join("over-http"), seconds).await?);
    std::fs::remove_dir_all(&scratch)?;
    Ok(rows)
}

/// The rows as a table.
pub(crate) fn table(rows: &[Row]) -> String {
    let cells: Vec<[String; 5]> = rows
        .iter()
        .map(|it| {
            let verdict = if it.verdict == Verdict::Met { "met" } else { "MISSED" };
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
