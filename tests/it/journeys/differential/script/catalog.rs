//! Changes of the catalog.

use serde_json::{Value, json};

use super::{Ask, Script};

/// Names of entities: few, so that they are met again, and of all sorts, so that lists have an
/// order to keep.
const NAMES: [&str; 14] = [
    "web",
    "Web2",
    "web-3",
    "billing",
    "Billing_Core",
    "a",
    "zeta",
    "Zeta",
    "payments.api",
    "x1",
    "x10",
    "x2",
    "atlas",
    "Émile",
];

const KINDS: [&str; 7] = ["Component", "API", "Resource", "System", "Domain", "Group", "User"];

const OWNERS: [&str; 4] = ["group:atlas", "user:default/web", "Group:Default/ZETA", "nobody"];

const TEXTS: [&str; 6] = [
    "Takes orders and ships them.",
    "Straße, Ærø & Łódź",
    "ships",
    "Orders ship; orders wait.",
    "",
    "ORDERS of \u{1f3ad} the stage",
];

const TAGS: [&str; 4] = ["rest", "java", "rest-2", "Not A Tag"];

pub(super) fn apply(script: &mut Script, tenant: usize) -> Ask {
    let count = if script.one_in(3) { 2 + script.below(4) } else { 1 };
    let changes: Vec<Value> = (0..count).map(|_| change(script, tenant)).collect();
    let variables = json!({"input": {"changes": changes}});
    let call = "applyEntities(input: $input, options: $options)";
    script.mutation(call, "changes { reference effect }", "$input: ApplyEntitiesInput!", variables)
}

fn change(script: &mut Script, tenant: usize) -> Value {
    if script.one_in(5) {
        let kind = script.pick(&KINDS).to_lowercase();
        let name = script.pick_of(&NAMES);
        let mut remove = json!({"reference": format!("{kind}:default/{name}")});
        if script.one_in(4) {
            remove["expectedRevision"] = script.expected();
        }
        return json!({"remove": remove});
    }
    let mut put = json!({"descriptor": descriptor(script)});
    if script.one_in(4) {
        put["location"] = script.id(tenant, "location").into();
    }
    if script.one_in(6) {
        put["expectedRevision"] = script.expected();
    }
    json!({"put": put})
}

fn descriptor(script: &mut Script) -> Value {
    let kind = script.pick_of(&KINDS);
    // Mostly a name that is allowed.
    let names = if script.one_in(25) { NAMES.len() } else { NAMES.len() - 1 };
    let mut metadata = json!({"name": script.pick_of(&NAMES[..names])});
    if script.one_in(2) {
        metadata["description"] = script.pick_of(&TEXTS).into();
    }
    if script.one_in(3) {
        metadata["title"] = format!("{} {}", script.pick_of(&TEXTS), script.below(4)).into();
    }
    if script.one_in(3) {
        let tags = if script.one_in(8) { TAGS.len() } else { TAGS.len() - 1 };
        metadata["tags"] = json!([script.pick_of(&TAGS[..tags])]);
    }
    if script.one_in(4) {
        metadata["labels"] = json!({"tier": script.below(3).to_string()});
    }
    if script.one_in(4) {
        let link = json!({"url": "https://example.org/x", "title": script.pick_of(&TEXTS)});
        metadata["links"] = json!([link]);
    }
    if script.one_in(10) {
        metadata["namespace"] = script.pick_of(&["default", "Stage", "no_space "]).into();
    }
    let mut descriptor = json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": kind, "metadata": metadata,
        "spec": spec(script, kind),
    });
    if script.one_in(20) {
        spoil(script, &mut descriptor);
    }
    descriptor
}

fn spec(script: &mut Script, kind: &str) -> Value {
    let owner = script.pick_of(&OWNERS);
    let lifecycle = script.pick_of(&["production", "deprecated", "experimental"]);
    let target = script.pick_of(&NAMES[..4]);
    match kind {
        "Component" => json!({
            "type": script.pick_of(&["service", "website"]), "lifecycle": lifecycle, "owner": owner,
            "dependsOn": [format!("resource:{target}")], "providesApis": [target],
        }),
        "API" => json!({
            "type": "openapi", "lifecycle": lifecycle, "owner": owner,
            "definition": script.pick_of(&TEXTS).repeat(1 + script.below(40)) + "openapi: 3.1.0",
        }),
        "Resource" => json!({"type": "database", "owner": owner, "system": target}),
        "System" => json!({"owner": owner, "domain": target}),
        "Domain" => json!({"owner": owner}),
        "Group" => json!({
            "type": "team", "children": [],
            "profile": {"displayName": script.pick_of(&TEXTS), "email": "team@example.org"},
        }),
        _ => json!({
            "profile": {"displayName": "Ada Example", "email": "ada@example.org"},
            "memberOf": [script.pick_of(&NAMES[..6])],
        }),
    }
}

/// Makes a descriptor one that must be refused.
fn spoil(script: &mut Script, descriptor: &mut Value) {
    match script.below(5) {
        0 => descriptor["spec"] = Value::Null,
        1 => descriptor["kind"] = "Gadget".into(),
        2 => descriptor["apiVersion"] = "example.org/v1".into(),
        3 => descriptor["metadata"]["labels"] = json!({"Bad Label!": 7}),
        _ => descriptor["extra"] = json!({"a": [1, 2]}),
    }
}

pub(super) fn register_location(script: &mut Script, _: usize) -> Ask {
    let kind = script.pick_of(&["URL", "FILE"]);
    let target = match (kind, script.below(8)) {
        (_, 0) => String::new(),
        ("URL", number) => format!("https://example.org/{number}/catalog-info.yaml"),
        (_, number) => format!("./{number}/catalog-info.yaml"),
    };
    let variables = json!({"input": {"kind": kind, "target": target}});
    let call = "registerLocation(input: $input, options: $options)";
    script.mutation(call, "location", "$input: RegisterLocationInput!", variables)
}

pub(super) fn deregister_location(script: &mut Script, tenant: usize) -> Ask {
    let variables = json!({"location": script.id(tenant, "location")});
    let call = "deregisterLocation(location: $location, options: $options)";
    script.mutation(call, "", "$location: ID!", variables)
}
