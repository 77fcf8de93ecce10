//! Follows the log and asks for what must happen elsewhere because of it.
//!
//! One follower per partition serves every reaction: it finds what follows from each event in
//! order ([`effects`]), and hands it to the lane of its target ([`lanes`]). Following never
//! decides anything.
//!
//! # Why a lane per target is safe
//!
//! A target's owner notes, per tenant, reaction and source tenant, the last event handled and
//! ignores what is at or before it. So of one (target, reaction, source tenant) an earlier
//! effect must be durable before a later one is asked for, else it would be lost; between two of
//! them there is no such order. A follower has one source partition, and a lane one target: it
//! waits for each effect before the next, so the order holds, and even between reactions to
//! one target. A lane per owner would be safe too, but let a tenant hold up its neighbours; a
//! lane per reaction would not be, since all tenants that close have the directory as target.
//!
//! What a target has handled therefore says nothing about another target: where to go on after
//! a restart is the first position of which anything is not done ([`Triggers::done`]), which
//! snapshots keep. What lies behind it may be done or not; asking again is harmless, because
//! the target's owner keeps count (`handlers::reactions`).
//!
//! What waits is bounded by what was recorded: some 100 bytes for an event that something
//! follows from and that its target has not taken yet. Asked of the owners at any time is one
//! effect per lane at most, which is why their inboxes let it in whatever waits there.
//!
//! A lane goes on after whatever went wrong with an effect, a panic included: it asks again after
//! a bounded pause, beginning with what the target has handled.

mod effects;
mod lanes;

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use event_log::{LogError, Partition, Position, Recorded};
use futures::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use vault::KeyringError;

use crate::away::Away;
use crate::commands::Commands;
use crate::idempotency::AFTER_BUSY;
use crate::keys::KeysError;
use crate::lookups::Lookup;
use crate::owner::Triggers;
use crate::peers::Cause;
use crate::record::ReadError;
use crate::replica::Trigger;
use crate::request::CommandError;
#[cfg(test)]
use crate::settings::Sabotage;
use effects::{carry_out, is_handled, reacting};
pub(crate) use effects::{effects_of, is_trigger};
use lanes::Lanes;

/// How many records are looked at at once.
const RECORDS_MAX: usize = 1_024;

/// How long to wait after a failure, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(10));

