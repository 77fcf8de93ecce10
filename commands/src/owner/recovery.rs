//! What happens when an append ends badly: nobody is answered before the log has spoken.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::pin::pin;
use std::time::Duration;

use domain::id::CommandId;
use event_log::{AppendError, LogError, Partition, Position};
use tokio::time::Instant;

use super::decisions::{Accepted, Decided, Open};
use super::envelope::{Envelope, Read};
use super::inbox::Inbox;
use super::{Owner, StartError};
use crate::away::Away;
use crate::replica::Replica;
use crate::request::CommandError;

/// How long to wait before claiming again, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How long a fenced owner waits to be told that another one is to own the partition, before it
/// takes it back. In seconds: 1, enough for one that was paused to hear what it has missed.
const TOLD_MAX: Duration = Duration::from_secs(1);

/// How long callers wait for a partition to be claimed again before they are told that the outcome
/// of their requests is unknown. In seconds: 10, longer than brokers take to choose new leaders.
const CLAIMED_MAX: Duration = Duration::from_secs(10);

/// How long callers wait in all, from when their request was first given to the log. In seconds: 24.
/// With the 5 s that they may have waited before it is less than the 30 s after which the doors give
/// up, which do not know what nobody knows.
const HELD_MAX: Duration = Duration::from_secs(24);

/// What those are told who ask for something in vain meanwhile, unless more is known.
const NO_OWNER: Away = Away::Owner;

/// How often a request is decided anew after its batch was lost.
const DECISIONS_MAX: u32 = 3;

/// How much of its own time a request must have left to be decided anew. In seconds: 5, as long as
/// whoever waits behind a batch does: its next batch has no more time than it has itself.
const LEFT_MIN: Duration = Duration::from_secs(5);

/// What is known about what was appended last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Another writer has claimed the partition; it was not written.
    Fenced,
    /// It may have been written.
    Unknown,
    /// Nothing was appended.
    Nothing,
}

impl Fate {
    /// What an error says, unless that the writer is still good.
    pub(super) fn of(error: &AppendError) -> Option<Self> {
        match error {
            AppendError::Refused(_) => None,
            AppendError::Fenced => Some(Self::Fenced),
            AppendError::Unknown(_) => Some(Self::Unknown),
        }
    }
}

/// Where the records of those commands are that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Written(HashMap<CommandId, Vec<Position>>);

impl Written {
    fn awaited(held: &[Open]) -> Self {
        Self(held.iter().map(|it| (it.envelope.prepared.command, Vec::new())).collect())
    }

    pub(super) fn note(&mut self, command: CommandId, position: Position) {
        if let Some(positions) = self.0.get_mut(&command) {
            positions.push(position);
        }
    }

    fn positions(&self, command: CommandId) -> &[Position] {
        self.0.get(&command).map_or(&[], Vec::as_slice)
    }

    #[cfg(test)]
    fn forget(&mut self) {
        self.0.values_mut().for_each(Vec::clear);
    }
}

/// Until when the requests of a batch are waited for that is given to the log now, or was before.
pub(super) fn held_until(open: &mut [Open]) -> Instant {
    let now = Instant::now();
    let given = open.iter_mut().map(|it| *it.envelope.given.get_or_insert(now));
    given.min().unwrap_or(now) + HELD_MAX
}

/// What the log says of what it was given, or once `until` has come that it has said nothing.
pub(super) async fn said_until<T>(
    until: Instant,
    answer: impl Future<Output = Result<T, AppendError>>,
) -> Result<T, AppendError> {
    tokio::time::timeout_at(until, answer).await.unwrap_or_else(|_| {
        let (doing, source) = ("answering an append".to_owned(), ErrorKind::TimedOut.into());
        Err(AppendError::Unknown(LogError::Storage { doing, source }))
    })
}

