//! The client for other processes of the same installation.
//!
//! Both ends prove with certificates of one authority, the installation's own, that they belong to
//! it; nobody else is talked to, and no certificate of the system counts. It follows no redirect
//! and repeats nothing. It does **not** know what is sent, or whom to ask.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::tls::{Certificate, Identity, Version};

use crate::client::{Limits, read};
use crate::request::Response;

/// The longest a connection may take to come about. In seconds: 2, for peers are near, and whoever
/// waits has an answer to give.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);

/// How long a connection is kept that nothing is sent over. In seconds: 60.
const IDLE_TIME_MAX: Duration = Duration::from_secs(60);

/// Connections to one peer that are kept while nothing is sent over them: 64.
const IDLE_MAX: usize = 64;

/// What a process proves with that it is one of the installation, in PEM.
#[derive(Clone)]
pub struct PeerIdentity {
    /// The certificates of the installation's authority.
    pub authorities: Vec<u8>,
    /// The process's own certificate, with those between it and the authority.
    pub certificate: Vec<u8>,
    /// The key of its own certificate.
    pub key: Vec<u8>,
}

impl fmt::Debug for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerIdentity").finish_non_exhaustive()
    }
}

/// Why a peer cannot be talked to at all.
#[derive(Debug, thiserror::Error)]
#[error("the certificates of the cluster cannot be used: {0}")]
pub struct PeerIdentityError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Why there is no answer of a peer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Nothing was sent: there was no connection, or the address is none.
    #[error("could not connect to the peer `{address}`: {source}")]
    NotSent {
        /// The address, as it was given.
        address: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The peer may have received the request, and done what it asks for.
    #[error("no answer of the peer `{address}`: {source}")]
    NoAnswer {
        /// The address, as it was given.
        address: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A client for peers. Cheap to clone; connections are kept and shared.
#[derive(Clone, Debug)]
pub struct PeerClient {
    inner: reqwest::Client,
    limits: Limits,
}

impl PeerClient {
    /// A client that proves to be `identity`. Of the limits, redirects mean nothing here.
    ///
    /// # Errors
    ///
    /// [`PeerIdentityError`] if the certificates or the key are not PEM, or do not fit together.
    pub fn new(identity: &PeerIdentity, limits: Limits) -> Result<Self, PeerIdentityError> {
        let unusable = |it: reqwest::Error| PeerIdentityError(it.into());
        let authorities = Certificate::from_pem_bundle(&identity.authorities).map_err(unusable)?;
        if authorities.is_empty() {
            return Err(PeerIdentityError("there is no certificate of the authority".into()));
        }
        let own = [&identity.certificate[..], b"\n", &identity.key[..]].concat();
        let inner = reqwest::Client::builder()
            .tls_certs_only(authorities)
            .identity(Identity::from_pem(&own).map_err(unusable)?)
            .tls_version_min(Version::TLS_1_3)
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIME_MAX.min(limits.time))
            .pool_idle_timeout(IDLE_TIME_MAX)
            .pool_max_idle_per_host(IDLE_MAX)
            .user_agent(concat!("callboard/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(unusable)?;
        Ok(Self { inner, limits })
    }

    /// Posts JSON to `path` at `address`, a host and a port, with the credential of whoever asks,
    /// if anybody does.
    ///
    /// # Errors
    ///
    /// [`PeerError`] says whether the request may have been received.
    pub async fn post(
        &self,
        address: &str,
        path: &str,
        authorization: Option<&str>,
        body: Bytes,
    ) -> Result<Response, PeerError> {
        let not_sent = |source| PeerError::NotSent { address: address.to_owned(), source };
        let mut request = self
            .inner
            .post(format!("https://{address}{path}"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body);
        if let Some(authorization) = authorization {
            let mut value =
                HeaderValue::from_str(authorization).map_err(|it| not_sent(it.into()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        // What is no address is found here, before anything is sent.
        let request = request.build().map_err(|it| not_sent(it.into()))?;
        let answered = tokio::time::timeout(self.limits.time, self.exchange(address, request));
        answered.await.unwrap_or_else(|_| {
            let waited = self.limits.time.as_millis();
            let source = format!("nothing came within {waited} ms").into();
            Err(PeerError::NoAnswer { address: address.to_owned(), source })
        })
    }

    async fn exchange(
        &self,
        address: &str,
        request: reqwest::Request,
    ) -> Result<Response, PeerError> {
        let address = || address.to_owned();
        let answer = self.inner.execute(request).await.map_err(|error| {
            let connected = !error.is_connect();
            let source = error.without_url().into();
            if connected {
                PeerError::NoAnswer { address: address(), source }
            } else {
                PeerError::NotSent { address: address(), source }
            }
        })?;
        let read = read(&address(), answer, self.limits.body_bytes).await;
        read.map_err(|it| PeerError::NoAnswer { address: address(), source: it.into() })
    }
}

#[cfg(test)]
mod tests;
