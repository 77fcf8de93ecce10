//! Doors as whoever connects without saying anything proper finds them, over plain sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use axum::extract::WebSocketUpgrade;
use axum::extract::ws::WebSocket;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use futures::{SinkExt, StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::testing::soon;

/// Long enough that no test sees its end. In seconds: 3,600.
const HOUR: Duration = Duration::from_secs(3_600);

/// So short that a test can wait for its end. In milliseconds: 100.
const MOMENT: Duration = Duration::from_millis(100);

const HALF: &[u8] = b"GET / HTTP/1.1\r\nHost: callboard\r\n";

const WHOLE: &[u8] = b"GET / HTTP/1.1\r\nHost: callboard\r\n\r\n";

/// So many at a time, with `head_time_max` for each head and an hour between requests.
fn at_most(most: usize, head_time_max: Duration) -> Connections {
    Connections {
        most,
        most_per_address: most,
        proxies: Proxies::default(),
        head_time_max,
        idle_time_max: HOUR,
        sent_time_max: Connections::SENT_TIME_MAX,
    }
}

/// Connections as if they came from elsewhere.
struct Elsewhere {
    listener: TcpListener,
    /// From where, one after the other; then from where they come.
    come: Vec<IpAddr>,
}

impl Listener for Elsewhere {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (stream, from) = Listener::accept(&mut self.listener).await;
        let address = if self.come.is_empty() { from.ip() } else { self.come.remove(0) };
        (stream, SocketAddr::new(address, from.port()))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A door with rooms behind it that answer at once, without end, and over a WebSocket.
async fn door(connections: Connections) -> (SocketAddr, CancellationToken) {
    door_to(connections, Vec::new()).await
}

/// The same for connections that come from `come`, one after the other.
async fn door_to(connections: Connections, come: Vec<IpAddr>) -> (SocketAddr, CancellationToken) {
    let endless = || async {
        let pieces = stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from(vec![b'x'; 65_536])));
        Response::new(Body::from_stream(pieces))
    };
    let echoing = |upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) };
    let router = Router::new()
        .route("/", get(|| async { "come in" }))
        .route("/endless", get(endless))
        .route("/echo", get(echoing));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let listener = Elsewhere { listener, come };
    tokio::spawn(serve(listener, router, connections, shutdown.clone()));
    (address, shutdown)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

async fn connected(address: SocketAddr, says: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(says).await.unwrap();
    stream
}

/// What comes until the other end closes.
async fn all_of(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A connection that is reset is closed too.
    drop(soon(stream.read_to_end(&mut all)).await);
    String::from_utf8(all).unwrap()
}

/// What a proper caller is answered.
async fn asked(address: SocketAddr) -> String {
    let request = b"GET / HTTP/1.1\r\nHost: callboard\r\nConnection: close\r\n\r\n";
    all_of(&mut connected(address, request).await).await
}

/// Takes the answer to one request of a connection that stays open.
async fn answered(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"come in") {
        let mut byte = [0];
        soon(stream.read_exact(&mut byte)).await.unwrap();
        answer.push(byte[0]);
    }
}

#[track_caller]
fn let_in(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("come in"), "{answer}");
}

#[tokio::test]
async fn who_does_not_finish_the_head_of_a_request_is_shown_out() {
    let (address, _shutdown) = door(at_most(8, MOMENT)).await;
    for says in [&b""[..], b"G", HALF, b"PRI * HTTP/2.0\r\n"] {
        let answer = all_of(&mut connected(address, says).await).await;
        assert!(!answer.contains("come in"), "{answer}");
    }
    let mut known = connected(address, WHOLE).await;
    answered(&mut known).await;
    known.write_all(HALF).await.unwrap();
    assert_eq!(all_of(&mut known).await, "");
}

#[tokio::test]
async fn who_asks_nothing_more_for_longer_than_a_head_may_take_may_ask_again() {
    let (address, _shutdown) = door(at_most(8, MOMENT)).await;
    let mut idle = connected(address, WHOLE).await;
    for _ in 0..3 {
        answered(&mut idle).await;
        // Closed for the time it took, so that time has passed for the other too.
        all_of(&mut connected(address, HALF).await).await;
        idle.write_all(WHOLE).await.unwrap();
    }
    answered(&mut idle).await;
}

#[tokio::test]
async fn who_asks_nothing_more_for_too_long_is_shown_out() {
    let connections = Connections { idle_time_max: MOMENT, ..at_most(8, HOUR) };
    let (address, _shutdown) = door(connections).await;
    let after_a_request = [WHOLE, HALF].concat();
    for says in [WHOLE, &after_a_request] {
        let_in(&all_of(&mut connected(address, says).await).await);
    }
}

