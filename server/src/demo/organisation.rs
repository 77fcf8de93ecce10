//! The catalog of one tenant: domains, systems, components, APIs, resources, teams, people.

use domain::operation::{ENTITY_CHANGES_MAX, EntityChange, ExpectedRevision, Operation};
use serde_json::{Value, json};

use super::random::Random;

/// What a tenant's business is made of: a domain and its systems.
type Business = [(&'static str, &'static [&'static str])];

const LOGISTICS: &Business = &[
    ("freight", &["booking", "tracking", "customs"]),
    ("warehouse", &["inventory", "picking"]),
    ("finance", &["invoicing"]),
];
const BANK: &Business = &[
    ("payments", &["cards", "transfers", "fraud"]),
    ("lending", &["mortgages", "scoring"]),
    ("channels", &["mobile-bank"]),
];
const GAMES: &Business = &[
    ("play", &["matchmaking", "leaderboard", "chat"]),
    ("shop", &["storefront", "wallet"]),
    ("insight", &["telemetry"]),
];

const GIVEN: [&str; 16] = [
    "Ada", "Bruno", "Chidi", "Dana", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaia",
    "Luca", "Mina", "Noor", "Oskar", "Petra",
];
const FAMILY: [&str; 12] = [
    "Almeida",
    "Berg",
    "Castillo",
    "Dubois",
    "Eriksen",
    "Fischer",
    "Gruber",
    "Haddad",
    "Ito",
    "Jansen",
    "Kovac",
    "Lindqvist",
];
const LIFECYCLES: [&str; 4] = ["production", "production", "experimental", "deprecated"];
const LANGUAGES: [&str; 4] = ["rust", "java", "go", "typescript"];
const MEMBERS_PER_TEAM: usize = 4;

/// The components every system has.
pub(super) const COMPONENTS: [&str; 3] = ["service", "website", "library"];

fn business(slug: &str) -> &'static Business {
    match slug {
        "brightwater" => LOGISTICS,
        "halcyon-bank" => BANK,
        _ => GAMES,
    }
}

/// The systems of the tenant; each has all of [`COMPONENTS`].
pub(super) fn systems(slug: &str) -> Vec<&'static str> {
    business(slug).iter().flat_map(|(_, systems)| *systems).copied().collect()
}

/// The reference of a component of a system.
pub(super) fn reference(system: &str, component: &str) -> String {
    format!("component:default/{system}-{component}")
}

/// What somebody is called.
pub(super) fn person(random: &mut Random) -> String {
    format!("{} {}", random.pick(&GIVEN), random.pick(&FAMILY))
}

/// Everything that puts the tenant's catalog in place.
pub(crate) fn operations(slug: &str, random: &mut Random) -> Vec<Operation> {
    let entities = entities(slug, business(slug), random);
    entities
        .chunks(ENTITY_CHANGES_MAX)
        .map(|chunk| Operation::ApplyEntities { changes: chunk.iter().map(put).collect() })
        .collect()
}

fn put(descriptor: &Value) -> EntityChange {
    EntityChange::Put {
        descriptor: descriptor.clone(),
        location: None,
        expected: ExpectedRevision::Any,
    }
}

fn entities(slug: &str, business: &Business, random: &mut Random) -> Vec<Value> {
    let mut entities = vec![group(slug, "organization", None), template(slug), guideline(slug)];
    for (domain, systems) in business {
        entities.push(group(domain, "department", Some(slug)));
        entities.push(json!({
            "apiVersion": "backstage.io/v1alpha1", "kind": "Domain",
            "metadata": {"name": domain, "description": format!("Everything about {domain}.")},
            "spec": {"owner": format!("group:{domain}")},
        }));
        for system in *systems {
            entities.extend(system_of(slug, domain, system, random));
        }
    }
    entities
}

fn group(name: &str, kind: &str, parent: Option<&str>) -> Value {
    let mut spec = json!({"type": kind, "profile": {"displayName": title(name)}, "children": []});
    if let Some(parent) = parent {
        spec["parent"] = parent.into();
    }
    json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "Group",
        "metadata": {"name": name, "title": title(name)}, "spec": spec,
    })
}

