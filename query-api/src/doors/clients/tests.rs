//! Doors behind a proxy and beside it, over plain sockets.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::WebSocket;
use axum::routing::get;
use axum::serve::Listener;
use axum::{Extension, Router, middleware};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::doors::connections::{Connections, serve};
use crate::testing::soon;

const PROXY: &str = "192.0.2.1";

/// Connections as if they all came from one address.
struct From(TcpListener, IpAddr);

impl Listener for From {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (stream, from) = Listener::accept(&mut self.0).await;
        (stream, SocketAddr::new(self.1, from.port()))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A door that trusts the proxy, for connections from `peer`, of which each client may have two.
async fn door(peer: &str) -> (SocketAddr, CancellationToken) {
    let silent = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(async |mut socket: WebSocket| while socket.recv().await.is_some() {})
    };
    let endless = || async { Body::from_stream(futures::stream::pending::<io::Result<String>>()) };
    let told = |Extension(client): Extension<ClientAddress>| async move {
        client.0.map_or("nobody".to_owned(), |it| it.to_string())
    };
    let router = Router::new()
        .route("/", get(told))
        .route("/endless", get(endless))
        .route("/silent", get(silent))
        .layer(middleware::from_fn(tell));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
    let proxies = PROXY.parse().unwrap();
    let connections = Connections { most_per_address: 2, proxies, ..Connections::of_peers() };
    let listener = From(listener, peer.parse().unwrap());
    tokio::spawn(serve(listener, router, connections, shutdown.clone()));
    (address, shutdown)
}

/// Begins a request.
async fn ask(door: SocketAddr, path: &str, forwarded: &str) -> TcpStream {
    let mut stream = TcpStream::connect(door).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{forwarded}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The status and the body of an answer; none if the door was closed at once.
async fn answer(door: SocketAddr, forwarded: &str) -> Option<(String, String)> {
    let mut answer = String::new();
    let mut stream = ask(door, "/", forwarded).await;
    drop(soon(stream.read_to_string(&mut answer)).await);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head[9..12].to_owned(), body.to_owned()))
}

#[tokio::test]
async fn who_asks_is_told_by_a_proxy_and_by_nobody_else() {
    let (proxied, _open) = door(PROXY).await;
    let (beside, _open) = door("203.0.113.9").await;
    let (here, _open) = door("127.0.0.1").await;
    let own = "X-Forwarded-For: 198.51.100.66\r\n";
    let added = format!("{own}x-forwarded-for: 203.0.113.5\r\nForwarded: for=198.51.100.7\r\n");
    let malformed = "X-Forwarded-For: nobody\r\n";
    for (door, forwarded, expected) in [
        (proxied, own, ("200", "198.51.100.66")),
        (proxied, &added, ("200", "203.0.113.5")),
        (proxied, "", ("200", "nobody")),
        (beside, own, ("200", "203.0.113.9")),
        (beside, malformed, ("200", "203.0.113.9")),
        (here, own, ("200", "nobody")),
    ] {
        let answer = answer(door, forwarded).await.unwrap();
        assert_eq!((answer.0.as_str(), answer.1.as_str()), expected, "{forwarded}");
    }
    assert_eq!(answer(proxied, malformed).await.unwrap().0, "400");
}

/// The status once it is `expected`, for who leaves makes room a moment later.
async fn soon_answered(door: SocketAddr, forwarded: &str, expected: &str) {
    let answered = async {
        while answer(door, forwarded).await.unwrap().0 != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(answered).await;
}

#[tokio::test]
async fn of_what_a_proxy_passes_on_each_client_has_its_part() {
    let (address, _open) = door(PROXY).await;
    let (greedy, other) = ("X-Forwarded-For: 203.0.113.5\r\n", "X-Forwarded-For: 203.0.113.6\r\n");
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = ask(address, "/endless", greedy).await;
        // Its head is there, so it is being served.
        soon(stream.read_exact(&mut [0; 12])).await.unwrap();
        held.push(stream);
    }
    assert_eq!(answer(address, greedy).await.unwrap().0, "429");
    assert_eq!(answer(address, other).await.unwrap().0, "200");
    held.clear();
    soon_answered(address, greedy, "200").await;

    // So it is over WebSockets, as long as each of them is open.
    let open = async || {
        let mut request = format!("ws://{address}/silent").into_client_request().unwrap();
        request.headers_mut().insert("x-forwarded-for", "203.0.113.5".parse().unwrap());
        soon(tokio_tungstenite::connect_async(request)).await.unwrap()
    };
    let (first, second) = (open().await, open().await);
    assert_eq!(answer(address, greedy).await.unwrap().0, "429");
    drop((first, second));
    soon_answered(address, greedy, "200").await;
}
