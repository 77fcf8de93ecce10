//! Requests that changed nothing and are remembered all the same: bookkeeping that makes repeating
//! a request with an idempotency key harmless.
//!
//! What a request changed is told by its events. One that changed nothing and carries a key is
//! noted here, so that a repetition is answered as the first time although the state is another
//! by then. It is *not* an aggregate: nothing is decided by what was noted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::usage::Verdict;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Event {
    /// A request with an idempotency key was accepted, and what it asked held already.
    #[serde(rename = "request.noted.v1")]
    Noted {
        /// What became of its usage entries, in its order: how many in a row, and what.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        verdicts: Vec<(u32, Verdict)>,
    },
}

impl Event {
    /// The note of a request whose usage entries got these verdicts.
    #[must_use]
    pub fn noted(verdicts: &[Verdict]) -> Self {
        let rows = verdicts.chunk_by(|one, next| one == next);
        let row = |it: &[Verdict]| (u32::try_from(it.len()).unwrap_or(u32::MAX), it[0]);
        Self::Noted { verdicts: rows.map(row).collect() }
    }

    /// What became of each usage entry, in the order of the request.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        let Self::Noted { verdicts } = self;
        let row = |(count, verdict): &(u32, Verdict)| {
            std::iter::repeat_n(*verdict, usize::try_from(*count).unwrap_or(usize::MAX))
        };
        // As many as a request can hold, whatever a damaged note says.
        verdicts.iter().flat_map(row).take(crate::usage::ENTRIES_MAX).collect()
    }
}

#[cfg(test)]
mod tests;
