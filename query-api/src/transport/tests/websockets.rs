//! `graphql-transport-ws` with a client of another make.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::client::Call;
use super::fixture::{Flaw, Server, closed_server, flawed_server, open_server, settings, within};
use crate::transport::{Settings, WebSocketSettings};

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn connect(server: &Server, protocol: &'static str, bearer: Option<&str>) -> Self {
        let url = format!("ws://{}/graphql", server.address);
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", HeaderValue::from_static(protocol));
        if let Some(name) = bearer {
            headers.insert("authorization", format!("Bearer {name}").parse().unwrap());
        }
        Self(within(connect_async(request)).await.unwrap().0)
    }

    /// A socket whose `connection_init` is acknowledged.
    async fn ready(server: &Server) -> Self {
        let mut socket = Self::connect(server, "graphql-transport-ws", Some("ada")).await;
        socket.say(json!({ "type": "connection_init" })).await;
        assert_eq!(socket.hear().await, json!({ "type": "connection_ack" }));
        socket
    }

    async fn say(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    async fn send(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(json!({ "id": id, "type": "subscribe", "payload": { "query": query } })).await;
    }

    async fn receive(&mut self) -> Message {
        within(self.0.next()).await.expect("the connection is open").unwrap()
    }

    async fn hear(&mut self) -> Value {
        match self.receive().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("expected text, got {other:?}"),
        }
    }

    async fn closed(&mut self, code: u16, reason: &str) {
        match self.receive().await {
            Message::Close(Some(frame)) => {
                assert_eq!((u16::from(frame.code), frame.reason.as_str()), (code, reason));
            }
            other => panic!("expected {code}, got {other:?}"),
        }
    }

    /// Everything said before is handled once this is answered.
    async fn settle(&mut self) {
        self.say(json!({ "type": "ping" })).await;
        assert_eq!(self.hear().await, json!({ "type": "pong" }));
    }
}

fn websocket(change: impl FnOnce(&mut WebSocketSettings)) -> Settings {
    let mut settings = settings();
    change(&mut settings.websocket);
    settings
}

fn next(id: &str, data: &Value) -> Value {
    json!({ "type": "next", "id": id, "payload": { "data": data } })
}

fn complete(id: &str) -> Value {
    json!({ "type": "complete", "id": id })
}

#[tokio::test]
async fn queries_mutations_and_subscriptions_are_answered() {
    let server = open_server(settings()).await;
    let mut socket = Socket::ready(&server).await;
    socket.subscribe("q", "{ whoami }").await;
    assert_eq!(socket.hear().await, next("q", &json!({ "whoami": "ada" })));
    assert_eq!(socket.hear().await, complete("q"));
    socket.subscribe("m", "mutation { count }").await;
    assert_eq!(socket.hear().await, next("m", &json!({ "count": 1 })));
    assert_eq!(socket.hear().await, complete("m"));
    socket.subscribe("s", "subscription { countdown(from: 2) }").await;
    assert_eq!(socket.hear().await, next("s", &json!({ "countdown": 1 })));
    assert_eq!(socket.hear().await, next("s", &json!({ "countdown": 0 })));
    assert_eq!(socket.hear().await, complete("s"));
    // The id is free again.
    socket.subscribe("s", "{ whoami }").await;
    assert_eq!(socket.hear().await, next("s", &json!({ "whoami": "ada" })));
}

#[tokio::test]
async fn what_is_not_executed_is_an_error_without_complete() {
    let server = open_server(settings()).await;
    let mut socket = Socket::ready(&server).await;
    for (query, code) in [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { ticks countdown(from: 1) }", "LIMIT_EXCEEDED"),
        ("query A { whoami } query B { whoami }", "OPERATION_RESOLUTION_FAILURE"),
        ("{ panics }", "INTERNAL"),
    ] {
        socket.subscribe("x", query).await;
        let error = socket.hear().await;
        assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!("x")));
        assert_eq!(error["payload"][0]["extensions"]["code"], code);
        socket.settle().await;
    }
}

#[tokio::test]
async fn what_fails_while_it_is_executed_is_a_result() {
    let server = open_server(settings()).await;
    let mut socket = Socket::ready(&server).await;
    for query in ["{ breaks }", "subscription { unavailable }"] {
        socket.subscribe("x", query).await;
        let result = socket.hear().await;
        assert_eq!(result["type"], "next");
        assert_eq!(result["payload"]["data"], Value::Null);
        assert!(result["payload"]["errors"][0]["path"].is_array());
        assert_eq!(socket.hear().await, complete("x"));
    }
}

#[tokio::test]
async fn a_subscription_that_panics_ends_and_the_others_go_on() {
    let server = open_server(settings()).await;
    let mut socket = Socket::ready(&server).await;
    socket.subscribe("x", "subscription { panics }").await;
    assert_eq!(socket.hear().await, next("x", &json!({ "panics": 1 })));
    assert_eq!(socket.hear().await["payload"][0]["extensions"]["code"], "INTERNAL");
    socket.settle().await;
}

