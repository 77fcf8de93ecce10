//! `callboard cluster`: what several processes need to work together.

pub(crate) mod certificates;
mod level;

use anyhow::Result;

use crate::cli::Cluster;
use crate::config::Config;
use crate::output::Format;

/// Makes certificates, or shows and raises the level.
///
/// # Errors
///
/// If files cannot be made; if the server does not answer or refuses.
pub(crate) async fn run(config: &Config, format: Format, what: &Cluster) -> Result<()> {
    match what {
        Cluster::Certificates { folder, hosts } => certificates::run(format, folder, hosts),
        Cluster::Level { change } => level::run(config, format, change.as_ref()).await,
    }
}
