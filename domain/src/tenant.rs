//! A tenant: an organisation whose data is invisible to every other.

mod name;
mod provider;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::name::{Name, NameError};
pub(crate) use self::provider::note_violations as note_provider_violations;
pub use self::provider::{PROVIDERS_MAX, Provider};
use crate::aggregate::Aggregate;
use crate::directory::Slug;
use crate::id::ProviderId;
use crate::quantity::Currency;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Event {
    /// The tenant exists.
    #[serde(rename = "tenant.created.v1")]
    Created {
        /// The slug it was registered under.
        slug: Slug,
        /// Its display name.
        name: Name,
        /// Its settings.
        settings: Settings,
        /// When.
        at: DateTime<Utc>,
    },
    /// It goes by another display name.
    #[serde(rename = "tenant.renamed.v1")]
    Renamed {
        /// The new name.
        name: Name,
    },
    /// Its settings were replaced.
    #[serde(rename = "tenant.configured.v1")]
    Configured {
        /// All settings, not only what changed.
        settings: Settings,
    },
    /// One more system says who its members are.
    #[serde(rename = "tenant.provider-added.v1")]
    ProviderAdded {
        /// Which.
        provider: ProviderId,
        /// What it is.
        described: Provider,
    },
    /// What a system says of its members counts for nothing any more.
    #[serde(rename = "tenant.provider-removed.v1")]
    ProviderRemoved {
        /// Which.
        provider: ProviderId,
    },
    /// It may read but no longer change anything.
    #[serde(rename = "tenant.suspended.v1")]
    Suspended {
        /// Why.
        reason: SuspensionReason,
    },
    /// It may change things again.
    #[serde(rename = "tenant.reactivated.v1")]
    Reactivated {},
    /// It is closed for good.
    #[serde(rename = "tenant.closed.v1")]
    Closed {
        /// When.
        at: DateTime<Utc>,
    },
}

/// What a tenant decides about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// The zone of its billing periods and reports, an IANA name.
    #[schemars(with = "String")]
    pub time_zone: chrono_tz::Tz,
    /// The currency of its own price lists.
    pub currency: Currency,
    /// Which entity kinds its catalog accepts.
    pub kinds: crate::catalog::KindSet,
}

/// Why a tenant is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = crate::event::open)]
pub enum SuspensionReason {
    /// It does not pay.
    NonPayment,
    /// It breaks the terms of use.
    Abuse,
    /// It asked to be.
    Requested,
    /// To contain a security incident.
    Security,
}

/// What is true now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tenant {
    /// Nothing happened yet.
    #[default]
    NotCreated,
    /// It may do anything.
    Active(Profile),
    /// It may read but change nothing.
    Suspended {
        /// What it goes by.
        profile: Profile,
        /// Why.
        reason: SuspensionReason,
    },
    /// It is closed for good.
    Closed {
        /// What it went by.
        profile: Profile,
        /// Since when.
        at: DateTime<Utc>,
    },
}

/// What a tenant goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The slug it was registered under; the directory knows the present one.
    pub slug: Slug,
    /// Its display name.
    pub name: Name,
    /// Its settings.
    pub settings: Settings,
    /// Who says who its members are, beside itself.
    pub providers: BTreeMap<ProviderId, Provider>,
}

/// Whether a tenant may act, for the decisions of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// There is no such tenant.
    NotCreated,
    /// It may do anything.
    Active,
    /// It may read but change nothing.
    Suspended,
    /// It is closed for good.
    Closed,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Create it, as the directory registered it.
    Create {
        /// The slug it was registered under.
        slug: Slug,
        /// Its display name.
        name: Name,
        /// Its settings.
        settings: Settings,
    },
    /// Give it another display name.
    Rename {
        /// The new name.
        name: Name,
    },
    /// Replace its settings.
    Configure {
        /// All settings.
        settings: Settings,
    },
    /// Let one more system say who its members are.
    AddProvider {
        /// Its identity.
        provider: ProviderId,
        /// What it is.
        described: Provider,
    },
    /// Let what a system says of its members count for nothing any more.
    RemoveProvider {
        /// Which.
        provider: ProviderId,
    },
    /// Stop it from changing anything.
    Suspend {
        /// Why.
        reason: SuspensionReason,
    },
    /// Let it change things again.
    Reactivate,
    /// Close it for good.
    Close,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such tenant.
    #[error("the tenant does not exist")]
    NotCreated,
    /// It was created under another slug.
    #[error("the tenant was created under the slug `{}`", .0.as_str())]
    AlreadyCreated(Slug),
    /// There is one like it.
    #[error("there is such a provider already: remove it first, if something about it has changed")]
    ProviderExists,
    /// There is none of this id.
    #[error("the tenant has no such provider")]
    ProviderNotFound,
    /// It has as many as it may.
    #[error("the tenant has {PROVIDERS_MAX} providers, the most there may be; remove one first")]
    TooManyProviders,
    /// It is suspended.
    #[error("the tenant is suspended")]
    Suspended,
    /// It is closed.
    #[error("the tenant is closed")]
    Closed,
}

impl Rejection {
    /// A stable code in upper case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotCreated => "TENANT_NOT_FOUND",
            Self::AlreadyCreated(_) => "TENANT_EXISTS",
            Self::ProviderExists => "PROVIDER_EXISTS",
            Self::ProviderNotFound => "PROVIDER_NOT_FOUND",
            Self::TooManyProviders => "TOO_MANY_PROVIDERS",
            Self::Suspended => "TENANT_SUSPENDED",
            Self::Closed => "TENANT_CLOSED",
        }
    }
}

