//! GraphQL over HTTP beyond what the audits look at.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::client::{Call, Reply, Response};
use super::fixture::{Server, closed_server, open_server, settings, within};
use crate::transport::{Edition, Settings};

const CURRENT: &str = "application/graphql-response+json";

#[track_caller]
fn check(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{reply:?}");
    assert!(reply.json().get("data").is_none(), "{reply:?}");
}

#[tokio::test]
async fn a_result_with_errors_is_a_partial_success() {
    let server = open_server(settings()).await;
    for (document, data) in [
        ("{ fails whoami }", json!({ "fails": null, "whoami": "anybody" })),
        ("{ whoami breaks }", Value::Null),
    ] {
        let reply = Call::document(document).accept(CURRENT).send(&server).await;
        assert_eq!(reply.status, 294);
        assert_eq!(reply.json()["data"], data);
        assert_eq!(reply.json()["errors"].as_array().unwrap().len(), 1);
    }
    let server = open_server(Settings { edition: Edition::Draft2025, ..settings() }).await;
    let reply = Call::document("{ breaks }").accept(CURRENT).send(&server).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn the_answer_says_what_it_is_and_is_not_kept() {
    let server = open_server(settings()).await;
    let reply = Call::document("{ whoami }").accept(CURRENT).send(&server).await;
    let content_type = "application/graphql-response+json; charset=utf-8";
    assert_eq!(reply.header("content-type"), Some(content_type));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.body, br#"{"data":{"whoami":"anybody"}}"#);
}

#[tokio::test]
async fn a_legacy_client_is_told_the_media_type_only_of_successes() {
    let server = open_server(settings()).await;
    let media = async |document: &str| {
        let reply = Call::document(document).accept("application/json").send(&server).await;
        reply.header("content-type").unwrap().to_owned()
    };
    assert_eq!(media("{ whoami }").await, "application/json; charset=utf-8");
    assert_eq!(media("{ fails }").await, "application/json; charset=utf-8");
    assert_eq!(media("{").await, "application/graphql-response+json; charset=utf-8");
}

#[tokio::test]
async fn what_cannot_be_served_is_406() {
    let server = open_server(settings()).await;
    let reply =
        Call::document("{ whoami }").accept("image/png, text/html;q=0.5").send(&server).await;
    check(&reply, 406, "NOT_ACCEPTABLE");
}

#[tokio::test]
async fn what_is_not_plain_json_in_utf8_is_415() {
    let server = open_server(settings()).await;
    let post = || Call::document("{ whoami }").without_header("content-type");
    for content_type in [
        "text/plain",
        "application/*",
        "application/json; charset=latin1",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "nonsense",
    ] {
        let reply = post().header("content-type", content_type).send(&server).await;
        check(&reply, 415, "UNSUPPORTED_MEDIA_TYPE");
        assert_eq!(reply.header("accept"), Some("application/json"));
    }
    let reply = Call::document("{ whoami }").header("content-encoding", "gzip").send(&server).await;
    check(&reply, 415, "UNSUPPORTED_MEDIA_TYPE");
    let json = post().header("content-type", "Application/JSON; Charset=\"UTF-8\"");
    assert_eq!(json.send(&server).await.status, 200);
}

#[tokio::test]
async fn other_methods_are_405_with_those_that_would_do() {
    let server = open_server(settings()).await;
    for method in ["PATCH", "OPTIONS", "BREW"] {
        let reply = Call::new(method, "/graphql").send(&server).await;
        check(&reply, 405, "METHOD_NOT_ALLOWED");
        assert_eq!(reply.header("allow"), Some("GET, HEAD, POST, PUT, DELETE"));
    }
}

#[tokio::test]
async fn a_mutation_by_get_is_405_and_not_executed() {
    let server = open_server(settings()).await;
    let both = "query Q { whoami } mutation M { count }";
    for media in [CURRENT, "application/json", "text/event-stream"] {
        let call = Call::get(&[("query", both), ("operationName", "M")]).accept(media);
        let reply = call.send(&server).await;
        check(&reply, 405, "METHOD_NOT_ALLOWED");
        assert_eq!(reply.header("allow"), Some("POST"));
    }
    let reply = Call::get(&[("query", both), ("operationName", "Q")]).send(&server).await;
    assert_eq!(reply.json(), json!({ "data": { "whoami": "anybody" } }));
    let reply = Call::document("mutation { count }").send(&server).await;
    assert_eq!(reply.json(), json!({ "data": { "count": 1 } }));
}

#[tokio::test]
async fn the_parameters_of_a_url_are_checked_like_those_of_a_body() {
    let server = open_server(settings()).await;
    let query = ("query", "query Q($name: String!) { greeting(name: $name) }");
    let call = Call::get(&[query, ("variables", r#"{"name":"Ada"}"#), ("operationName", "Q")]);
    assert_eq!(call.send(&server).await.json()["data"]["greeting"], "hello Ada");
    let empty =
        [("operationName", ""), ("variables", ""), ("extensions", ""), ("query", "{whoami}")];
    assert_eq!(Call::get(&empty).send(&server).await.status, 200);
    for wrong in [
        &[("variables", "{}")][..],
        &[query, ("variables", "[7]")],
        &[query, ("variables", "{")],
        &[query, ("extensions", "1")],
        &[query, query],
    ] {
        check(&Call::get(wrong).send(&server).await, 422, "BAD_REQUEST");
    }
}

#[tokio::test]
async fn a_get_whose_operation_name_is_null_means_an_operation_of_that_name() {
    let server = open_server(settings()).await;
    let call = Call::get(&[("query", "query null { whoami }"), ("operationName", "null")]);
    assert_eq!(call.send(&server).await.status, 200);
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let server = open_server(settings()).await;
    let reply = Call::new("HEAD", "/graphql?query={whoami}").send_head(&server).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-length"), Some("29"));
}

#[tokio::test]
async fn a_byte_order_mark_is_read_over_and_bad_utf8_is_not() {
    let server = open_server(settings()).await;
    let document = br#"{"query":"{ whoami }","unknown":1}"#;
    let marked = [b"\xEF\xBB\xBF".as_slice(), document].concat();
    assert_eq!(Call::post(marked).send(&server).await.status, 200);
    for broken in [
        b"{\"query\":\"{ greeting(name: \\\"\xFF\\\") }\"}".as_slice(),
        b"{\"query\":",
        b"NONSENSE",
    ] {
        check(&Call::post(broken).send(&server).await, 400, "BAD_REQUEST");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_read() {
    let server =
        open_server(Settings { body_bytes_max: 100, uri_bytes_max: 100, ..settings() }).await;
    check(&Call::post("x".repeat(101)).send(&server).await, 413, "PAYLOAD_TOO_LARGE");
    let reply = Call::get(&[("query", &"x".repeat(100))]).send(&server).await;
    check(&reply, 414, "URI_TOO_LONG");
    // A body in chunks does not say how long it is.
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
        transfer-encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(format!("80\r\n{}\r\n", "x".repeat(128)).as_bytes()).await.unwrap();
    assert_eq!(within(Response::read_head(socket)).await.status, 413);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let body_wait_max = Duration::from_millis(20);
    let server = open_server(Settings { body_wait_max, ..settings() }).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
        content-length: 10\r\n\r\n{";
    socket.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(within(Response::read_head(socket)).await.status, 408);
}

#[tokio::test]
async fn the_operation_must_be_clear() {
    let server = open_server(settings()).await;
    for (query, name) in [
        ("query A { whoami } query B { whoami }", Value::Null),
        ("query A { whoami }", json!("B")),
        ("{ whoami }", json!("A")),
    ] {
        let body = json!({ "query": query, "operationName": name });
        let reply = Call::post(body.to_string()).send(&server).await;
        check(&reply, 422, "OPERATION_RESOLUTION_FAILURE");
    }
}

/// The parser notices, but it is GraphQL all the same.
#[tokio::test]
async fn names_that_are_not_unique_and_documents_without_an_operation_are_422() {
    let server = open_server(settings()).await;
    for document in [
        "query A { whoami } query A { whoami }",
        "{ whoami } query A { whoami }",
        "{ whoami } { whoami }",
        "{ ...F } fragment F on Query { whoami } fragment F on Query { whoami }",
        "fragment F on Query { whoami }",
    ] {
        let reply = Call::document(document).accept(CURRENT).send(&server).await;
        check(&reply, 422, "GRAPHQL_VALIDATION_FAILED");
    }
    let reply = Call::document("{ whoami").send(&server).await;
    check(&reply, 400, "GRAPHQL_PARSE_FAILED");
}

/// Variables that the schema cannot take are an error of the request, not of its execution.
#[tokio::test]
async fn variables_that_do_not_fit_are_422() {
    let server = open_server(settings()).await;
    let greeting = "query($name: String!) { greeting(name: $name) }";
    let area = "query($shapes: [Shape!]!) { area(shapes: $shapes) }";
    for (query, variables) in [
        (greeting, json!({})),
        (greeting, json!({ "name": null })),
        (greeting, json!({ "name": 1 })),
        (area, json!({ "shapes": [{ "size": "LARGE" }] })),
        (area, json!({ "shapes": [{ "width": 1, "size": "HUGE" }] })),
        (area, json!({ "shapes": [{ "width": 1, "depth": 1 }] })),
        (area, json!({ "shapes": [null] })),
        ("query($name: String!) { __typename @skip(if: false) greeting(name: $name) }", json!({})),
    ] {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let reply = Call::post(body).accept(CURRENT).send(&server).await;
        check(&reply, 422, "GRAPHQL_VALIDATION_FAILED");
    }
    let shapes = json!([{ "width": 2, "size": "LARGE" }, { "width": 1 }]);
    let body = json!({ "query": area, "variables": { "shapes": shapes } }).to_string();
    assert_eq!(Call::post(body).send(&server).await.json()["data"]["area"], 5);
}

#[tokio::test]
async fn who_has_no_credential_or_a_bad_one_is_401() {
    let server = closed_server(settings()).await;
    for call in [
        Call::document("{ whoami }"),
        Call::document("{ whoami }").by("mallory"),
        Call::get(&[("query", "{whoami}")]),
    ] {
        let reply = call.send(&server).await;
        check(&reply, 401, "UNAUTHENTICATED");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    let reply = Call::document("{ whoami }").by("ada").send(&server).await;
    assert_eq!(reply.json()["data"]["whoami"], "ada");
}

#[tokio::test]
async fn a_batch_is_answered_one_by_one() {
    let server = open_server(settings()).await;
    let batch = json!([
        { "query": "mutation { count }" },
        { "query": "{" },
        { "query": 1 },
        { "query": "mutation { count }" },
        { "query": "subscription { ticks }" },
    ]);
    let reply = Call::post(batch.to_string()).send(&server).await;
    assert_eq!(reply.status, 200);
    let answers = reply.json();
    assert_eq!(answers[0], json!({ "data": { "count": 1 } }));
    assert_eq!(answers[1]["errors"][0]["extensions"]["code"], "GRAPHQL_PARSE_FAILED");
    assert_eq!(answers[2]["errors"][0]["extensions"]["code"], "BAD_REQUEST");
    assert_eq!(answers[3], json!({ "data": { "count": 2 } }));
    assert_eq!(answers[4]["errors"][0]["extensions"]["code"], "SUBSCRIPTION_NEEDS_STREAM");
}

async fn send_batch(server: &Server, length: usize) -> Reply {
    let batch = vec![json!({ "query": "{ whoami }" }); length];
    Call::post(serde_json::to_vec(&batch).unwrap()).send(server).await
}

#[tokio::test]
async fn a_batch_has_one_to_ten_requests() {
    let server = open_server(settings()).await;
    assert_eq!(send_batch(&server, 10).await.json().as_array().unwrap().len(), 10);
    check(&send_batch(&server, 0).await, 422, "BAD_REQUEST");
    let reply = send_batch(&server, 11).await;
    check(&reply, 422, "LIMIT_EXCEEDED");
    let extensions = &reply.json()["errors"][0]["extensions"];
    assert_eq!((&extensions["value"], &extensions["maximum"]), (&json!(11), &json!(10)));
    let server = open_server(Settings { batch_max: 0, ..settings() }).await;
    check(&send_batch(&server, 1).await, 422, "LIMIT_EXCEEDED");
}

#[tokio::test]
async fn a_panic_answers_its_own_caller_and_keeps_its_secret() {
    let server = open_server(settings()).await;
    let reply = Call::document("{ panics }").send(&server).await;
    check(&reply, 500, "INTERNAL");
    assert!(!String::from_utf8_lossy(&reply.body).contains("secret"));
    assert_eq!(Call::document("{ whoami }").send(&server).await.status, 200);
}

/// The client leaves while the mutation waits; the mutation does not.
#[tokio::test]
async fn a_mutation_runs_to_its_end_without_its_client() {
    let server = open_server(settings()).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(&Call::document("mutation { countWhenReleased }").bytes()).await.unwrap();
    server.controls.wait_for_listeners(1).await;
    drop(socket);
    // By the time another request is answered, the server has seen that the first one is gone.
    assert_eq!(Call::document("{ whoami }").send(&server).await.status, 200);
    server.controls.release.cancel();
    within(async {
        while server.controls.counter.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
