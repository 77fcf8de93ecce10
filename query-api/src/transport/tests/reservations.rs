//! graphql-sse, one connection for many operations.

use std::time::Duration;

use serde_json::json;

use super::client::{Call, Reply, Response};
use super::fixture::{Flaw, Server, closed_server, flawed_server, settings, within};
use crate::transport::{EventStreamSettings, Settings};

const TOKEN: &str = "x-graphql-event-stream-token";

async fn reserve(server: &Server, name: &str) -> String {
    let reply = Call::new("PUT", "/graphql").by(name).send(server).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    String::from_utf8(reply.body).unwrap()
}

fn connect(token: &str) -> Call {
    Call::new("GET", "/graphql").accept("text/event-stream").header(TOKEN, token)
}

async fn connected(server: &Server, name: &str) -> (String, Response) {
    let token = reserve(server, name).await;
    let response = connect(&token).by(name).open(server).await;
    assert_eq!(response.status, 200);
    (token, response)
}

fn operation(token: &str, name: &str, id: &str, query: &str) -> Call {
    let body = json!({ "query": query, "extensions": { "operationId": id } });
    Call::post(body.to_string()).by(name).header(TOKEN, token)
}

fn stop(token: &str, name: &str, id: &str) -> Call {
    Call::new("DELETE", &format!("/graphql?operationId={id}")).by(name).header(TOKEN, token)
}

#[track_caller]
fn check(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{reply:?}");
}

#[tokio::test]
async fn results_of_all_operations_come_on_one_stream() {
    let server = closed_server(settings()).await;
    let (token, mut stream) = connected(&server, "ada").await;
    let reply = operation(&token, "ada", "t", "subscription { ticks }").send(&server).await;
    assert_eq!((reply.status, reply.body.as_slice()), (202, b"".as_slice()));
    assert_eq!(operation(&token, "ada", "q", "{ whoami }").send(&server).await.status, 202);
    let payload = json!({ "data": { "whoami": "ada" } });
    assert_eq!(stream.data("next").await, json!({ "id": "q", "payload": payload }));
    assert_eq!(stream.data("complete").await, json!({ "id": "q" }));
    server.controls.wait_for_listeners(1).await;
    server.controls.ticks.send(5).unwrap();
    let payload = json!({ "data": { "ticks": 5 } });
    assert_eq!(stream.data("next").await, json!({ "id": "t", "payload": payload }));
    assert_eq!(stop(&token, "ada", "t").send(&server).await.status, 200);
    server.controls.wait_for_listeners(0).await;
    // The id is free again.
    assert_eq!(operation(&token, "ada", "t", "mutation { count }").send(&server).await.status, 202);
    assert_eq!(stream.data("next").await["payload"]["data"]["count"], 1);
}

#[tokio::test]
async fn operations_may_start_before_the_client_has_connected() {
    let server = closed_server(settings()).await;
    let token = reserve(&server, "ada").await;
    assert_eq!(operation(&token, "ada", "q", "{ whoami }").send(&server).await.status, 202);
    // A browser's `EventSource` can send no header.
    let url = format!("/graphql?token={token}");
    let mut stream = Call::new("GET", &url).accept("text/event-stream").open(&server).await;
    assert_eq!(stream.data("next").await["id"], "q");
}

