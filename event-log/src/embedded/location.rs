//! Where the files of one partition are, and how they are named and opened.

use std::path::PathBuf;
use std::sync::Arc;

use super::archive::Archive;
use super::files::{Files, failed};
use super::frame::Seed;
use super::segment::Segment;
use crate::port::{LogError, Partition};

/// A partition's folder.
#[derive(Debug)]
pub(super) struct Location {
    pub(super) files: Arc<dyn Files>,
    pub(super) folder: PathBuf,
    pub(super) partition: Partition,
    /// The log's secret part of every [`Seed`].
    pub(super) salt: Box<str>,
}

impl Location {
    pub(super) fn segment_path(&self, sequence: u64) -> PathBuf {
        self.folder.join(format!("{sequence:016}.segment"))
    }

    pub(super) fn archive_path(&self, sequence: u64) -> PathBuf {
        self.folder.join(format!("{sequence:016}.archive"))
    }

    fn seed(&self, sequence: u64) -> Seed {
        Seed::new(&self.salt, self.partition.0, sequence)
    }

    /// Opens a segment file.
    pub(super) fn segment(&self, sequence: u64) -> Result<Segment, LogError> {
        let path = self.segment_path(sequence);
        let file = self.files.open(&path).map_err(failed("opening", &path))?;
        Ok(Segment { sequence, path, file, seed: self.seed(sequence) })
    }

    /// Opens an archive.
    pub(super) fn archive(&self, sequence: u64) -> Result<Archive, LogError> {
        Archive::open(&*self.files, &self.archive_path(sequence), self.seed(sequence))
    }

    /// Makes the names in the folder durable.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        self.files.sync_folder(&self.folder).map_err(failed("syncing", &self.folder))
    }
}
