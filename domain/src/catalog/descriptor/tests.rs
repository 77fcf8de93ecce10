use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::catalog::limits::{DEPTH_MAX, VALUES_MAX};
use crate::catalog::reference::REFERENCE_BYTES_MAX;
use crate::catalog::samples::{self, of_kind};

/// Checks what is wrong with `json`, as lines of `field: message`.
#[track_caller]
fn check_in(kinds: KindSet, json: Value, expected: &[&str]) {
    let found = Descriptor::parse(json, kinds).err().unwrap_or_default();
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
}

#[track_caller]
fn check(json: Value, expected: &[&str]) {
    check_in(KindSet::Extended, json, expected);
}

/// A valid component with `value` at a JSON pointer.
fn with(pointer: &str, value: Value) -> Value {
    samples::with(samples::component(), pointer, value)
}

#[test]
fn every_kind_has_a_valid_sample() {
    for kind in Kind::ALL {
        check(samples::of(kind), &[]);
    }
}

#[test]
fn a_document_must_have_an_envelope() {
    check(
        json!([]),
        &[": expected an object like `{apiVersion, kind, metadata, spec}`, got a list"],
    );
    check(
        json!({}),
        &[
            "kind: expected a kind like `Component`, got nothing",
            "apiVersion: expected a text like `backstage.io/v1alpha1`, got nothing",
            "metadata: expected an object with `name`, got nothing",
        ],
    );
    check(
        with("/metadata", json!("web")),
        &["metadata: expected an object with `name`, got `web`"],
    );
    check(with("/spec", json!(null)), &["spec: expected an object, got null"]);
    check(
        with("/labels", json!({})),
        &["labels: expected only `apiVersion`, `kind`, `metadata` and `spec` at the root"],
    );
}

#[test]
fn kinds_are_told_apart_by_case_and_by_what_the_catalog_accepts() {
    check(
        with("/kind", json!("component")),
        &["kind: expected `Component` in this case, got `component`"],
    );
    check(
        with("/kind", json!(7)),
        &["kind: expected one of AiResource, API, Component, Domain, Group, Location, Resource, \
         System, Template, User, got the number `7`"],
    );
    let core = "kind: expected one of API, Component, Domain, Group, Location, Resource, System, \
                User, got";
    check_in(KindSet::Core, samples::of(Kind::Template), &[&format!("{core} `Template`")]);
    check_in(KindSet::Core, samples::of(Kind::AiResource), &[&format!("{core} `AiResource`")]);
}

#[test]
fn each_kind_goes_with_its_own_versions() {
    check(with("/apiVersion", json!("backstage.io/v1beta1")), &[]);
    check(
        with("/apiVersion", json!("backstage.io/v2")),
        &["apiVersion: expected `backstage.io/v1alpha1` or `backstage.io/v1beta1` for Component, \
         got `backstage.io/v2`"],
    );
    let template =
        samples::with(samples::of(Kind::Template), "/apiVersion", json!("backstage.io/v1alpha1"));
    check(
        template,
        &["apiVersion: expected `scaffolder.backstage.io/v1beta3` for Template, got \
         `backstage.io/v1alpha1`"],
    );
}

#[test]
fn names_and_namespaces_have_a_form() {
    let name = "expected at most 63 letters and digits, with `-`, `_` or `.` between them";
    for good in ["a", "Web.shop_2-x", "9", &"a".repeat(63)] {
        check(with("/metadata/name", json!(good)), &[]);
    }
    for bad in ["", "-a", "a.", "a b", "ä", &"a".repeat(64)] {
        check(
            with("/metadata/name", json!(bad)),
            &[&format!("metadata.name: {name}, got `{bad}`")],
        );
    }
    let namespace = "expected at most 63 lower-case letters and digits, with `-` between them";
    for good in ["default", "a--b", "7"] {
        check(with("/metadata/namespace", json!(good)), &[]);
    }
    for bad in ["", "Team", "a.b", "-a", "a-"] {
        let expected = format!("metadata.namespace: {namespace}, got `{bad}`");
        check(with("/metadata/namespace", json!(bad)), &[&expected]);
    }
}

