//! Which of the times it is that somebody belongs to a tenant.

use serde::{Deserialize, Serialize};

/// The first time is 1. Who was removed and is added again is the same member for another time, to whom
/// nothing belongs of what they had before; so whoever keeps something about a member elsewhere keeps this
/// with it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Term(pub u32);

impl Term {
    /// The time after this one.
    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}
