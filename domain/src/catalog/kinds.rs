//! The kinds of entities, their versions, and which catalogs accept them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which kinds a catalog accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = crate::event::open)]
pub enum KindSet {
    /// The kinds of a bare Backstage catalog.
    Core,
    /// Those, and the kinds of its add-on modules: `Template`, `AiResource`, `mcp-server` APIs.
    #[default]
    Extended,
}

/// What an entity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A context for AI coding tools: a skill, a rule, a plugin. In [`KindSet::Extended`] only.
    AiResource,
    /// An interface that components provide and consume.
    Api,
    /// A piece of software.
    Component,
    /// An area of business.
    Domain,
    /// A team or another part of the organisation.
    Group,
    /// A pointer to further descriptors.
    Location,
    /// What a component needs to run.
    Resource,
    /// Components and resources that belong together.
    System,
    /// A recipe for new components. In [`KindSet::Extended`] only.
    Template,
    /// A person.
    User,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::AiResource,
        Self::Api,
        Self::Component,
        Self::Domain,
        Self::Group,
        Self::Location,
        Self::Resource,
        Self::System,
        Self::Template,
        Self::User,
    ];

    /// The kind as descriptors write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AiResource => "AiResource",
            Self::Api => "API",
            Self::Component => "Component",
            Self::Domain => "Domain",
            Self::Group => "Group",
            Self::Location => "Location",
            Self::Resource => "Resource",
            Self::System => "System",
            Self::Template => "Template",
            Self::User => "User",
        }
    }

    /// The kind that is written `name`, in exactly this case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Says whether a catalog with `kinds` accepts it.
    #[must_use]
    pub const fn is_in(self, kinds: KindSet) -> bool {
        match self {
            Self::AiResource | Self::Template => matches!(kinds, KindSet::Extended),
            Self::Api
            | Self::Component
            | Self::Domain
            | Self::Group
            | Self::Location
            | Self::Resource
            | Self::System
            | Self::User => true,
        }
    }

    /// The values of `apiVersion` it goes with.
    pub(super) const fn api_versions(self) -> &'static [&'static str] {
        match self {
            Self::AiResource => &["backstage.io/v1alpha1"],
            Self::Template => &["scaffolder.backstage.io/v1beta3"],
            Self::Api
            | Self::Component
            | Self::Domain
            | Self::Group
            | Self::Location
            | Self::Resource
            | Self::System
            | Self::User => &["backstage.io/v1alpha1", "backstage.io/v1beta1"],
        }
    }
}
