//! The description of the event feed (AsyncAPI 3.0), made from the code that serves it: what an
//! event looks like, on which ways events come, and who may have them.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use domain::event::{Schemas, TYPE_PREFIX};
use serde_json::{Map, Value, json};

use super::open_api;

/// Where events are asked for.
const FEED: &str = "/api/v1/events";

/// Where schemas are kept in the document.
const SCHEMAS: &str = "/components/schemas";

/// Those of the schemas of all doors that the feed has.
const OF_THE_DOORS: [&str; 4] = ["StreamEvent", "EventPage", "Problem", "FieldError"];

/// The description.
pub(crate) fn document() -> Value {
    let doors = serde_json::to_value(open_api::document()).expect("a description is plain data");
    let schemas = Schemas::new(SCHEMAS);
    let messages = messages(&schemas);
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Callboard's events",
            "version": doors["info"]["version"],
            "description": "Everything that happens in a tenant, in order and without a gap. Objects \
                are open: pass over fields that you do not know, and expect further names in lists \
                that are `x-extensible-enum`.",
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": channels(&messages),
        "operations": operations(&messages, &doors),
        "components": {
            "messages": messages,
            "schemas": all_schemas(schemas, &doors),
            "securitySchemes": security_schemes(&doors),
        },
    })
}

/// The description, as it is sent.
static SENT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// The description of the event feed.
#[utoipa::path(
    get,
    path = "/api/v1/asyncapi.json",
    responses((status = 200, body = Object, content_type = "application/json")),
)]
pub(super) async fn show() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], SENT.as_str())
}

/// Every installation has its own address.
fn servers() -> Value {
    let server = |protocol: &str, what: &str| {
        let host = json!({ "default": "localhost:7420", "description": "Host and port of the installation." });
        json!({ "host": "{host}", "protocol": protocol, "description": what, "variables": { "host": host } })
    };
    json!({
        "http": server("https", "Pages, server-sent events, and GraphQL over both."),
        "websocket": server("wss", "GraphQL over WebSocket, with the protocol `graphql-transport-ws`."),
    })
}

/// One message for every type of event, and those that carry several or none.
fn messages(schemas: &Schemas) -> Map<String, Value> {
    let mut messages = Map::new();
    for (name, schema) in &schemas.events {
        let full_type = format!("{TYPE_PREFIX}{name}");
        let says = json!({ "properties": {
            "type": { "const": full_type },
            "data": { "$ref": format!("#{SCHEMAS}/{name}") },
        } });
        let message = json!({
            "name": full_type,
            "title": full_type,
            "summary": schema["description"],
            "contentType": "application/json",
            "payload": { "allOf": [{ "$ref": format!("#{SCHEMAS}/StreamEvent") }, says] },
        });
        messages.insert((*name).to_owned(), message);
    }
    let other = |summary: &str, content_type: &str, payload: Value| json!({ "summary": summary, "contentType": content_type, "payload": payload });
    let of_doors = |name: &str| json!({ "$ref": format!("#{SCHEMAS}/{name}") });
    let page = "Events that come together; each is as the message of its type says.";
    messages.insert("page".to_owned(), other(page, "application/json", of_doors("EventPage")));
    let error = "The last of a stream that cannot go on, as a server-sent event called `error`.";
    messages.insert("error".to_owned(), other(error, "application/json", of_doors("Problem")));
    let live = "The answer to a subscription: what was asked for of an event. `body` is what `data` is \
                elsewhere, `type` the same without `callboard.`.";
    messages.insert("live".to_owned(), other(live, "application/json", live_event()));
    messages
}

/// What a subscription can answer; which fields are there is for the subscriber to say.
fn live_event() -> Value {
    let (number, text) = (json!({ "type": "integer" }), json!({ "type": "string" }));
    let event = json!({ "type": "object", "properties": {
        "sequence": number, "type": text, "stream": text, "revision": number, "at": text,
        "actor": text, "commandId": text, "body": { "type": "object" },
    } });
    json!({ "type": "object", "properties": {
        "data": { "type": ["object", "null"], "properties": { "events": event } },
        "errors": { "type": "array", "items": { "type": "object" } },
    } })
}

