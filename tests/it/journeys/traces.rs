//! One request as whoever collects traces sees it: from the caller's own span through command and
//! log into the read models, and without a word of what it said.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};

use crate::harness::{Api, Installation, PATIENCE};

/// The trace and the span of whoever calls.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// What must stay between the caller and us.
const SECRETS: [&str; 5] =
    ["Zebedee Quux", "zebedee@quux.example", "user:default/zebedee", "zebedee", "Quux"];

/// A collector: takes what is exported over OTLP/HTTP and keeps it.
struct Collector {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let kept = bodies.clone();
        // Both end with the process of the test.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                std::thread::spawn(move || while serve(&stream, &kept).is_some() {});
            }
        });
        Self { address, bodies }
    }

    fn bodies(&self) -> Vec<Vec<u8>> {
        self.bodies.lock().expect("nobody panics with it").clone()
    }

    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for body in self.bodies() {
            let export = ExportTraceServiceRequest::decode(&*body).expect("it is OTLP");
            let scopes = export.resource_spans.into_iter().flat_map(|it| it.scope_spans);
            spans.extend(scopes.flat_map(|it| it.spans));
        }
        spans
    }
}

/// Takes one export; none at the end of the connection.
fn serve(mut stream: &TcpStream, kept: &Mutex<Vec<Vec<u8>>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    kept.lock().expect("nobody panics with it").push(body);
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()
}

/// Sends a mutation as a part of the caller's trace, and answers the position to see it from.
async fn mutate(api: &Api, mutation: &str, input: Value) -> String {
    let body = json!({"query": mutation, "variables": {"input": input}});
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    let headers = [("traceparent", traceparent.as_str())];
    let answer = api.post("/graphql", &body, &headers).await.expect("the server answers");
    let answer: Value = serde_json::from_slice(&answer.body).expect("the answer is JSON");
    let done = &answer["data"]["done"];
    assert_eq!(done["userErrors"], json!([]), "{answer}");
    done["outcome"]["position"].as_str().expect("a position").to_owned()
}

const APPLY: &str = "mutation($input: ApplyEntitiesInput!) { done: applyEntities(input: $input) {
    outcome { position } userErrors { message } } }";

/// A WebSocket that greets with `token` and asks something about the person, to its end.
fn over_a_websocket(address: SocketAddr, token: &str) {
    let mut socket = TcpStream::connect(address).expect("the server listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket can be bounded");
    let head = format!(
        "GET /graphql HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).expect("it can be sent");
    let greeting =
        json!({"type": "connection_init", "payload": {"authorization": format!("Bearer {token}")}});
    send(&mut socket, &greeting);
    until(&mut socket, "connection_ack");
    let query = "query($person: String!) { entity(reference: $person) { title } }";
    let payload = json!({"query": query, "variables": {"person": "user:default/zebedee"}});
    send(&mut socket, &json!({"type": "subscribe", "id": "1", "payload": payload}));
    until(&mut socket, "\"complete\"");
}

/// Sends a text in one frame, as RFC 6455 wants it; the mask is zero, so nothing is changed.
fn send(socket: &mut TcpStream, message: &Value) {
    let text = message.to_string();
    let length = u16::try_from(text.len()).expect("a short message");
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(length.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    socket.write_all(&frame).expect("it can be sent");
}

/// Reads until the server has said this.
fn until(socket: &mut TcpStream, text: &str) {
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains(text) {
        let mut piece = [0; 1024];
        let count = socket.read(&mut piece).expect("the server says something");
        assert!(count > 0, "expected `{text}`, got {}", String::from_utf8_lossy(&said));
        said.extend(&piece[..count]);
    }
}

const OPEN: &str = "mutation($input: OpenCustomerInput!) { done: openCustomer(input: $input) {
    outcome { position } userErrors { message } } }";

