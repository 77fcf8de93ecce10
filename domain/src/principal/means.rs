//! By what a member acts, and what an operation needs of whoever asks for it.

use super::{Denied, Permission};
use crate::id::{ActorId, SessionId};
use crate::member::FRESH_MAX;

/// By what a member acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// By nothing that is a part of the member.
    Roles,
    /// By this API key of theirs.
    ApiKey(ActorId),
    /// By this session of theirs.
    Session(SessionId),
    /// By a proof of who they are, which is good for beginning a session and for nothing else.
    Proof,
}

/// What whoever asks for an operation must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A permission.
    Permission(Permission),
    /// A permission and, in a session, a proof of the last minutes of who they are. A token and a key are asked
    /// for none: what they are good for, and until when, was said when they were made.
    Fresh(Permission),
    /// Nothing: it is about their own sessions. But they must be there in person.
    Oneself,
    /// A proof of this moment of who they are.
    Proof,
}

impl From<Permission> for Need {
    fn from(permission: Permission) -> Self {
        Self::Permission(permission)
    }
}

impl Means {
    /// Fails unless whoever acts by this is the member in person.
    ///
    /// # Errors
    ///
    /// [`Unfit::NotInPerson`].
    pub fn admit_in_person(self) -> Result<(), Unfit> {
        match self {
            Self::Roles | Self::Session(_) => Ok(()),
            Self::ApiKey(_) | Self::Proof => Err(Unfit::NotInPerson),
        }
    }

    /// Fails unless it is the proof that begins a session.
    ///
    /// # Errors
    ///
    /// [`Unfit::NotProved`].
    pub fn admit_proof(self) -> Result<(), Unfit> {
        if self == Self::Proof { Ok(()) } else { Err(Unfit::NotProved) }
    }
}

/// Why somebody may not ask for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// They lack a permission.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It is about a member's own sessions, and they are not that member in person.
    #[error("only a member in person may ask for this")]
    NotInPerson,
    /// They proved who they are some other time.
    #[error("only who has just proved who they are may ask for this")]
    NotProved,
    /// It could do much harm, and their session is from longer ago.
    #[error(
        "only who has proved within the last {} minutes who they are may ask for this; sign in again, at a \
         provider with `again=true`",
        FRESH_MAX.num_minutes()
    )]
    NotFresh,
}
