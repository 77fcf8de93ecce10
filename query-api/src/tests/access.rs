//! Who may come in, through which door, and what every answer says of itself.

use outbound::Request;
use projections::temporary::Kind;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::testing::{Member, Site, on_each_kind, soon};

/// Who is let in where: nobody, a forged token, a member, an operator.
const ROUTES: [(&str, &str, [u16; 4]); 34] = [
    ("GET", "/healthz", [200, 200, 200, 200]),
    ("GET", "/readyz", [200, 200, 200, 200]),
    ("GET", "/api/v1/openapi.json", [200, 200, 200, 200]),
    ("GET", "/api/v1/asyncapi.json", [200, 200, 200, 200]),
    ("GET", "/schemas/events/entity.updated.v1.json", [200, 200, 200, 200]),
    ("GET", "/schemas/events/entity.updated.v1", [404, 404, 404, 404]),
    ("GET", "/metrics", [401, 401, 403, 200]),
    ("GET", "/api/v1/projections", [401, 401, 403, 200]),
    ("POST", "/api/v1/projections/audit/rebuild", [401, 401, 403, 200]),
    ("POST", "/api/v1/projections/audit/resume", [401, 401, 403, 400]),
    ("POST", "/api/v1/usage", [401, 401, 415, 403]),
    ("GET", "/api/v1/usage", [401, 401, 400, 400]),
    (
        "GET",
        "/api/v1/usage?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z",
        [401, 401, 200, 403],
    ),
    ("GET", "/api/v1/events", [401, 401, 200, 200]),
    ("GET", "/api/v1/audit/export", [401, 401, 200, 200]),
    ("GET", "/api/v1/audit/keys", [401, 401, 200, 200]),
    ("DELETE", "/api/v1/session", [401, 401, 400, 400]),
    ("POST", "/api/v1/sign-in", [415, 415, 415, 415]),
    ("GET", "/api/v1/sign-in/oidc/nobody", [403, 403, 403, 403]),
    ("POST", "/api/v1/sign-in/oidc/nobody", [415, 415, 415, 415]),
    ("GET", "/api/v1/sign-in/oidc/nobody/callback", [403, 403, 403, 403]),
    ("POST", "/api/v1/sign-in/oidc/nobody/token", [415, 415, 415, 415]),
    ("POST", "/api/v1/invites/accept", [415, 415, 415, 415]),
    ("PUT", "/api/v1/account/password", [401, 401, 403, 403]),
    ("GET", "/api/v1/account", [401, 401, 403, 403]),
    ("POST", "/api/v1/account/totp", [401, 401, 403, 403]),
    ("POST", "/api/v1/account/totp/confirm", [401, 401, 403, 403]),
    ("POST", "/api/v1/account/totp/remove", [401, 401, 403, 403]),
    ("POST", "/api/v1/account/recovery-codes", [401, 401, 403, 403]),
    ("POST", "/api/v1/setup", [415, 415, 415, 415]),
    ("GET", "/graphql?query={viewer{actor}}", [401, 401, 200, 200]),
    ("POST", "/graphql", [401, 401, 415, 415]),
    ("GET", "/nothing", [404, 404, 404, 404]),
    ("POST", "/metrics", [405, 405, 405, 405]),
];

on_each_kind! {
    every_route_lets_in_whom_it_should
}

async fn every_route_lets_in_whom_it_should(on: Kind) {
    let site = Site::start_on(on).await;
    let nobody = Member { token: String::new(), ..site.a.clone() };
    let forged = Member { token: format!("{}x", site.a.token), ..site.a.clone() };
    let callers = [&nobody, &forged, &site.a, &site.operator];
    for (method, path, expected) in ROUTES {
        for (who, expected) in callers.into_iter().zip(expected) {
            let request = match method {
                "GET" => Request::get(site.url(path)),
                "DELETE" => {
                    Request { method: outbound::Method::Delete, ..Request::get(site.url(path)) }
                }
                "PUT" => Request { method: outbound::Method::Put, ..Request::get(site.url(path)) },
                _ => Request { method: outbound::Method::Post, ..Request::get(site.url(path)) },
            };
            let reply = site.send(who, request).await;
            assert_eq!(reply.status, expected, "{method} {path}: {}", reply.text());
            if expected >= 400 && !path.starts_with("/graphql") {
                assert_eq!(reply.content_type, "application/problem+json", "{method} {path}");
                assert_eq!(reply.json()["status"], expected);
            }
        }
    }
}

