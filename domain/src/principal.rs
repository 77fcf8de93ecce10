//! Who asks, what they may ask, and how much of it they may see.
//!
//! A [`Principal`] acts for exactly one tenant with the [`Grants`] that its roles there amount
//! to. Readers and handlers ask it for a [`Scope`], never for a bare yes, so that a partial
//! permission needs no new code in them. It does *not* verify credentials, and does not know
//! [roles](crate::role).

mod grants;
mod means;
mod permission;
mod predicate;

use std::sync::Arc;

pub use self::grants::{Beyond, Grants, Scope};
pub use self::means::{Means, Need, Unfit};
pub use self::permission::{Permission, PermissionError};
pub use self::predicate::{PREDICATE_DEPTH_MAX, PREDICATE_PARTS_MAX, Predicate};
use crate::id::{ActorId, SessionId, TenantId};

use serde::{Deserialize, Serialize};

/// Somebody acting for one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    tenant: TenantId,
    actor: ActorId,
    power: Power,
}

/// Where a principal has its permissions from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Power {
    /// From its roles.
    Roles(Arc<Grants>),
    /// It is an API key: from the roles of whose it is, as far as it was issued for that.
    ApiKey { member: ActorId, grants: Arc<Grants> },
    /// From its roles, for as long as its session lasts.
    Session { session: SessionId, grants: Arc<Grants> },
    /// It has just proved who it is, and may do nothing but begin a session.
    SigningIn(Arc<Grants>),
    /// It is Callboard itself: a timer or a reaction.
    System,
    /// From a test.
    #[cfg(any(test, feature = "unchecked"))]
    Unchecked(Arc<Grants>),
}

impl Principal {
    /// Somebody whose roles in `tenant` amount to these grants; none if it has no role there.
    #[must_use]
    pub fn member(tenant: TenantId, actor: ActorId, grants: Arc<Grants>) -> Self {
        Self { tenant, actor, power: Power::Roles(grants) }
    }

    /// The API key `key` of `member`, by which these may be done in `tenant`.
    #[must_use]
    pub fn api_key(tenant: TenantId, key: ActorId, member: ActorId, grants: Arc<Grants>) -> Self {
        Self { tenant, actor: key, power: Power::ApiKey { member, grants } }
    }

    /// Somebody in a session of theirs, whose roles in `tenant` amount to these grants.
    #[must_use]
    pub fn session(
        tenant: TenantId,
        actor: ActorId,
        session: SessionId,
        grants: Arc<Grants>,
    ) -> Self {
        Self { tenant, actor, power: Power::Session { session, grants } }
    }

    /// Somebody who has just proved who they are.
    #[must_use]
    pub fn signing_in(tenant: TenantId, actor: ActorId) -> Self {
        Self { tenant, actor, power: Power::SigningIn(Arc::default()) }
    }

    /// Callboard itself, acting for `tenant`.
    #[must_use]
    pub fn system(tenant: TenantId) -> Self {
        Self { tenant, actor: ActorId::SYSTEM, power: Power::System }
    }

    /// Somebody with all that an owner may, whom nobody has made a member. Not built into the
    /// product.
    #[cfg(any(test, feature = "unchecked"))]
    #[must_use]
    pub fn unchecked(tenant: TenantId, actor: ActorId) -> Self {
        let grants = Arc::new(Grants::of_owner(tenant));
        Self { tenant, actor, power: Power::Unchecked(grants) }
    }

    /// The tenant whose data is meant by everything this principal does.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Who acts.
    #[must_use]
    pub fn actor(&self) -> ActorId {
        self.actor
    }

    /// Whose roles its permissions come from, so that the owner of its partition decides by those
    /// that they have by then. None for Callboard itself.
    #[must_use]
    pub fn member_id(&self) -> Option<ActorId> {
        match self.power {
            Power::Roles(_) | Power::Session { .. } | Power::SigningIn(_) => Some(self.actor),
            Power::ApiKey { member, .. } => Some(member),
            Power::System => None,
            #[cfg(any(test, feature = "unchecked"))]
            Power::Unchecked(_) => None,
        }
    }

    /// By what it acts.
    #[must_use]
    pub fn means(&self) -> Means {
        match self.power {
            Power::ApiKey { .. } => Means::ApiKey(self.actor),
            Power::Session { session, .. } => Means::Session(session),
            Power::SigningIn(_) => Means::Proof,
            Power::Roles(_) | Power::System => Means::Roles,
            #[cfg(any(test, feature = "unchecked"))]
            Power::Unchecked(_) => Means::Roles,
        }
    }

    /// Whether whatever the other may, this one may.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self.grants(), other.grants()) {
            (None, _) => true,
            (Some(_), None) => false,
            // Mostly they are the same ones.
            (Some(held), Some(asked)) => std::ptr::eq(held, asked) || held.cover(asked).is_ok(),
        }
    }

    /// None for Callboard itself, which may do everything.
    fn grants(&self) -> Option<&Grants> {
        match &self.power {
            Power::System => None,
            Power::Roles(grants)
            | Power::ApiKey { grants, .. }
            | Power::Session { grants, .. }
            | Power::SigningIn(grants) => Some(grants),
            #[cfg(any(test, feature = "unchecked"))]
            Power::Unchecked(grants) => Some(grants),
        }
    }

    /// Fails unless it has what an operation needs, if only for some entities.
    ///
    /// # Errors
    ///
    /// [`Unfit`].
    pub fn admit(&self, need: Need) -> Result<(), Unfit> {
        match need {
            Need::Permission(permission) | Need::Fresh(permission) => {
                match self.authorize(permission)? {
                    Scope::None => Err(Denied { permission }.into()),
                    Scope::All | Scope::Where(_) => Ok(()),
                }
            }
            Need::Oneself => self.means().admit_in_person(),
            Need::Proof => self.means().admit_proof(),
        }
    }

    /// Says how far `permission` reaches for this principal.
    ///
    /// # Errors
    ///
    /// [`Denied`] if it does not have the permission at all.
    pub fn authorize(&self, permission: Permission) -> Result<Scope, Denied> {
        self.grants().map_or(Ok(Scope::All), |it| it.authorize(permission))
    }
}

/// The caller may not ask for this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("permission `{}` is required", permission.name())]
pub struct Denied {
    /// What was missing.
    pub permission: Permission,
}

#[cfg(test)]
mod tests;