#[tokio::test]
async fn what_is_not_executed_is_answered_where_it_was_asked() {
    let server = closed_server(settings()).await;
    let (token, mut stream) = connected(&server, "ada").await;
    for (query, status, code) in [
        ("{", 400, "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", 422, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { nothing }", 422, "GRAPHQL_VALIDATION_FAILED"),
    ] {
        check(&operation(&token, "ada", "x", query).send(&server).await, status, code);
    }
    let without_id = Call::document("{ whoami }").by("ada").header(TOKEN, &token);
    check(&without_id.send(&server).await, 422, "BAD_REQUEST");
    check(&stop(&token, "ada", "").without_header(TOKEN).send(&server).await, 400, "BAD_REQUEST");
    let without_id = Call::new("DELETE", "/graphql").by("ada").header(TOKEN, &token);
    check(&without_id.send(&server).await, 400, "BAD_REQUEST");
    // Nothing of it is on the stream.
    operation(&token, "ada", "x", "{ whoami }").send(&server).await;
    assert_eq!(stream.data("next").await["payload"]["data"]["whoami"], "ada");
}

#[tokio::test]
async fn what_breaks_after_it_was_accepted_is_told_on_the_stream() {
    let server = closed_server(settings()).await;
    let (token, mut stream) = connected(&server, "ada").await;
    let panics = operation(&token, "ada", "p", "subscription { panics }");
    assert_eq!(panics.send(&server).await.status, 202);
    assert_eq!(stream.data("next").await["payload"]["data"]["panics"], 1);
    let broken = stream.data("next").await;
    assert_eq!(broken["payload"]["errors"][0]["extensions"]["code"], "INTERNAL");
    assert_eq!(stream.data("complete").await, json!({ "id": "p" }));
}

#[tokio::test]
async fn an_id_in_use_and_a_stream_in_use_are_409() {
    let server = closed_server(settings()).await;
    let (token, _stream) = connected(&server, "ada").await;
    check(&connect(&token).by("ada").send(&server).await, 409, "STREAM_ALREADY_OPEN");
    let ticks = operation(&token, "ada", "t", "subscription { ticks }");
    assert_eq!(ticks.send(&server).await.status, 202);
    check(&ticks.send(&server).await, 409, "OPERATION_ID_IN_USE");
    server.controls.wait_for_listeners(1).await;
}

#[tokio::test]
async fn a_stream_has_so_many_operations_and_no_more() {
    let event_stream = EventStreamSettings { operations_max: 1, ..Default::default() };
    let server = closed_server(Settings { event_stream, ..settings() }).await;
    let (token, _stream) = connected(&server, "ada").await;
    let ticks = |id| operation(&token, "ada", id, "subscription { ticks }");
    assert_eq!(ticks("a").send(&server).await.status, 202);
    check(&ticks("b").send(&server).await, 429, "TOO_MANY_OPERATIONS");
}

/// What another principal gets from each of the methods, in the order of the protocol.
async fn trespass(server: &Server) -> Vec<u16> {
    let token = reserve(server, "ada").await;
    let opened = connect(&token).by("eve").open(server).await;
    let executed = operation(&token, "eve", "x", "subscription { ticks }").send(server).await;
    let stopped = stop(&token, "eve", "x").send(server).await;
    vec![opened.status, executed.status, stopped.status]
}

#[tokio::test]
async fn a_stream_exists_only_for_who_reserved_it() {
    let server = closed_server(settings()).await;
    assert_eq!(trespass(&server).await, [404, 404, 404]);
    // Just like one that does not exist at all.
    check(&connect("0").by("ada").send(&server).await, 404, "STREAM_NOT_FOUND");
    check(&connect("0").send(&server).await, 404, "STREAM_NOT_FOUND");
    for call in [Call::new("PUT", "/graphql"), Call::new("DELETE", "/graphql?operationId=x")] {
        check(&call.send(&server).await, 401, "UNAUTHENTICATED");
    }
}

/// The control of the test above: where principals are not told apart, all three succeed.
#[tokio::test]
async fn a_stream_exists_for_everybody_if_everybody_is_one_principal() {
    let server = flawed_server(settings(), Flaw::OnePrincipal).await;
    assert_eq!(trespass(&server).await, [200, 202, 200]);
}

#[tokio::test]
async fn a_reservation_that_nobody_takes_up_expires() {
    let reservation_wait_max = Duration::from_millis(20);
    let event_stream = EventStreamSettings { reservation_wait_max, ..Default::default() };
    let settings = Settings { event_stream, streams_per_principal_max: 1, ..settings() };
    let server = closed_server(settings).await;
    let token = reserve(&server, "ada").await;
    // There is room for another stream once it has.
    within(async {
        while Call::new("PUT", "/graphql").by("ada").send(&server).await.status == 429 {}
    })
    .await;
    check(&connect(&token).by("ada").send(&server).await, 404, "STREAM_NOT_FOUND");
}

#[tokio::test]
async fn a_client_that_leaves_ends_all_of_its_operations_and_its_token() {
    let server = closed_server(settings()).await;
    let (token, stream) = connected(&server, "ada").await;
    for id in ["a", "b"] {
        operation(&token, "ada", id, "subscription { ticks }").send(&server).await;
    }
    server.controls.wait_for_listeners(2).await;
    drop(stream);
    server.controls.wait_for_listeners(0).await;
    within(async { while connect(&token).by("ada").send(&server).await.status == 409 {} }).await;
    check(&connect(&token).by("ada").send(&server).await, 404, "STREAM_NOT_FOUND");
}

#[tokio::test]
async fn a_credential_that_ends_ends_the_stream() {
    let server = closed_server(settings()).await;
    let (token, mut stream) = connected(&server, "ada").await;
    operation(&token, "ada", "t", "subscription { ticks }").send(&server).await;
    server.controls.wait_for_listeners(1).await;
    server.controls.revoke.cancel();
    assert_eq!(stream.event().await, None);
    server.controls.wait_for_listeners(0).await;
}

/// Operations wait for a client that does not read; they do not run ahead of it.
#[tokio::test]
async fn results_do_not_pile_up_behind_a_slow_client() {
    let event_stream = EventStreamSettings { results_waiting_max: 1, ..Default::default() };
    let server = closed_server(Settings { event_stream, ..settings() }).await;
    let token = reserve(&server, "ada").await;
    let countdown = "subscription { countdown(from: 5) }";
    assert_eq!(operation(&token, "ada", "c", countdown).send(&server).await.status, 202);
    let mut stream = connect(&token).by("ada").open(&server).await;
    for expected in [4, 3, 2, 1, 0] {
        assert_eq!(stream.data("next").await["payload"]["data"]["countdown"], expected);
    }
    assert_eq!(stream.data("complete").await, json!({ "id": "c" }));
}
