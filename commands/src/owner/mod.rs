//! The owner of a partition: the one place where its commands are decided.
//!
//! Read [`run`] for the loop, `batch` for what happens to one request, `decisions` for what comes
//! of it, [`answering`] for how callers learn of it, [`firing`] for timers, [`replay`] for how
//! the state comes back, [`recovery`] for what happens when an append ends badly.

mod answering;
pub(crate) mod batch;
pub(crate) mod decisions;
pub(crate) mod envelope;
mod firing;
pub(crate) mod inbox;
mod recovery;
mod replay;
mod room;
mod run;
mod sealing;
mod snapshotting;

use std::path::PathBuf;
use std::sync::Arc;

use event_log::{ClaimError, EventLog, LogError, Partition, Position, Writer};
use tokio::sync::{mpsc, oneshot, watch};
use vault::Keyring;

use crate::clock::Clock;
use crate::identities::{Fingerprinter, Identities, IdentitiesError};
use crate::record::{ReadError, RecordWriter};
use crate::settings::Settings;
use crate::state::State;
use crate::timers::Resting;
use crate::views::Views;
use envelope::{Envelope, Read};
use inbox::{Bounds, Inbox, Refused};
use snapshotting::{Followed, Snapshotting};

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
}

/// What an owner needs.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) keyring: Keyring,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) views: Arc<Views>,
}

/// How others reach an owner. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct OwnerHandle {
    pub(crate) partition: Partition,
    inbox: Arc<Inbox<Envelope, Read>>,
    /// How far its committed state has come.
    applied: watch::Receiver<Position>,
}

/// Where in a partition there is something to react to.
#[derive(Debug)]
pub(crate) struct Triggers {
    /// Up to here the log has to be searched; after it, positions are announced.
    pub(crate) upto: Position,
    pub(crate) positions: mpsc::UnboundedReceiver<Position>,
    /// Before here everything was reacted to; kept by the follower.
    pub(crate) done: watch::Sender<Position>,
}

/// The owner itself: runs as one task.
#[derive(Debug)]
pub(crate) struct Owner {
    partition: Partition,
    parts: Parts,
    writer: Box<dyn Writer>,
    inbox: Arc<Inbox<Envelope, Read>>,
    state: State,
    identities: Identities,
    fingerprinter: Fingerprinter,
    records: RecordWriter,
    applied: watch::Sender<Position>,
    triggers: mpsc::UnboundedSender<Position>,
    followed: Followed,
    /// Until when timers that could not be fired are left alone.
    timers_rest: Option<tokio::time::Instant>,
    tenants_rest: Resting,
    snapshotting: Snapshotting,
}

impl Owner {
    /// Claims the partition and brings its state back.
    pub(crate) async fn start(
        partition: Partition,
        parts: Parts,
    ) -> Result<(Self, OwnerHandle, Triggers), StartError> {
        let writer = parts.log.claim(partition).await;
        let writer = writer.map_err(|source| StartError::Claim { partition, source })?;
        let settings = &parts.settings;
        let inbox = Arc::new(Inbox::new(Bounds {
            waiting_requests_max: settings.waiting_requests_max,
            waiting_bytes_max: settings.waiting_bytes_max,
            batch_requests_max: settings.batch_requests_max,
            batch_bytes_max: settings.batch_bytes_max,
        }));
        let folder: PathBuf = settings.identities.join(partition.to_string());
        let key = parts.keyring.identity_key();
        let identities = Identities::open(&folder, key, parts.log.incarnation())?;
        let (applied, shown) = watch::channel(Position::START);
        let (triggers, positions) = mpsc::unbounded_channel();
        let (done, followed) = watch::channel(Position::START);
        let handle = OwnerHandle { partition, inbox: inbox.clone(), applied: shown };
        let mut owner = Self {
            partition,
            writer,
            inbox,
            state: State::default(),
            identities,
            fingerprinter: Fingerprinter::new(key),
            records: RecordWriter::new(settings.source.clone(), settings.values),
            applied,
            triggers,
            followed: Followed { announced: Position::START, done: followed },
            timers_rest: None,
            tenants_rest: Resting::new(),
            snapshotting: Snapshotting::default(),
            parts,
        };
        done.send_replace(owner.restore().await?);
        let upto = owner.state.next;
        owner.followed.announced = upto;
        Ok((owner, handle, Triggers { upto, positions, done }))
    }
}

impl OwnerHandle {
    /// Lets a request wait for its turn.
    pub(crate) fn push(&self, envelope: Envelope) -> Result<(), Refused<Envelope>> {
        self.inbox.push(envelope)
    }

    /// Asks committed state, in order with what was answered before. None once it has stopped.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        // Whoever stopped waiting does not want to know.
        let read = Read(Box::new(move |state| drop(sender.send(question(state)))));
        self.inbox.push_read(read).ok()?;
        answer.await.ok()
    }

    /// How many requests wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.inbox.waiting()
    }

    /// Shows how far committed state has come.
    pub(crate) fn applied(&self) -> watch::Receiver<Position> {
        self.applied.clone()
    }

    /// Makes the owner finish what waits and stop.
    pub(crate) fn close(&self) {
        self.inbox.close();
    }
}
