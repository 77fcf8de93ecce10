//! The streams there are: one per aggregate, named by an opaque id.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{
    ActorId, CustomerId, EntityId, IdError, LocationId, MeterId, PlanId, RoleId, SubscriptionId,
    TenantId,
};

/// One aggregate's stream within a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// The installation's directory; in the system tenant only.
    Directory,
    /// The tenant itself.
    Tenant(TenantId),
    /// A member of the tenant.
    Member(ActorId),
    /// A role that the tenant has defined.
    Role(RoleId),
    /// A billing account.
    Customer(CustomerId),
    /// A catalog entity.
    Entity(EntityId),
    /// A catalog location.
    Location(LocationId),
    /// A plan.
    Plan(PlanId),
    /// A subscription.
    Subscription(SubscriptionId),
    /// A meter.
    Meter(MeterId),
    /// All usage of the tenant.
    Usage,
    /// What reactions have handled on behalf of the tenant.
    Reactions,
    /// The tenant's requests that changed nothing and are remembered.
    Requests,
    /// What becomes of the tenant's audit trail itself.
    Audit,
}

const DIRECTORY: &str = "directory";
const USAGE: &str = "usage";
const REACTIONS: &str = "reactions";
const REQUESTS: &str = "requests";
const AUDIT: &str = "audit";

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory => f.write_str(DIRECTORY),
            Self::Tenant(id) => id.fmt(f),
            Self::Member(id) => id.fmt(f),
            Self::Role(id) => id.fmt(f),
            Self::Customer(id) => id.fmt(f),
            Self::Entity(id) => id.fmt(f),
            Self::Location(id) => id.fmt(f),
            Self::Plan(id) => id.fmt(f),
            Self::Subscription(id) => id.fmt(f),
            Self::Meter(id) => id.fmt(f),
            Self::Usage => f.write_str(USAGE),
            Self::Reactions => f.write_str(REACTIONS),
            Self::Requests => f.write_str(REQUESTS),
            Self::Audit => f.write_str(AUDIT),
        }
    }
}

impl FromStr for Stream {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text {
            DIRECTORY => return Ok(Self::Directory),
            USAGE => return Ok(Self::Usage),
            REACTIONS => return Ok(Self::Reactions),
            REQUESTS => return Ok(Self::Requests),
            AUDIT => return Ok(Self::Audit),
            _ => {}
        }
        match text.split_once('_').map_or("", |(prefix, _)| prefix) {
            TenantId::PREFIX => text.parse().map(Self::Tenant),
            ActorId::PREFIX => text.parse().map(Self::Member),
            RoleId::PREFIX => text.parse().map(Self::Role),
            CustomerId::PREFIX => text.parse().map(Self::Customer),
            EntityId::PREFIX => text.parse().map(Self::Entity),
            LocationId::PREFIX => text.parse().map(Self::Location),
            PlanId::PREFIX => text.parse().map(Self::Plan),
            SubscriptionId::PREFIX => text.parse().map(Self::Subscription),
            MeterId::PREFIX => text.parse().map(Self::Meter),
            _ => Err(IdError { prefix: "stream", got: text.chars().take(64).collect() }),
        }
    }
}

impl Serialize for Stream {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Stream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests;
