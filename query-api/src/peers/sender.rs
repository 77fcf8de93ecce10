//! Asks the owner of a partition, wherever it is, and waits for one where there is none.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use commands::{Away, Cause, CommandError, Mode, Outcome, Peers, Request};
use event_log::{Owners, Partition};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{COMMANDS, Carried, Carrier, NotCarried, REACTIONS, WireCause};
use crate::auth::{Credential, Session};
use crate::context::Context;

/// How long a request waits for somebody to own its partition. In seconds: 5, enough for a
/// partition to be handed over; when an owner has died, it takes as long as nobody has noticed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// When to look again although nobody has announced anything: the owner may be back where it was.
/// In milliseconds: 100.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// How long the answer of a process is still waited for when another one has announced that it
/// serves the partition. In seconds: 1. One that has let go answers before that; one that is paused
/// would not for as long as the pause takes.
const AFTER_MOVE: Duration = Duration::from_secs(1);

/// When a peer that serves too much may be asked again. In seconds: 1.
const AFTER_BUSY: Duration = Duration::from_secs(1);

/// Asks other processes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sender {
    owners: watch::Receiver<Owners>,
    carrier: Arc<dyn Carrier>,
    pub(super) patience: Duration,
    pub(super) after_move: Duration,
}

/// What became of asking another process once.
enum Attempt<T> {
    /// It answered.
    Answered(Result<T, CommandError>),
    /// Nobody there owns the partition, and nothing was done.
    NotThere(String),
    /// It may have done what was asked.
    Lost,
    /// The same, and another process owns the partition now.
    Moved,
}

impl Sender {
    /// Asks those whom `owners` names.
    #[must_use]
    pub fn new(owners: watch::Receiver<Owners>, carrier: Arc<dyn Carrier>) -> Self {
        Self { owners, carrier, patience: PATIENCE, after_move: AFTER_MOVE }
    }

    /// Submits `request` here if the partition of its tenant is owned here, else where it is.
    ///
    /// A request whose answer is lost is repeated only if that is safe.
    pub(crate) async fn submit(
        &self,
        here: &Context,
        session: &Session,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        let mut owners = self.owners.clone();
        let mut until = Instant::now() + self.patience;
        let (mut body, mut lost) = (None, false);
        loop {
            owners.mark_unchanged();
            let decided = match here.commands().elsewhere(session.principal.tenant()) {
                Some(partition) => Err(CommandError::NotOwner(partition)),
                // Kept, for the partition may be handed over before the request is let in.
                None => here.submit_here(&session.principal, request.clone()).await,
            };
            let attempt = match decided {
                Err(CommandError::NotOwner(partition)) => {
                    let body = body.get_or_insert_with(|| {
                        Bytes::from(serde_json::to_vec(&request).expect("a request is plain data"))
                    });
                    let credential = Some(&session.credential);
                    self.attempt(partition, COMMANDS, credential, body.clone()).await
                }
                decided => Attempt::Answered(decided),
            };
            let why = match attempt {
                // Whoever owns the partition next can say what the last one could not.
                Attempt::Lost | Attempt::Answered(Err(CommandError::Unknown)) => {
                    lost = true;
                    String::new()
                }
                Attempt::Moved => {
                    // However long the last one has kept silent: the next one can be asked.
                    (lost, until) = (true, Instant::now() + self.patience);
                    String::new()
                }
                Attempt::Answered(answer) if lost => return after_a_loss(answer, &request),
                Attempt::Answered(answer) => return answer,
                Attempt::NotThere(why) => why,
            };
            if lost && !may_be_repeated(&request) {
                return Err(CommandError::Unknown);
            }
            if Instant::now() >= until {
                tracing::warn!(why, "nobody has decided what was asked");
                let unavailable = CommandError::Unavailable(Away::Owner);
                return Err(if lost { CommandError::Unknown } else { unavailable });
            }
            // Nobody announces anything any more: the log is closed.
            if let Ok(Err(_closed)) = timeout(PAUSE, owners.changed()).await {
                sleep(PAUSE).await;
            }
        }
    }

    /// Whether somebody has said that it serves `partition`.
    pub(crate) fn knows(&self, partition: Partition) -> bool {
        self.address(partition).is_some()
    }

    fn address(&self, partition: Partition) -> Option<Arc<str>> {
        announced(&self.owners.borrow(), partition)
    }

