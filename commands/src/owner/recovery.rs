//! What happens when an append ends badly: nobody is answered before the log has spoken.

use std::collections::HashMap;
use std::time::Duration;

use domain::id::CommandId;
use event_log::Position;

use super::decisions::{Accepted, Decided, Open};
use super::{Owner, StartError};
use crate::request::CommandError;

/// How long to wait before claiming again, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How many attempts to claim again are made before callers are told that the outcome of their
/// requests is unknown: 10, some 4 s.
const ATTEMPTS_HELD: u32 = 10;

/// How often a request is decided anew after its batch was lost.
const DECISIONS_MAX: u32 = 3;

/// Where the records of each command are.
type Written = HashMap<CommandId, Vec<Position>>;

impl Owner {
    /// Claims again, reads what became of the batch, and answers by command.
    ///
    /// Requests that were written are acknowledged; the others are decided anew, since it is
    /// certain by then that they were not written and never will be.
    pub(super) async fn recover(&mut self, mut held: Vec<Open>) {
        tracing::warn!(partition = self.partition.0, requests = held.len(), "claiming again");
        let mut attempts = 0;
        // What an attempt has taken into the state is not read again by the next one.
        let mut written = Written::new();
        while let Err(error) = self.claim_again(&mut written).await {
            let partition = self.partition.0;
            tracing::error!(
                partition,
                error = &error as &dyn std::error::Error,
                "cannot claim again"
            );
            #[cfg(test)]
            if self.parts.settings.sabotage == Some(crate::settings::Sabotage::ForgetRead) {
                written.clear();
            }
            attempts += 1;
            if attempts == ATTEMPTS_HELD {
                self.inbox.shut("the partition has no owner at present".to_owned());
                for Open { envelope, .. } in held.drain(..) {
                    envelope.refuse(CommandError::Unknown);
                }
            }
            if attempts >= ATTEMPTS_HELD && self.inbox.is_closed() {
                // Without a writer nothing that waits can be decided any more.
                super::run::refuse_all(self.inbox.take_all(), "it is shutting down");
                return;
            }
            let pause = PAUSE.0.saturating_mul(1 << attempts.min(10)).min(PAUSE.1);
            tokio::time::sleep(pause).await;
        }
        // The follower sees for itself which of them something follows from.
        let mut found: Vec<Position> = written.values().flatten().copied().collect();
        found.sort_unstable();
        found.into_iter().for_each(|it| self.trigger(it));
        self.inbox.open();
        self.settle(held, &written);
    }

    /// Claims and brings the state to the end; adds where each command found there is, also
    /// when it fails half-way.
    async fn claim_again(&mut self, written: &mut Written) -> Result<(), StartError> {
        let partition = self.partition;
        let writer = self.parts.log.claim(partition).await;
        self.writer = writer.map_err(|source| StartError::Claim { partition, source })?;
        self.snapshotting.claims += 1;
        #[cfg(test)]
        if self.parts.settings.sabotage == Some(crate::settings::Sabotage::ReadNothing) {
            return Ok(());
        }
        self.catch_up(|command, position| written.entry(command).or_default().push(position)).await
    }

    /// Acknowledges what was written and lets the rest wait for the next batch, at the front.
    fn settle(&mut self, held: Vec<Open>, written: &Written) {
        let mut again = Vec::new();
        for open in held {
            let command = open.envelope.prepared.command;
            match (&open.decided, written.get(&command)) {
                (Decided::Accepted(accepted), Some(positions)) if !accepted.records.is_empty() => {
                    let at = self.state.recorded;
                    self.acknowledge(vec![whole(open)], positions, at);
                }
                _ => again.push(open.envelope),
            }
        }
        let (again, given_up): (Vec<_>, Vec<_>) = again
            .into_iter()
            .filter(|it| it.reply.is_some())
            .map(|mut it| {
                it.attempts += 1;
                it
            })
            .partition(|it| it.attempts < DECISIONS_MAX);
        super::run::refuse_all(given_up, "the log lost the request; nothing was written");
        self.inbox.give_back(again.into_iter());
    }
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
