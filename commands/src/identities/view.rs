//! What the index holds at one moment, apart from the recent identities of the owner.
//!
//! Immutable: the keeper replaces it as a whole, so a lookup never sees half a change.

use std::sync::Arc;

use event_log::Position;

use super::files::Files;
use super::fingerprint::{Fingerprint, Table, table_bytes};
use super::run::Run;
use super::run_writer::RunWriter;
use super::{IdentitiesError, Memory};

/// What there is at one moment, apart from the recent identities of the owner.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Every identity recorded before this is in a run.
    pub(super) sealed_upto: Position,
    /// Oldest first.
    pub(super) runs: Vec<Arc<Run>>,
    /// On their way to the disk.
    pub(super) frozen: Option<Arc<Frozen>>,
}

/// Identities on their way to the disk.
#[derive(Debug)]
pub(super) struct Frozen {
    pub(super) table: Table,
    /// The position after the last record they come from.
    pub(super) upto: Position,
}

impl View {
    /// The content recorded with `identity`.
    pub(super) fn find(&self, identity: u128) -> Result<Option<u64>, IdentitiesError> {
        if let Some(content) = self.frozen.as_ref().and_then(|it| it.table.get(&identity)) {
            return Ok(Some(*content));
        }
        for run in &self.runs {
            let found = run.find(identity)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    pub(super) fn memory(&self) -> Memory {
        let mut memory = Memory { runs: self.runs.len() as u64, ..Memory::default() };
        for run in &self.runs {
            let (fences, filter) = run.memory();
            memory.sealed += run.header().entries;
            memory.fence_bytes += fences;
            memory.filter_bytes += filter;
        }
        if let Some(frozen) = &self.frozen {
            memory.recent += frozen.table.len() as u64;
            memory.recent_bytes += table_bytes(&frozen.table);
        }
        memory
    }
}

impl Frozen {
    /// Writes them as a run.
    pub(super) fn write(&self, files: &dyn Files, number: u64) -> Result<Run, IdentitiesError> {
        let mut sorted: Vec<_> = self.table.iter().map(|it| (*it.0, *it.1)).collect();
        sorted.sort_unstable();
        let mut writer = RunWriter::create(files, number, sorted.len() as u64)?;
        for (identity, content) in sorted {
            writer.push(Fingerprint { identity, content })?;
        }
        writer.finish(self.upto.0)
    }
}