impl Owner {
    /// Claims, reads what became of the batch, answers by command, and serves.
    ///
    /// Requests that were written are acknowledged; the others are decided anew, since it is
    /// certain by then that they were not written and never will be. An owner that is told to let
    /// go meanwhile does not claim any more: else two would take a partition from each other. So does
    /// one that another one has fenced twice without its being told, be it before it could say that it
    /// serves the partition, until the others have had time to notice it.
    pub(super) async fn recover(&mut self, mut held: Vec<Open>, fate: Fate) {
        let partition = self.replica.partition.0;
        match fate {
            Fate::Nothing => tracing::info!(partition, "claiming"),
            Fate::Fenced | Fate::Unknown => {
                tracing::warn!(partition, requests = held.len(), ?fate, "claiming again");
            }
        }
        if fate == Fate::Fenced && self.steps_back().await {
            return self.leave_open(held, &Written::default(), fate);
        }
        let (mut attempts, mut away) = (0, NO_OWNER);
        let until = held_until(&mut held).min(Instant::now() + CLAIMED_MAX);
        // Before orders are looked at: what comes later is counted.
        let times_left = self.replica.inbox.times_left();
        // What an attempt has taken into the state is not read again by the next one.
        let mut written = Written::awaited(&held);
        loop {
            if self.has_been_told() {
                self.replica.inbox.leave();
                return self.leave_open(held, &written, fate);
            }
            let claimed =
                self.claim_until(until, (away, times_left), &mut written, &mut held, fate).await;
            let Err(error) = claimed else { break };
            tracing::error!(partition, error = &error as &dyn std::error::Error, "cannot claim");
            if error.is_fence() && self.steps_back().await {
                return self.leave_open(held, &written, fate);
            }
            if let Some(known) = Away::of_claim(&error) {
                // Whoever comes need not wait to hear of it.
                away = known;
                self.replica.inbox.shut(away, times_left);
            }
            if Instant::now() >= until {
                let Replica { inbox, partition, .. } = &*self.replica;
                let turned = Turned::from(inbox, *partition, away, times_left);
                tell_what_is_known(held.drain(..), turned, fate);
            }
            #[cfg(test)]
            if self.replica.parts.settings.sabotage == Some(crate::settings::Sabotage::ForgetRead) {
                written.forget();
            }
            attempts += 1;
            let is_waited_for = !held.is_empty() && Instant::now() < until;
            if !is_waited_for && self.replica.inbox.is_closed() {
                // Without a writer nothing that waits can be decided any more.
                super::run::refuse_all(self.replica.inbox.take_all(), Away::Process);
                return;
            }
            let pause = PAUSE.0.saturating_mul(1 << attempts.min(10_u32)).min(PAUSE.1);
            drop(tokio::time::timeout(pause, self.is_told()).await);
        }
        self.serve();
        self.settle(held, &written);
    }

    /// Whether this owner, which has been fenced, leaves the partition to the one that did so, of whom
    /// it was not told: two who are not told of each other would fence each other in turn.
    async fn steps_back(&mut self) -> bool {
        if self.desk.is_shared() {
            self.rests_until = self.hear_of_another().await;
        }
        let steps_back = self.rests_until.is_some();
        if steps_back {
            let partition = self.replica.partition.0;
            tracing::warn!(partition, "fenced again by an owner of whom nothing was told");
            self.replica.inbox.leave();
        }
        steps_back
    }

    /// Waits for a while to be told of the owner that has fenced this one; it is let go of once that
    /// comes. Returns until when to leave the partition to it, if it was there before and nothing is
    /// told. A writer that has given itself up says that it is fenced, too: then nobody else serves
    /// the partition, and there is nobody to leave it to.
    async fn hear_of_another(&mut self) -> Option<Instant> {
        let until = Instant::now() + TOLD_MAX;
        let is_served_elsewhere = self.is_served_elsewhere();
        let is_another = tokio::select! {
            biased;
            () = self.is_told() => return None,
            () = is_served_elsewhere => true,
            () = tokio::time::sleep_until(until) => false,
        };
        let rests_until = if is_another { self.desk.rests_until() } else { None };
        if rests_until.is_none() {
            drop(tokio::time::timeout_at(until, self.is_told()).await);
        }
        rests_until
    }

    /// Claims, for as long as that takes. Once `until` has come, callers do not wait for it any
    /// more: those of `held` are told what is known, and whoever comes what is `away`.
    async fn claim_until(
        &mut self,
        until: Instant,
        (away, times_left): (Away, u64),
        written: &mut Written,
        held: &mut Vec<Open>,
        fate: Fate,
    ) -> Result<(), StartError> {
        let (inbox, partition) = (self.replica.inbox.clone(), self.replica.partition);
        let mut claim = pin!(self.claim(written));
        if let Ok(claimed) = tokio::time::timeout_at(until, &mut claim).await {
            return claimed;
        }
        let turned = Turned::from(&inbox, partition, away, times_left);
        tell_what_is_known(held.drain(..), turned, fate);
        claim.await
    }

