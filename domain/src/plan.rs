//! A plan: what can be sold, in versions that never change once published.

mod terms;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::terms::{
    DESCRIPTION_MAX, Enforcement, ITEM_KEY_MAX, ITEMS_MAX, Item, NAME_MAX, Price, QUOTAS_MAX,
    Quota, QuotaOf, TIERS_MAX, TRIAL_DAYS_MAX, Terms, Tier,
};
use crate::aggregate::Aggregate;
use crate::id::PlanId;
use crate::quantity::Currency;
use crate::subscription::Sold;
use crate::violation::{self, Violation};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Event {
    /// A version can be sold.
    #[serde(rename = "plan.version-published.v1")]
    VersionPublished {
        /// Counts from 1 without gaps.
        version: u32,
        /// What it says.
        terms: Terms,
    },
    /// No version can be sold any more; those sold go on.
    #[serde(rename = "plan.retired.v1")]
    Retired {},
}

/// The most versions of one plan: 1,000, so that a plan is small enough to hold in memory whole.
pub const VERSIONS_MAX: usize = 1_000;

/// What is true now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Plan {
    /// Nothing happened yet.
    #[default]
    NotPublished,
    /// It can be sold, in the versions from 1.
    OnSale(Vec<Arc<Terms>>),
    /// It can no longer be sold.
    Retired(Vec<Arc<Terms>>),
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Publish the next version.
    Publish {
        /// What it says.
        terms: Terms,
    },
    /// Stop selling it.
    Retire,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such plan.
    #[error("the plan does not exist")]
    NotPublished,
    /// There is no such version.
    #[error("the plan has no version {0}")]
    UnknownVersion(u32),
    /// It can no longer be sold.
    #[error("the plan is retired")]
    Retired,
    /// The terms are malformed.
    #[error("{}", violation::summary(.0))]
    Invalid(Vec<Violation>),
    /// Other versions are priced in another currency, so nobody could move to this one.
    #[error("every version of the plan is priced in {0}; make another plan for another currency")]
    OtherCurrency(Currency),
    /// There are as many versions as there may be.
    #[error("the plan has {VERSIONS_MAX} versions; make another plan")]
    TooManyVersions,
}

impl Rejection {
    /// A stable code in upper case.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotPublished => "PLAN_NOT_FOUND",
            Self::UnknownVersion(_) => "PLAN_VERSION_NOT_FOUND",
            Self::Retired => "PLAN_RETIRED",
            Self::Invalid(_) => "PLAN_INVALID",
            Self::OtherCurrency(_) => "PLAN_CURRENCY",
            Self::TooManyVersions => "TOO_MANY_PLAN_VERSIONS",
        }
    }
}

impl Plan {
    /// What `version` says.
    #[must_use]
    pub fn terms(&self, version: u32) -> Option<&Arc<Terms>> {
        let index = usize::try_from(version.checked_sub(1)?).ok()?;
        self.versions().get(index)
    }

    /// The number of the newest version; 0 before the first.
    #[must_use]
    pub fn newest(&self) -> u32 {
        u32::try_from(self.versions().len()).expect("VERSIONS_MAX is far smaller")
    }

    /// What is sold to somebody who buys `version`, or the newest one.
    ///
    /// # Errors
    ///
    /// [`Rejection::NotPublished`], [`Rejection::Retired`] or [`Rejection::UnknownVersion`].
    pub fn sell(&self, plan: PlanId, version: Option<u32>) -> Result<Sold, Rejection> {
        match self {
            Self::NotPublished => Err(Rejection::NotPublished),
            Self::Retired(_) => Err(Rejection::Retired),
            Self::OnSale(_) => {
                let version = version.unwrap_or_else(|| self.newest());
                let terms = self.terms(version).ok_or(Rejection::UnknownVersion(version))?;
                Ok(Sold { plan, version, terms: Terms::clone(terms) })
            }
        }
    }

    fn versions(&self) -> &[Arc<Terms>] {
        match self {
            Self::NotPublished => &[],
            Self::OnSale(versions) | Self::Retired(versions) => versions,
        }
    }

    fn publish(&self, terms: &Terms) -> Result<Vec<Event>, Rejection> {
        let violations = terms.violations();
        if !violations.is_empty() {
            return Err(Rejection::Invalid(violations));
        }
        let versions = self.versions();
        match versions.last() {
            Some(newest) if **newest == *terms => return Ok(Vec::new()),
            Some(newest) if newest.currency != terms.currency => {
                return Err(Rejection::OtherCurrency(newest.currency));
            }
            Some(_) if versions.len() >= VERSIONS_MAX => return Err(Rejection::TooManyVersions),
            Some(_) | None => {}
        }
        Ok(vec![Event::VersionPublished { version: self.newest() + 1, terms: terms.clone() }])
    }
}

impl Aggregate for Plan {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _now: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
        use Plan::{NotPublished, OnSale, Retired};

        match (self, command) {
            (NotPublished | OnSale(_), Command::Publish { terms }) => self.publish(terms),
            (NotPublished, Command::Retire) => Err(Rejection::NotPublished),
            (OnSale(_), Command::Retire) => Ok(vec![Event::Retired {}]),
            (Retired(_), Command::Publish { .. }) => Err(Rejection::Retired),
            (Retired(_), Command::Retire) => Ok(Vec::new()),
        }
    }

    fn evolve(&mut self, event: &Event) {
        let mut versions = self.versions().to_vec();
        *self = match event {
            Event::VersionPublished { version: _, terms } => {
                versions.push(Arc::new(terms.clone()));
                Self::OnSale(versions)
            }
            Event::Retired {} => Self::Retired(versions),
        };
    }
}

#[cfg(test)]
mod tests;
