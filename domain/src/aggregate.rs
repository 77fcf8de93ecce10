//! The shape every decision has: state, command, event, rejection.
//!
//! It is synchronous and pure. What an aggregate must know about others arrives in the command
//! as facts, gathered by the owner from the same committed state in the same instant.

use chrono::{DateTime, Utc};

/// A consistency boundary: one stream of events and the rules that guard it.
pub trait Aggregate: Clone + Default {
    /// What can be asked.
    type Command;
    /// What can have happened.
    type Event;
    /// Why not.
    type Rejection: std::error::Error;

    /// Says what happens if `command` is asked at `now`.
    ///
    /// If what is asked already holds, there are no events: anybody may retry anything.
    ///
    /// # Errors
    ///
    /// The rejection names the rule that forbids it.
    fn decide(
        &self,
        command: &Self::Command,
        now: DateTime<Utc>,
    ) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// Takes in one event. Total: an event that was recorded is a fact.
    fn evolve(&mut self, event: &Self::Event);

    /// When this aggregate wants to be woken, if ever. The owner fires it at or after `at`.
    fn due(&self) -> Option<Due> {
        None
    }
}

/// A promise to act at an instant. (stream, kind, instant) identifies it, so it fires once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Due {
    /// When, at the earliest.
    pub at: DateTime<Utc>,
    /// Which of the aggregate's timers.
    pub kind: DueKind,
}

/// The timers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DueKind {
    /// A subscription's period ends: renew or end it.
    PeriodEnd,
}

/// Folds a history from the beginning.
pub fn fold<A: Aggregate>(events: &[A::Event]) -> A {
    let mut state = A::default();
    events.iter().for_each(|it| state.evolve(it));
    state
}
