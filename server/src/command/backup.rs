//! `callboard backup` and `callboard restore`.

use std::path::Path;

use anyhow::Result;

use crate::backup::{self, Manifest};
use crate::config::Config;
use crate::output::{self, Format};

/// What an operator has to see to after a restore, for a backup cannot know it.
const REVIVED: &str = "\
Sessions and invites of before have ended. API keys and members are those of the backup: what was
revoked or removed since is good again. Before you let anybody in, look at those of each tenant
(`callboard tenant list`), and end what was ended:
  callboard api-key list --tenant TENANT
  callboard api-key revoke KEY --tenant TENANT
  callboard member list --tenant TENANT
  callboard member remove MEMBER --tenant TENANT";

/// Makes a backup and says what is in it.
///
/// # Errors
///
/// As for [`backup::make`].
pub(crate) async fn make(config: &Config, format: Format, to: &Path) -> Result<()> {
    let manifest = backup::make(config, to).await?;
    output::result(format, &manifest, |it| {
        format!(
            "{} in `{}`. The root key is not part of it: keep it elsewhere",
            what(it),
            to.display()
        )
    })
}

/// Restores a backup and says what was in it.
///
/// # Errors
///
/// As for [`backup::restore`].
pub(crate) async fn restore(config: &Config, format: Format, from: &Path) -> Result<()> {
    let manifest = backup::restore(config, from).await?;
    output::result(format, &manifest, |it| {
        format!("{} are back; the next start fills the read models\n\n{REVIVED}", what(it))
    })
}

fn what(manifest: &Manifest) -> String {
    let records: u64 = manifest.records.iter().sum();
    let (partitions, rows) = (manifest.records.len(), manifest.rows);
    format!("{records} events of {partitions} partitions and {rows} rows of the vault")
}
