//! The owner of a partition: the one place where its commands are decided.
//!
//! It is the partition's [replica](crate::replica) with a writer, for as long as the membership
//! says so. Read [`term`] for how that begins and ends, [`run`] for the loop, `batch` for what
//! happens to one request, `decisions` for what comes of it, [`answering`] for how callers learn
//! of it, [`firing`] for timers, [`patience`] for who is not kept waiting, [`recovery`] for what
//! happens when an append ends badly.

mod answering;
pub(crate) mod batch;
pub(crate) mod decisions;
pub(crate) mod envelope;
mod firing;
pub(crate) mod inbox;
mod patience;
mod reactors;
mod recovery;
mod room;
mod run;
mod snapshotting;
mod term;

use event_log::{AppendError, ClaimError, LogError, Partition, Position, Writer};
use vault::KeyringError;

use crate::away::Away;
use crate::identities::IdentitiesError;
use crate::level::NotSpoken;
use crate::record::{ReadError, RecordWriter};
use crate::replica::Replica;
use crate::seats::Order;
use crate::timers::Resting;
use reactors::Reactors;
pub(crate) use reactors::Triggers;
use snapshotting::Snapshotting;
pub(crate) use term::{Desk, Role, live};

/// Why an owner could not start. For the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The partition could not be claimed.
    #[error("partition {partition} cannot be claimed")]
    Claim {
        /// The partition.
        partition: Partition,
        /// The cause.
        #[source]
        source: ClaimError,
    },
    /// The partition could not be read.
    #[error("partition {partition} cannot be read")]
    Log {
        /// The partition.
        partition: Partition,
        /// The cause.
        #[source]
        source: LogError,
    },
    /// A record is not what an owner writes.
    #[error("the record at position {position} of partition {partition} cannot be taken in")]
    Record {
        /// The partition.
        partition: Partition,
        /// Where it is.
        position: Position,
        /// The cause.
        #[source]
        source: ReadError,
    },
    /// A key without which nothing can be done for any tenant of the partition, or whether a tenant has
    /// its key, could not be found out.
    #[error("a key that partition {partition} needs cannot be had")]
    Keys {
        /// The partition.
        partition: Partition,
        /// The cause.
        #[source]
        source: KeyringError,
    },
    /// A tenant's history has a gap or a fork.
    #[error(
        "the record at position {position} of partition {partition} does not follow the one \
         before: expected {expected}, got {got}"
    )]
    Gap {
        /// The partition.
        partition: Partition,
        /// Where it is.
        position: Position,
        /// The sequence and revision it should have.
        expected: String,
        /// Those it has.
        got: String,
    },
    /// The identity index cannot be used.
    #[error(transparent)]
    Identities(#[from] IdentitiesError),
    /// What is recorded is not spoken here.
    #[error(transparent)]
    Level(#[from] NotSpoken),
    /// Others cannot be told that the partition is served here.
    #[error("partition {partition} cannot be announced")]
    Announce {
        /// The partition.
        partition: Partition,
        /// The cause.
        #[source]
        source: AppendError,
    },
    /// This process cannot take part in owning the partitions.
    #[error("the owners of the log cannot be joined")]
    Join(#[source] LogError),
}

impl StartError {
    /// Whether the log is away, so that the same may succeed once it is back.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Claim { source: ClaimError::Log(source), .. }
            | Self::Log { source, .. }
            | Self::Join(source)
            | Self::Announce {
                source: AppendError::Refused(source) | AppendError::Unknown(source),
                ..
            } => source.is_away(),
            Self::Claim { .. }
            | Self::Announce { .. }
            | Self::Record { .. }
            | Self::Keys { .. }
            | Self::Gap { .. }
            | Self::Identities(_)
            | Self::Level(_) => false,
        }
    }

    /// Whether another one has claimed the partition meanwhile.
    fn is_fence(&self) -> bool {
        matches!(self, Self::Announce { source: AppendError::Fenced, .. })
    }

    /// Why a key could not be had, if that is what it failed for.
    #[must_use]
    pub fn keyring(&self) -> Option<&KeyringError> {
        match self {
            Self::Record { source: ReadError::Keyring(source), .. } | Self::Keys { source, .. } => {
                Some(source)
            }
            _ => None,
        }
    }
}

/// The owner itself: runs within the task of its partition.
#[derive(Debug)]
pub(crate) struct Owner {
    replica: Box<Replica>,
    desk: Desk,
    /// None until the partition was claimed.
    writer: Option<Box<dyn Writer>>,
    /// An order to let go, which has arrived already.
    told: Option<Order>,
    /// Until when it leaves the partition to whoever has fenced it again and again.
    rests_until: Option<tokio::time::Instant>,
    /// What the log has refused its last batch for, if it has.
    refused: Option<Away>,
    records: RecordWriter,
    /// None until it serves.
    reactors: Option<Reactors>,
    /// Until when timers that could not be fired are left alone.
    timers_rest: Option<tokio::time::Instant>,
    tenants_rest: Resting,
    snapshotting: Snapshotting,
}

impl Owner {
    /// The writer.
    fn writer(&mut self) -> &mut dyn Writer {
        self.writer.as_deref_mut().expect("whoever serves has claimed")
    }
}
