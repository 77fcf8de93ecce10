//! What an owner and those who react to what it records tell each other.

use std::collections::VecDeque;

use event_log::Position;
use tokio::sync::{mpsc, oneshot, watch};

use crate::replica::{Inherited, Trigger};

/// Where in a partition there is something to react to, for as long as it is owned here.
#[derive(Debug)]
pub(crate) struct Triggers {
    /// Up to here the log has to be searched.
    pub(crate) upto: Position,
    /// What was recorded after it, until the owner began.
    pub(crate) inherited: VecDeque<Trigger>,
    /// Where the owner began; after it, positions are announced.
    pub(crate) next: Position,
    pub(crate) positions: mpsc::UnboundedReceiver<Position>,
    /// Before here everything was reacted to; kept by who reacts.
    pub(crate) done: watch::Sender<Position>,
    /// Resolves when the partition is no longer owned here.
    pub(crate) over: oneshot::Receiver<()>,
}

/// The owner's side.
#[derive(Debug)]
pub(super) struct Reactors {
    /// The position after the last trigger that was announced.
    announced: Position,
    positions: mpsc::UnboundedSender<Position>,
    done: watch::Receiver<Position>,
    /// Lives as long as the term.
    _term: oneshot::Sender<()>,
}

impl Reactors {
    /// Both sides, where committed state ends at `next` and this was left by others.
    pub(super) fn new(inherited: Inherited, next: Position) -> (Self, Triggers) {
        let Inherited { done, upto, triggers: inherited } = inherited;
        let (positions, announced) = mpsc::unbounded_channel();
        let (done, followed) = watch::channel(done);
        let (term, over) = oneshot::channel();
        let triggers = Triggers { upto, inherited, next, positions: announced, done, over };
        (Self { announced: next, positions, done: followed, _term: term }, triggers)
    }

    /// Tells that there is something to react to.
    pub(super) fn announce(&mut self, position: Position) {
        self.announced = position.next();
        // One that has stopped does not want to know.
        let _ = self.positions.send(position);
    }

    /// The position before which nothing is left to react to, if committed state ends at `next`.
    pub(super) fn upto(&self, next: Position) -> Position {
        let done = *self.done.borrow();
        if done >= self.announced { next } else { done }
    }
}
