//! Who asks, what they may ask, and how much of it they may see.
//!
//! A [`Principal`] is what a verified credential granted: exactly one tenant. Readers and
//! handlers ask it for a [`Scope`], never for a bare yes, so that a partial permission needs no
//! new code in them. It does *not* verify credentials.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{ActorId, TenantId};

/// Somebody acting for one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    tenant: TenantId,
    actor: ActorId,
    standing: Standing,
}

/// What a principal is to its tenant. Finer roles refine this later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// A member, with every permission a tenant can give.
    Member,
    /// An operator of the installation, acting in the system tenant.
    Operator,
    /// Callboard itself: a timer or a reaction.
    System,
}

impl Principal {
    /// A member of `tenant`; an operator if it is the system tenant.
    #[must_use]
    pub fn member(tenant: TenantId, actor: ActorId) -> Self {
        let standing =
            if tenant == TenantId::SYSTEM { Standing::Operator } else { Standing::Member };
        Self { tenant, actor, standing }
    }

    /// Callboard itself, acting for `tenant`.
    #[must_use]
    pub fn system(tenant: TenantId) -> Self {
        Self { tenant, actor: ActorId::SYSTEM, standing: Standing::System }
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

    /// Says how far `permission` reaches for this principal.
    ///
    /// # Errors
    ///
    /// [`Denied`] if it does not have the permission at all.
    pub fn authorize(&self, permission: Permission) -> Result<Scope, Denied> {
        let granted = match self.standing {
            Standing::System => true,
            Standing::Operator => permission.belongs_to() != Home::Tenant,
            Standing::Member => permission.belongs_to() != Home::Installation,
        };
        if granted { Ok(Scope::All) } else { Err(Denied { permission }) }
    }
}

/// The caller may not ask for this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("permission `{}` is required", permission.name())]
pub struct Denied {
    /// What was missing.
    pub permission: Permission,
}

/// How much of a kind of data a principal may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nothing.
    None,
    /// Everything of the tenant.
    All,
    /// What satisfies the predicate.
    Where(Predicate),
}

/// A condition on catalog entities that readers fold into their queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// The entity's kind, compared in lower case.
    Kind(String),
    /// The entity is owned by this reference (`kind:namespace/name`, lower case).
    OwnedBy(String),
    /// All of these.
    All(Vec<Predicate>),
    /// Any of these.
    Any(Vec<Predicate>),
}

/// Where a permission makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    Tenant,
    Installation,
    Both,
}

macro_rules! permissions {
    ($($(#[$meta:meta])* $name:ident = $text:literal in $home:ident,)*) => {
        /// One per command and reader.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission { $($(#[$meta])* $name,)* }

        impl Permission {
            /// Every permission.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in the API, in the audit trail and in messages.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            const fn belongs_to(self) -> Home {
                match self { $(Self::$name => Home::$home,)* }
            }
        }
    };
}

impl Serialize for Permission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::deserialize(deserializer)
    }
}

/// Why a text is not a permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a permission like `entity.read`, got `{0}`")]
pub struct PermissionError(String);

impl FromStr for Permission {
    type Err = PermissionError;

    fn from_str(text: &str) -> Result<Self, PermissionError> {
        let found = Self::ALL.iter().find(|it| it.name() == text);
        found.copied().ok_or_else(|| PermissionError(text.chars().take(64).collect()))
    }
}

permissions! {
    /// Change the directory: tenants, hosts, standing.
    DirectoryWrite = "directory.write" in Installation,
    /// Read the directory.
    DirectoryRead = "directory.read" in Installation,
    /// Change the tenant's name and settings, or close it.
    TenantWrite = "tenant.write" in Tenant,
    /// Read the tenant's name, settings and standing.
    TenantRead = "tenant.read" in Both,
    /// Register, update and deregister entities.
    EntityWrite = "entity.write" in Tenant,
    /// Read entities, relations, facets and history.
    EntityRead = "entity.read" in Tenant,
    /// Register and deregister locations.
    LocationWrite = "location.write" in Tenant,
    /// Read locations.
    LocationRead = "location.read" in Tenant,
    /// Open, change and close billing accounts.
    CustomerWrite = "customer.write" in Tenant,
    /// Read billing accounts.
    CustomerRead = "customer.read" in Tenant,
    /// Publish and retire plan versions.
    PlanWrite = "plan.write" in Both,
    /// Read plans.
    PlanRead = "plan.read" in Both,
    /// Start, change and cancel subscriptions.
    SubscriptionWrite = "subscription.write" in Tenant,
    /// Read subscriptions.
    SubscriptionRead = "subscription.read" in Tenant,
    /// Define and archive meters.
    MeterWrite = "meter.write" in Tenant,
    /// Read meters.
    MeterRead = "meter.read" in Tenant,
    /// Record usage.
    UsageWrite = "usage.write" in Tenant,
    /// Read usage.
    UsageRead = "usage.read" in Tenant,
    /// Read the audit trail and follow the event stream.
    AuditRead = "audit.read" in Both,
    /// Read how the portal is used.
    AnalyticsRead = "analytics.read" in Tenant,
}

#[cfg(test)]
mod tests;
