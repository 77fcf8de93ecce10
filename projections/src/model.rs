//! The read models there are.

use std::fmt;
use std::str::FromStr;

/// One read model: a set of tables with one fold that fills them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Model {
    /// Entities, their relations, versions and locations.
    Catalog,
    /// Tenants, as they see themselves and as the directory sees them.
    Organisation,
    /// Customers, plans, subscriptions, meters and usage.
    Billing,
    /// How much the portal is used, and by how many.
    Analytics,
    /// One searchable row per event.
    Audit,
}

/// Why a text is not the name of a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of catalog, organisation, billing, analytics, audit, got `{0}`")]
pub struct UnknownModel(String);

impl Model {
    /// Every model.
    pub const ALL: [Self; 5] =
        [Self::Catalog, Self::Organisation, Self::Billing, Self::Analytics, Self::Audit];

    /// Its name in file names, metrics, messages and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Organisation => "organisation",
            Self::Billing => "billing",
            Self::Analytics => "analytics",
            Self::Audit => "audit",
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Model {
    type Err = UnknownModel;

    fn from_str(text: &str) -> Result<Self, UnknownModel> {
        let found = Self::ALL.into_iter().find(|it| it.name() == text);
        found.ok_or_else(|| UnknownModel(text.chars().take(64).collect()))
    }
}
