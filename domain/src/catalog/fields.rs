//! The fields of each kind's `spec`, and which of them relate an entity to others.
//!
//! One table per kind says all of it; checking, relating and finding people only read the
//! tables. Fields that no table names are kept and not looked at, as in Backstage.

use super::kinds::{Kind, KindSet};

/// The fields of a `kind`'s `spec` whose `type` is `spec_type`.
pub(super) fn of(kind: Kind, spec_type: Option<&str>, kinds: KindSet) -> &'static [Field] {
    match (kind, spec_type) {
        (Kind::AiResource, Some("marketplace")) => MARKETPLACE,
        (Kind::AiResource, Some("plugin")) => PLUGIN,
        (Kind::AiResource, Some("rule")) => RULE,
        (Kind::AiResource, Some("skill")) => SKILL,
        (Kind::AiResource, _) => AI_RESOURCE,
        (Kind::Api, Some("mcp-server")) if kinds == KindSet::Extended => MCP_SERVER,
        (Kind::Api, _) => API,
        (Kind::Component, _) => COMPONENT,
        (Kind::Domain, _) => DOMAIN,
        (Kind::Group, _) => GROUP,
        (Kind::Location, _) => LOCATION,
        (Kind::Resource, _) => RESOURCE,
        (Kind::System, _) => SYSTEM,
        (Kind::Template, _) => TEMPLATE,
        (Kind::User, _) => USER,
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
