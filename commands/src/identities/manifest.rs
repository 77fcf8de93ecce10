//! Which runs make up the index: one small file, replaced as a whole.
//!
//! What it does not name does not exist; runs that were being written, or were merged into
//! others, are removed when it is opened.

use std::io::{Read as _, Write as _};

use event_log::Position;
use serde::{Deserialize, Serialize};

use super::IdentitiesError;
use super::files::{Files, failed};
use super::run;

/// Its name.
const NAME: &str = "manifest";

/// The name it has while it is written.
const DRAFT: &str = "manifest.draft";

/// The version of the format of manifest and runs.
const FORMAT: u32 = 1;

/// The runs that make up the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    /// Tells the key of the fingerprints from others.
    key_check: u64,
    /// The log the identities come from.
    incarnation: String,
    /// Every identity recorded before this position is in a run.
    pub(super) sealed_upto: u64,
    /// The number of the next run to be written.
    pub(super) next_run: u64,
    /// The numbers of the runs, oldest first.
    pub(super) runs: Vec<u64>,
}

impl Manifest {
    /// The manifest among `files`, or an empty one; removes files it does not name.
    pub(super) fn open(
        files: &dyn Files,
        key_check: u64,
        incarnation: &str,
    ) -> Result<Self, IdentitiesError> {
        let empty = Self {
            format: FORMAT,
            key_check,
            incarnation: incarnation.to_owned(),
            sealed_upto: Position::START.0,
            next_run: 1,
            runs: Vec::new(),
        };
        let manifest = read(files)?.unwrap_or(empty);
        let foreign = |reason| IdentitiesError::Foreign { path: files.path(""), reason };
        if manifest.key_check != key_check {
            return Err(foreign("with another key"));
        }
        if manifest.incarnation != incarnation {
            return Err(foreign("from another log"));
        }
        manifest.remove_others(files)?;
        Ok(manifest)
    }

    /// Makes this the manifest, at once and durably. Runs it names must be durable already.
    pub(super) fn store(&self, files: &dyn Files) -> Result<(), IdentitiesError> {
        let json = serde_json::to_string(self).expect("a manifest has only texts and numbers");
        let text = format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes()));
        let mut file = files.create(DRAFT).map_err(failed(files, "creating", DRAFT))?;
        file.write_all(text.as_bytes()).map_err(failed(files, "writing", DRAFT))?;
        files.sync(DRAFT, &file).map_err(failed(files, "syncing", DRAFT))?;
        files.rename(DRAFT, NAME).map_err(failed(files, "replacing", NAME))?;
        files.sync_names().map_err(failed(files, "syncing", ""))
    }

    /// Removes files it does not name.
    fn remove_others(&self, files: &dyn Files) -> Result<(), IdentitiesError> {
        let mut known: Vec<_> = self.runs.iter().map(|it| run::file_name(*it)).collect();
        known.push(NAME.to_owned());
        for name in files.names().map_err(failed(files, "listing", ""))? {
            if !known.contains(&name) {
                files.remove(&name).map_err(failed(files, "removing", &name))?;
            }
        }
        Ok(())
    }
}

fn read(files: &dyn Files) -> Result<Option<Manifest>, IdentitiesError> {
    let mut text = String::new();
    match files.open(NAME) {
        Ok(mut file) => file.read_to_string(&mut text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error),
    }
    .map_err(failed(files, "reading", NAME))?;
    let damaged =
        |reason: &str| IdentitiesError::Damaged { path: files.path(NAME), reason: reason.into() };
    let (checksum, json) = text.trim_end().split_once(' ').ok_or(damaged("it has no checksum"))?;
    if u32::from_str_radix(checksum, 16) != Ok(crc32c::crc32c(json.as_bytes())) {
        return Err(damaged("its checksum does not match"));
    }
    let manifest: Manifest =
        serde_json::from_str(json).map_err(|it| damaged(&format!("it cannot be read: {it}")))?;
    if manifest.format != FORMAT {
        return Err(damaged("it has a format this version does not know"));
    }
    Ok(Some(manifest))
}
