//! The permissions there are: one per command and reader.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::TenantId;

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

impl Permission {
    /// Whether it means anything in `tenant`.
    #[must_use]
    pub fn exists_in(self, tenant: TenantId) -> bool {
        match self.belongs_to() {
            Home::Both => true,
            Home::Installation => tenant == TenantId::SYSTEM,
            Home::Tenant => tenant != TenantId::SYSTEM,
        }
    }

    /// Whether it can be given for some entities only.
    #[must_use]
    pub fn takes_condition(self) -> bool {
        matches!(self, Self::EntityRead | Self::EntityWrite)
    }
}

impl Serialize for Permission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl JsonSchema for Permission {
    fn schema_name() -> Cow<'static, str> {
        "Permission".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = Self::ALL.iter().map(|it| it.name()).collect();
        let mut schema = json_schema!({ "type": "string", "enum": names });
        schema.insert("description".to_owned(), "What may be done.".into());
        crate::event::open(&mut schema);
        schema
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
    /// Add and remove members, and say which roles they have.
    MemberWrite = "member.write" in Both,
    /// Read who the members are, and why they may do what.
    MemberRead = "member.read" in Both,
    /// Issue API keys of one's own, and revoke them.
    ApiKeyWrite = "api-key.write" in Both,
    /// Define, change and retire roles.
    RoleWrite = "role.write" in Both,
    /// Read roles.
    RoleRead = "role.read" in Both,
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