#[tokio::test]
async fn complete_stops_a_subscription() {
    let server = open_server(settings()).await;
    let mut socket = Socket::ready(&server).await;
    socket.subscribe("a", "subscription { ticks }").await;
    socket.subscribe("b", "subscription { ticks }").await;
    server.controls.wait_for_listeners(2).await;
    socket.say(complete("a")).await;
    server.controls.wait_for_listeners(1).await;
    server.controls.ticks.send(7).unwrap();
    assert_eq!(socket.hear().await, next("b", &json!({ "ticks": 7 })));
    // Of what does not run, or no longer, nothing is said.
    socket.say(complete("a")).await;
    socket.say(complete("never")).await;
    socket.settle().await;
    drop(socket);
    server.controls.wait_for_listeners(0).await;
}

#[tokio::test]
async fn ping_is_answered_with_its_payload_before_and_after_the_acknowledgement() {
    let server = open_server(settings()).await;
    let mut socket = Socket::connect(&server, "graphql-transport-ws", Some("ada")).await;
    socket.say(json!({ "type": "ping", "payload": { "n": 1 } })).await;
    assert_eq!(socket.hear().await, json!({ "type": "pong", "payload": { "n": 1 } }));
    socket.say(json!({ "type": "pong" })).await;
    socket.say(json!({ "type": "connection_init", "payload": null })).await;
    assert_eq!(socket.hear().await, json!({ "type": "connection_ack" }));
    socket.settle().await;
}

#[tokio::test]
async fn another_subprotocol_is_4406() {
    let server = open_server(settings()).await;
    let url = format!("ws://{}/graphql", server.address);
    let (socket, _) = within(connect_async(url)).await.unwrap();
    Socket(socket).closed(4406, "Subprotocol not acceptable").await;
}

#[tokio::test]
async fn subscribing_before_the_acknowledgement_is_4401() {
    let server = open_server(settings()).await;
    let mut socket = Socket::connect(&server, "graphql-transport-ws", Some("ada")).await;
    socket.subscribe("x", "{ whoami }").await;
    socket.closed(4401, "Unauthorized").await;
}

#[tokio::test]
async fn silence_is_4408() {
    let wait = Duration::from_millis(20);
    let server = open_server(websocket(|it| it.connection_init_wait_max = wait)).await;
    let mut socket = Socket::connect(&server, "graphql-transport-ws", None).await;
    socket.closed(4408, "Connection initialisation timeout").await;
}

#[tokio::test]
async fn silence_after_the_acknowledgement_is_nothing() {
    let server = open_server(websocket(|it| {
        it.connection_init_wait_max = Duration::from_millis(500);
        it.keep_alive = Duration::from_millis(600);
    }))
    .await;
    let mut socket = Socket::ready(&server).await;
    // This comes later than the other would.
    assert!(matches!(socket.receive().await, Message::Ping(_)));
}

#[tokio::test]
async fn a_second_initialisation_is_4429() {
    let server = open_server(settings()).await;
    let mut socket = Socket::ready(&server).await;
    socket.say(json!({ "type": "connection_init" })).await;
    socket.closed(4429, "Too many initialisation requests").await;
}

#[tokio::test]
async fn an_id_in_use_is_4409() {
    let server = open_server(settings()).await;
    let mut socket = Socket::ready(&server).await;
    socket.subscribe("x", "subscription { ticks }").await;
    socket.subscribe("x", "{ whoami }").await;
    socket.closed(4409, "Subscriber for x already exists").await;
    server.controls.wait_for_listeners(0).await;
}