#[test]
fn labels_and_annotations_have_keys_with_an_optional_dns_prefix() {
    let good = json!({ "a": "", "example.com/Tier_1": "gold", "jira/project-key": "X" });
    check(with("/metadata/labels", good), &[]);
    let keys = "expected a key like `[example.com/]name`";
    let bad = json!({ "Example.com/a": "x", "a/b/c": "x", "e.com/": "x", "": "x" });
    check(
        with("/metadata/annotations", bad),
        &[
            &format!("metadata.annotations[\"\"]: {keys}"),
            &format!("metadata.annotations[\"Example.com/a\"]: {keys}"),
            &format!("metadata.annotations[\"a/b/c\"]: {keys}"),
            &format!("metadata.annotations[\"e.com/\"]: {keys}"),
        ],
    );
    check(
        with("/metadata/labels", json!({ "a": "b c" })),
        &[
            "metadata.labels.a: expected nothing or at most 63 letters and digits, with `-`, `_` or \
         `.` between them, got `b c`",
        ],
    );
    check(
        with("/metadata/annotations", json!({ "a": true })),
        &["metadata.annotations.a: expected a text, got `true`"],
    );
    check(
        with("/metadata/labels", json!([])),
        &["metadata.labels: expected an object of texts, got a list"],
    );
}

#[test]
fn tags_and_links_have_a_form() {
    check(with("/metadata/tags", json!(["go", "c++", "a-b:c#"])), &[]);
    let tag = "expected at most 63 of `a-z 0-9 : + #`, with single `-` between them";
    check(
        with("/metadata/tags", json!(["Go", "a--b", 1])),
        &[
            &format!("metadata.tags[0]: {tag}, got `Go`"),
            &format!("metadata.tags[1]: {tag}, got `a--b`"),
            &format!("metadata.tags[2]: {tag}, got the number `1`"),
        ],
    );
    check(with("/metadata/tags", json!("go")), &["metadata.tags: expected a list, got `go`"]);
    for good in ["https://example.com", "mailto:a@example.com", "HTTP://h?x"] {
        check(with("/metadata/links", json!([{ "url": good, "icon": "docs" }])), &[]);
    }
    for bad in ["example.com", "https://", "https:", ":x", "https://a b"] {
        let expected = "expected an absolute URL like `https://example.com/`";
        let expected = format!("metadata.links[0].url: {expected}, got `{bad}`");
        check(with("/metadata/links", json!([{ "url": bad }])), &[&expected]);
    }
    check(
        with("/metadata/links", json!([{ "title": "" }, "x"])),
        &[
            "metadata.links[0].url: expected an absolute URL like `https://example.com/`, got nothing",
            "metadata.links[0].title: expected a text that is not empty, got ``",
            "metadata.links[1]: expected an object with `url`, got `x`",
        ],
    );
}

#[test]
fn titles_say_something_and_unknown_metadata_is_kept() {
    check(
        with("/metadata/title", json!("")),
        &["metadata.title: expected a text that is not empty, got ``"],
    );
    check(with("/metadata/description", json!("")), &[]);
    check(
        with("/metadata/description", json!(7)),
        &["metadata.description: expected a text, got the number `7`"],
    );
    let json = with("/metadata/costCentre", json!({ "code": [1, null] }));
    let descriptor = Descriptor::parse(json.clone(), KindSet::Core).unwrap();
    assert_eq!(descriptor.json(), &json);
}

#[test]
fn what_catalogs_add_to_their_answers_is_accepted_and_dropped() {
    let mut json = samples::component();
    let written = json.clone();
    json["relations"] = json!([{ "type": "ownedBy", "targetRef": "user:default/jane" }]);
    json["status"] = json!({ "items": [] });
    json["metadata"]["uid"] = json!("4c9b");
    json["metadata"]["etag"] = json!("x==");
    assert_eq!(Descriptor::parse(json, KindSet::Core).unwrap().into_json(), written);
}

#[test]
fn fields_of_a_kind_have_types() {
    let spec = json!({ "type": "", "owner": ["a"], "system": "a/b/", "providesApis": ["x", 1] });
    check(
        with("/spec", spec),
        &[
            "spec.type: expected a text that is not empty, got ``",
            "spec.lifecycle: expected a text that is not empty, got nothing",
            "spec.owner: expected a reference to an entity, got a list",
            "spec.providesApis[1]: expected a reference to an entity, got the number `1`",
        ],
    );
    check(
        with("/spec/system", json!("system:")),
        &["spec.system: expected a reference like `[kind:][namespace/]name`, got `system:`"],
    );
    check(
        with("/spec/dependsOn", json!(["resource:db", "db"])),
        &["spec.dependsOn[1]: expected a reference with its kind like `kind:[namespace/]name`, \
         got `db`"],
    );
    let location = samples::with(samples::of(Kind::Location), "/spec/presence", json!("maybe"));
    check(location, &["spec.presence: expected `required` or `optional`, got `maybe`"]);
    let skill = json!({
        "type": "skill", "lifecycle": "x", "owner": "x", "compatibility": "x".repeat(501),
    });
    let skill = samples::with(samples::of(Kind::AiResource), "/spec", skill);
    check(skill, &["spec.compatibility: expected at most 500 characters"]);
}

