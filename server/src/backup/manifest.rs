//! What a backup says about itself.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::entries;

/// The file of the manifest.
const FILE: &str = "backup.json";

/// The form of a backup that this version makes and reads.
pub(super) const FORMAT: u32 = 1;

/// What is in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The form of its files.
    pub format: u32,
    /// When it was begun.
    pub at: DateTime<Utc>,
    /// The log that was copied.
    pub incarnation: String,
    /// How many records of each partition there are.
    pub records: Vec<u64>,
    /// How many rows of the vault there are.
    pub rows: u64,
}

impl Manifest {
    /// How many partitions the log has.
    pub(super) fn partitions(&self) -> u32 {
        u32::try_from(self.records.len()).expect("it was made from a log with fewer")
    }

    /// Writes it into `folder`, durably.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        entries::write_durably(&folder.join(FILE), &text)?;
        entries::sync_folder(folder)
    }

    /// Reads that of `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = std::fs::read(&path).with_context(|| {
            format!("`{}` is not there: the folder holds no finished backup", path.display())
        })?;
        let manifest: Self = serde_json::from_slice(&text)
            .with_context(|| format!("`{}` is not what a backup says", path.display()))?;
        let format = manifest.format;
        ensure!(format == FORMAT, "expected a backup of format {FORMAT}, got format {format}");
        Ok(manifest)
    }
}
