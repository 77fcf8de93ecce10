//! What verifying an export finds: what it is, or the first thing that is wrong and where.

use std::fmt;
use std::io;

use crate::export::Header;
use crate::note::NoteError;
use crate::record::RecordError;
use crate::tree::Node;

/// Where something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the first event.
    Header,
    /// The event with this sequence, or where it should be.
    At(u64),
    /// One of the events from one sequence to another, both included.
    Between(u64, u64),
    /// What follows the event with this sequence, and is none itself: a checkpoint or the end.
    After(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("in the header"),
            Self::At(sequence) => write!(f, "at sequence {sequence}"),
            Self::Between(first, last) => write!(f, "between sequences {first} and {last}"),
            Self::After(sequence) => write!(f, "after sequence {sequence}"),
        }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// Something is there that no export has, or has elsewhere.
    #[error("what is there is no part of an export, or not in its place")]
    Misplaced,
    /// The file ends too early.
    #[error("the file breaks off; `callboard audit export` with the same file goes on")]
    BrokenOff,
    /// A header that cannot be.
    #[error("what it says of itself contradicts itself")]
    Header,
    /// Bytes that are no event.
    #[error("the event cannot be read")]
    Record(#[from] RecordError),
    /// Another event than is due.
    #[error("an event says that it has sequence `{0}`")]
    Sequence(String),
    /// An event of somebody else.
    #[error("the event is of tenant `{0}`")]
    Tenant(String),
    /// The chain does not lead here.
    #[error(
        "the chain does not follow from the event before: what is there is not what was stored"
    )]
    Chain,
    /// No checkpoint is where one is due.
    #[error("the checkpoint that is due is missing")]
    NoCheckpoint,
    /// A note that nobody stands for.
    #[error("the signature cannot be trusted")]
    Note(#[from] NoteError),
    /// A checkpoint of something else.
    #[error("the checkpoint is of something else")]
    Checkpoint,
    /// The tree has another root than the checkpoint says.
    #[error("the tree over all events does not have the root that the checkpoint says")]
    Root,
    /// The statement at the end is of another export.
    #[error("the statement at the end is of another export")]
    End,
    /// Events are left out that were not to be.
    #[error("other events are left out than were when it was exported")]
    LeftOut,
    /// An earlier export is not the beginning of this one.
    #[error("the earlier export has other events")]
    NotEarlier,
    /// An earlier export has more events than this one.
    #[error(
        "this ends before the earlier export did: either that is the later one, or events are gone"
    )]
    EndsBeforeEarlier,
}

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What.
    #[source]
    pub what: What,
}

/// Why a file was not verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not as it was stored.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// It cannot be read.
    #[error("the file cannot be read")]
    Io(#[from] io::Error),
}

/// What an earlier export was when it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Whose tree.
    pub origin: String,
    /// The sequence of its last event.
    pub last: u64,
    /// The root over all events up to that.
    pub root: Node,
}

/// Whether an earlier export is the beginning of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Nobody asked.
    NotAsked,
    /// It is.
    Beginning,
    /// This one begins after the end of the earlier one, so it cannot be said.
    Unknown,
}

/// What was found in a file in which nothing is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it says of itself.
    pub header: Header,
    /// The sequence of the last event.
    pub last: u64,
    /// When its end was signed, as RFC 3339 writes it.
    pub at: String,
    /// The root over all events up to that.
    pub root: Node,
    /// How many events are there.
    pub shown: u64,
    /// How many are left out.
    pub left_out: u64,
    /// How often the chain could not be followed since events are left out.
    pub gaps: u64,
    /// How many checkpoints there are.
    pub checkpoints: u64,
    /// Whether signatures were verified.
    pub is_signed: bool,
    /// What the earlier export is to it.
    pub relation: Relation,
}

impl Report {
    /// What a later export can be compared with.
    #[must_use]
    pub fn as_earlier(&self) -> Earlier {
        Earlier { origin: self.header.origin.clone(), last: self.last, root: self.root }
    }
}
