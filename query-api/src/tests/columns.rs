//! A list reads only the columns it is asked for, and answers as if it had read all.

use serde_json::{Value, json};

use super::seeded::{apply, put};
use crate::testing::{READ_BYTES_MAX, Site, on_each_kind};
use projections::temporary::Kind;

/// What is asked of a field that has fields of its own.
fn below(field: &str) -> &'static str {
    match field {
        "location" => "{ target }",
        "relations" => "{ nodes { type targetReference } }",
        "owners" => "{ type targetReference }",
        "usage" => {
            "(from: \"2026-01-01T00:00:00Z\", to: \"2026-01-02T00:00:00Z\") { sequence
                meters { meter total { sum } } }"
        }
        "history" => "(first: 1) { nodes { revision } }",
        _ => "",
    }
}

on_each_kind! {
    a_field_says_the_same_alone_in_a_list_as_on_its_page
    what_is_said_again_and_again_counts_each_time
}

async fn a_field_says_the_same_alone_in_a_list_as_on_its_page(on: Kind) {
    let site = Site::start_on(on).await;
    let locate =
        "mutation { registerLocation(input: {kind: URL, target: \"https://example.org/c\"}) {
        location userErrors { code } } }";
    let location = site.mutate(&site.a, locate, json!({})).await["location"].take();
    let full = json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "Component",
        "metadata": {
            "name": "Full", "namespace": "space", "title": "A title",
            "description": "A description", "tags": ["one", "two"],
        },
        "spec": { "type": "service", "lifecycle": "production", "owner": "team" },
    });
    apply(&site, &site.a, json!([put(&full, location.as_str())])).await;
    let define = "mutation { defineMeter(input: {key: \"calls\", name: \"Calls\", unit: \"call\",
        aggregation: SUM}) { userErrors { code } } }";
    site.mutate(&site.a, define, json!({})).await;
    let used = json!({ "source": "s", "id": "1", "meter": "calls", "value": "1",
        "at": "2026-01-01T00:00:00Z", "dimensions": { "entity": "Component:space/Full" } });
    let used = site.post(&site.a, "/api/v1/usage", "application/json", used.to_string()).await;
    let position = used.json()["position"].as_str().unwrap().to_owned();
    let both = "{ entities { totalCount } meters { totalCount } }";
    site.seen(&site.a, &position, both).await;

    let document = "{ __type(name: \"Entity\") { fields { name } } }";
    let data = site.data(&site.a, document, json!({})).await;
    let fields = data["__type"]["fields"].as_array().unwrap().clone();
    assert!(fields.len() > 20, "{fields:?}");
    for field in fields {
        let field = field["name"].as_str().unwrap();
        let asked = format!("{field}{}", below(field));
        let document = format!(
            "{{ entity(reference: \"component:space/full\") {{ {asked} }}
                nodes: entities {{ nodes {{ {asked} }} }}
                edges: entities {{ edges {{ cursor node {{ ...asked }} }} }}
            }} fragment asked on Entity {{ ... on Node {{ __typename }} {asked} }}"
        );
        let data = site.data(&site.a, &document, json!({})).await;
        let expected = &data["entity"][field];
        assert!(!matches!(expected, Value::Null), "`{field}` is there: {data}");
        let used = field != "usage" || expected["meters"][0]["total"]["sum"] == "1";
        assert!(used, "its usage is there: {data}");
        assert_eq!(&data["nodes"]["nodes"][0][field], expected, "{field}");
        assert_eq!(&data["edges"]["edges"][0]["node"][field], expected, "{field}");
    }
}

async fn what_is_said_again_and_again_counts_each_time(on: Kind) {
    let site = Site::start_on(on).await;
    let text = "x".repeat(400_000);
    let large = json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "API", "metadata": { "name": "large" },
        "spec": {
            "type": "openapi", "lifecycle": "production", "owner": "team", "definition": text,
        },
    });
    let applied = apply(&site, &site.a, json!([put(&large, None)])).await;
    let position = applied["outcome"]["position"].as_str().unwrap();
    site.seen(&site.a, position, "{ entities { totalCount } }").await;
    for asked in ["document", "history(first: 1) { nodes { descriptor } }"] {
        let ask = async |times: usize| {
            let again: Vec<_> = (0..times).map(|it| format!("a{it}: {asked}")).collect();
            let document =
                format!("{{ entity(reference: \"api:default/large\") {{ {} }} }}", again.join(" "));
            site.graphql(&site.a, &document, json!({})).await
        };
        let some = ask(READ_BYTES_MAX / 400_000 / 2 - 1).await;
        assert!(some.get("errors").is_none(), "{asked}");
        let refused = ask(READ_BYTES_MAX / 400_000 + 1).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "READ_TOO_MUCH", "{asked}");
    }
}
