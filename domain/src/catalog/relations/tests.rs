use serde_json::json;

use super::*;
use crate::catalog::{Kind, samples};

/// Checks the edges of a `spec`, as lines of `forward target backward`.
#[track_caller]
fn check(kind: Kind, spec: Value, expected: &[&str]) {
    let json = samples::with(samples::of(kind), "/spec", spec);
    let json = samples::with(json, "/metadata/namespace", "shop".into());
    let found = Descriptor::parse(json, KindSet::Extended).unwrap().relations();
    let line = |it: &Relation| format!("{} {} {}", it.forward, it.target, it.backward);
    assert_eq!(found.iter().map(line).collect::<Vec<_>>(), expected);
}

#[test]
fn components_relate_to_owners_systems_apis_and_what_they_depend_on() {
    let spec = json!({
        "type": "service", "lifecycle": "x", "owner": "Team-A", "system": "default/Till",
        "subcomponentOf": "web", "providesApis": ["b", "a", "API:shop/B"], "consumesApis": ["other/c"],
        "dependsOn": ["Resource:db", "component:default/x"], "dependencyOf": ["component:y"],
    });
    check(
        Kind::Component,
        spec,
        &[
            "consumesApi api:other/c apiConsumedBy",
            "dependencyOf component:shop/y dependsOn",
            "dependsOn component:default/x dependencyOf",
            "dependsOn resource:shop/db dependencyOf",
            "ownedBy group:shop/team-a ownerOf",
            "partOf component:shop/web hasPart",
            "partOf system:default/till hasPart",
            "providesApi api:shop/a apiProvidedBy",
            "providesApi api:shop/b apiProvidedBy",
        ],
    );
}

#[test]
fn people_and_groups_relate_both_ways() {
    check(
        Kind::Group,
        json!({ "type": "team", "parent": "a", "children": ["b"], "members": ["c"] }),
        &[
            "childOf group:shop/a parentOf",
            "hasMember user:shop/c memberOf",
            "parentOf group:shop/b childOf",
        ],
    );
    check(
        Kind::User,
        json!({ "memberOf": ["a", "group:default/b"] }),
        &["memberOf group:default/b hasMember", "memberOf group:shop/a hasMember"],
    );
}

#[test]
fn other_kinds_relate_by_their_tables() {
    let api = json!({
        "type": "grpc", "lifecycle": "x", "owner": "user:jane", "system": "s", "definition": "x",
    });
    check(Kind::Api, api, &["ownedBy user:shop/jane ownerOf", "partOf system:shop/s hasPart"]);
    check(
        Kind::System,
        json!({ "owner": "o", "domain": "d" }),
        &["ownedBy group:shop/o ownerOf", "partOf domain:shop/d hasPart"],
    );
    check(
        Kind::Domain,
        json!({ "owner": "o", "subdomainOf": "d" }),
        &["ownedBy group:shop/o ownerOf", "partOf domain:shop/d hasPart"],
    );
    check(
        Kind::Resource,
        json!({ "type": "x", "owner": "o", "dependsOn": ["resource:r"] }),
        &["dependsOn resource:shop/r dependencyOf", "ownedBy group:shop/o ownerOf"],
    );
    check(
        Kind::AiResource,
        json!({ "type": "plugin", "lifecycle": "x", "owner": "o", "skills": ["s"] }),
        &["hasSkill airesource:shop/s skillOf", "ownedBy group:shop/o ownerOf"],
    );
    check(Kind::Template, json!({ "type": "x", "steps": [] }), &[]);
    check(Kind::Location, json!({ "target": "./x", "owner": "o" }), &[]);
}

#[test]
fn what_was_erased_relates_to_nothing() {
    let json = samples::with(samples::component(), "/spec/owner", ERASED.into());
    assert_eq!(Descriptor::recorded(json).unwrap().relations(), vec![]);
}

#[test]
fn a_reference_that_is_too_long_relates_to_nothing() {
    let of = |bytes: usize| {
        let owner = "x".repeat(bytes);
        Descriptor::recorded(samples::with(samples::component(), "/spec/owner", owner.into()))
            .unwrap()
            .relations()
            .len()
    };
    assert_eq!((of(REFERENCE_BYTES_MAX), of(REFERENCE_BYTES_MAX + 1)), (1, 0));
}