#[test]
fn templates_have_steps_and_outputs() {
    let spec = json!({
        "type": "service",
        "parameters": "none",
        "steps": [{ "id": 1 }, "fetch", { "action": "fetch:plain", "if": 0 }],
        "output": { "links": [{ "url": "" }], "remote": 5 },
    });
    check(
        samples::with(samples::of(Kind::Template), "/spec", spec),
        &[
            "spec.parameters: expected an object or a list of objects, got `none`",
            "spec.steps[0].action: expected a text, got nothing",
            "spec.steps[0].id: expected a text, got the number `1`",
            "spec.steps[1]: expected an object, got `fetch`",
            "spec.steps[2].if: expected a text or a truth value, got the number `0`",
            "spec.output.links[0].url: expected a text that is not empty, got ``",
            "spec.output.remote: expected a text, got the number `5`",
        ],
    );
}

#[test]
fn an_mcp_server_has_remotes_instead_of_a_definition() {
    let spec = |remotes: Value| {
        let spec = json!({
            "type": "mcp-server", "lifecycle": "x", "owner": "x", "remotes": remotes,
        });
        samples::with(samples::of(Kind::Api), "/spec", spec)
    };
    let good = json!([{ "type": "sse", "url": "https://example.com/mcp" }]);
    check(spec(good.clone()), &[]);
    check(spec(json!([])), &["spec.remotes[0]: expected an object, got nothing"]);
    check(
        spec(json!([{ "type": "sse" }])),
        &["spec.remotes[0].url: expected a text that is not empty, got nothing"],
    );
    check_in(
        KindSet::Core,
        spec(good),
        &["spec.definition: expected a text that is not empty, got nothing"],
    );
}

#[test]
fn keys_that_filters_cannot_tell_apart_are_refused() {
    let json = with("/spec/Lifecycle", json!("x"));
    check(
        json,
        &["spec.Lifecycle: expected keys that differ in more than case, got `spec.lifecycle` too"],
    );
    check(
        with("/metadata/list", json!(["Go", "go"])),
        &["metadata.list.Go: expected keys that differ in more than case, got `metadata.list.go` \
         too"],
    );
}

#[test]
fn the_key_of_placeholders_and_the_null_character_are_refused() {
    check(
        with("/spec/x", json!([{ "$personal": 0 }])),
        &["spec.x[0][\"$personal\"]: expected another key, `$personal` is reserved"],
    );
    check(
        with("/spec/x", json!({ "a\0": "b\0" })),
        &[
            "spec.x[\"a\\u0000\"]: expected a text without the character U+0000",
            "spec.x[\"a\\u0000\"]: expected a text without the character U+0000",
        ],
    );
}

