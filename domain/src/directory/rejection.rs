//! Why the directory stays as it is.

use super::{HOSTS_MAX, Host, Slug};
use crate::id::TenantId;
use crate::level::Level;

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The system tenant is not in the directory; it holds it.
    #[error("the system tenant cannot be registered")]
    SystemTenant,
    /// There is no such tenant.
    #[error("there is no tenant {0}")]
    UnknownTenant(TenantId),
    /// The tenant was registered with other names.
    #[error("the tenant {0} is registered already, with another slug or name")]
    AlreadyRegistered(TenantId),
    /// Another tenant has or had the slug.
    #[error("the slug `{}` is taken; slugs are never given twice", .0.as_str())]
    SlugTaken(Slug),
    /// The host selects another tenant.
    #[error("the host `{}` is taken", .0.as_str())]
    HostTaken(Host),
    /// The tenant has as many hosts as it may.
    #[error("the tenant {0} has {HOSTS_MAX} hosts; remove one first")]
    TooManyHosts(TenantId),
    /// The tenant is closed.
    #[error("the tenant {0} is closed")]
    Closed(TenantId),
    /// The level does not follow the present one.
    #[error("the level is {level} and is raised one by one, to {} next, not to {to}", .level.next())]
    LevelSkipped {
        /// The present one.
        level: Level,
        /// The one that was asked for.
        to: Level,
    },
    /// A process runs that would not understand what is written.
    #[error(
        "a process runs that speaks levels up to {spoken} only, so the level cannot be {to}: \
         replace it first"
    )]
    LevelNotSpoken {
        /// The highest that all of them speak.
        spoken: Level,
        /// The one that was asked for.
        to: Level,
    },
}

impl Rejection {
    /// A stable code in upper case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::SystemTenant => "SYSTEM_TENANT",
            Self::UnknownTenant(_) => "TENANT_NOT_FOUND",
            Self::AlreadyRegistered(_) => "TENANT_EXISTS",
            Self::SlugTaken(_) => "SLUG_TAKEN",
            Self::HostTaken(_) => "HOST_TAKEN",
            Self::TooManyHosts(_) => "TOO_MANY_HOSTS",
            Self::Closed(_) => "TENANT_CLOSED",
            Self::LevelSkipped { .. } => "LEVEL_SKIPPED",
            Self::LevelNotSpoken { .. } => "LEVEL_NOT_SPOKEN",
        }
    }
}
