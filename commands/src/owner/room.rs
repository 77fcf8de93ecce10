//! How much one append may hold, and how much of it a batch has taken.
//!
//! The log refuses a batch whole, so what would make it too large must never get into it.

use event_log::Record;
use event_log::port::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};

use crate::request::CommandError;

/// The most records of a batch: half of what the log takes.
pub(super) const RECORDS_MAX: usize = BATCH_RECORDS_MAX / 2;

/// The most canonical bytes of a batch: half of what the log takes.
const BYTES_MAX: usize = BATCH_BYTES_MAX / 2;

/// What the records of a batch take up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Room {
    records: usize,
    bytes: usize,
}

/// Why records do not fit.
#[derive(Debug)]
pub(super) enum Excess {
    /// They fit the next batch.
    Batch,
    /// They fit no batch. For the caller.
    Request(CommandError),
}

impl Room {
    /// Takes the records of one request in, or stays as it is.
    pub(super) fn take(&mut self, records: &[Record]) -> Result<(), Excess> {
        let bytes = records.iter().map(|it| it.canonical().len()).sum();
        let alone = Self { records: records.len(), bytes };
        if alone.is_exceeded() {
            return Err(Excess::Request(too_large(alone)));
        }
        let together =
            Self { records: self.records + alone.records, bytes: self.bytes + alone.bytes };
        if together.is_exceeded() {
            return Err(Excess::Batch);
        }
        *self = together;
        Ok(())
    }

    fn is_exceeded(self) -> bool {
        self.records > RECORDS_MAX || self.bytes > BYTES_MAX
    }
}

fn too_large(Room { records, bytes }: Room) -> CommandError {
    let reason = format!(
        "the request would record {records} events of {bytes} bytes at once, at most \
         {RECORDS_MAX} events and {BYTES_MAX} bytes fit; ask for less at a time"
    );
    CommandError::Rejected { code: "TOO_LARGE".into(), reason }
}