#[test]
fn documents_are_bounded() {
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    check(with("/spec/x", nested(DEPTH_MAX - 3)), &[]);
    let path = format!("spec.x{}", "[0]".repeat(DEPTH_MAX - 2));
    let expected = format!("{path}: expected at most {DEPTH_MAX} levels, got more");
    check(with("/spec/x", nested(DEPTH_MAX - 2)), &[&expected]);

    let many = json!(vec![0; VALUES_MAX]);
    check(with("/spec/x", many), &[&format!(": expected at most {VALUES_MAX} values, got more")]);

    let long = json!({ "k".repeat(500): vec![0; 5_000] });
    let got = Descriptor::parse(with("/spec/x", long), KindSet::Core).unwrap_err();
    let message = "expected keys of at most 2097152 bytes, each counted for every value below it";
    assert!(got[0].message.starts_with(message), "{}", got[0]);
    check(with("/spec/x", json!({ "k".repeat(60_000): vec![0; 5_000] })), &[]);

    let null = json!({ "k".repeat(60_000): "\0" });
    let got = Descriptor::parse(with("/spec/x", null), KindSet::Core).unwrap_err();
    assert_eq!(got[0].field.len(), "spec.x[\"\"]".len() + 80 + '…'.len_utf8());

    let empty = with("/spec/definition", json!("")).to_string().len();
    let fill = |bytes: usize| with("/spec/definition", json!("x".repeat(bytes)));
    check(fill(DESCRIPTOR_BYTES_MAX - empty), &[]);
    let expected = format!(
        ": expected at most {DESCRIPTOR_BYTES_MAX} bytes, got {}",
        DESCRIPTOR_BYTES_MAX + 1
    );
    check(fill(DESCRIPTOR_BYTES_MAX - empty + 1), &[&expected]);

    // What is about people stays in the event.
    let long = json!({ "displayName": "x".repeat(INLINE_BYTES_MAX / 2) });
    let user = crate::catalog::samples::of(Kind::User);
    let user = crate::catalog::samples::with(user, "/spec/profile", long);
    let found = Descriptor::parse(user, KindSet::Core).unwrap_err();
    assert!(found[0].message.contains("about people, sealed"), "{}", found[0]);
    let expected = "spec.x[\"$large\"]: expected another key, `$large` is reserved";
    check(with("/spec/x", json!({ "$large": 0 })), &[expected]);
}

#[test]
fn references_are_bounded() {
    let long = |bytes: usize| "x".repeat(bytes);
    let expected = |path: &str| {
        format!("{path}: expected a reference of at most {REFERENCE_BYTES_MAX} bytes, got 4096")
    };
    check(with("/spec/owner", json!(long(REFERENCE_BYTES_MAX))), &[]);
    check(with("/spec/owner", json!(long(4_096))), &[&expected("spec.owner")]);
    let apis = json!(["a", long(4_096)]);
    check(with("/spec/providesApis", apis), &[&expected("spec.providesApis[1]")]);
}

#[test]
fn rubbish_is_answered_briefly() {
    let json = with("/metadata/tags", json!(vec!["No Tag"; 1_000]));
    let found = Descriptor::parse(json, KindSet::Core).unwrap_err();
    assert_eq!(found.len(), crate::catalog::VIOLATIONS_MAX);
    let json = with("/metadata/name", json!("x".repeat(100_000)));
    let found = Descriptor::parse(json, KindSet::Core).unwrap_err();
    assert!(found[0].message.len() < 300, "{}", found[0]);
}

#[test]
fn locations_say_where_they_point() {
    let json = samples::with(
        samples::of(Kind::Location),
        "/spec",
        json!({ "type": "url", "target": "a", "targets": ["b", "c"], "presence": "optional" }),
    );
    let descriptor = Descriptor::parse(json, KindSet::Core).unwrap();
    let targets = vec!["a", "b", "c"];
    let expected = LocationTargets { kind: Some("url"), targets, presence: Presence::Optional };
    assert_eq!(descriptor.location_targets(), Some(expected));
    let component = Descriptor::parse(samples::component(), KindSet::Core).unwrap();
    assert_eq!(component.location_targets(), None);
}

#[test]
fn a_reference_is_in_the_default_namespace_unless_it_says_otherwise() {
    let reference = |json| Descriptor::parse(json, KindSet::Core).unwrap().reference().canonical();
    assert_eq!(reference(samples::component()), "component:default/web");
    assert_eq!(reference(with("/metadata/namespace", json!("shop"))), "component:shop/web");
    assert_eq!(reference(samples::of(Kind::Api)), "api:default/web");
}

proptest! {
    #[test]
    fn what_the_table_of_a_kind_describes_is_valid(json in samples::descriptor()) {
        let parsed = Descriptor::parse(json.clone(), KindSet::Extended);
        prop_assert_eq!(parsed.map(Descriptor::into_json), Ok(json));
    }

    #[test]
    fn what_a_kind_requires_cannot_be_left_out(json in samples::descriptor(), place in any::<prop::sample::Index>()) {
        let kind = of_kind(&json);
        let spec_type = json["spec"]["type"].as_str();
        let required: Vec<_> = kind.required(spec_type).collect();
        prop_assume!(!required.is_empty());
        let name = *place.get(&required);
        let mut json = json.clone();
        json["spec"].as_object_mut().unwrap().remove(name);
        let found = Descriptor::parse(json, KindSet::Extended).unwrap_err();
        let field = format!("spec.{name}");
        prop_assert!(found.iter().any(|it| it.field == field), "{found:?}");
    }
}
