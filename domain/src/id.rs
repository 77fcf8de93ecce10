//! Every identity, each its own type, with one text form: a prefix and 32 hex digits.
//!
//! Identities are opaque. Some are drawn by the caller's side (`UUIDv7`, so they sort by age),
//! some are keyed digests of a name (`UUIDv8`), so that the same name always finds the same
//! stream and nobody without the tenant's key can tell the name.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Why a text is not an identity of the asked kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an id like `{prefix}_0190…` with 32 hex digits, got `{got}`")]
pub struct IdError {
    /// The prefix that was expected.
    pub prefix: &'static str,
    /// What came instead, cut to 64 characters.
    pub got: String,
}

fn parse(prefix: &'static str, text: &str) -> Result<Uuid, IdError> {
    text.strip_prefix(prefix)
        .and_then(|it| it.strip_prefix('_'))
        .filter(|it| it.len() == 32 && it.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
        .and_then(|it| Uuid::try_parse(it).ok())
        .ok_or_else(|| IdError { prefix, got: text.chars().take(64).collect() })
}

macro_rules! id {
    ($(#[$meta:meta])* $name:ident, $prefix:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
        #[schemars(extend("pattern" = concat!("^", $prefix, "_[0-9a-f]{32}$")))]
        pub struct $name(#[schemars(with = "String")] pub Uuid);

        impl $name {
            /// What the text form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The identity that a digest stands for, as a `UUIDv8`.
            #[must_use]
            pub const fn from_digest(digest: [u8; 16]) -> Self {
                Self(uuid::Builder::from_custom_bytes(digest).into_uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.as_simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse($prefix, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::text::deserialize(deserializer)
            }
        }
    };
}

id!(
    /// A Callboard with a vault of its own, however many processes it has.
    InstallationId, "ins"
);
id!(
    /// An organisation whose data is invisible to every other.
    TenantId, "ten"
);
id!(
    /// Somebody or something that acts: a person, a machine, a part of Callboard.
    ActorId, "usr"
);
id!(
    /// A billing account: the tenant itself, or a customer or cost centre of it.
    CustomerId, "cus"
);
id!(
    /// A catalog entity's stream: the keyed digest of its reference within its tenant.
    EntityId, "ent"
);
id!(
    /// One registration of an entity, from registered to deregistered: Backstage's `metadata.uid`.
    EntityUid, "uid"
);
id!(
    /// Where entities come from: the keyed digest of type and target within its tenant.
    LocationId, "loc"
);
id!(
    /// A plan that can be sold, with its versions.
    PlanId, "pln"
);
id!(
    /// A sale of a plan to a customer.
    SubscriptionId, "sub"
);
id!(
    /// Something that can be counted: the keyed digest of its name within its tenant.
    MeterId, "mtr"
);
id!(
    /// A role that a tenant has defined: the keyed digest of its name within its tenant.
    RoleId, "rol"
);
id!(
    /// What somebody has begun by proving who they are, until it ends.
    SessionId, "ses"
);
id!(
    /// Another system that says of its tenant's members who they are.
    ProviderId, "idp"
);
id!(
    /// One request to change something; its events name it.
    CommandId, "cmd"
);
id!(
    /// One recorded event.
    EventId, "evt"
);
id!(
    /// A person or customer whose personal data has a key of its own; a keyed digest.
    SubjectId, "sbj"
);

impl TenantId {
    /// The tenant that holds the directory, the operators and the plan catalogue.
    pub const SYSTEM: Self = Self(Uuid::from_u128(0));
}

impl ActorId {
    /// Callboard itself: timers and reactions.
    pub const SYSTEM: Self = Self(Uuid::from_u128(0));
}

impl CustomerId {
    /// The billing account that is the tenant itself; it is opened with the tenant.
    #[must_use]
    pub const fn of_tenant(tenant: TenantId) -> Self {
        Self(tenant.0)
    }
}

#[cfg(test)]
mod tests;
