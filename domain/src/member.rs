//! A member: somebody who may do something in a tenant, by the roles they have there.
//!
//! Named by the actor it is, so what somebody does and whether they may is told by one id. The
//! name is personal and sealed; a member may have none. Their API keys and sessions end with them. It
//! does *not* know how somebody proves who they are, only that they have.

mod api_key;
mod credential;
mod invite;
mod session;
mod term;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::api_key::note_violations as note_api_key_violations;
pub use self::api_key::{API_KEYS_MAX, ApiKey, ApiKeyName, ApiKeyNameError, LIFETIME_MAX};
pub use self::credential::CredentialChange;
pub use self::invite::Invite;
pub(crate) use self::session::note_violations as note_sign_in_violations;
pub use self::session::{FRESH_MAX, Lifetime, Method, SESSIONS_MAX, Session, SignIn};
pub use self::term::Term;
use crate::aggregate::Aggregate;
use crate::id::{ActorId, ProviderId, SessionId};
use crate::personal::{Digest, Personal};
use crate::role::{BuiltIn, RoleRef};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Event {
    /// Somebody belongs to the tenant.
    #[serde(rename = "member.added.v1")]
    Added {
        /// What they are called, if that was said.
        name: Option<Personal>,
        /// What they are.
        roles: BTreeSet<RoleRef>,
    },
    /// Somebody is something else.
    #[serde(rename = "member.roles-changed.v1")]
    RolesChanged {
        /// All that they are from now on.
        roles: BTreeSet<RoleRef>,
    },
    /// Somebody has one more API key.
    #[serde(rename = "member.api-key-issued.v1")]
    ApiKeyIssued {
        /// The actor that it is.
        key: ActorId,
        /// What it is for.
        issued: ApiKey,
    },
    /// An API key is good for nothing any more.
    #[serde(rename = "member.api-key-revoked.v1")]
    ApiKeyRevoked {
        /// The actor that it is.
        key: ActorId,
    },
    /// Somebody may say how they sign in. What they were invited by before is good for nothing.
    #[serde(rename = "member.invited.v1")]
    Invited {
        /// By what.
        invite: Invite,
    },
    /// Somebody has proved who they are.
    #[serde(rename = "member.signed-in.v1")]
    SignedIn {
        /// The session that has begun.
        session: SessionId,
        /// How, and until when.
        opened: Session,
    },
    /// A session has ended.
    #[serde(rename = "member.signed-out.v1")]
    SignedOut {
        /// Which.
        session: SessionId,
    },
    /// Somebody proves from now on otherwise who they are.
    #[serde(rename = "member.credential-changed.v1")]
    CredentialChanged {
        /// How it differs.
        change: CredentialChange,
        /// By which provider, if it is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider: Option<ProviderId>,
    },
    /// Somebody does not belong to the tenant any more, nor do their API keys and sessions.
    #[serde(rename = "member.removed.v1")]
    Removed {},
}

impl Event {
    /// Every personal text in the event.
    pub fn personal_mut(&mut self) -> Vec<&mut Personal> {
        match self {
            Self::Added { name, .. } => name.iter_mut().collect(),
            Self::RolesChanged { .. }
            | Self::ApiKeyIssued { .. }
            | Self::ApiKeyRevoked { .. }
            | Self::Invited { .. }
            | Self::SignedIn { .. }
            | Self::SignedOut { .. }
            | Self::CredentialChanged { .. }
            | Self::Removed {} => Vec::new(),
        }
    }
}

/// The most roles one member may have: 20, so that what they amount to is soon said.
pub const ROLES_MAX: usize = 20;

/// The longest name, in characters: 120, as for everything that has one.
pub const NAME_MAX: usize = 120;

