//! Remembers for ever which usage identities were recorded, and with what content.
//!
//! An identity is (tenant, source, id). Of each only a keyed hash is kept: lately recorded ones
//! in memory, all others in sorted immutable runs on disk, found through a filter and a fence
//! per block in memory (under 2 bytes per identity). A false hit of a filter costs one read and
//! never decides. Runs are sealed at log positions: after a restart the log is replayed from
//! [`Identities::sealed_upto`]. It is derived from the log, so a damaged one is deleted and
//! replayed from the start. It does *not* decide what follows from having been seen.
//!
//! Start here; [`fingerprint`] says what is kept of an identity, `run` how it is stored,
//! `keeper` how runs are written and merged beside the caller.

pub mod fingerprint;

mod block;
mod files;
mod filter;
mod keeper;
mod manifest;
mod merge;
mod run;
mod run_writer;
mod view;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::usage::Seen;
use event_log::Position;

pub use fingerprint::{Fingerprint, Fingerprinter};

use files::{Files, Folder};
use fingerprint::Table;
use keeper::Keeper;
use manifest::Manifest;

/// How many identities are kept in memory before they should be sealed: 200,000, which fill a
/// table of 8 MiB and make a run of 5 MB.
pub const RECENT_MAX: usize = 200_000;

/// A fault of the index. Somebody must look.
#[derive(Debug, thiserror::Error)]
pub enum IdentitiesError {
    /// A file of it could not be read or written.
    #[error("{doing} {path} of the identity index failed")]
    Io {
        /// What was being done, in words.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file of it is not what was written. Delete the folder: the log brings it back.
    #[error("{path} of the identity index is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It was made with another key, or from another log. Delete the folder: the log brings it
    /// back.
    #[error("the identity index in {path} was made {reason}")]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// With or from what.
        reason: &'static str,
    },
    /// The thread that writes it has ended.
    #[error("the identity index is no longer written")]
    Stopped,
}

/// Every identity recorded in one partition. Used by its owner alone.
#[derive(Debug)]
pub struct Identities {
    recent: Table,
    keeper: Keeper,
}

/// Identities of decisions that are not durable yet. Drop it, or merge it once they are.
#[derive(Debug, Default)]
pub struct Pending(Table);

impl Pending {
    /// Adds an accepted identity. The first content stays.
    pub fn insert(&mut self, fingerprint: Fingerprint) {
        self.0.entry(fingerprint.identity).or_insert(fingerprint.content);
    }
}

/// What the index holds in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Identities on disk.
    pub sealed: u64,
    /// Identities in memory only.
    pub recent: u64,
    /// Runs on disk.
    pub runs: u64,
    /// Bytes of the filters.
    pub filter_bytes: u64,
    /// Bytes of the fences.
    pub fence_bytes: u64,
    /// Bytes of the tables of recent identities.
    pub recent_bytes: u64,
}

impl Identities {
    /// Opens the index in `folder`, made on first use, of the log with this `incarnation`, with
    /// identities hashed under `key`.
    ///
    /// # Errors
    ///
    /// [`IdentitiesError`] if it cannot be read, is damaged, or belongs to another key or log.
    pub fn open(folder: &Path, key: &[u8; 16], incarnation: &str) -> Result<Self, IdentitiesError> {
        let files: Arc<dyn Files> = Arc::new(Folder::open(folder)?);
        Self::open_files(&files, &Fingerprinter::new(key), incarnation)
    }

    fn open_files(
        files: &Arc<dyn Files>,
        fingerprinter: &Fingerprinter,
        incarnation: &str,
    ) -> Result<Self, IdentitiesError> {
        let manifest = Manifest::open(&**files, fingerprinter.check(), incarnation)?;
        let keeper = Keeper::start(files, manifest)?;
        Ok(Self { recent: Table::default(), keeper })
    }