impl Tenant {
    /// Whether it may act.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self {
            Self::NotCreated => Standing::NotCreated,
            Self::Active(_) => Standing::Active,
            Self::Suspended { .. } => Standing::Suspended,
            Self::Closed { .. } => Standing::Closed,
        }
    }

    /// When it was closed; none if it was not.
    #[must_use]
    pub fn closed_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Closed { at, .. } => Some(*at),
            Self::NotCreated | Self::Active(_) | Self::Suspended { .. } => None,
        }
    }

    /// What it goes by; none before it is created.
    #[must_use]
    pub fn profile(&self) -> Option<&Profile> {
        match self {
            Self::NotCreated => None,
            Self::Active(profile)
            | Self::Suspended { profile, .. }
            | Self::Closed { profile, .. } => Some(profile),
        }
    }
}

impl Aggregate for Tenant {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, now: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
        use Tenant::{Active, Closed, NotCreated, Suspended};

        match (self, command) {
            (NotCreated, Command::Create { slug, name, settings }) => Ok(vec![Event::Created {
                slug: slug.clone(),
                name: name.clone(),
                settings: settings.clone(),
                at: now,
            }]),
            (
                NotCreated,
                Command::Rename { .. }
                | Command::Configure { .. }
                | Command::AddProvider { .. }
                | Command::RemoveProvider { .. }
                | Command::Suspend { .. }
                | Command::Reactivate
                | Command::Close,
            ) => Err(Rejection::NotCreated),

            (Active(profile) | Suspended { profile, .. }, Command::Create { slug, .. }) => {
                if profile.slug == *slug {
                    Ok(Vec::new())
                } else {
                    Err(Rejection::AlreadyCreated(profile.slug.clone()))
                }
            }

            (Active(profile), Command::Rename { name }) if profile.name == *name => Ok(Vec::new()),
            (Active(_), Command::Rename { name }) => {
                Ok(vec![Event::Renamed { name: name.clone() }])
            }
            (Active(profile), Command::Configure { settings }) if profile.settings == *settings => {
                Ok(Vec::new())
            }
            (Active(_), Command::Configure { settings }) => {
                Ok(vec![Event::Configured { settings: settings.clone() }])
            }
            (Active(profile), Command::AddProvider { provider, described }) => {
                provider::add(&profile.providers, *provider, described)
            }
            (Active(profile), Command::RemoveProvider { provider }) => {
                provider::remove(&profile.providers, *provider)
            }
            (
                Suspended { .. },
                Command::Rename { .. }
                | Command::Configure { .. }
                | Command::AddProvider { .. }
                | Command::RemoveProvider { .. },
            ) => Err(Rejection::Suspended),

            (Suspended { reason: known, .. }, Command::Suspend { reason }) if known == reason => {
                Ok(Vec::new())
            }
            (Active(_) | Suspended { .. }, Command::Suspend { reason }) => {
                Ok(vec![Event::Suspended { reason: *reason }])
            }
            (Active(_), Command::Reactivate) => Ok(Vec::new()),
            (Suspended { .. }, Command::Reactivate) => Ok(vec![Event::Reactivated {}]),

            // Also while suspended: an operator may close a tenant that does not pay.
            (Active(_) | Suspended { .. }, Command::Close) => Ok(vec![Event::Closed { at: now }]),
            (Closed { .. }, Command::Close) => Ok(Vec::new()),
            (
                Closed { .. },
                Command::Create { .. }
                | Command::Rename { .. }
                | Command::Configure { .. }
                | Command::AddProvider { .. }
                | Command::RemoveProvider { .. }
                | Command::Suspend { .. }
                | Command::Reactivate,
            ) => Err(Rejection::Closed),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Created { slug, name, settings, at: _ } => {
                let (slug, name, settings) = (slug.clone(), name.clone(), settings.clone());
                let providers = BTreeMap::new();
                *self = Self::Active(Profile { slug, name, settings, providers });
            }
            Event::Renamed { name } => self.change(|it| it.name = name.clone()),
            Event::Configured { settings } => self.change(|it| it.settings = settings.clone()),
            Event::ProviderAdded { provider, described } => self.change(|it| {
                it.providers.insert(*provider, described.clone());
            }),
            Event::ProviderRemoved { provider } => self.change(|it| {
                it.providers.remove(provider);
            }),
            Event::Suspended { reason } => {
                self.turn(|profile| Self::Suspended { profile, reason: *reason });
            }
            Event::Reactivated {} => self.turn(Self::Active),
            Event::Closed { at } => self.turn(|profile| Self::Closed { profile, at: *at }),
        }
    }
}

impl Tenant {
    fn change(&mut self, change: impl FnOnce(&mut Profile)) {
        match self {
            Self::NotCreated => {}
            Self::Active(profile)
            | Self::Suspended { profile, .. }
            | Self::Closed { profile, .. } => {
                change(profile);
            }
        }
    }

    fn turn(&mut self, state: impl FnOnce(Profile) -> Self) {
        if let Some(profile) = self.profile() {
            *self = state(profile.clone());
        }
    }
}

#[cfg(test)]
mod tests;
