//! The limits of the port, checked the same way by every adapter, and how many readers whoever uses
//! it can count on.

use crate::port::{
    BATCH_BYTES_MAX, BATCH_RECORDS_MAX, LogError, Partition, Position, SNAPSHOT_CHUNK_BYTES_MAX,
    SNAPSHOT_SLICE_BYTES_MAX, SnapshotChunk,
};
use crate::record::Record;

/// How many readers one partition can have at a time in one process, of every adapter: 32.
pub const READERS_OF_ONE_MAX: usize = 32;

/// How many readers there can be at a time in one process for each partition of the log: 20. What
/// follows the log by itself needs 16, and the rest is for those who look something up.
const READERS_EACH_MAX: usize = 20;

/// The same for a log of few partitions, in all: 512.
const READERS_FEW_MAX: usize = 512;

/// How many readers there can be at a time in one process of a log with so many partitions.
#[must_use]
pub fn readers_max(partitions: u32) -> usize {
    (partitions as usize * READERS_EACH_MAX).max(READERS_FEW_MAX)
}

/// Refuses a batch that no adapter could take.
pub(crate) fn check_batch(batch: &[Record]) -> Result<(), LogError> {
    if batch.len() > BATCH_RECORDS_MAX {
        let reason = format!("it has {} records, at most {BATCH_RECORDS_MAX} fit", batch.len());
        return Err(LogError::TooLarge(reason));
    }
    let bytes: usize = batch.iter().map(|it| it.canonical().len()).sum();
    if bytes > BATCH_BYTES_MAX {
        let reason = format!("it has {bytes} bytes, at most {BATCH_BYTES_MAX} fit");
        return Err(LogError::TooLarge(reason));
    }
    Ok(())
}

/// Refuses a slice of a snapshot that no adapter could take.
pub(crate) fn check_slice(slice: &[SnapshotChunk]) -> Result<(), LogError> {
    let bytes: usize = slice.iter().map(SnapshotChunk::size).sum();
    if bytes > SNAPSHOT_SLICE_BYTES_MAX {
        let reason = format!("the slice has {bytes} bytes, at most {SNAPSHOT_SLICE_BYTES_MAX} fit");
        return Err(LogError::TooLarge(reason));
    }
    for chunk in slice {
        let bytes = chunk.size();
        if bytes > SNAPSHOT_CHUNK_BYTES_MAX {
            let key = &chunk.key;
            let reason = format!(
                "snapshot chunk `{key}` has {bytes} bytes with its key, \
                 at most {SNAPSHOT_CHUNK_BYTES_MAX} fit"
            );
            return Err(LogError::TooLarge(reason));
        }
    }
    Ok(())
}

/// Refuses a position that the partition has not reached.
pub(crate) fn check_within(
    partition: Partition,
    asked: Position,
    end: Position,
) -> Result<(), LogError> {
    if asked <= end { Ok(()) } else { Err(LogError::BeyondEnd { partition, asked, end }) }
}