    /// Deletes the index in `folder`, so that the next opening begins empty.
    ///
    /// # Errors
    ///
    /// [`IdentitiesError::Io`] if it cannot be deleted.
    pub fn delete(folder: &Path) -> Result<(), IdentitiesError> {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(IdentitiesError::Io { doing: "deleting", path: folder.into(), source: error })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Every identity recorded before this position is on disk: replay goes on here. Replaying
    /// from earlier does no harm.
    #[must_use]
    pub fn sealed_upto(&self) -> Position {
        self.keeper.view().sealed_upto
    }

    /// For each of `asked`, in order, whether its identity is recorded or in `pending`. They
    /// are not compared with each other.
    ///
    /// # Errors
    ///
    /// [`IdentitiesError`] if a run cannot be read or is damaged; then nothing is known.
    pub fn lookup(
        &self,
        pending: &Pending,
        asked: &[Fingerprint],
    ) -> Result<Vec<Seen>, IdentitiesError> {
        let view = self.keeper.view();
        let find = |it: &Fingerprint| {
            let content = match self.in_memory(pending, it.identity) {
                Some(content) => Some(content),
                None => view.find(it.identity)?,
            };
            Ok(match content {
                None => Seen::New,
                Some(content) if content == it.content => Seen::Same,
                Some(_) => Seen::Conflict,
            })
        };
        asked.iter().map(find).collect()
    }

    fn in_memory(&self, pending: &Pending, identity: u128) -> Option<u64> {
        pending.0.get(&identity).or_else(|| self.recent.get(&identity)).copied()
    }

    /// Remembers an identity that is durable in the log. The first content stays.
    pub fn insert(&mut self, fingerprint: Fingerprint) {
        self.recent.entry(fingerprint.identity).or_insert(fingerprint.content);
    }

    /// Remembers identities whose decisions have become durable in the log.
    pub fn merge(&mut self, pending: Pending) {
        for (identity, content) in pending.0 {
            self.insert(Fingerprint { identity, content });
        }
    }

    /// Whether so many identities are in memory that they should be sealed.
    #[must_use]
    pub fn is_seal_due(&self) -> bool {
        self.recent.len() >= RECENT_MAX
    }

    /// Begins to move everything from memory to disk, beside the caller. `upto` is the position
    /// after the last record whose identities were inserted. Does nothing while an earlier
    /// sealing goes on, but tries that again if it had failed.
    pub fn seal(&mut self, upto: Position) {
        let recent = &mut self.recent;
        self.keeper.seal(upto, || std::mem::take(recent));
    }

    /// Moves everything from memory to disk and waits for that, not for merges: to be called
    /// before the process ends, so that the next one has nothing to replay. `upto` as in
    /// [`Identities::seal`].
    ///
    /// # Errors
    ///
    /// The fault that keeps it from the disk; nothing is lost, the log has it.
    pub fn seal_all(&mut self, upto: Position) -> Result<(), IdentitiesError> {
        self.keeper.wait_sealed()?;
        self.seal(upto);
        self.keeper.wait_sealed()
    }

    /// Waits until everything begun is on disk and merged, or has failed.
    ///
    /// # Errors
    ///
    /// The fault that keeps it from the disk; it is tried again by the next
    /// [`Identities::seal`].
    pub fn settle(&self) -> Result<(), IdentitiesError> {
        self.keeper.settle()
    }

    /// What it holds in memory.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let mut memory = self.keeper.view().memory();
        memory.recent += u64::try_from(self.recent.len()).expect("a length fits 64 bits");
        memory.recent_bytes += fingerprint::table_bytes(&self.recent);
        memory
    }

    /// Reads every run and compares it with its checksums, order and filter.
    ///
    /// # Errors
    ///
    /// [`IdentitiesError::Damaged`] names the first damaged file.
    pub fn verify(&self) -> Result<(), IdentitiesError> {
        self.keeper.view().runs.iter().try_for_each(run::Run::verify)
    }
}

#[cfg(test)]
mod tests;
