//! A crowd connects, says half of a request and waits: whoever has something to say gets in.

use outbound::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Installation, PATIENCE, eventually};

/// Files that the server may have open: 256, of which it needs a few dozen for itself.
const FILES: u32 = 256;

/// Connections of the crowd: 400, more than the server can have open at all.
const CROWD: usize = 400;

#[tokio::test]
async fn a_crowd_that_says_half_of_a_request_keeps_nobody_out() {
    let installation = Installation::new().with("CALLBOARD_HTTP_HEAD_TIME_MAX_MS", "500");
    let server = installation.up().await;
    let api = server.api("");
    server.limit_files(FILES);
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let mut stream = TcpStream::connect(installation.address()).await.expect("it listens");
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await.expect("half is said");
        crowd.push(stream);
    }
    eventually("somebody with something to say gets in", async || {
        let answer = api.send(Request::get(server.url("/healthz"))).await;
        answer.ok().filter(|it| it.status == 200)
    })
    .await;
    for mut stream in crowd {
        let mut said = Vec::new();
        // A connection that is reset is closed too.
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
        assert!(closed.is_ok(), "a half-said request is still waited for");
    }
    server.stop().await;
}
