//! What reactions have handled: bookkeeping that makes them exactly-once.
//!
//! A reaction follows the log and sends commands; the owner of the target records, in the same
//! batch as the effects, the last source position handled, and ignores anything at or below it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The reactions there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// A tenant registered, suspended, reactivated or closed in the directory follows suit.
    FollowDirectory,
    /// Entities of a deregistered location are deregistered.
    FollowLocation,
    /// A tenant that closed itself is closed in the directory.
    CloseInDirectory,
    /// Subscriptions of a closed tenant are cancelled.
    EndSubscriptions,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Everything up to a position of a partition was handled.
    #[serde(rename = "reaction.advanced.v1")]
    Advanced {
        /// By which reaction.
        reaction: Reaction,
        /// Of which partition.
        source_partition: u32,
        /// Up to and including which position.
        source_position: u64,
    },
}

/// How far each reaction has come on behalf of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reactions {
    handled: BTreeMap<(Reaction, u32), u64>,
}

impl Reactions {
    /// Says whether the source event at this place still has to be handled.
    #[must_use]
    pub fn is_new(&self, reaction: Reaction, source_partition: u32, source_position: u64) -> bool {
        let handled = self.handled.get(&(reaction, source_partition));
        handled.is_none_or(|it| source_position > *it)
    }

    /// How far each reaction has come: the last position handled of each source partition.
    pub fn handled(&self) -> impl Iterator<Item = (Reaction, u32, u64)> {
        self.handled
            .iter()
            .map(|((reaction, partition), position)| (*reaction, *partition, *position))
    }

    /// Takes in one event.
    pub fn evolve(&mut self, event: &Event) {
        let Event::Advanced { reaction, source_partition, source_position } = event;
        let handled = self.handled.entry((*reaction, *source_partition)).or_default();
        *handled = (*handled).max(*source_position);
    }
}

#[cfg(test)]
mod tests;
