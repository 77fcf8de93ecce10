//! GraphQL subscriptions over both of their transports.

use futures::{SinkExt, StreamExt};
use outbound::Request;
use projections::Model;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::seeded::{apply, component, put};
use crate::testing::{Member, Site, on_each_kind, soon};
use projections::temporary::Kind;

pub(super) type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// A WebSocket whose credential came in `connection_init`, as browsers must send it.
pub(super) async fn connect(site: &Site, who: &Member) -> Socket {
    let mut request = format!("ws://{}/graphql", site.address).into_client_request().unwrap();
    let protocol = "graphql-transport-ws".parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    let (mut socket, _) = soon(tokio_tungstenite::connect_async(request)).await.unwrap();
    let payload = json!({ "authorization": format!("Bearer {}", who.token) });
    send(&mut socket, json!({ "type": "connection_init", "payload": payload })).await;
    assert_eq!(receive(&mut socket).await["type"], "connection_ack");
    socket
}

pub(super) async fn send(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

pub(super) async fn receive(socket: &mut Socket) -> Value {
    loop {
        if let Message::Text(text) = soon(socket.next()).await.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

pub(super) async fn subscribe(socket: &mut Socket, document: &str) {
    let payload = json!({ "query": document });
    send(socket, json!({ "id": "1", "type": "subscribe", "payload": payload })).await;
    // Answered after the operation before it has begun.
    send(socket, json!({ "type": "ping" })).await;
    assert_eq!(receive(socket).await["type"], "pong");
}

on_each_kind! {
    an_entity_that_changed_is_told_to_its_tenant
    a_change_shows_what_a_rebuilt_generation_holds
    events_are_streamed_from_any_sequence_on
    a_forged_token_opens_no_socket
}

async fn an_entity_that_changed_is_told_to_its_tenant(on: Kind) {
    let site = Site::start_on(on).await;
    let document = "subscription { entityChanged(matching: {filter: [\"kind=component\"]}) {
        reference change entity { title } } }";
    let mut a = connect(&site, &site.a).await;
    subscribe(&mut a, document).await;
    let mut b = connect(&site, &site.b).await;
    subscribe(&mut b, document).await;

    apply(&site, &site.a, json!([put(&component("web", "amber"), None)])).await;
    let told = receive(&mut a).await;
    let expected = json!({
        "reference": "component:default/web", "change": "REGISTERED",
        "entity": { "title": "amber web" },
    });
    assert_eq!(told["payload"]["data"]["entityChanged"], expected, "{told}");
    // B was told nothing of it: the first it hears of is its own.
    apply(&site, &site.b, json!([put(&component("own", "birch"), None)])).await;
    let told = receive(&mut b).await;
    assert_eq!(told["payload"]["data"]["entityChanged"]["reference"], "component:default/own");

    let gone = json!([{ "remove": { "reference": "component:default/web" } }]);
    apply(&site, &site.a, gone).await;
    let told = receive(&mut a).await;
    let expected =
        json!({ "reference": "component:default/web", "change": "DEREGISTERED", "entity": null });
    assert_eq!(told["payload"]["data"]["entityChanged"], expected);
}

async fn a_change_shows_what_a_rebuilt_generation_holds(on: Kind) {
    let site = Site::start_on(on).await;
    let mut socket = connect(&site, &site.a).await;
    let document = "subscription { entityChanged { entity { owners { targetReference } } } }";
    subscribe(&mut socket, document).await;
    site.projections.rebuild(Model::Catalog).await.unwrap();
    // Nothing is written any more into the tables that were there when the subscription began.
    let mut web = component("web", "amber");
    for owner in ["group:default/first", "group:default/second"] {
        web["spec"]["owner"] = json!(owner);
        apply(&site, &site.a, json!([put(&web, None)])).await;
        let told = receive(&mut socket).await;
        let owners = &told["payload"]["data"]["entityChanged"]["entity"]["owners"];
        assert_eq!(owners, &json!([{ "targetReference": owner }]), "{told}");
    }
}

async fn events_are_streamed_from_any_sequence_on(on: Kind) {
    let site = Site::start_on(on).await;
    let open = async |who: &Member| {
        let document = "subscription { events(afterSequence: 0) { sequence type body } }";
        let body = json!({ "query": document }).to_string();
        site.stream(who, Request::post(site.url("/graphql"), "application/json", body)).await
    };
    let rename =
        "mutation { renameTenant(name: \"amber\") { userErrors { code } outcome { sequence } } }";
    let last = site.mutate(&site.a, rename, json!({})).await["outcome"]["sequence"].clone();
    let (mut a, mut b) = (open(&site.a).await, open(&site.b).await);
    let mut sequence = 0;
    while json!(sequence) != last {
        sequence += 1;
        let event = a.next().await.unwrap();
        assert_eq!(event.data["data"]["events"]["sequence"], sequence, "{event:?}");
        if json!(sequence) == last {
            assert_eq!(event.data["data"]["events"]["body"]["name"], "amber");
        }
    }
    let rename = rename.replace("amber", "birch");
    let last = site.mutate(&site.b, &rename, json!({})).await["outcome"]["sequence"].clone();
    loop {
        let event = b.next().await.unwrap();
        assert!(!event.data.to_string().contains("amber"), "B hears of A: {event:?}");
        if event.data["data"]["events"]["sequence"] == last {
            break;
        }
    }
}

async fn a_forged_token_opens_no_socket(on: Kind) {
    let site = Site::start_on(on).await;
    let mut request = format!("ws://{}/graphql", site.address).into_client_request().unwrap();
    let protocol = "graphql-transport-ws".parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    let (mut socket, _) = soon(tokio_tungstenite::connect_async(request)).await.unwrap();
    let payload = json!({ "authorization": format!("Bearer {}x", site.a.token) });
    send(&mut socket, json!({ "type": "connection_init", "payload": payload })).await;
    let Message::Close(Some(frame)) = soon(socket.next()).await.unwrap().unwrap() else {
        panic!("expected the socket to be closed");
    };
    assert_eq!(u16::from(frame.code), 4403);
}
