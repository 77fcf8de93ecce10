//! The description of the event feed: it is complete, and leads nowhere that is not there.

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::check;
use crate::rest::async_api_document;
use crate::testing::Site;
use crate::tests::seeded::seed;

/// Everything that `value` refers to.
fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(parts) => parts.iter().flat_map(references).collect(),
        Value::Object(parts) => {
            let own = parts.get("$ref").and_then(Value::as_str);
            own.into_iter().chain(parts.values().flat_map(references)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// What `reference` leads to, by way of others.
fn resolve<'a>(document: &'a Value, reference: &str) -> Option<&'a Value> {
    let found = document.pointer(reference.strip_prefix('#')?)?;
    match found.get("$ref").and_then(Value::as_str) {
        Some(next) => resolve(document, next),
        None => Some(found),
    }
}

/// The references of `document` that lead nowhere.
fn lost(document: &Value) -> Vec<&str> {
    references(document).into_iter().filter(|it| resolve(document, it).is_none()).collect()
}

#[test]
fn the_published_description_of_the_feed_is_the_one_that_is_served() {
    check("asyncapi.json", &format!("{:#}\n", async_api_document()));
}

#[test]
fn every_reference_leads_somewhere() {
    let document = async_api_document();
    assert!(references(&document).len() > 300);
    assert_eq!(lost(&document), [""; 0]);
    // Positive control.
    let mut broken = document;
    broken["components"]["schemas"].as_object_mut().unwrap().remove("Slug").unwrap();
    assert_eq!(lost(&broken)[0], "#/components/schemas/Slug");
}

#[test]
fn every_type_of_event_is_one_message_of_the_feed() {
    let document = async_api_document();
    let types: BTreeSet<_> = domain::event::types().map(str::to_owned).collect();
    let followed = document["operations"]["followEvents"]["messages"].as_array().unwrap();
    let followed = followed.iter().map(|it| it["$ref"].as_str().unwrap());
    let mut seen = BTreeSet::new();
    for reference in followed {
        let message = resolve(&document, reference).unwrap();
        let Some(full_type) = message["name"].as_str() else { continue };
        let name = full_type.strip_prefix("callboard.").unwrap().to_owned();
        let says = &message["payload"]["allOf"][1]["properties"];
        assert_eq!(says["type"]["const"], full_type);
        assert_eq!(says["data"]["$ref"], format!("#/components/schemas/{name}"));
        assert!(seen.insert(name), "{full_type} is there twice");
    }
    assert_eq!(seen, types);
    let in_channel = document["channels"]["events"]["messages"].as_object().unwrap();
    let others = in_channel.keys().filter(|it| !types.contains(*it)).collect::<Vec<_>>();
    assert_eq!(others, ["error", "page"]);
    assert_eq!(in_channel.len(), types.len() + 2);
}

/// Tools for AsyncAPI know draft 07; what they would pass over must take nothing away.
#[test]
fn schemas_have_no_keyword_that_means_another_thing_to_older_readers() {
    const NEWER: [&str; 7] = [
        "$dynamicRef",
        "dependentRequired",
        "dependentSchemas",
        "unevaluatedItems",
        "unevaluatedProperties",
        "minContains",
        "$defs",
    ];
    fn keywords(value: &Value) -> Vec<&str> {
        match value {
            Value::Array(parts) => parts.iter().flat_map(keywords).collect(),
            Value::Object(parts) => {
                let own = parts.keys().map(String::as_str);
                own.chain(parts.values().flat_map(keywords)).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        }
    }
    let document = async_api_document();
    let schemas = &document["components"]["schemas"];
    let newer = keywords(schemas).into_iter().find(|it| NEWER.contains(it));
    assert_eq!(newer, None);
}

/// What a message of this name has to be.
fn message(document: &Value, name: &str) -> Validator {
    let mut schema = document["components"]["messages"][name]["payload"].clone();
    schema["components"] = document["components"].clone();
    jsonschema::draft202012::new(&schema).expect("it is a schema")
}

/// An event of the feed is what its message says, and one of another type is not.
#[test]
fn an_event_fits_the_message_of_its_type_alone() {
    let document = async_api_document();
    let of = |name: &str| message(&document, name);
    let event = json!({
        "sequence": 10, "id": "evt_0190aaaabbbb7ccc8dddeeeeffff0000",
        "type": "callboard.tenant.renamed.v1", "stream": "tenant", "revision": 1,
        "time": "2026-01-01T00:00:00Z", "actor": "usr_0190aaaabbbb7ccc8dddeeeeffff0000",
        "commandId": "cmd_0190aaaabbbb7ccc8dddeeeeffff0000", "correlationId": "c",
        "causationId": "c", "data": { "name": "Acme" },
    });
    assert!(of("tenant.renamed.v1").is_valid(&event));
    assert!(!of("tenant.closed.v1").is_valid(&event));
    let mut nameless = event.clone();
    nameless["data"] = json!({});
    assert!(!of("tenant.renamed.v1").is_valid(&nameless));
    let page = json!({ "events": [event], "next": 10 });
    assert!(of("page").is_valid(&page));
}

/// What is really sent, of everything that a tenant has.
#[tokio::test]
async fn every_event_of_a_tenant_is_as_the_message_of_its_type_says() {
    let site = Site::start().await;
    seed(&site, &site.a, "amber").await;
    let page = site.get(&site.a, "/api/v1/events?limit=1000").await.json();
    let document = async_api_document();
    let of = |name: &str| message(&document, name);
    let events = page["events"].as_array().unwrap();
    assert!(events.len() > 10, "{page}");
    for event in events {
        let name = event["type"].as_str().unwrap().strip_prefix("callboard.").unwrap();
        let wrong: Vec<_> = of(name).iter_errors(event).map(|it| it.to_string()).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?} in {event}");
    }
    assert!(of("page").is_valid(&page));
}

#[test]
fn a_subscription_answers_what_the_description_says() {
    let document = async_api_document();
    let live = &document["components"]["messages"]["live"]["payload"]["properties"];
    let described = live["data"]["properties"]["events"]["properties"].as_object().unwrap();
    let sdl = crate::schema::builder().finish().sdl();
    let (_, after) = sdl.split_once("type LiveEvent {").unwrap();
    let (fields, _) = after.split_once("\n}").unwrap();
    let fields = fields.lines().filter_map(|it| Some(it.trim().split_once(':')?.0));
    let fields: BTreeSet<_> = fields.filter(|it| it.chars().all(char::is_alphanumeric)).collect();
    assert_eq!(described.keys().map(String::as_str).collect::<BTreeSet<_>>(), fields);
}
