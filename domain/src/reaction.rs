//! What reactions have handled: bookkeeping that makes them exactly-once.
//!
//! A reaction follows the log and sends commands; the owner of the target records, in the same
//! batch as the effects, the last source event handled, by its sequence in the history of the
//! tenant it belongs to, and ignores anything at or below it. Sequences, unlike positions, are the
//! same wherever that history is kept: after it was restored, and in another partition.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::TenantId;

/// The reactions there are.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = crate::event::open)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Event {
    /// Everything up to an event of a tenant was handled.
    #[serde(rename = "reaction.advanced.v1")]
    Advanced {
        /// By which reaction.
        reaction: Reaction,
        /// Of which tenant.
        source_tenant: TenantId,
        /// Up to and including which of its events.
        source_sequence: u64,
    },
}

/// How far each reaction has come on behalf of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reactions {
    handled: BTreeMap<(Reaction, TenantId), u64>,
}

impl Reactions {
    /// Says whether this event of the source tenant still has to be handled.
    #[must_use]
    pub fn is_new(&self, reaction: Reaction, source: TenantId, sequence: u64) -> bool {
        let handled = self.handled.get(&(reaction, source));
        handled.is_none_or(|it| sequence > *it)
    }

    /// How far each reaction has come: the last event handled of each source tenant.
    pub fn handled(&self) -> impl Iterator<Item = (Reaction, TenantId, u64)> {
        self.handled.iter().map(|((reaction, source), sequence)| (*reaction, *source, *sequence))
    }

    /// Takes in one event.
    pub fn evolve(&mut self, event: &Event) {
        let Event::Advanced { reaction, source_tenant, source_sequence } = event;
        let handled = self.handled.entry((*reaction, *source_tenant)).or_default();
        *handled = (*handled).max(*source_sequence);
    }
}

#[cfg(test)]
mod tests;
