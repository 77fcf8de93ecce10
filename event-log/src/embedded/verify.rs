//! Reads a partition from end to end and says whether it is what was written.

use super::EmbeddedLog;
use super::partition::{Shared, Stored};
use super::reader::Cursor;
use crate::chain::Chains;
use crate::port::{LogError, Partition, Position};

/// How much of a partition is checked at once. In records.
const RECORDS: usize = 4096;

/// What to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// That everything can be read back: checksums, positions, the hashes of archives.
    Storage,
    /// That, and the chain and sequence of every tenant.
    Chains,
}

/// What a check of a partition found.
#[derive(Debug)]
pub struct Verified {
    /// The partition.
    pub partition: Partition,
    /// How many records are good, from the first on.
    pub records: u64,
    /// How many tenants have records among them; 0 if chains were not checked.
    pub tenants: u64,
    /// The first place that is not, if there is one.
    pub damage: Option<LogError>,
}

impl EmbeddedLog {
    /// Checks everything durable in `partition`, up to the end as it is now. Blocks for as long
    /// as reading all of it takes; appends and readers go on meanwhile.
    ///
    /// # Errors
    ///
    /// [`LogError::NoSuchPartition`], or [`LogError::Storage`] if a file cannot be read at all.
    /// Damage is not an error but the answer.
    pub fn verify(&self, partition: Partition, depth: Depth) -> Result<Verified, LogError> {
        let shared = &self.handle(partition)?.shared;
        let mut verified = Verified { partition, records: 0, tenants: 0, damage: None };
        match walk(shared, depth, &mut verified) {
            Err(damage @ LogError::Damaged { .. }) => verified.damage = Some(damage),
            outcome => outcome?,
        }
        Ok(verified)
    }
}

fn walk(shared: &Shared, depth: Depth, verified: &mut Verified) -> Result<(), LogError> {
    let end = shared.end();
    let mut chains = Chains::default();
    let mut position = 0;
    while position < end {
        check_archive_at(shared, position)?;
        let mut cursor = Cursor::open(shared, position)?;
        while cursor.position < cursor.end.min(end) {
            for recorded in cursor.read(cursor.position, RECORDS)? {
                if depth == Depth::Chains {
                    chains
                        .follow(&recorded.record)
                        .map_err(|broken| cursor.damaged(recorded.position, &broken.to_string()))?;
                }
                verified.records += 1;
                verified.tenants = chains.tenants() as u64;
            }
        }
        position = cursor.position;
    }
    Ok(())
}

/// Checks the hash of the archive that begins with `position`, if one does.
fn check_archive_at(shared: &Shared, position: u64) -> Result<(), LogError> {
    let sealed = shared.state().sealed.iter().find(|it| it.first == position).cloned();
    match sealed.map(|it| (it.sequence, it.stored)) {
        Some((sequence, Stored::Archive)) => shared.location.archive(sequence)?.check_hash(),
        Some((_, Stored::Segment { .. })) | None => Ok(()),
    }
}

impl Cursor {
    /// Names a record that could be read but is not right.
    fn damaged(&self, position: Position, reason: &str) -> LogError {
        self.walk.wrong(&format!("the record at position {position} is wrong: {reason}"))
    }
}