#[tokio::test]
async fn what_is_not_a_message_is_4400() {
    let server = open_server(settings()).await;
    for message in [
        Message::text("{"),
        Message::text("{}"),
        Message::text(r#"{"type":"unknown"}"#),
        Message::text(r#"{"type":"ping","payload":1}"#),
        Message::text(r#"{"type":"complete"}"#),
        Message::text(r#"{"type":"subscribe","id":1,"payload":{"query":"{whoami}"}}"#),
        Message::text(r#"{"type":"subscribe","id":"","payload":{"query":"{whoami}"}}"#),
        Message::text(r#"{"type":"subscribe","id":"x"}"#),
        Message::text(r#"{"type":"subscribe","id":"x","payload":{"query":1}}"#),
        Message::text(r#"{"type":"subscribe","id":"x","payload":{"query":"{a}","variables":[]}}"#),
        Message::binary(br#"{"type":"ping"}"#.to_vec()),
    ] {
        let mut socket = Socket::ready(&server).await;
        socket.send(message.clone()).await;
        match socket.receive().await {
            Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 4400, "{message:?}"),
            other => panic!("{message:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_message_that_is_too_big_is_1009() {
    let server = open_server(websocket(|it| it.message_bytes_max = 1024)).await;
    let mut socket = Socket::ready(&server).await;
    socket.subscribe("x", &"x".repeat(1024)).await;
    socket.closed(1009, "the message is too big").await;
}

#[tokio::test]
async fn more_operations_than_allowed_are_refused_one_by_one() {
    let server = open_server(websocket(|it| it.operations_max = 1)).await;
    let mut socket = Socket::ready(&server).await;
    socket.subscribe("a", "subscription { ticks }").await;
    socket.subscribe("b", "{ whoami }").await;
    assert_eq!(socket.hear().await["payload"][0]["extensions"]["code"], "TOO_MANY_OPERATIONS");
    socket.say(complete("a")).await;
    socket.subscribe("b", "{ whoami }").await;
    assert_eq!(socket.hear().await, next("b", &json!({ "whoami": "ada" })));
}

#[tokio::test]
async fn a_principal_has_so_many_connections_and_no_more() {
    let server = open_server(Settings { streams_per_principal_max: 1, ..settings() }).await;
    let first = Socket::ready(&server).await;
    let mut second = Socket::connect(&server, "graphql-transport-ws", Some("ada")).await;
    second.say(json!({ "type": "connection_init" })).await;
    second.closed(1013, "too many streams are open, close one first").await;
    let mut other = Socket::connect(&server, "graphql-transport-ws", Some("bob")).await;
    other.say(json!({ "type": "connection_init" })).await;
    assert_eq!(other.hear().await, json!({ "type": "connection_ack" }));
    drop(first);
    within(async {
        loop {
            let mut third = Socket::connect(&server, "graphql-transport-ws", Some("ada")).await;
            third.say(json!({ "type": "connection_init" })).await;
            if third.receive().await.is_text() {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn who_speaks_is_decided_by_the_authenticator() {
    let server = closed_server(settings()).await;
    let init = |token: &str| json!({ "type": "connection_init", "payload": { "token": token } });
    // No credential in the handshake, one in the payload.
    let mut socket = Socket::connect(&server, "graphql-transport-ws", None).await;
    socket.say(init("ada")).await;
    assert_eq!(socket.hear().await, json!({ "type": "connection_ack" }));
    socket.subscribe("x", "{ whoami }").await;
    assert_eq!(socket.hear().await, next("x", &json!({ "whoami": "ada" })));
    // None at all, a bad one, and one of somebody else than in the handshake.
    for (bearer, message) in [
        (None, json!({ "type": "connection_init" })),
        (None, init("mallory")),
        (Some("ada"), init("bob")),
    ] {
        let mut socket = Socket::connect(&server, "graphql-transport-ws", bearer).await;
        socket.say(message).await;
        socket.closed(4403, "Forbidden").await;
    }
    // A bad one in the handshake is refused there.
    let mut request = Call::new("GET", "/graphql").by("mallory");
    for (name, value) in [
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("connection", "upgrade"),
    ] {
        request = request.header(name, value);
    }
    assert_eq!(request.send(&server).await.status, 401);
}

#[tokio::test]
async fn a_credential_that_ends_closes_what_it_opened() {
    let server = closed_server(settings()).await;
    let mut socket = Socket::ready(&server).await;
    socket.subscribe("x", "subscription { ticks }").await;
    server.controls.wait_for_listeners(1).await;
    server.controls.revoke.cancel();
    socket.closed(4403, "Forbidden").await;
    server.controls.wait_for_listeners(0).await;
}

/// The control of the test above: where nobody is told of the end, the results go on.
#[tokio::test]
async fn a_credential_whose_end_nobody_hears_of_closes_nothing() {
    let server = flawed_server(settings(), Flaw::NeverEnds).await;
    let mut socket = Socket::ready(&server).await;
    socket.subscribe("x", "subscription { ticks }").await;
    server.controls.wait_for_listeners(1).await;
    server.controls.revoke.cancel();
    server.controls.ticks.send(1).unwrap();
    assert_eq!(socket.hear().await, next("x", &json!({ "ticks": 1 })));
}

#[tokio::test]
async fn a_server_that_stops_says_so() {
    let server = open_server(settings()).await;
    let mut socket = Socket::ready(&server).await;
    server.controls.shutdown.cancel();
    socket.closed(1001, "the server is stopping").await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_dropped() {
    let server = open_server(websocket(|it| it.keep_alive = Duration::from_millis(600))).await;
    let mut socket = Socket::ready(&server).await;
    socket.subscribe("x", "subscription { ticks }").await;
    server.controls.wait_for_listeners(1).await;
    // Our side answers pings only while we read.
    server.controls.wait_for_listeners(0).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let server = open_server(websocket(|it| {
        it.send_wait_max = Duration::from_millis(50);
        it.operations_max = 2;
    }))
    .await;
    let mut socket = Socket::ready(&server).await;
    socket.subscribe("ticks", "subscription { ticks }").await;
    server.controls.wait_for_listeners(1).await;
    socket.subscribe("flood", "subscription { flood }").await;
    server.controls.wait_for_listeners(0).await;
}