/// A system with its team, people, components, API and resource.
fn system_of(slug: &str, domain: &str, system: &str, random: &mut Random) -> Vec<Value> {
    let team = format!("{system}-team");
    let mut entities = vec![group(&team, "team", Some(domain))];
    let first = random.below(GIVEN.len());
    entities.extend((first..first + MEMBERS_PER_TEAM).map(|it| user(slug, &team, it, random)));
    entities.push(json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "System",
        "metadata": {"name": system, "title": title(system), "tags": [domain]},
        "spec": {"owner": format!("group:{team}"), "domain": domain},
    }));
    entities.push(json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "API",
        "metadata": {"name": format!("{system}-api"), "tags": ["rest"]},
        "spec": {
            "type": "openapi", "lifecycle": "production", "owner": format!("group:{team}"),
            "system": system, "definition": definition(system),
        },
    }));
    entities.push(json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "Resource",
        "metadata": {"name": format!("{system}-db"), "description": "Where its state is kept."},
        "spec": {"type": "database", "owner": format!("group:{team}"), "system": system},
    }));
    entities.extend(COMPONENTS.map(|it| component(slug, system, &team, it, random)));
    entities
}

fn user(slug: &str, team: &str, person: usize, random: &mut Random) -> Value {
    let (given, family) = (GIVEN[person % GIVEN.len()], *random.pick(&FAMILY));
    let name = format!("{}.{}.{}", given, family, team.trim_end_matches("-team")).to_lowercase();
    json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "User",
        "metadata": {"name": name},
        "spec": {
            "profile": {
                "displayName": format!("{given} {family}"),
                "email": format!("{name}@{slug}.example"),
            },
            "memberOf": [team],
        },
    })
}

fn component(slug: &str, system: &str, team: &str, kind: &str, random: &mut Random) -> Value {
    let name = format!("{system}-{kind}");
    let mut spec = json!({
        "type": kind, "lifecycle": random.pick(&LIFECYCLES), "owner": format!("group:{team}"),
        "system": system,
    });
    match kind {
        "service" => {
            spec["providesApis"] = json!([format!("{system}-api")]);
            spec["dependsOn"] = json!([format!("resource:{system}-db")]);
        }
        "website" => spec["consumesApis"] = json!([format!("{system}-api")]),
        _ => {}
    }
    json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "Component",
        "metadata": {
            "name": name, "title": title(&name),
            "description": format!("The {kind} of {}.", title(system)),
            "labels": {"tier": if kind == "service" { "1" } else { "2" }},
            "annotations": {"github.com/project-slug": format!("{slug}/{name}")},
            "tags": [random.pick(&LANGUAGES), system],
            "links": [{"url": format!("https://{name}.{slug}.example"), "title": "Live"}],
        },
        "spec": spec,
    })
}

fn definition(system: &str) -> String {
    let title = title(system);
    format!(
        "openapi: 3.1.0\ninfo: {{title: {title}, version: 1.0.0}}\npaths:\n  /{system}:\n    get:\n      responses: {{'200': {{description: All of them}}}}\n"
    )
}

fn template(slug: &str) -> Value {
    json!({
        "apiVersion": "scaffolder.backstage.io/v1beta3", "kind": "Template",
        "metadata": {"name": "new-service", "title": "A new service", "tags": ["recommended"]},
        "spec": {
            "type": "service", "owner": format!("group:{slug}"),
            "parameters": [{"title": "Name it", "required": ["name"], "properties": {"name": {"type": "string"}}}],
            "steps": [{"id": "log", "name": "Say hello", "action": "debug:log", "input": {"message": "Hello ${{ parameters.name }}"}}],
        },
    })
}

fn guideline(slug: &str) -> Value {
    json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "Location",
        "metadata": {"name": "handbook", "description": "Where the engineering handbook lives."},
        "spec": {"type": "url", "target": format!("https://handbook.{slug}.example/catalog-info.yaml")},
    })
}

/// `mobile-bank` as people write it: `Mobile Bank`.
fn title(name: &str) -> String {
    let capitalised = name.split('-').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|it| it.to_uppercase().chain(letters).collect::<String>())
    });
    capitalised.flatten().collect::<Vec<_>>().join(" ")
}