/// Why a follower could not go on for now.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("the log cannot be followed")]
    Log(#[from] LogError),
    #[error("a record cannot be read")]
    Read(#[from] ReadError),
    #[error("the keys of a tenant cannot be had")]
    Keyring(#[from] KeyringError),
    #[error("an effect was not accepted")]
    Command(#[from] CommandError),
    #[error("following panicked")]
    Panicked,
    #[error("the write side is stopping")]
    Stopping,
}

impl From<KeysError> for FollowError {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Keyring(error) => error.into(),
            KeysError::State(error) => error.into(),
        }
    }
}

/// Reacts to what is recorded in a partition whenever it is owned here.
pub(crate) async fn serve(
    commands: Commands,
    source: Partition,
    mut terms: mpsc::UnboundedReceiver<Triggers>,
) {
    while let Some(mut triggers) = terms.recv().await {
        let (_, never) = oneshot::channel();
        let over = std::mem::replace(&mut triggers.over, never);
        tokio::select! {
            () = follow(commands.clone(), source, triggers) => {}
            _ = over => {}
        }
    }
}

/// Follows a partition for as long as it is owned here.
async fn follow(commands: Commands, source: Partition, triggers: Triggers) {
    let Triggers { upto, inherited, next, mut positions, done, .. } = triggers;
    let lanes = Lanes::new(commands.clone(), source, done);
    let mut follower = Follower { commands, source, searched: None, lanes };
    // What was recorded before the owner began is searched for or known, what comes after announced.
    if follower.insist(Step::Search { upto }).await.is_break() {
        return;
    }
    follower.lanes.reach(upto);
    for trigger in inherited {
        let position = trigger.position;
        if !follower.is_handled(trigger).await
            && follower.insist(Step::ReactAt(position)).await.is_break()
        {
            return;
        }
        follower.lanes.reach(position.next());
    }
    follower.lanes.reach(next);
    while let Some(position) = positions.recv().await {
        if follower.insist(Step::ReactAt(position)).await.is_break() {
            return;
        }
        follower.lanes.reach(position.next());
    }
}

/// Who follows a partition.
struct Follower {
    commands: Commands,
    source: Partition,
    /// How far the search has come.
    searched: Option<Position>,
    lanes: Lanes,
}

/// What a follower does next.
#[derive(Clone, Copy)]
enum Step {
    /// Look through the log for what is not handled yet.
    Search { upto: Position },
    /// React to what is recorded here.
    ReactAt(Position),
}

impl Follower {
    /// Whether everything that follows from an event was done, by whoever owned the partition.
    async fn is_handled(&self, trigger: Trigger) -> bool {
        #[cfg(test)]
        if self.commands.inner().settings.sabotage == Some(Sabotage::ReactAlways) {
            return false;
        }
        for effect in trigger.effects {
            if !is_handled(&self.commands, effect, (trigger.tenant, trigger.sequence)).await {
                return false;
            }
        }
        true
    }

    /// Tries again until it succeeds or nobody is there any more.
    async fn insist(&mut self, step: Step) -> ControlFlow<()> {
        let mut failures = 0;
        loop {
            let done = caught(async {
                match step {
                    Step::Search { upto } => self.search(upto).await,
                    Step::ReactAt(position) => self.react_at(position).await,
                }
            });
            match done.await {
                Ok(()) => return ControlFlow::Continue(()),
                Err(FollowError::Stopping | FollowError::Log(LogError::Closed)) => {
                    return ControlFlow::Break(());
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(partition = self.source.0, error, "following waits");
                }
            }
            pause(failures).await;
            failures += 1;
        }
    }

    async fn search(&mut self, upto: Position) -> Result<(), FollowError> {
        let mut from = self.searched.unwrap_or_else(|| self.lanes.done());
        #[cfg(test)]
        if self.searched.is_none()
            && let Some(Sabotage::FollowFromStart | Sabotage::ReactAlways) =
                self.commands.inner().settings.sabotage
        {
            from = Position::START;
        }
        if from >= upto {
            return Ok(());
        }
        let mut reader = self.commands.inner().log.read(self.source, from).await?;
        while from < upto {
            for recorded in reader.next(RECORDS_MAX).await? {
                // What comes after it is announced.
                if recorded.position < upto {
                    self.react(&recorded).await?;
                }
                from = recorded.position.next();
                self.searched = Some(from);
                self.lanes.reach(from.min(upto));
            }
        }
        Ok(())
    }

    async fn react_at(&mut self, position: Position) -> Result<(), FollowError> {
        let mut reader = self.commands.inner().log.read(self.source, position).await?;
        match reader.next(1).await?.first() {
            Some(recorded) => self.react(recorded).await,
            None => Ok(()),
        }
    }

    async fn react(&mut self, recorded: &Recorded) -> Result<(), FollowError> {
        let all = reacting(&self.commands, recorded).await?;
        self.lanes.enter(all);
        Ok(())
    }
}

/// Does what follows from an event for one target that is owned here.
pub(crate) async fn react_to(commands: &Commands, cause: Cause) -> Result<(), CommandError> {
    let Cause { source, position, target } = cause;
    let owner = commands.find(target).await?;
    if owner.is_elsewhere() {
        return Err(CommandError::NotOwner(owner.partition));
    }
    caught(async {
        let (log, lookups) = (&commands.inner().log, &commands.inner().lookups);
        // A reader would wait for what is not there.
        if position >= log.end(source).await? {
            return Err(CommandError::Unavailable(Away::State).into());
        }
        let mut reader = lookups.read(target, source, position, Lookup::Brief).await?;
        let records = reader.next(1).await?;
        // What it causes may take a while, and others wait for a reader.
        drop(reader);
        for recorded in records.iter().filter(|it| it.position == position) {
            for reacting in reacting(commands, recorded).await? {
                if reacting.target == target {
                    carry_out(commands, source, &reacting).await?;
                }
            }
        }
        Ok(())
    })
    .await
    .map_err(|error| match error {
        FollowError::Command(error) => error,
        FollowError::Log(LogError::Busy { .. }) => CommandError::Busy { retry_after: AFTER_BUSY },
        error => {
            let cause = &error as &dyn std::error::Error;
            tracing::warn!(
                partition = source.0,
                position = position.0,
                error = cause,
                "no reaction"
            );
            CommandError::Unavailable(Away::Log)
        }
    })
}

/// What following comes to; a panic is a failure like another: what was reacted to is known, and
/// the rest is tried again.
async fn caught(
    following: impl Future<Output = Result<(), FollowError>>,
) -> Result<(), FollowError> {
    let done = AssertUnwindSafe(following).catch_unwind().await;
    done.unwrap_or(Err(FollowError::Panicked))
}

/// Waits after so many failures.
async fn pause(failures: u32) {
    tokio::time::sleep(PAUSE.0.saturating_mul(1 << failures.min(10)).min(PAUSE.1)).await;
}