#[test]
fn every_described_route_is_asked() {
    let document = serde_json::to_value(crate::rest::open_api_document()).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let described = path.replace("{model}", "audit").replace("{provider}", "nobody");
        let described = described.replace("{file}", "entity.updated.v1.json");
        for method in methods.as_object().unwrap().keys() {
            let asked = ROUTES.iter().any(|(known, example, _)| {
                known.eq_ignore_ascii_case(method)
                    && example.split('?').next() == Some(described.as_str())
            });
            assert!(asked, "{method} {path} needs a case here");
        }
    }
}

#[tokio::test]
async fn an_expired_token_and_one_of_another_installation_are_refused() {
    let site = Site::start().await;
    let root = vault::Root::from_hex(&"33".repeat(32), "the test").unwrap();
    let vault = std::sync::Arc::new(vault::MemoryVault::default());
    let other = vault::Keyring::open(vault, root).await.unwrap();
    let actor = domain::id::ActorId(uuid::Uuid::now_v7());
    let lifetime = std::time::Duration::from_secs(60);
    let token = crate::auth::mint(other.issuer(), site.a.tenant, actor, lifetime).unwrap();
    let stranger = Member { token, ..site.a.clone() };
    assert_eq!(site.get(&stranger, "/api/v1/events").await.status, 401);
}

#[tokio::test]
async fn nobody_is_refused_before_a_body_is_read() {
    let site = Site::start().await;
    let paths = ["/api/v1/usage", "/api/v1/projections/audit/resume", "/graphql"];
    for (path, length) in paths.into_iter().flat_map(|it| [(it, 10_u64), (it, 1_u64 << 40)]) {
        let mut socket = TcpStream::connect(site.address).await.unwrap();
        // A body is announced and never comes.
        let request =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        soon(socket.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 401", "{path}");
    }
}

#[tokio::test]
async fn a_body_has_the_bound_of_its_route() {
    let site = Site::start().await;
    let body = |bytes: usize| " ".repeat(bytes);
    let resume = "/api/v1/projections/audit/resume";
    for (who, path, bytes, expected) in [
        (&site.operator, resume, 1_024, 400),
        (&site.operator, resume, 1_025, 413),
        (&site.a, "/api/v1/usage", 1_025, 400),
        (&site.a, "/api/v1/usage", 1024 * 1024 + 1, 413),
    ] {
        let reply = site.post(who, path, "application/json", body(bytes)).await;
        assert_eq!(reply.status, expected, "{path} {bytes}: {}", reply.text());
    }
}

/// The head of the answer to a request written by hand.
async fn head(site: &Site, target: &str, headers: &str) -> String {
    let mut socket = TcpStream::connect(site.address).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    soon(socket.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.split_once("\r\n\r\n").unwrap().0.to_lowercase()
}

#[tokio::test]
async fn every_answer_names_its_request_and_is_careful() {
    let site = Site::start().await;
    for target in ["/healthz", "/nothing", "/api/v1/usage", "/graphql", "/graphiql"] {
        let head = head(&site, target, "").await;
        for header in ["x-request-id: ", "x-content-type-options: nosniff", "x-frame-options: deny"]
        {
            assert!(head.contains(header), "{target} lacks {header}: {head}");
        }
        let strict = head.contains("content-security-policy: default-src 'none'; frame-ancestors");
        assert_eq!(strict, target != "/graphiql", "{target}: {head}");
    }
}

#[tokio::test]
async fn a_trace_goes_from_the_request_into_the_record() {
    let site = Site::start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let document = "mutation { renameTenant(name: \"Traced\") { userErrors { code } } }";
    let body = json!({ "query": document }).to_string();
    let request = Request::post(site.url("/graphql"), "application/json", body)
        .with_header("traceparent", trace);
    let answer = site.send(&site.a, request).await.json();
    assert_eq!(answer["data"]["renameTenant"]["userErrors"], json!([]));
    let mut reader =
        site.log.read(event_log::Partition(0), event_log::Position::START).await.unwrap();
    let records = reader.next(100).await.unwrap();
    let last = records.last().unwrap();
    assert_eq!(last.record.traceparent(), Some(trace));
}
