//! A partition as every process knows it: its state, and what is derived from it, as the log says.
//!
//! Each process has one of every partition, whoever owns it: [`following`] keeps it up with the log,
//! and the owner, which is the same replica with a writer, changes it only by what has become
//! durable. So an owner and a follower cannot differ, and taking over reads little. It does *not*
//! decide anything.

mod following;
mod heard;
mod inherited;
mod replay;
mod unread;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use event_log::{EventLog, Partition, Position};
use tokio::sync::{oneshot, watch};
use vault::Keyring;

use crate::away::Away;
use crate::clock::Clock;
use crate::clock::outside::Comparison;
use crate::excluded::Excluded;
use crate::identities::{Fingerprinter, Identities};
use crate::owner::StartError;
use crate::owner::envelope::{Envelope, Read};
use crate::owner::inbox::{Bounds, Inbox, Refused};
use crate::request::CommandError;
use crate::settings::Settings;
use crate::snapshot::Snapshots;
use crate::state::{Changes, State};
use crate::views::Views;
pub(crate) use following::Followed;
use heard::Heard;
pub(crate) use inherited::{Inherited, Trigger};

/// How long a read may take before it is given up. In seconds: 5.
const READ_MAX: Duration = Duration::from_secs(5);

/// What all partitions of a process have in common.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) keyring: Keyring,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether the clock is known not to be right.
    pub(crate) comparison: Comparison,
    pub(crate) settings: Arc<Settings>,
    pub(crate) views: Arc<Views>,
    /// The partitions that are owned here.
    pub(crate) owned: watch::Sender<BTreeSet<Partition>>,
    /// Why this process can take part no longer, once it cannot.
    pub(crate) excluded: watch::Sender<Option<Excluded>>,
}

/// One partition: runs as one task, as a follower or within its owner.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) partition: Partition,
    pub(crate) parts: Parts,
    pub(crate) inbox: Arc<Inbox<Envelope, Read>>,
    pub(crate) state: State,
    pub(crate) identities: Identities,
    pub(crate) snapshots: Snapshots,
    /// What may be left to react to.
    pub(crate) inherited: Inherited,
    fingerprinter: Fingerprinter,
    applied: watch::Sender<Position>,
    heard: Arc<Heard>,
}

/// How others reach a partition in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(crate) partition: Partition,
    pub(crate) inbox: Arc<Inbox<Envelope, Read>>,
    log: Arc<dyn EventLog>,
    /// How far its committed state has come.
    applied: watch::Receiver<Position>,
    heard: Arc<Heard>,
    #[cfg(test)]
    sabotage: Option<crate::settings::Sabotage>,
}

impl Replica {
    /// Brings the state of a partition to its end.
    pub(crate) async fn start(partition: Partition, parts: Parts) -> Result<Self, StartError> {
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
        let mut replica = Self {
            partition,
            inbox,
            state: State::default(),
            identities,
            snapshots: Snapshots::default(),
            inherited: Inherited::default(),
            fingerprinter: Fingerprinter::new(key),
            applied: watch::Sender::new(Position::START),
            heard: Arc::default(),
            parts,
        };
        replica.restore().await?;
        Ok(replica)
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle {
            partition: self.partition,
            inbox: self.inbox.clone(),
            log: self.parts.log.clone(),
            applied: self.applied.subscribe(),
            heard: self.heard.clone(),
            #[cfg(test)]
            sabotage: self.parts.settings.sabotage,
        }
    }

    /// Takes what became durable into committed state, and shows it before it says how far it has
    /// come: whoever hears that asks the views for it.
    pub(crate) fn commit(&mut self, changes: Changes, recorded: DateTime<Utc>, next: Position) {
        for ((tenant, stream), slot) in &changes.slots {
            self.parts.views.show(*tenant, stream, slot);
        }
        for tenant in changes.tallies.keys() {
            self.snapshots.changed(*tenant);
        }
        self.state.merge(changes, recorded, next);
        self.applied.send_replace(next);
    }

    /// Begins to put the identity index on disk if it is time to. `upto` as in [`Identities::seal`].
    pub(crate) fn seal_identities_if_due(&mut self, upto: Position) {
        if self.identities.is_seal_due() {
            self.identities.seal(self.recall_from(upto));
        }
    }

    /// Puts the identity index on disk, to make the next start quick.
    pub(crate) fn seal_identities(&mut self) {
        let upto = self.recall_from(self.state.next);
        if let Err(error) = self.identities.seal_all(upto) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the identity index is not on disk; the log brings it back");
        }
    }

    /// From where a later start has to recall identities if those here are known up to `upto`: not from
    /// later than now as long as those of some tenant could not be read.
    fn recall_from(&self, upto: Position) -> Position {
        if self.state.unread.is_empty() { upto } else { upto.min(self.identities.sealed_upto()) }
    }
}

impl Handle {
    /// Lets a request wait for its turn.
    pub(crate) fn push(&self, envelope: Envelope) -> Result<(), Refused<Envelope>> {
        self.inbox.push(envelope)
    }

    /// Asks committed state once it holds everything that was durable when it was asked, whoever
    /// wrote that.
    ///
    /// # Errors
    ///
    /// [`CommandError::Unavailable`] if that takes too long, the log does not answer, or the
    /// process stops.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Result<T, CommandError> {
        self.in_time(async {
            self.reach_end().await?;
            self.peek(question).await.ok_or_else(stopping)
        })
        .await
    }

    /// Completes once the views show everything that was durable when it was asked, whoever wrote
    /// that. It asks neither who decides nor who follows: they may be busy for as long as the log
    /// takes to answer them.
    ///
    /// # Errors
    ///
    /// As [`Handle::read`].
    pub(crate) async fn is_shown(&self) -> Result<(), CommandError> {
        self.in_time(self.reach_end()).await
    }

    async fn reach_end(&self) -> Result<(), CommandError> {
        let end = self.log.end(self.partition).await.map_err(|error| {
            let away = Away::from(&error);
            let error = &error as &dyn std::error::Error;
            let partition = self.partition.0;
            tracing::warn!(partition, error, "the log does not say where it ends");
            CommandError::Unavailable(away)
        })?;
        #[cfg(test)]
        let end = match self.sabotage {
            Some(crate::settings::Sabotage::ReadAtOnce) => Position::START,
            _ => end,
        };
        let mut applied = self.applied.clone();
        applied.wait_for(|it| *it >= end).await.map(drop).map_err(|_| stopping())
    }

    async fn in_time<T>(
        &self,
        reading: impl Future<Output = Result<T, CommandError>>,
    ) -> Result<T, CommandError> {
        let late = |_| {
            let partition = self.partition.0;
            tracing::warn!(partition, "what was recorded last is not read here in time");
            CommandError::Unavailable(self.inbox.shut_for().unwrap_or(Away::State))
        };
        tokio::time::timeout(READ_MAX, reading).await.map_err(late)?
    }

    /// Asks committed state as it is here, in order with what was answered before; another process
    /// may have changed it since. None once it has stopped.
    pub(crate) async fn peek<T: Send + 'static>(
        &self,
        question: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        // Whoever stopped waiting does not want to know.
        let read = Read(Box::new(move |state| drop(sender.send(question(state)))));
        self.inbox.push_read(read).ok()?;
        answer.await.ok()
    }

    /// Whether another process decides.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.inbox.is_elsewhere()
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

fn stopping() -> CommandError {
    CommandError::Unavailable(Away::Process)
}
