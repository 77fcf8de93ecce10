//! Valid descriptors for tests: one of each kind, and arbitrary ones grown from the tables.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::fields::{self, Field, Need, Shape};
use super::kinds::{Kind, KindSet};

/// The smallest component there can be.
pub(crate) fn component() -> Value {
    of(Kind::Component)
}

/// The smallest descriptor of a kind there can be.
pub(crate) fn of(kind: Kind) -> Value {
    let spec = match kind {
        Kind::AiResource | Kind::Component => {
            json!({ "type": "service", "lifecycle": "production", "owner": "shop" })
        }
        Kind::Api => json!({
            "type": "openapi", "lifecycle": "production", "owner": "shop", "definition": "…",
        }),
        Kind::Domain | Kind::System => json!({ "owner": "shop" }),
        Kind::Group => json!({ "type": "team", "children": [] }),
        Kind::Location => json!({}),
        Kind::Resource => json!({ "type": "database", "owner": "shop" }),
        Kind::Template => json!({ "type": "service", "steps": [] }),
        Kind::User => json!({ "memberOf": [] }),
    };
    json!({
        "apiVersion": kind.api_versions()[0],
        "kind": kind.name(),
        "metadata": { "name": "web" },
        "spec": spec,
    })
}

/// `json` with `value` at a JSON pointer, whose parent is there.
pub(crate) fn with(mut json: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
    let parent = json.pointer_mut(parent).expect("the parent is there");
    parent[key] = value;
    json
}

/// The kind of a sample.
pub(crate) fn of_kind(json: &Value) -> Kind {
    Kind::from_name(json["kind"].as_str().unwrap()).unwrap()
}

impl Kind {
    /// The names of the fields that must be there, apart from `type`, which selects them.
    pub(crate) fn required(
        self,
        spec_type: Option<&str>,
    ) -> impl Iterator<Item = &'static str> + use<> {
        let fields = fields::of(self, spec_type, KindSet::Extended).iter();
        fields.filter(|it| it.need == Need::Required && it.name != "type").map(|it| it.name)
    }
}

/// Any valid descriptor of any kind, with people in all places.
pub(crate) fn descriptor() -> impl Strategy<Value = Value> {
    const TYPES: &[&str] = &["service", "mcp-server", "skill", "rule", "plugin", "marketplace"];
    let chosen = (prop::sample::select(&Kind::ALL[..]), prop::sample::select(TYPES));
    chosen.prop_flat_map(|(kind, spec_type)| {
        let fields = fields::of(kind, Some(spec_type), KindSet::Extended);
        let has_type = fields.iter().any(|it| it.name == "type");
        (metadata(), object(fields), extras()).prop_map(move |(metadata, mut spec, extras)| {
            if has_type {
                spec.insert("type".to_owned(), spec_type.into());
            }
            spec.insert("extras".to_owned(), extras);
            let api_version = kind.api_versions()[0];
            json!({
                "apiVersion": api_version, "kind": kind.name(), "metadata": metadata, "spec": spec,
            })
        })
    })
}

fn metadata() -> impl Strategy<Value = Value> {
    let namespace = proptest::option::of("[a-z]{1,4}");
    let annotations = btree_map("[a-z]{1,4}\\.io/[a-z]{1,6}", reference(None), 0..3);
    ("[a-zA-Z][a-z0-9]{0,6}", namespace, annotations, extras()).prop_map(
        |(name, namespace, annotations, extras)| {
            let mut metadata =
                json!({ "name": name, "annotations": annotations, "extras": extras });
            if let Some(namespace) = namespace {
                metadata["namespace"] = namespace.into();
            }
            metadata
        },
    )
}

/// Values that no table describes, users among them.
fn extras() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z :/]{0,8}".prop_map(Value::from),
        reference(None).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map("[a-z]{1,3}", inner, 0..3).prop_map(|it| it.into_iter().collect()),
        ]
    })
}

fn reference(default_kind: Option<Kind>) -> BoxedStrategy<String> {
    let kinds = prop::sample::select(&["user:", "User:", "group:", "component:"][..]);
    let full = (kinds, "([a-z]{1,3}/)?[a-z]{1,5}").prop_map(|(kind, rest)| format!("{kind}{rest}"));
    match default_kind {
        Some(_) => prop_oneof![full, "[a-z]{1,5}"].boxed(),
        None => full.boxed(),
    }
}

fn object(fields: &'static [Field]) -> BoxedStrategy<Map<String, Value>> {
    let fields: Vec<_> = fields
        .iter()
        .map(|it| {
            let value = value(&it.shape).prop_map(|value| Some((it.name.to_owned(), value)));
            match it.need {
                Need::Required => value.boxed(),
                Need::Optional => prop_oneof![Just(None), value].boxed(),
            }
        })
        .collect();
    fields.prop_map(|it| it.into_iter().flatten().collect()).boxed()
}

fn value(shape: &'static Shape) -> BoxedStrategy<Value> {
    let objects = |fields| object(fields).prop_map(Value::Object);
    match shape {
        Shape::Text | Shape::ShortText(_) => "[a-z ]{1,8}".prop_map(Value::from).boxed(),
        Shape::AnyText => "[a-z ]{0,8}".prop_map(Value::from).boxed(),
        Shape::Condition => any::<bool>().prop_map(Value::from).boxed(),
        Shape::Texts => vec("[a-z]{1,8}", 0..3).prop_map(Value::from).boxed(),
        Shape::OneOf(texts) => prop::sample::select(*texts).prop_map(Value::from).boxed(),
        Shape::Object(fields) | Shape::Texted(fields) => objects(fields).boxed(),
        Shape::Objects(fields) => vec(objects(fields), 0..3).prop_map(Value::from).boxed(),
        Shape::SomeObjects(fields) => vec(objects(fields), 1..3).prop_map(Value::from).boxed(),
        Shape::ObjectOrObjects(fields) => {
            prop_oneof![objects(fields), vec(objects(fields), 0..3).prop_map(Value::from)].boxed()
        }
        Shape::Reference(link) => reference(link.default_kind).prop_map(Value::from).boxed(),
        Shape::References(link) => {
            vec(reference(link.default_kind), 0..3).prop_map(Value::from).boxed()
        }
    }
}
