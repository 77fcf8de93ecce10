//! Sending a request: resolve, check, connect to what was checked, bound everything.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use futures::StreamExt;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header;
use url::{Host, Url};

use crate::address::Reach;
use crate::request::{Method, OutboundError, Request, Response, StreamedResponse};

/// What one request may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time for the whole exchange.
    pub time: Duration,
    /// Bytes of the answer's body.
    pub body_bytes: usize,
    /// Redirects followed.
    pub redirects: usize,
}

impl Default for Limits {
    /// 30 seconds, 16 MiB, 5 redirects.
    fn default() -> Self {
        Self { time: Duration::from_secs(30), body_bytes: 16 * 1024 * 1024, redirects: 5 }
    }
}

/// An HTTP client that reaches only where it may. Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct Client {
    inner: reqwest::Client,
    reach: Reach,
    limits: Limits,
    /// The last address a name was refused for, to say so instead of "connection failed".
    refusals: Refusals,
}

type Refusals = Arc<Mutex<Vec<(String, std::net::IpAddr)>>>;

/// How many refused names are remembered for error messages.
const REFUSALS_MAX: usize = 32;

impl Client {
    /// A client with this reach and these limits.
    #[must_use]
    pub fn new(reach: Reach, limits: Limits) -> Self {
        let refusals = Refusals::default();
        let resolver = CheckedResolver { reach, refusals: Arc::clone(&refusals) };
        let inner = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(resolver))
            .connect_timeout(limits.time.min(Duration::from_secs(10)))
            .user_agent(concat!("callboard/", env!("CARGO_PKG_VERSION")))
            .build()
            .expect("the settings above are constant and valid");
        Self { inner, reach, limits, refusals }
    }

    /// Sends `request` and reads the whole answer, whatever its status.
    ///
    /// # Errors
    ///
    /// [`OutboundError`] if there was no complete answer within the limits.
    pub async fn send(&self, request: Request) -> Result<Response, OutboundError> {
        let late = |_| OutboundError::Late(self.limits.time);
        tokio::time::timeout(self.limits.time, self.exchange(request)).await.map_err(late)?
    }

    /// Sends `request` and hands the answer's body on as it comes, for as long as it lasts.
    /// Only the wait for its beginning is bounded.
    ///
    /// # Errors
    ///
    /// [`OutboundError`] if no answer began within the time limit.
    pub async fn stream(&self, request: Request) -> Result<StreamedResponse, OutboundError> {
        let late = |_| OutboundError::Late(self.limits.time);
        let follow = self.follow(request);
        let (host, answer) =
            tokio::time::timeout(self.limits.time, follow).await.map_err(late)??;
        let status = answer.status().as_u16();
        let broken = move |source| connection(&host, source);
        let body = answer.bytes_stream().map(move |it| it.map_err(&broken)).boxed();
        Ok(StreamedResponse { status, body })
    }

    async fn exchange(&self, request: Request) -> Result<Response, OutboundError> {
        let (host, answer) = self.follow(request).await?;
        read(&host, answer, self.limits.body_bytes).await
    }

    /// Follows redirects, each checked like the first address.
    async fn follow(
        &self,
        mut request: Request,
    ) -> Result<(String, reqwest::Response), OutboundError> {
        for _ in 0..=self.limits.redirects {
            let host = self.check(&request.url)?;
            let answer = self.send_once(&host, &request).await?;
            let Some(next) = redirect(&request.url, &answer) else {
                return Ok((host, answer));
            };
            request = redirected(request, next);
        }
        Err(OutboundError::Redirects(self.limits.redirects))
    }

    async fn send_once(
        &self,
        host: &str,
        request: &Request,
    ) -> Result<reqwest::Response, OutboundError> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder = self.inner.request(method, request.url.clone());
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let sent = builder.body(request.body.clone()).send().await;
        sent.map_err(|source| self.refused(host).unwrap_or_else(|| connection(host, source)))
    }

    /// Checks what can be checked before a name is resolved, and answers with the host.
    fn check(&self, url: &Url) -> Result<String, OutboundError> {
        let malformed = || OutboundError::Address(url.as_str().chars().take(256).collect());
        if !matches!(url.scheme(), "http" | "https") {
            return Err(malformed());
        }
        let host = url.host().ok_or_else(malformed)?;
        let address = match host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        };
        match address {
            Some(address) if !self.reach.allows(address) => {
                Err(OutboundError::Forbidden { host: host.to_string(), address })
            }
            Some(_) | None => Ok(host.to_string()),
        }
    }

    /// The refusal of `host`, if that is why its connection failed.
    fn refused(&self, host: &str) -> Option<OutboundError> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let index = refusals.iter().position(|(name, _)| name == host)?;
        let (host, address) = refusals.swap_remove(index);
        Some(OutboundError::Forbidden { host, address })
    }
}

/// The whole answer, whose body may have so many bytes.
pub(crate) async fn read(
    host: &str,
    answer: reqwest::Response,
    bytes_max: usize,
) -> Result<Response, OutboundError> {
    let text = |name| answer.headers().get(name).and_then(|it| it.to_str().ok());
    let content_type = text(header::CONTENT_TYPE).map(str::to_owned);
    let retry_after =
        text(header::RETRY_AFTER).and_then(|it| it.parse().ok()).map(Duration::from_secs);
    let status = answer.status().as_u16();
    let mut body = BytesMut::new();
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|source| connection(host, source))?;
        if body.len() + piece.len() > bytes_max {
            return Err(OutboundError::TooLarge(bytes_max));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Response { status, content_type, retry_after, body: body.freeze() })
}

fn connection(host: &str, source: reqwest::Error) -> OutboundError {
    OutboundError::Connection { host: host.to_owned(), source: source.without_url().into() }
}

/// Where an answer sends the client, if it does.
fn redirect(from: &Url, answer: &reqwest::Response) -> Option<Url> {
    let moved = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let target = answer.headers().get(header::LOCATION).filter(|_| moved)?;
    from.join(target.to_str().ok()?).ok()
}

/// The request after a redirect: never with the first host's headers or body at another host.
fn redirected(request: Request, next: Url) -> Request {
    let same_origin = request.url.origin() == next.origin();
    if same_origin { Request { url: next, ..request } } else { Request::get(next) }
}

/// Resolves a name and lets through only addresses within reach. The connection is made to
/// exactly these, so a name that answers differently the next time gains nothing.
struct CheckedResolver {
    reach: Reach,
    refusals: Refusals,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, refusals) = (self.reach, Arc::clone(&self.refusals));
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            if let Some(outside) = found.iter().find(|it| !reach.allows(it.ip())) {
                let mut refusals = refusals.lock().unwrap_or_else(PoisonError::into_inner);
                refusals.truncate(REFUSALS_MAX - 1);
                refusals.push((host, outside.ip()));
                return Err("the name resolves to an address out of reach".into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
