//! What is sent, what comes back, and why nothing did.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use url::Url;

/// The methods upstreams need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Send; never repeated by the client itself.
    Post,
    /// Put in the place of what is there.
    Put,
    /// Remove.
    Delete,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// Where; `http` or `https`.
    pub url: Url,
    /// Headers, in order. Sent to the first host only, never across a redirect to another.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// Asks to read `url`.
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self { method: Method::Get, url, headers: Vec::new(), body: Bytes::new() }
    }

    /// Asks to send `body` to `url`.
    #[must_use]
    pub fn post(url: Url, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { method: Method::Post, url, headers, body: body.into() }
    }

    /// The same request with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The value of `Content-Type`, if any.
    pub content_type: Option<String>,
    /// How long the upstream asked to wait, if it did.
    pub retry_after: Option<Duration>,
    /// The whole body.
    pub body: Bytes,
}

/// An answer whose body is read as it comes.
pub struct StreamedResponse {
    /// The status code.
    pub status: u16,
    /// The pieces of the body, in order, until the upstream ends it.
    pub body: BoxStream<'static, Result<Bytes, OutboundError>>,
}

impl std::fmt::Debug for StreamedResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamedResponse").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The address is not one to send a request to.
    #[error("expected an `http` or `https` address with a host, got `{0}`")]
    Address(String),
    /// The host is, or resolves to, an address outside the client's reach.
    #[error("`{host}` is at {address}, which this client may not talk to")]
    Forbidden {
        /// The host as it was named.
        host: String,
        /// The offending address.
        address: IpAddr,
    },
    /// Too many redirects in a row.
    #[error("more than {0} redirects")]
    Redirects(usize),
    /// The body is larger than the limit.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// It took longer than the limit.
    #[error("no complete answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// The connection failed.
    #[error("could not talk to `{host}`: {source}")]
    Connection {
        /// The host as it was named.
        host: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