/// What is true now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Member {
    /// They never belonged to the tenant.
    #[default]
    NotAdded,
    /// They belong to it.
    Present {
        /// Stands for the name in comparisons.
        name: Option<Digest>,
        /// What they are, in order. Shared, since many are the same.
        roles: Arc<[RoleRef]>,
        /// Their API keys, by the actor each is. Some may have ended.
        keys: BTreeMap<ActorId, ApiKey>,
        /// Their sessions. Some may have ended.
        sessions: BTreeMap<SessionId, Session>,
        /// By what they were invited last. It may have ended or been used.
        invite: Option<Invite>,
        /// For which time.
        term: Term,
    },
    /// They belonged to it, as often as this.
    Removed(Term),
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Let somebody belong to the tenant.
    Add {
        /// What they are called.
        name: Option<Personal>,
        /// What they are.
        roles: BTreeSet<RoleRef>,
    },
    /// Let them be something else.
    ChangeRoles {
        /// All that they are from now on.
        roles: BTreeSet<RoleRef>,
        /// Fact: how many owners the tenant has.
        owners: u64,
    },
    /// Let a machine do a part of what they may.
    IssueApiKey {
        /// The actor that it will be.
        key: ActorId,
        /// What it is for.
        asked: ApiKey,
    },
    /// Let an API key be good for nothing any more.
    RevokeApiKey {
        /// The actor that it is.
        key: ActorId,
    },
    /// Let whoever has a text say how they sign in.
    Invite {
        /// The keyed digest of that text.
        secret: Digest,
        /// For how long.
        lifetime: Lifetime,
        /// Fact: who asks; none for Callboard itself.
        by: Option<ActorId>,
    },
    /// Begin a session, for they have proved who they are.
    SignIn {
        /// Its identity.
        session: SessionId,
        /// How, and for how long.
        asked: SignIn,
    },
    /// End a session.
    SignOut {
        /// Which; every one if none.
        session: Option<SessionId>,
    },
    /// Note that they prove from now on otherwise who they are.
    ChangeCredential {
        /// For which time they must be a member.
        term: Term,
        /// How it differs.
        change: CredentialChange,
        /// By which provider, if it is about one.
        provider: Option<ProviderId>,
    },
    /// Let them belong to it no longer.
    Remove {
        /// Fact: how many owners the tenant has.
        owners: u64,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Nobody of this id is a member.
    #[error("there is no such member")]
    NotAdded,
    /// They are a member with other roles or under another name.
    #[error("they are a member already, with other roles or under another name")]
    AlreadyAdded,
    /// The key is not one of theirs, or not any more.
    #[error("they have no such API key")]
    ApiKeyNotFound,
    /// The actor is a key already.
    #[error("there is such an API key already, for something else")]
    ApiKeyExists,
    /// It would have ended already, or be good for too long.
    #[error("expected an end within 366 days from now, got {0}")]
    ApiKeyLifetime(DateTime<Utc>),
    /// They have as many as they may.
    #[error("they have {API_KEYS_MAX} API keys, the most there may be; revoke one first")]
    TooManyApiKeys,
    /// The session is not one of theirs, or not any more.
    #[error("they have no such session")]
    SessionNotFound,
    /// The session has another text.
    #[error("there is such a session already, with another text")]
    SessionExists,
    /// Nobody could give any permission back.
    #[error("they are the last owner; make somebody else one first")]
    LastOwner,
}

impl Rejection {
    /// A stable code in upper case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAdded => "MEMBER_NOT_FOUND",
            Self::AlreadyAdded => "MEMBER_EXISTS",
            Self::ApiKeyNotFound => "API_KEY_NOT_FOUND",
            Self::ApiKeyExists => "API_KEY_EXISTS",
            Self::ApiKeyLifetime(_) => "API_KEY_LIFETIME",
            Self::TooManyApiKeys => "TOO_MANY_API_KEYS",
            Self::SessionNotFound => "SESSION_NOT_FOUND",
            Self::SessionExists => "SESSION_EXISTS",
            Self::LastOwner => "LAST_OWNER",
        }
    }
}

impl Member {
    /// What they are: nothing, unless they belong to the tenant.
    #[must_use]
    pub fn roles(&self) -> &[RoleRef] {
        match self {
            Self::Present { roles, .. } => roles,
            Self::NotAdded | Self::Removed(_) => &[],
        }
    }

    /// Their API keys, by the actor each is.
    pub fn api_keys(&self) -> impl Iterator<Item = (ActorId, &ApiKey)> {
        let keys = match self {
            Self::Present { keys, .. } => Some(keys),
            Self::NotAdded | Self::Removed(_) => None,
        };
        keys.into_iter().flatten().map(|(key, it)| (*key, it))
    }

    /// The API key that is the actor `key`, if it is theirs.
    #[must_use]
    pub fn api_key(&self, key: ActorId) -> Option<&ApiKey> {
        match self {
            Self::Present { keys, .. } => keys.get(&key),
            Self::NotAdded | Self::Removed(_) => None,
        }
    }

    /// Their sessions.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        let sessions = match self {
            Self::Present { sessions, .. } => Some(sessions),
            Self::NotAdded | Self::Removed(_) => None,
        };
        sessions.into_iter().flatten().map(|(session, it)| (*session, it))
    }

    /// The session of this id, if it is theirs.
    #[must_use]
    pub fn session(&self, session: SessionId) -> Option<&Session> {
        match self {
            Self::Present { sessions, .. } => sessions.get(&session),
            Self::NotAdded | Self::Removed(_) => None,
        }
    }

    /// By what they were invited last.
    #[must_use]
    pub fn invite(&self) -> Option<&Invite> {
        match self {
            Self::Present { invite, .. } => invite.as_ref(),
            Self::NotAdded | Self::Removed(_) => None,
        }
    }

    /// The time for which they belong to the tenant, if they do.
    #[must_use]
    pub fn term(&self) -> Option<Term> {
        match self {
            Self::Present { term, .. } => Some(*term),
            Self::NotAdded | Self::Removed(_) => None,
        }
    }

    /// The last time for which they belonged to the tenant, or do.
    fn last_term(&self) -> Term {
        match self {
            Self::Present { term, .. } | Self::Removed(term) => *term,
            Self::NotAdded => Term::default(),
        }
    }

    /// Whether they are an owner of the tenant.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.roles().contains(&RoleRef::BuiltIn(BuiltIn::Owner))
    }
}

