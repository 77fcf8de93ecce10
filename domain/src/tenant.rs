//! A tenant: an organisation whose data is invisible to every other.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::directory::Slug;
use crate::quantity::Currency;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The zone of its billing periods and reports, an IANA name.
    pub time_zone: chrono_tz::Tz,
    /// The currency of its own price lists.
    pub currency: Currency,
    /// Which entity kinds its catalog accepts.
    pub kinds: crate::catalog::KindSet,
}

/// Why a tenant is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// A display name: 1 to 120 characters on one line, trimmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Box<str>);

/// Why a text is not a display name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a name of 1 to 120 characters on one line, got `{0}`")]
pub struct NameError(String);

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let trimmed = text.trim();
        let fits = (1..=120).contains(&trimmed.chars().count())
            && !trimmed.contains(|it: char| it.is_control());
        if fits {
            Ok(Self(trimmed.into()))
        } else {
            Err(NameError(text.chars().take(140).collect()))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.into()
    }
}