fn channels(messages: &Map<String, Value>) -> Value {
    let refer = |names: &mut dyn Iterator<Item = &String>| -> Map<String, Value> {
        names
            .map(|it| (it.clone(), json!({ "$ref": format!("#/components/messages/{it}") })))
            .collect()
    };
    json!({
        "events": {
            "address": FEED,
            "title": "The event feed",
            "description": "The events of the caller's tenant after a sequence. Whoever has gone \
                goes on after the last sequence that was seen, and misses nothing.",
            "servers": [{ "$ref": "#/servers/http" }],
            "messages": refer(&mut messages.keys().filter(|it| *it != "live")),
        },
        "subscriptions": {
            "address": "/graphql",
            "title": "Events as a GraphQL subscription",
            "description": "`subscription { events(afterSequence: 41, types: [\"entity\"]) { sequence \
                type stream revision at actor commandId body } }`, over WebSocket or as server-sent \
                events. `afterSequence` is where to go on; without it only what is new comes.",
            "servers": [{ "$ref": "#/servers/http" }, { "$ref": "#/servers/websocket" }],
            "messages": refer(&mut messages.keys().filter(|it| *it == "live")),
        },
    })
}

fn operations(messages: &Map<String, Value>, doors: &Value) -> Value {
    let refer = |channel: &str, names: &mut dyn Iterator<Item = &String>| -> Vec<Value> {
        let place = format!("#/channels/{channel}/messages");
        names.map(|it| json!({ "$ref": format!("{place}/{it}") })).collect()
    };
    let security = ["token", "session"];
    let security =
        security.map(|it| json!({ "$ref": format!("#/components/securitySchemes/{it}") }));
    let operation = |channel: &str, title: &str, description: &str, messages: Vec<Value>| {
        json!({
            "action": "send",
            "channel": { "$ref": format!("#/channels/{channel}") },
            "title": title,
            "description": description,
            "security": security,
            "messages": messages,
        })
    };
    let mut follow = operation(
        "events",
        "Follow the events",
        "A `GET` that accepts `text/event-stream`. Each event is one server-sent event: its `id` is \
         the sequence, its `event` the type without `callboard.`, its `data` the message. A stream \
         that ends is taken up again with the header `Last-Event-ID`, or with `after`. Comments say \
         that a silent stream lives.",
        refer("events", &mut messages.keys().filter(|it| !["live", "page"].contains(&it.as_str()))),
    );
    let mut read = operation(
        "events",
        "Read page by page, and wait for what comes",
        "A `GET` that accepts `application/json`. `next` of one page is `after` of the next one; with \
         `wait` an answer comes once there is an event, or empty after so many seconds.",
        refer("events", &mut messages.keys().filter(|it| *it == "page")),
    );
    let asks = |names: &[&str]| json!({ "http": http_binding(doors, names) });
    follow["bindings"] = asks(&["after", "types"]);
    read["bindings"] = asks(&["after", "limit", "types", "wait"]);
    let subscribe = operation(
        "subscriptions",
        "Subscribe to events",
        "With the protocol `graphql-transport-ws`, or that of `graphql-sse`.",
        refer("subscriptions", &mut messages.keys().filter(|it| *it == "live")),
    );
    json!({ "followEvents": follow, "readEvents": read, "subscribeToEvents": subscribe })
}

/// What can be asked for, as the description of the doors says.
fn http_binding(doors: &Value, names: &[&str]) -> Value {
    let known = doors["paths"][FEED]["get"]["parameters"].as_array().expect("the feed has some");
    let properties: Map<String, Value> = names
        .iter()
        .map(|name| {
            let parameter = known.iter().find(|it| it["name"] == **name && it["in"] == "query");
            let parameter = parameter.expect("the feed has it");
            let mut schema = parameter["schema"].clone();
            schema["description"] = parameter["description"].clone();
            ((*name).to_owned(), schema)
        })
        .collect();
    json!({
        "method": "GET",
        "query": { "type": "object", "properties": properties },
        "bindingVersion": "0.3.0",
    })
}

/// Of what events say, and of what they come in.
fn all_schemas(schemas: Schemas, doors: &Value) -> Map<String, Value> {
    let events = schemas.events.into_iter().map(|(name, it)| (name.to_owned(), it));
    let of_doors = &doors["components"]["schemas"];
    let of_doors = OF_THE_DOORS.map(|it| (it.to_owned(), of_doors[it].clone()));
    events.chain(schemas.shared).chain(of_doors).collect()
}

/// As the description of the doors has them, in the words of this one.
fn security_schemes(doors: &Value) -> Value {
    let schemes = &doors["components"]["securitySchemes"];
    let session = &schemes["session"];
    json!({
        "token": {
            "type": "http",
            "scheme": schemes["token"]["scheme"],
            "bearerFormat": schemes["token"]["bearerFormat"],
            "description": "An access token or an API key, of who may read the audit trail.",
        },
        "session": { "type": "httpApiKey", "in": session["in"], "name": session["name"] },
    })
}