/// Has a server do both, with every line logged that there is, and stops it.
async fn everything_asked(collector: &Collector) -> (Installation, String) {
    let installation = Installation::new()
        .with("CALLBOARD_TELEMETRY_OTLP_ENDPOINT", format!("http://{}", collector.address))
        .with("CALLBOARD_TELEMETRY_FORMAT", "json")
        .with("CALLBOARD_TELEMETRY_FILTER", "trace");
    let server = installation.up().await;
    installation.create_tenant("traced");
    let token = installation.token("traced");
    let api = server.api(&token);
    let account =
        json!({"role": "CUSTOMER", "name": "Zebedee Quux", "contact": "zebedee@quux.example"});
    mutate(&api, OPEN, account).await;
    let descriptor = json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "User",
        "metadata": {"name": "zebedee"},
        "spec": {"profile": {"displayName": "Zebedee Quux"}, "memberOf": []},
    });
    let component = json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": {"name": "till"},
        "spec": {"type": "service", "lifecycle": "production", "owner": "user:default/zebedee"},
    });
    let put = |it: Value| json!({"put": {"descriptor": it}});
    let position = mutate(&api, APPLY, json!({"changes": [put(descriptor), put(component)]})).await;
    let seen = api.graphql_at(&position, "{ entities { totalCount } }", Value::Null).await;
    assert_eq!(seen["entities"]["totalCount"], 2);
    over_a_websocket(installation.address(), &token);
    server.stop().await;
    (installation, token)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

/// The spans of this name that `fit`.
fn find<'a>(spans: &'a [Span], name: &str, fit: impl Fn(&Span) -> bool) -> Vec<&'a Span> {
    spans.iter().filter(|it| it.name == name && fit(it)).collect()
}

#[tokio::test]
async fn one_trace_leads_from_the_caller_through_command_and_log_into_the_read_models() {
    let collector = Collector::start();
    everything_asked(&collector).await;
    let spans = collector.spans();
    let names: Vec<&str> = spans.iter().map(|it| it.name.as_str()).collect();

    let requests = find(&spans, "POST /graphql", |it| {
        hex(&it.trace_id) == TRACE && hex(&it.parent_span_id) == CALLER
    });
    assert_eq!(requests.len(), 2, "one for each request of the caller: {names:?}");
    for name in ["command openCustomer", "command applyEntities"] {
        let commands = find(&spans, name, |it| hex(&it.trace_id) == TRACE);
        let [command] = commands.as_slice() else { panic!("one `{name}` in {names:?}") };
        let above = spans.iter().find(|it| it.span_id == command.parent_span_id);
        let above = above.expect("what asked for the command is exported too");
        assert!(requests.iter().any(|it| it.span_id == above.parent_span_id), "{}", above.name);

        let leads_back = |it: &Span| {
            let to_command = |it: &_| {
                let opentelemetry_proto::tonic::trace::v1::span::Link { trace_id, span_id, .. } =
                    it;
                *trace_id == command.trace_id && *span_id == command.span_id
            };
            it.links.iter().any(to_command)
        };
        let batches = find(&spans, "batch", leads_back);
        let [batch] = batches.as_slice() else { panic!("one batch of `{name}` in {names:?}") };
        let appends = find(&spans, "append", |it| it.parent_span_id == batch.span_id);
        assert_eq!(appends.len(), 1, "a batch is appended once: {names:?}");
        for model in ["catalog", "organisation", "billing", "analytics", "audit"] {
            let projected = find(&spans, &format!("project {model}"), leads_back);
            assert_eq!(projected.len(), 1, "`{name}` in the {model} model: {names:?}");
        }
    }
}

#[tokio::test]
async fn neither_spans_nor_logs_hold_personal_data_or_credentials() {
    let collector = Collector::start();
    let (installation, token) = everything_asked(&collector).await;
    let exported = collector.bodies().concat();
    let logged = std::fs::read(installation.home().join("server.log")).expect("it was logged");
    let holds = |bytes: &[u8], text: &str| {
        bytes.windows(text.len()).any(|it| it.eq_ignore_ascii_case(text.as_bytes()))
    };
    // Both tell of these requests; a search that finds nothing at all would find no secret either.
    assert!(holds(&exported, "applyEntities"), "the command is exported");
    assert!(holds(&logged, TRACE), "the request is logged");
    let signature = token.rsplit('.').next().expect("a token has parts");
    for secret in SECRETS.into_iter().chain([token.as_str(), signature]) {
        assert!(!holds(&exported, secret), "a span holds `{secret}`");
        assert!(!holds(&logged, secret), "a line of the log holds `{secret}`");
    }
}
