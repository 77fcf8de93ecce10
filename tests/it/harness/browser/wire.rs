//! One request and its answer, over plain HTTP to this machine, whatever name it is asked by.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::harness::PATIENCE;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(super) method: String,
    pub(super) url: Url,
    pub(super) headers: Vec<(String, String)>,
    body: String,
}

/// What is answered. Names of headers are in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn get(url: &Url) -> Self {
        let (url, headers) = (url.clone(), Vec::new());
        Self { method: "GET".to_owned(), url, headers, body: String::new() }
    }

    pub(crate) fn form(url: &Url, fields: &[(String, String)]) -> Self {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        Self::with("POST", url, "application/x-www-form-urlencoded", body)
    }

    pub(crate) fn json(method: &str, url: &Url, body: &Value) -> Self {
        Self::with(method, url, "application/json", body.to_string())
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn with(method: &str, url: &Url, kind: &str, body: String) -> Self {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        Self { method: method.to_owned(), url: url.clone(), headers, body }
    }

    fn text(&self) -> String {
        let (url, length) = (&self.url, self.body.len());
        let query = url.query().map(|it| format!("?{it}")).unwrap_or_default();
        let (path, authority) = (url.path(), url.authority());
        let method = &self.method;
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let headers: String = headers.collect();
        format!(
            "{method} {path}{query} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\
             content-length: {length}\r\n{headers}\r\n{}",
            self.body
        )
    }
}

/// Sends a request and reads its answer.
pub(crate) fn exchange(asked: &Asked) -> io::Result<Answer> {
    let port = asked.url.port_or_known_default().unwrap_or_default();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(asked.text().as_bytes())?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said)?;
    read(&said).ok_or_else(|| io::Error::other("the answer is not whole"))
}

fn read(said: &[u8]) -> Option<Answer> {
    let end = said.windows(4).position(|it| it == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&said[..end]).ok()?;
    let body = &said[end + 4..];
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let lines = head.lines().skip(1).filter_map(|it| it.split_once(':'));
    let headers: Vec<(String, String)> =
        lines.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let value = |name: &str| headers.iter().find(|it| it.0 == name).map(|it| it.1.as_str());
    let body = match (value("transfer-encoding"), value("content-length")) {
        (Some("chunked"), _) => whole(body)?,
        (_, Some(length)) => body.get(..length.parse().ok()?)?.to_vec(),
        _ => body.to_vec(),
    };
    Some(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// A body that was sent piece by piece.
fn whole(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|it| it == b"\r\n")?;
        let length = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?;
        let length = usize::from_str_radix(length.trim(), 16).ok()?;
        rest = &rest[end + 2..];
        if length == 0 {
            return Some(body);
        }
        body.extend(rest.get(..length)?);
        rest = rest.get(length + 2..)?;
    }
}
