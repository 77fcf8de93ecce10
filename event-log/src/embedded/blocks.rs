//! Blocks to write segments to: zeroed ahead of use, or taken over from archived segments.
//!
//! Overwriting blocks that were written before makes a sync cheap, because the file system has
//! nothing else to write down. What an old segment leaves in them cannot pass for a frame of the
//! new one: see `frame`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::failed;
use super::frame::HEADER_BYTES;
use super::location::Location;
use super::segment::Segment;
use crate::port::LogError;

/// How much is zeroed between two syncs. In bytes: 4 MiB, so that an append that is synced
/// meanwhile does not have to wait for a whole segment.
const ZEROED_BYTES: usize = 4 * 1024 * 1024;

/// How many used segments are kept for later. More than one is left over only after a burst.
const SPARES_MAX: usize = 2;

/// The blocks of one partition that hold no records.
#[derive(Debug)]
pub(super) struct Blocks {
    location: Arc<Location>,
    spares: Vec<PathBuf>,
}

impl Blocks {
    pub(super) fn new(location: Arc<Location>, spares: Vec<PathBuf>) -> Self {
        Self { location, spares }
    }

    /// Makes an empty segment of this length, whose name and blocks are durable.
    pub(super) fn prepare(&mut self, sequence: u64, bytes: u64) -> Result<Segment, LogError> {
        let path = self.location.segment_path(sequence);
        let source = match self.take_spare(bytes) {
            Some(spare) => spare,
            None => self.zeroed(&path.with_extension("temporary"), bytes)?,
        };
        self.location.files.rename(&source, &path).map_err(failed("renaming", &source))?;
        self.location.sync()?;
        self.location.segment(sequence)
    }

    /// Takes the blocks of a segment that nobody needs any more, unless a reader is still in it.
    pub(super) fn recycle(&mut self, segment: Arc<Segment>) {
        let path = segment.path.clone();
        let spare = path.with_extension("spare");
        let unused = Arc::into_inner(segment).is_some();
        let files = &self.location.files;
        if unused && self.spares.len() < SPARES_MAX && files.rename(&path, &spare).is_ok() {
            self.spares.push(spare);
        } else {
            self.remove(&path);
        }
    }

    /// A used segment of this length; those of another are of no use any more.
    fn take_spare(&mut self, bytes: u64) -> Option<PathBuf> {
        while let Some(spare) = self.spares.pop() {
            if self.wipe(&spare).is_ok_and(|length| length == bytes) {
                return Some(spare);
            }
            self.remove(&spare);
        }
        None
    }

    /// Makes the first frame of a used segment unreadable, and says how long the file is.
    fn wipe(&self, path: &Path) -> io::Result<u64> {
        let file = self.location.files.open(path)?;
        file.write_at(0, &[0; HEADER_BYTES])?;
        file.sync()?;
        file.length()
    }

    /// Makes a file whose blocks are allocated and written.
    fn zeroed(&self, path: &Path, bytes: u64) -> Result<PathBuf, LogError> {
        let written = (|| {
            let file = self.location.files.create(path)?;
            let step = usize::try_from(bytes).map_or(ZEROED_BYTES, |it| it.min(ZEROED_BYTES));
            let zeros = vec![0; step];
            let mut at = 0;
            while at < bytes {
                let left = usize::try_from(bytes - at).map_or(step, |it| it.min(step));
                file.write_at(at, &zeros[..left])?;
                file.sync()?;
                at += left as u64;
            }
            Ok(path.to_owned())
        })();
        written.map_err(|error| {
            self.remove(path);
            failed("zeroing", path)(error)
        })
    }

    fn remove(&self, path: &Path) {
        if let Err(error) = self.location.files.remove(path) {
            tracing::warn!(file = %path.display(), %error, "a file of no use could not be removed");
        }
    }
}
