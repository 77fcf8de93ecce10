//! A client that sends exactly what a test says: HTTP/1.1 by hand.

use std::fmt::Write as _;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::fixture::{Server, within};

/// One request.
#[derive(Clone)]
pub(super) struct Call {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// One answer whose body has been read to its end.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Call {
    pub(super) fn new(method: &'static str, target: &str) -> Self {
        Self { method, target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// A `POST` of JSON.
    pub(super) fn post(body: impl Into<Vec<u8>>) -> Self {
        let mut call = Self::new("POST", "/graphql").header("content-type", "application/json");
        call.body = body.into();
        call
    }

    /// A `POST` of a request that has nothing but a document.
    pub(super) fn document(query: &str) -> Self {
        Self::post(serde_json::json!({ "query": query }).to_string())
    }

    /// A `GET` with these parameters.
    pub(super) fn get(parameters: &[(&str, &str)]) -> Self {
        let query =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        Self::new("GET", &format!("/graphql?{query}"))
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn without_header(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    pub(super) fn accept(self, media: &str) -> Self {
        self.header("accept", media)
    }

    pub(super) fn by(self, name: &str) -> Self {
        self.header("authorization", &format!("Bearer {name}"))
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut head =
            format!("{} {} HTTP/1.1\r\nhost: callboard.test\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        write!(head, "content-length: {}\r\nconnection: close\r\n\r\n", self.body.len()).unwrap();
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it and reads all of the answer.
    pub(super) async fn send(&self, server: &Server) -> Reply {
        within(async {
            let mut response = self.open(server).await;
            let mut body = Vec::new();
            while let Some(bytes) = response.read().await {
                body.extend_from_slice(&bytes);
            }
            Reply { status: response.status, headers: response.headers, body }
        })
        .await
    }

    /// Sends it and reads only the head, whatever it says of a body.
    pub(super) async fn send_head(&self, server: &Server) -> Reply {
        let response = self.open(server).await;
        Reply { status: response.status, headers: response.headers, body: Vec::new() }
    }

    /// Sends it and reads the head of the answer.
    pub(super) async fn open(&self, server: &Server) -> Response {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(&self.bytes()).await.unwrap();
        within(Response::read_head(socket)).await
    }
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("not JSON ({error}): {}", String::from_utf8_lossy(&self.body))
        })
    }

    /// `extensions.code` of the first error.
    pub(super) fn code(&self) -> String {
        self.json()["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// An answer whose body is read as it comes.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    socket: BufReader<TcpStream>,
    /// Bytes of the body still to come; `None` if it comes in chunks.
    rest: Option<usize>,
    text: String,
}

impl Response {
    pub(super) async fn read_head(socket: TcpStream) -> Self {
        let mut socket = BufReader::new(socket);
        let mut headers = Vec::new();
        let status_line = line(&mut socket).await;
        let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
        loop {
            let line = line(&mut socket).await;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let chunked = find(&headers, "transfer-encoding").is_some();
        let length = find(&headers, "content-length").map_or(0, |it| it.parse().unwrap());
        let rest = (!chunked).then_some(length);
        Self { status, headers, socket, rest, text: String::new() }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The next bytes of the body, or nothing at its end.
    async fn read(&mut self) -> Option<Vec<u8>> {
        if let Some(rest) = self.rest.take() {
            self.rest = Some(0);
            let mut bytes = vec![0; rest];
            self.socket.read_exact(&mut bytes).await.ok()?;
            return (rest > 0).then_some(bytes);
        }
        let size = line(&mut self.socket).await;
        let size = usize::from_str_radix(&size, 16).ok()?;
        let mut bytes = vec![0; size + 2];
        self.socket.read_exact(&mut bytes).await.ok()?;
        bytes.truncate(size);
        (size > 0).then_some(bytes)
    }

    /// The next event or comment of an event stream, or nothing at its end.
    pub(super) async fn event(&mut self) -> Option<String> {
        within(async {
            loop {
                if let Some((event, rest)) = self.text.split_once("\n\n") {
                    let event = event.to_owned();
                    self.text = rest.to_owned();
                    return Some(event);
                }
                let bytes = self.read().await?;
                self.text.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        })
        .await
    }

    /// The data of the next event, which must have this name.
    pub(super) async fn data(&mut self, name: &str) -> Value {
        let event = self.event().await.expect("there is another event");
        let (first, data) = event.split_once('\n').unwrap();
        assert_eq!(first, format!("event: {name}"), "{event}");
        let data = data.strip_prefix("data:").unwrap().trim();
        if data.is_empty() { Value::Null } else { serde_json::from_str(data).unwrap() }
    }
}

async fn line(socket: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    // A connection that breaks off reads like one that ends.
    let _length = socket.read_line(&mut line).await;
    line.trim_end().to_owned()
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}