#[tokio::test]
async fn an_address_that_has_its_part_of_the_places_leaves_others_theirs() {
    let here = IpAddr::from([192, 0, 2, 1]);
    let there = IpAddr::from([192, 0, 2, 2]);
    let connections = Connections { most_per_address: 2, ..at_most(3, HOUR) };
    let come = vec![here, here, here, there, there];
    let (address, _shutdown) = door_to(connections, come).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut one = connected(address, WHOLE).await;
        answered(&mut one).await;
        held.push(one);
    }
    assert_eq!(asked(address).await, "", "three were let in where two may be");
    let_in(&asked(address).await);
    let_in(&asked(address).await);
}

#[tokio::test]
async fn a_full_house_of_half_said_requests_lets_others_in_after_their_time() {
    let (address, _shutdown) = door(at_most(4, MOMENT)).await;
    let mut crowd = Vec::new();
    for _ in 0..20 {
        crowd.push(connected(address, HALF).await);
    }
    let_in(&asked(address).await);
}

#[tokio::test]
async fn who_comes_to_a_full_house_waits_until_somebody_leaves() {
    let (address, _shutdown) = door(at_most(1, HOUR)).await;
    let mut first = connected(address, WHOLE).await;
    answered(&mut first).await;
    let mut second = tokio::spawn(asked(address));
    let early = tokio::time::timeout(MOMENT, &mut second).await;
    assert!(early.is_err(), "two were let in where one may be");
    drop(first);
    let_in(&soon(second).await.unwrap());
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_makes_room_for_others() {
    let connections = Connections { sent_time_max: MOMENT, ..at_most(1, HOUR) };
    let (address, _shutdown) = door(connections).await;
    let request = b"GET /endless HTTP/1.1\r\nHost: callboard\r\n\r\n";
    let _silent = connected(address, request).await;
    let_in(&asked(address).await);
}

#[tokio::test]
async fn what_goes_on_outlasts_the_time_of_a_head() {
    let (address, _shutdown) = door(at_most(3, MOMENT)).await;
    let url = format!("ws://{address}/echo");
    let (mut socket, _) = soon(tokio_tungstenite::connect_async(url)).await.unwrap();
    let request = b"GET /endless HTTP/1.1\r\nHost: callboard\r\n\r\n";
    let mut endless = connected(address, request).await;
    let mut some = vec![0; 65_536];
    for round in 0..3 {
        // Closed for the time it took, so that time has passed for the others too.
        let mut half = connected(address, HALF).await;
        tokio::select! {
            _ = all_of(&mut half) => {}
            () = async { while endless.read(&mut some).await.unwrap() > 0 {} } => panic!("it ended"),
        }
        soon(socket.send(Message::text(round.to_string()))).await.unwrap();
        let echoed = soon(socket.next()).await.unwrap().unwrap();
        assert_eq!(echoed, Message::text(round.to_string()));
    }
}

#[tokio::test]
async fn a_web_socket_has_its_place_until_it_is_closed() {
    let (address, _shutdown) = door(at_most(1, HOUR)).await;
    let url = format!("ws://{address}/echo");
    let (socket, _) = soon(tokio_tungstenite::connect_async(url)).await.unwrap();
    let mut other = tokio::spawn(asked(address));
    let early = tokio::time::timeout(MOMENT, &mut other).await;
    assert!(early.is_err(), "two were let in where one may be");
    drop(socket);
    let_in(&soon(other).await.unwrap());
}

#[tokio::test]
async fn a_door_that_closes_answers_what_was_asked_and_lets_nobody_in() {
    let (entered, released) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, waits) = (Arc::clone(&entered), Arc::clone(&released));
    let slow = move || {
        let (told, waits) = (Arc::clone(&told), Arc::clone(&waits));
        async move {
            told.notify_one();
            waits.notified().await;
            "come in"
        }
    };
    let router = Router::new().route("/", get(slow));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let connections = at_most(8, HOUR);
    let serving = tokio::spawn(serve(listener, router, connections, shutdown.clone()));
    let idle = connected(address, b"").await;
    let mut waiting = connected(address, WHOLE).await;
    soon(entered.notified()).await;
    shutdown.cancel();
    assert_eq!(all_of(&mut { idle }).await, "");
    released.notify_one();
    let_in(&all_of(&mut waiting).await);
    soon(serving).await.unwrap();
}
