//! What is away where nothing can be recorded, in words for callers.
//!
//! What the log, the vault or another process said of it is for the operator, whose log has it:
//! none of these can carry a text.

use event_log::{AppendError, ClaimError, LogError};
use serde::{Deserialize, Serialize};

use crate::owner::StartError;

/// What is away. Processes of two versions may tell each other: what one does not know is
/// [`Away::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum Away {
    /// The log.
    #[error("the log does not answer, or takes nothing")]
    Log,
    /// Enough replicas of the log.
    #[error("the log takes nothing at present, since too few of its replicas are in sync")]
    Replicas,
    /// A part of the log, for good.
    #[error("a part of the log was removed, so nothing is recorded any more")]
    Gone,
    /// The vault.
    #[error("the vault does not answer")]
    Vault,
    /// The key under which the tenant stores everything.
    #[error(
        "the key of the tenant is missing in the vault, is damaged or does not open what the tenant \
         has recorded; the operator has to put it back and to start Callboard again"
    )]
    Key,
    /// The index of usage identities.
    #[error("the index of what was used cannot be read")]
    Identities,
    /// The outcome of an earlier request.
    #[error("the remembered outcome of the request cannot be read")]
    Outcome,
    /// What was recorded and is not read yet.
    #[error("what was recorded last has not been read here yet")]
    State,
    /// A tenant that was registered a moment ago.
    #[error("the tenant is not created yet")]
    Tenant,
    /// A clock that is right.
    #[error("the clock of the process that decides this is wrong")]
    Clock,
    /// Whoever decides.
    #[error("no process that decides this can be asked")]
    Owner,
    /// A process of the same version.
    #[error("the process that decides this is of another version and does not understand it")]
    Version,
    /// The process, for it stops.
    #[error("the process that was asked is shutting down")]
    Process,
    /// Something that this version knows nothing of.
    #[error("a part of Callboard does not answer")]
    #[serde(other)]
    Other,
}

impl From<&LogError> for Away {
    fn from(error: &LogError) -> Self {
        match error {
            LogError::TooFewReplicas { .. } => Self::Replicas,
            LogError::Gone { .. } => Self::Gone,
            _ => Self::Log,
        }
    }
}

impl From<&AppendError> for Away {
    fn from(error: &AppendError) -> Self {
        match error {
            AppendError::Refused(error) | AppendError::Unknown(error) => error.into(),
            AppendError::Fenced => Self::Owner,
        }
    }
}

impl Away {
    /// What keeps a partition from being claimed, in so far as callers can be told more than that
    /// nobody owns it.
    pub(crate) fn of_claim(error: &StartError) -> Option<Self> {
        let away = match error {
            StartError::Claim { source: ClaimError::Log(source), .. } => source.into(),
            StartError::Announce { source, .. } => source.into(),
            _ => return None,
        };
        matches!(away, Self::Replicas | Self::Gone).then_some(away)
    }
}
