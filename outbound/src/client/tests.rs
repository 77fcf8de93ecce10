use axum::Router;
use axum::response::Redirect;
use axum::routing::{get, post};

use super::*;

/// Serves what the tests talk to on a free loopback port.
async fn server() -> Url {
    let router = Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/echo", post(|body: String| async move { body }))
        .route("/large", get(|| async { vec![0_u8; 4096] }))
        .route("/never", get(std::future::pending::<()>))
        .route("/loop", get(|| async { Redirect::temporary("/loop") }))
        .route("/away", get(|| async { Redirect::temporary("http://10.0.0.1/") }))
        .route("/back", get(|| async { Redirect::temporary("/hello") }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Url::parse(&format!("http://{address}")).unwrap()
}

fn client(reach: Reach) -> Client {
    let time = Duration::from_millis(500);
    Client::new(reach, Limits { time, body_bytes: 1024, redirects: 3 })
}

#[track_caller]
fn fails(answer: Result<Response, OutboundError>, with: &str) {
    let error = answer.unwrap_err().to_string();
    assert!(error.contains(with), "expected `{with}` in `{error}`");
}

#[tokio::test]
async fn a_request_within_reach_is_answered() {
    let (server, client) = (server().await, client(Reach::Loopback));
    let answer = client.send(Request::get(server.join("/back").unwrap())).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
    let echo = Request::post(server.join("/echo").unwrap(), "text/plain", "ping");
    assert_eq!(&client.send(echo).await.unwrap().body[..], b"ping");
}

#[tokio::test]
async fn an_address_out_of_reach_is_refused_and_named() {
    let server = server().await;
    fails(client(Reach::Public).send(Request::get(server.clone())).await, "127.0.0.1");
    let mut by_name = server.clone();
    by_name.set_host(Some("localhost")).unwrap();
    fails(client(Reach::Public).send(Request::get(by_name)).await, "may not talk to");
    let away = Request::get(server.join("/away").unwrap());
    fails(client(Reach::Loopback).send(away).await, "`10.0.0.1` is at 10.0.0.1");
}

#[tokio::test]
async fn size_time_and_redirects_are_bounded() {
    let (server, client) = (server().await, client(Reach::Loopback));
    let to = |path| Request::get(server.join(path).unwrap());
    fails(client.send(to("/large")).await, "larger than 1024 bytes");
    fails(client.send(to("/never")).await, "within 500 ms");
    fails(client.send(to("/loop")).await, "more than 3 redirects");
    let file = Request::get(Url::parse("file:///etc/passwd").unwrap());
    fails(client.send(file).await, "expected an `http` or `https` address");
}
