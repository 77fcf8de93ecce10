//! The roles that every tenant has, as a table of permissions.
//!
//! The system tenant has the same: which permissions mean anything there is said by each
//! permission, so its owners and admins are the operators of the installation.

use std::sync::LazyLock;

use super::Permit;
use crate::principal::Permission::{
    self, AnalyticsRead, ApiKeyWrite, AuditRead, CustomerRead, CustomerWrite, DirectoryRead,
    DirectoryWrite, EntityRead, EntityWrite, LocationRead, LocationWrite, MemberRead, MemberWrite,
    MeterRead, MeterWrite, PlanRead, PlanWrite, RoleRead, RoleWrite, SubscriptionRead,
    SubscriptionWrite, TenantRead, UsageRead, UsageWrite,
};

/// A role that every tenant has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BuiltIn {
    /// May do everything. Every tenant has one at least.
    Owner,
    /// May do everything but change or close the tenant itself, and so makes nobody an owner.
    Admin,
    /// Keeps the catalog and what is counted in order.
    Maintainer,
    /// Registers what it builds.
    Developer,
    /// Looks at the catalog and how it is used.
    Viewer,
    /// Sells, buys and counts.
    Billing,
    /// Reads everything and changes nothing.
    Auditor,
}

const OWNER: &[Permission] = Permission::ALL;

const ADMIN: &[Permission] = &[
    DirectoryWrite,
    DirectoryRead,
    TenantRead,
    MemberWrite,
    MemberRead,
    ApiKeyWrite,
    RoleWrite,
    RoleRead,
    EntityWrite,
    EntityRead,
    LocationWrite,
    LocationRead,
    CustomerWrite,
    CustomerRead,
    PlanWrite,
    PlanRead,
    SubscriptionWrite,
    SubscriptionRead,
    MeterWrite,
    MeterRead,
    UsageWrite,
    UsageRead,
    AuditRead,
    AnalyticsRead,
];

const MAINTAINER: &[Permission] = &[
    DirectoryRead,
    TenantRead,
    MemberRead,
    ApiKeyWrite,
    RoleRead,
    EntityWrite,
    EntityRead,
    LocationWrite,
    LocationRead,
    MeterWrite,
    MeterRead,
    UsageWrite,
    UsageRead,
    AnalyticsRead,
];

const DEVELOPER: &[Permission] = &[
    TenantRead,
    MemberRead,
    ApiKeyWrite,
    RoleRead,
    EntityWrite,
    EntityRead,
    LocationRead,
    MeterRead,
    UsageWrite,
    UsageRead,
    AnalyticsRead,
];

const VIEWER: &[Permission] =
    &[TenantRead, EntityRead, LocationRead, MeterRead, UsageRead, AnalyticsRead];

const BILLING: &[Permission] = &[
    TenantRead,
    ApiKeyWrite,
    CustomerWrite,
    CustomerRead,
    PlanWrite,
    PlanRead,
    SubscriptionWrite,
    SubscriptionRead,
    MeterWrite,
    MeterRead,
    UsageWrite,
    UsageRead,
];

const AUDITOR: &[Permission] = &[
    DirectoryRead,
    TenantRead,
    MemberRead,
    RoleRead,
    EntityRead,
    LocationRead,
    CustomerRead,
    PlanRead,
    SubscriptionRead,
    MeterRead,
    UsageRead,
    AuditRead,
    AnalyticsRead,
];

static PERMITS: LazyLock<[Box<[Permit]>; BuiltIn::ALL.len()]> = LazyLock::new(|| {
    BuiltIn::ALL.map(|it| it.permissions().iter().copied().map(Permit::everywhere).collect())
});

impl BuiltIn {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Owner,
        Self::Admin,
        Self::Maintainer,
        Self::Developer,
        Self::Viewer,
        Self::Billing,
        Self::Auditor,
    ];

    /// What it is called everywhere.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Maintainer => "maintainer",
            Self::Developer => "developer",
            Self::Viewer => "viewer",
            Self::Billing => "billing",
            Self::Auditor => "auditor",
        }
    }

    /// The permissions it gives, each without a condition.
    #[must_use]
    pub const fn permissions(self) -> &'static [Permission] {
        match self {
            Self::Owner => OWNER,
            Self::Admin => ADMIN,
            Self::Maintainer => MAINTAINER,
            Self::Developer => DEVELOPER,
            Self::Viewer => VIEWER,
            Self::Billing => BILLING,
            Self::Auditor => AUDITOR,
        }
    }

    /// The same, as roles of a tenant say it.
    #[must_use]
    pub fn permits(self) -> &'static [Permit] {
        &PERMITS[self as usize]
    }
}
