//! `callboard bench`: every performance target that needs no other service, as ratios in one run.

use anyhow::Result;

use crate::bench;
use crate::cli::Bench;
use crate::config::Config;
use crate::output::{self, Format};

/// Measures and prints.
///
/// # Errors
///
/// If a part cannot be measured.
pub(crate) async fn run(config: &Config, format: Format, options: &Bench) -> Result<()> {
    let rows = bench::run(config, options).await?;
    output::result(format, &rows, |rows| bench::table(rows))
}