    /// Acknowledges what was written and lets the rest wait for the next batch, at the front.
    fn settle(&mut self, held: Vec<Open>, written: &Written) {
        let mut again = Vec::new();
        for open in self.acknowledge_written(held, written) {
            let mut envelope = open.envelope;
            envelope.attempts += 1;
            again.extend(envelope.reply.is_some().then_some(envelope));
        }
        let (again, given_up): (Vec<_>, Vec<_>) = again.into_iter().partition(may_be_decided_anew);
        if !given_up.is_empty() {
            let partition = self.replica.partition.0;
            let requests = given_up.len();
            tracing::error!(partition, requests, "the log lost requests, too late or too often");
        }
        for envelope in given_up {
            // One like it may have just been acknowledged.
            let is_written = !written.positions(envelope.prepared.command).is_empty();
            let unavailable = CommandError::Unavailable(Away::Log);
            envelope.refuse(if is_written { CommandError::Unknown } else { unavailable });
        }
        self.replica.inbox.give_back(again.into_iter());
    }

    /// Acknowledges what is known to be written, and sends the rest to whoever owns the partition
    /// now, if it is certain that it was not.
    fn leave_open(&mut self, held: Vec<Open>, written: &Written, fate: Fate) {
        let elsewhere = Turned::Elsewhere(self.replica.partition);
        tell_what_is_known(self.acknowledge_written(held, written), elsewhere, fate);
    }

    /// Acknowledges what was written, and returns the rest.
    fn acknowledge_written(&mut self, held: Vec<Open>, written: &Written) -> Vec<Open> {
        let mut rest = Vec::new();
        for open in held {
            let positions = written.positions(open.envelope.prepared.command);
            match &open.decided {
                Decided::Accepted(accepted)
                    if !accepted.records.is_empty() && !positions.is_empty() =>
                {
                    let at = self.replica.state.recorded;
                    self.acknowledge(vec![whole(open)], positions, at);
                }
                _ => rest.push(open),
            }
        }
        rest
    }
}

/// Whether there is a point in deciding a request anew. Whoever is told otherwise knows at least that
/// nothing was written, and shortens nobody else's time.
fn may_be_decided_anew(envelope: &Envelope) -> bool {
    let waited = envelope.given.map_or(Duration::ZERO, |it| it.elapsed());
    envelope.attempts < DECISIONS_MAX && waited + LEFT_MIN <= HELD_MAX
}

/// What those are told of whom nothing was written.
#[derive(Clone, Copy, Debug)]
enum Turned {
    /// Nobody decides at present, for want of this.
    Away(Away),
    /// Another process is to decide.
    Elsewhere(Partition),
}

impl Turned {
    /// Turns whoever comes away from a partition that is not claimed in time, unless it was left to
    /// another process meanwhile.
    fn from(
        inbox: &Inbox<Envelope, Read>,
        partition: Partition,
        away: Away,
        times_left: u64,
    ) -> Self {
        if inbox.shut(away, times_left) { Self::Elsewhere(partition) } else { Self::Away(away) }
    }
}

/// Answers callers that do not wait any longer for a partition to be claimed here.
fn tell_what_is_known(held: impl IntoIterator<Item = Open>, turned: Turned, fate: Fate) {
    for Open { envelope, decided } in held {
        envelope.refuse(match (may_be_written(&decided, fate), turned) {
            (true, _) => CommandError::Unknown,
            (false, Turned::Away(away)) => CommandError::Unavailable(away),
            (false, Turned::Elsewhere(partition)) => CommandError::NotOwner(partition),
        });
    }
}

/// Whether records of what was decided may be in the log, going by what became of their batch.
fn may_be_written(decided: &Decided, fate: Fate) -> bool {
    let may_be = match decided {
        Decided::Accepted(Accepted { records, .. }) => !records.is_empty(),
        // It is the other that may be.
        Decided::SameAs(_) => true,
        Decided::Refused(_) | Decided::Stale | Decided::Remembered(_) => false,
    };
    fate == Fate::Unknown && may_be
}

/// The same request as the only one of its batch.
fn whole(open: Open) -> Open {
    let Open { envelope, decided } = open;
    let decided = match decided {
        Decided::Accepted(accepted) => {
            let records = 0..accepted.records.len();
            Decided::Accepted(Accepted { records, ..accepted })
        }
        other => other,
    };
    Open { envelope, decided }
}
