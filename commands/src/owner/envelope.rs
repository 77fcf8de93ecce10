//! A request on its way to the owner, and the answer on its way back.

use domain::id::TenantId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::idempotency::Remembered;
use crate::owner::inbox::{Sender, Waiting};
use crate::prepare::{Ask, Prepared};
use crate::request::{CommandError, Outcome};
use crate::state::State;

/// A request and who waits for its answer.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) prepared: Box<Prepared>,
    /// None for what the owner asks of itself.
    pub(crate) reply: Option<oneshot::Sender<Reply>>,
    /// How often its decision was lost with a batch whose outcome was unknown.
    pub(crate) attempts: u32,
    /// When it was first given to the log, if it was.
    pub(crate) given: Option<Instant>,
}

/// An answer, and what it answers: whoever made a request ready also clears it away.
pub(crate) type Reply = (Answer, Box<Prepared>);

/// What the owner answers.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It was decided, and what it rests on is durable.
    Done(Outcome),
    /// A part of it was; ask again to go on from here.
    Partly { resume: u64 },
    /// It had no effect.
    Refused(CommandError),
    /// It was prepared under settings of the tenant that changed while it waited.
    Stale,
    /// It was decided earlier: the outcome is in the log.
    Remembered(Remembered),
}

impl Envelope {
    pub(crate) fn new(prepared: Box<Prepared>) -> (Self, oneshot::Receiver<Reply>) {
        let (sender, receiver) = oneshot::channel();
        (Self { prepared, reply: Some(sender), attempts: 0, given: None }, receiver)
    }

    /// What the owner asks of itself.
    pub(crate) fn silent(prepared: Box<Prepared>) -> Self {
        Self { prepared, reply: None, attempts: 0, given: None }
    }

    /// Answers, if anybody still waits.
    pub(crate) fn answer(self, answer: Answer) {
        if let Some(reply) = self.reply {
            // Whoever stopped waiting does not want to know.
            drop(reply.send((answer, self.prepared)));
        }
    }

    pub(crate) fn refuse(self, error: CommandError) {
        self.answer(Answer::Refused(error));
    }
}

impl Waiting for Envelope {
    fn tenant(&self) -> TenantId {
        self.prepared.tenant
    }

    fn bytes(&self) -> usize {
        self.prepared.bytes
    }

    fn sender(&self) -> Sender {
        match self.prepared.ask {
            Ask::React(_) => Sender::Reaction,
            _ => Sender::Caller,
        }
    }
}

/// A question to committed state.
pub(crate) struct Read(pub(crate) Box<dyn FnOnce(&State) + Send>);

impl std::fmt::Debug for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Read(…)")
    }
}