/// Fails if nobody would be left who is an owner.
fn leaves_an_owner(roles: &[RoleRef], owners: u64) -> Result<(), Rejection> {
    let owner = RoleRef::BuiltIn(BuiltIn::Owner);
    if roles.contains(&owner) && owners <= 1 { Err(Rejection::LastOwner) } else { Ok(()) }
}

impl Aggregate for Member {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, now: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
        use Member::{NotAdded, Present, Removed};

        match (self, command) {
            (NotAdded | Removed(_), Command::Add { name, roles }) => {
                Ok(vec![Event::Added { name: name.clone(), roles: roles.clone() }])
            }
            (NotAdded, Command::Remove { .. }) => Err(Rejection::NotAdded),
            (
                NotAdded | Removed(_),
                Command::ChangeRoles { .. }
                | Command::IssueApiKey { .. }
                | Command::RevokeApiKey { .. }
                | Command::Invite { .. }
                | Command::SignIn { .. }
                | Command::SignOut { .. }
                | Command::ChangeCredential { .. },
            ) => Err(Rejection::NotAdded),

            (Present { name: known, roles: held, .. }, Command::Add { name, roles }) => {
                let digest = name.as_ref().map(|it| it.digest);
                if digest == *known && held.iter().eq(roles) {
                    Ok(Vec::new())
                } else {
                    Err(Rejection::AlreadyAdded)
                }
            }
            (Present { roles: held, .. }, Command::ChangeRoles { roles, .. })
                if held.iter().eq(roles) =>
            {
                Ok(Vec::new())
            }
            (Present { roles: held, .. }, Command::ChangeRoles { roles, owners }) => {
                if !roles.contains(&RoleRef::BuiltIn(BuiltIn::Owner)) {
                    leaves_an_owner(held, *owners)?;
                }
                Ok(vec![Event::RolesChanged { roles: roles.clone() }])
            }
            (Present { keys, .. }, Command::IssueApiKey { key, asked }) => {
                api_key::issue(keys, *key, asked, now)
            }
            (Present { keys, .. }, Command::RevokeApiKey { key }) if keys.contains_key(key) => {
                Ok(vec![Event::ApiKeyRevoked { key: *key }])
            }
            (Present { .. }, Command::RevokeApiKey { .. }) => Err(Rejection::ApiKeyNotFound),
            (Present { invite: Some(known), .. }, Command::Invite { secret, .. })
                if known.secret == *secret =>
            {
                Ok(Vec::new())
            }
            (Present { .. }, Command::Invite { secret, lifetime, by }) => {
                let expires_at = lifetime.after(now);
                let invite = Invite { secret: *secret, expires_at, by: *by };
                Ok(vec![Event::Invited { invite }])
            }
            (Present { sessions, term, .. }, Command::SignIn { session, asked }) => {
                session::sign_in(sessions, *term, *session, asked, now)
            }
            (Present { sessions, .. }, Command::SignOut { session }) => {
                session::sign_out(sessions, *session)
            }
            (Present { term: held, .. }, Command::ChangeCredential { term, change, provider }) => {
                let event = Event::CredentialChanged { change: *change, provider: *provider };
                if held == term { Ok(vec![event]) } else { Err(Rejection::NotAdded) }
            }
            (Present { roles: held, .. }, Command::Remove { owners }) => {
                leaves_an_owner(held, *owners)?;
                Ok(vec![Event::Removed {}])
            }
            (Removed(_), Command::Remove { .. }) => Ok(Vec::new()),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Added { name, roles } => {
                let name = name.as_ref().map(|it| it.digest);
                let roles = roles.iter().copied().collect();
                let (keys, sessions) = (BTreeMap::new(), BTreeMap::new());
                let term = self.last_term().next();
                *self = Self::Present { name, roles, keys, sessions, invite: None, term };
            }
            Event::RolesChanged { roles: new_roles } => {
                if let Self::Present { roles, .. } = self {
                    *roles = new_roles.iter().copied().collect();
                }
            }
            Event::ApiKeyIssued { key, issued } => {
                if let Self::Present { keys, .. } = self {
                    keys.insert(*key, issued.clone());
                }
            }
            Event::ApiKeyRevoked { key } => {
                if let Self::Present { keys, .. } = self {
                    keys.remove(key);
                }
            }
            Event::Invited { invite: new_invite } => {
                if let Self::Present { invite, .. } = self {
                    *invite = Some(*new_invite);
                }
            }
            Event::SignedIn { session, opened } => {
                if let Self::Present { sessions, .. } = self {
                    sessions.insert(*session, opened.clone());
                }
            }
            Event::SignedOut { session } => {
                if let Self::Present { sessions, .. } = self {
                    sessions.remove(session);
                }
            }
            // What proves who they are is kept elsewhere.
            Event::CredentialChanged { .. } => {}
            Event::Removed {} => *self = Self::Removed(self.last_term()),
        }
    }
}

#[cfg(test)]
mod tests;
