//! The kinds of entities: their versions, the fields of their `spec`, and which of those fields
//! relate them to others.
//!
//! One table per kind says all of it; checking, relating and finding people only read the
//! tables. Fields that no table names are kept and not looked at, as in Backstage.

use serde::{Deserialize, Serialize};

/// Which kinds a catalog accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

    /// The fields of a `spec` whose `type` is `spec_type`.
    pub(super) fn fields(self, spec_type: Option<&str>, kinds: KindSet) -> &'static [Field] {
        match (self, spec_type) {
            (Self::AiResource, Some("marketplace")) => MARKETPLACE,
            (Self::AiResource, Some("plugin")) => PLUGIN,
            (Self::AiResource, Some("rule")) => RULE,
            (Self::AiResource, Some("skill")) => SKILL,
            (Self::AiResource, _) => AI_RESOURCE,
            (Self::Api, Some("mcp-server")) if kinds == KindSet::Extended => MCP_SERVER,
            (Self::Api, _) => API,
            (Self::Component, _) => COMPONENT,
            (Self::Domain, _) => DOMAIN,
            (Self::Group, _) => GROUP,
            (Self::Location, _) => LOCATION,
            (Self::Resource, _) => RESOURCE,
            (Self::System, _) => SYSTEM,
            (Self::Template, _) => TEMPLATE,
            (Self::User, _) => USER,
        }
    }
}

/// A field that a kind gives a meaning.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) need: Need,
    pub(super) shape: Shape,
}

/// Whether a field must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    Optional,
}

/// What a field may hold.
#[derive(Debug)]
pub(super) enum Shape {
    /// A text that is not empty.
    Text,
    /// A text of at most so many characters that is not empty.
    ShortText(usize),
    /// A text.
    AnyText,
    /// A text or a truth value.
    Condition,
    /// A list of texts that are not empty.
    Texts,
    /// One of a few texts.
    OneOf(&'static [&'static str]),
    /// An object with these fields among others.
    Object(&'static [Field]),
    /// An object with these fields; others hold texts.
    Texted(&'static [Field]),
    /// A list of such objects.
    Objects(&'static [Field]),
    /// A list of such objects that is not empty.
    SomeObjects(&'static [Field]),
    /// Such an object or a list of them.
    ObjectOrObjects(&'static [Field]),
    /// A reference to an entity.
    Reference(Link),
    /// A list of references to entities.
    References(Link),
}

/// What it means to be referred to by a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// What the source is to the target.
    pub(super) forward: &'static str,
    /// What the target is to the source.
    pub(super) backward: &'static str,
    /// The kind of a reference that names none; without one, it must.
    pub(super) default_kind: Option<Kind>,
}

const fn link(forward: &'static str, backward: &'static str, default_kind: Kind) -> Link {
    Link { forward, backward, default_kind: Some(default_kind) }
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, need: Need::Required, shape }
}

const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, need: Need::Optional, shape }
}

const fn part_of(whole: Kind) -> Shape {
    Shape::Reference(link("partOf", "hasPart", whole))
}

const TYPE: Field = required("type", Shape::Text);
const LIFECYCLE: Field = required("lifecycle", Shape::Text);
const OWNED_BY: Shape = Shape::Reference(link("ownedBy", "ownerOf", Kind::Group));
const OWNER: Field = required("owner", OWNED_BY);
const SYSTEM_OF: Field = optional("system", part_of(Kind::System));
const DEPENDS_ON: Field = optional(
    "dependsOn",
    Shape::References(Link { forward: "dependsOn", backward: "dependencyOf", default_kind: None }),
);
const DEPENDENCY_OF: Field = optional(
    "dependencyOf",
    Shape::References(Link { forward: "dependencyOf", backward: "dependsOn", default_kind: None }),
);

const COMPONENT: &[Field] = &[
    TYPE,
    LIFECYCLE,
    OWNER,
    SYSTEM_OF,
    optional("subcomponentOf", part_of(Kind::Component)),
    optional("providesApis", Shape::References(link("providesApi", "apiProvidedBy", Kind::Api))),
    optional("consumesApis", Shape::References(link("consumesApi", "apiConsumedBy", Kind::Api))),
    DEPENDS_ON,
    DEPENDENCY_OF,
];

const API: &[Field] = &[TYPE, LIFECYCLE, OWNER, SYSTEM_OF, required("definition", Shape::Text)];

const MCP_SERVER: &[Field] = &[
    TYPE,
    LIFECYCLE,
    OWNER,
    SYSTEM_OF,
    required("remotes", Shape::SomeObjects(&[TYPE, required("url", Shape::Text)])),
];

const RESOURCE: &[Field] = &[TYPE, OWNER, SYSTEM_OF, DEPENDS_ON, DEPENDENCY_OF];

