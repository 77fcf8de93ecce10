//! graphql-sse, one connection per operation.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Call, Response};
use super::fixture::{Flaw, Server, closed_server, flawed_server, open_server, settings};
use crate::transport::{EventStreamSettings, Settings};

fn subscribe(query: &str) -> Call {
    Call::document(query).accept("text/event-stream")
}

async fn ticking(server: &Server, name: &str) -> Response {
    let response = subscribe("subscription { ticks }").by(name).open(server).await;
    assert_eq!(response.status, 200);
    response
}

#[tokio::test]
async fn results_come_as_events_and_the_end_does_too() {
    let server = open_server(settings()).await;
    let query = "subscription { countdown(from: 2) }";
    for call in [subscribe(query), Call::get(&[("query", query)]).accept("text/event-stream")] {
        let mut response = call.open(&server).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header("content-type"), Some("text/event-stream; charset=utf-8"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(response.data("next").await, json!({ "data": { "countdown": 1 } }));
        assert_eq!(response.data("next").await, json!({ "data": { "countdown": 0 } }));
        assert_eq!(response.event().await.unwrap(), "event: complete\ndata:");
        assert_eq!(response.event().await, None);
    }
}

#[tokio::test]
async fn queries_and_mutations_are_streams_of_one() {
    let server = open_server(settings()).await;
    let mut response = subscribe("{ whoami }").open(&server).await;
    assert_eq!(response.data("next").await, json!({ "data": { "whoami": "anybody" } }));
    assert_eq!(response.data("complete").await, Value::Null);
    let mut response = subscribe("mutation { count }").open(&server).await;
    assert_eq!(response.data("next").await, json!({ "data": { "count": 1 } }));
    assert_eq!(response.data("complete").await, Value::Null);
}

#[tokio::test]
async fn what_is_wrong_with_the_operation_is_an_event_too() {
    let server = open_server(settings()).await;
    for (query, code) in
        [("{", "GRAPHQL_PARSE_FAILED"), ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED")]
    {
        let mut response = subscribe(query).open(&server).await;
        assert_eq!(response.status, 200);
        let result = response.data("next").await;
        assert_eq!(result["errors"][0]["extensions"]["code"], code);
        assert_eq!(result.get("data"), None);
        assert_eq!(response.data("complete").await, Value::Null);
    }
    // What is not a request at all is not.
    assert_eq!(Call::post("{").accept("text/event-stream").send(&server).await.status, 400);
    assert_eq!(Call::post("[]").accept("text/event-stream").send(&server).await.status, 422);
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_subscription() {
    let server = open_server(settings()).await;
    let mut response = ticking(&server, "ada").await;
    server.controls.wait_for_listeners(1).await;
    server.controls.ticks.send(3).unwrap();
    assert_eq!(response.data("next").await, json!({ "data": { "ticks": 3 } }));
    drop(response);
    server.controls.wait_for_listeners(0).await;
}

#[tokio::test]
async fn a_silent_stream_has_a_heartbeat() {
    let event_stream =
        EventStreamSettings { heartbeat: Duration::from_millis(5), ..Default::default() };
    let server = open_server(Settings { event_stream, ..settings() }).await;
    let mut response = ticking(&server, "ada").await;
    for _ in 0..3 {
        assert_eq!(response.event().await.unwrap(), ":");
    }
}

#[tokio::test]
async fn a_principal_has_so_many_streams_and_no_more() {
    let server = open_server(Settings { streams_per_principal_max: 2, ..settings() }).await;
    let first = ticking(&server, "ada").await;
    let _second = ticking(&server, "ada").await;
    let third = subscribe("subscription { ticks }").by("ada");
    let reply = third.send(&server).await;
    assert_eq!((reply.status, reply.code().as_str()), (429, "TOO_MANY_STREAMS"));
    let _other = ticking(&server, "bob").await;
    server.controls.wait_for_listeners(3).await;
    drop(first);
    server.controls.wait_for_listeners(2).await;
    let _third = ticking(&server, "ada").await;
}

/// It stops without `complete`: there is more to come, but not for this credential.
#[tokio::test]
async fn a_credential_that_ends_ends_its_streams() {
    let server = closed_server(settings()).await;
    let mut response = ticking(&server, "ada").await;
    server.controls.wait_for_listeners(1).await;
    server.controls.revoke.cancel();
    assert_eq!(response.event().await, None);
    server.controls.wait_for_listeners(0).await;
}

/// The control of the test above.
#[tokio::test]
async fn a_credential_whose_end_nobody_hears_of_ends_nothing() {
    let server = flawed_server(settings(), Flaw::NeverEnds).await;
    let mut response = ticking(&server, "ada").await;
    server.controls.wait_for_listeners(1).await;
    server.controls.revoke.cancel();
    server.controls.ticks.send(1).unwrap();
    assert_eq!(response.data("next").await, json!({ "data": { "ticks": 1 } }));
}

#[tokio::test]
async fn a_server_that_stops_ends_its_streams() {
    let server = open_server(settings()).await;
    let mut response = ticking(&server, "ada").await;
    server.controls.shutdown.cancel();
    assert_eq!(response.event().await, None);
}