    /// Asks whoever has announced that it serves `partition`, once.
    async fn attempt<T: DeserializeOwned>(
        &self,
        partition: Partition,
        path: &str,
        credential: Option<&Credential>,
        body: Bytes,
    ) -> Attempt<T> {
        let Some(address) = self.address(partition) else {
            return Attempt::NotThere(format!(
                "no process has said where it serves partition {partition}; the setting \
                 `cluster.listen` of its owner must not be empty"
            ));
        };
        let mut carrying = self.carrier.carry(&address, path, credential, body);
        let carried = tokio::select! {
            carried = &mut carrying => Some(carried),
            () = self.moved(partition, &address) => timeout(self.after_move, carrying).await.ok(),
        };
        match carried {
            Some(Ok(carried)) => read(&address, &carried),
            Some(Err(NotCarried::NotSent(why))) => Attempt::NotThere(format!(
                "the owner of partition {partition} cannot be reached: {why}"
            )),
            Some(Err(NotCarried::NoAnswer(why))) => {
                tracing::warn!(peer.address = %address, why, "a peer gave no answer");
                Attempt::Lost
            }
            None => {
                tracing::warn!(peer.address = %address, "a peer lost the partition and is silent");
                Attempt::Moved
            }
        }
    }

    /// Completes once another process than that at `address` has announced that it serves
    /// `partition`.
    async fn moved(&self, partition: Partition, address: &str) {
        let mut owners = self.owners.clone();
        while self.address(partition).is_none_or(|it| &*it == address) {
            if owners.changed().await.is_err() {
                // Nobody announces anything any more.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[async_trait]
impl Peers for Sender {
    async fn react(&self, owner: Partition, cause: Cause) -> Result<(), CommandError> {
        let Cause { source, position, target } = cause;
        let cause = WireCause { source: source.0, position: position.0, target };
        let body = serde_json::to_vec(&cause).expect("a cause is plain data").into();
        match self.attempt(owner, REACTIONS, None, body).await {
            Attempt::Answered(answer) => answer,
            Attempt::NotThere(why) => {
                tracing::warn!(why, "nobody has done what follows from an event");
                Err(CommandError::Unavailable(Away::Owner))
            }
            Attempt::Lost | Attempt::Moved => Err(CommandError::Unknown),
        }
    }
}

/// Where `partition` is served, as far as somebody has said so.
pub(super) fn announced(owners: &Owners, partition: Partition) -> Option<Arc<str>> {
    let index = usize::try_from(partition.0).expect("a partition's number is small");
    owners.get(index).cloned().flatten()
}

/// Whether nothing happens twice when it is asked twice.
fn may_be_repeated(request: &Request) -> bool {
    request.idempotency_key.is_some() || request.mode == Mode::Preview
}

/// What `answer` says of a request that may have been done before: not that nothing was.
fn after_a_loss(
    answer: Result<Outcome, CommandError>,
    request: &Request,
) -> Result<Outcome, CommandError> {
    use CommandError::{Busy, Denied, TooManyKeys, Unavailable, Unknown};

    match answer {
        // Who may ask is found out before what is remembered.
        Err(Busy { .. } | TooManyKeys { .. } | Unavailable(_) | Denied(_))
            if request.mode == Mode::Commit =>
        {
            Err(Unknown)
        }
        answer => answer,
    }
}

fn read<T: DeserializeOwned>(address: &str, carried: &Carried) -> Attempt<T> {
    // What it says in words may repeat what was asked, which is not for the log.
    let unavailable = |away: Away| {
        let status = carried.status;
        tracing::warn!(peer.address = address, status, %away, "a peer does not take a request");
        Attempt::Answered(Err(CommandError::Unavailable(away)))
    };
    match carried.status {
        200 => match serde_json::from_slice(&carried.body) {
            Ok(answer) => Attempt::Answered(answer),
            Err(error) => {
                let cause = &error as &dyn std::error::Error;
                tracing::warn!(peer.address = address, error = cause, "no answer we understand");
                Attempt::Lost
            }
        },
        400 | 404 | 405 | 413 => unavailable(Away::Version),
        401 => unavailable(Away::Owner),
        421 => Attempt::NotThere(format!("the process at `{address}` does not own it any more")),
        503 => Attempt::Answered(Err(CommandError::Busy { retry_after: AFTER_BUSY })),
        status => {
            tracing::warn!(peer.address = address, status, "a peer failed");
            Attempt::Lost
        }
    }
}