const SYSTEM: &[Field] =
    &[OWNER, optional("domain", part_of(Kind::Domain)), optional("type", Shape::Text)];

const DOMAIN: &[Field] =
    &[OWNER, optional("subdomainOf", part_of(Kind::Domain)), optional("type", Shape::Text)];

const PROFILE: Field = optional(
    "profile",
    Shape::Object(&[
        optional("displayName", Shape::Text),
        optional("email", Shape::Text),
        optional("picture", Shape::Text),
    ]),
);

const GROUP: &[Field] = &[
    TYPE,
    PROFILE,
    optional("parent", Shape::Reference(link("childOf", "parentOf", Kind::Group))),
    required("children", Shape::References(link("parentOf", "childOf", Kind::Group))),
    optional("members", Shape::References(link("hasMember", "memberOf", Kind::User))),
];

const USER: &[Field] =
    &[PROFILE, required("memberOf", Shape::References(link("memberOf", "hasMember", Kind::Group)))];

const LOCATION: &[Field] = &[
    optional("type", Shape::Text),
    optional("target", Shape::Text),
    optional("targets", Shape::Texts),
    optional("presence", Shape::OneOf(&["required", "optional"])),
];

const AI_RESOURCE: &[Field] = &[TYPE, LIFECYCLE, OWNER, SYSTEM_OF];

const SKILL: &[Field] = &[
    TYPE,
    LIFECYCLE,
    OWNER,
    SYSTEM_OF,
    optional("disciplines", Shape::Texts),
    optional("categories", Shape::Texts),
    optional("agents", Shape::Texts),
    optional("dependsOn", Shape::References(link("dependsOn", "dependencyOf", Kind::AiResource))),
    optional("allowedTools", Shape::Text),
    optional("license", Shape::Text),
    optional("compatibility", Shape::ShortText(500)),
];

const RULE: &[Field] = &[
    TYPE,
    LIFECYCLE,
    OWNER,
    SYSTEM_OF,
    optional("disciplines", Shape::Texts),
    required("category", Shape::Text),
    required("rationale", Shape::Text),
];

const PLUGIN: &[Field] = &[
    TYPE,
    LIFECYCLE,
    OWNER,
    SYSTEM_OF,
    required("skills", Shape::References(link("hasSkill", "skillOf", Kind::AiResource))),
    optional("version", Shape::Text),
];

const MARKETPLACE: &[Field] = &[
    TYPE,
    LIFECYCLE,
    OWNER,
    SYSTEM_OF,
    required("plugins", Shape::References(link("hasPlugin", "pluginOf", Kind::AiResource))),
    optional("version", Shape::Text),
];

const DECORATORS: Shape =
    Shape::Objects(&[optional("id", Shape::AnyText), optional("input", Shape::Object(&[]))]);

const TEMPLATE: &[Field] = &[
    TYPE,
    optional("owner", OWNED_BY),
    optional("lifecycle", Shape::Text),
    optional("parameters", Shape::ObjectOrObjects(&[PERMISSIONS])),
    optional("secrets", Shape::Object(&[optional("schema", Shape::Object(&[]))])),
    optional("presentation", Shape::Object(&[optional("buttonLabels", BUTTON_LABELS)])),
    optional("formDecorators", DECORATORS),
    optional("EXPERIMENTAL_formDecorators", DECORATORS),
    optional("EXPERIMENTAL_recovery", RECOVERY),
    required(
        "steps",
        Shape::Objects(&[
            required("action", Shape::AnyText),
            optional("id", Shape::AnyText),
            optional("name", Shape::AnyText),
            optional("input", Shape::Object(&[])),
            optional("if", Shape::Condition),
            PERMISSIONS,
        ]),
    ),
    optional(
        "output",
        Shape::Texted(&[
            optional("links", Shape::Objects(OUTPUT_LINK)),
            optional("text", Shape::Objects(OUTPUT_TEXT)),
        ]),
    ),
];

const PERMISSIONS: Field =
    optional("backstage:permissions", Shape::Object(&[optional("tags", Shape::Texts)]));

const BUTTON_LABELS: Shape = Shape::Object(&[
    optional("backButtonText", Shape::AnyText),
    optional("createButtonText", Shape::AnyText),
    optional("reviewButtonText", Shape::AnyText),
]);

const RECOVERY: Shape = Shape::Object(&[optional("EXPERIMENTAL_strategy", Shape::AnyText)]);

const OUTPUT_LINK: &[Field] = &[
    optional("if", Shape::Condition),
    optional("url", Shape::Text),
    optional("entityRef", Shape::Text),
    optional("title", Shape::Text),
    optional("icon", Shape::Text),
];

const OUTPUT_TEXT: &[Field] = &[
    optional("if", Shape::Condition),
    optional("title", Shape::Text),
    optional("icon", Shape::Text),
    optional("content", Shape::AnyText),
];
