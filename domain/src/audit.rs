//! What becomes of the audit trail itself: who took which part of it away.
//!
//! Nothing is decided by it, so it is *not* an aggregate: whoever may do it is told by their permissions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::ActorId;
use crate::violation::Violations;

/// The most types, or beginnings of types, that one export or one follower may be limited to: 100.
pub const TYPES_MAX: usize = 100;

/// The longest text of a filter. In characters: 100, more than any type or instant has.
const FILTER_MAX: usize = 100;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Event {
    /// Somebody has asked for a part of the trail, and is given it from here on.
    #[serde(rename = "audit.exported.v1")]
    Exported {
        /// Which part.
        part: Part,
    },
}

/// Which part of the trail is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// From this sequence or instant on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Up to this sequence, or before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What this actor did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<ActorId>,
    /// Events of these types, or beginnings of types; all if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// Whoever asks has what comes up to this sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

impl Part {
    /// Notes what is wrong with it.
    pub(crate) fn note_violations(&self, violations: &mut Violations) {
        for (field, text) in [("from", &self.from), ("to", &self.to)] {
            text.iter().for_each(|it| violations.text(field, it, FILTER_MAX));
        }
        violations.at_most("types", self.types.len(), TYPES_MAX);
        self.types.iter().take(TYPES_MAX).for_each(|it| violations.text("types", it, FILTER_MAX));
    }
}
