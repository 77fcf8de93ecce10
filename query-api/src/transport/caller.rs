//! Who is asking, as far as a transport must know. How it is verified is not known here.

use std::future;
use std::sync::Arc;

use async_graphql::Data;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use futures::future::BoxFuture;
use serde_json::{Map, Value};

use super::problem::Problem;
use crate::turns::Turn;

/// An authenticated caller.
pub trait Caller: Send + Sync + 'static {
    /// The same text for the same principal and no other.
    ///
    /// Streams are counted and reservations bound by it. It is never shown to anybody.
    fn principal(&self) -> &str;

    /// Puts what resolvers need to know into the data of one operation.
    fn attach(&self, data: &mut Data);

    /// In whose turns work is done that does not end with its request; by default as it comes.
    #[doc(hidden)]
    fn turn(&self) -> Option<Turn> {
        None
    }

    /// The same with what it may do by now, for an operation that begins on a connection that was there
    /// before; by default that does not change.
    fn renewed(&self) -> Option<Arc<dyn Caller>> {
        None
    }

    /// Completes once the credential has expired or was revoked, or the caller may not do any more what
    /// it could; what is open is closed then.
    ///
    /// By default it lasts as long as what it opened.
    fn ended(&self) -> BoxFuture<'static, ()> {
        Box::pin(future::pending())
    }
}

/// Verifies credentials, wherever a protocol carries them.
#[async_trait::async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// Who sent a request with this head; `None` if it carries no credential at all.
    ///
    /// A browser sends cookies with a WebSocket handshake from any site: who accepts them must look
    /// at `Origin` too.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if there is a credential and it is not accepted.
    async fn authenticate(&self, head: &Parts) -> Result<Option<Arc<dyn Caller>>, Refusal>;

    /// Who speaks on a WebSocket after its `connection_init` with this payload.
    ///
    /// `present` is who [`authenticate`](Self::authenticate) found in the handshake. Whether a
    /// payload may add to that is decided here; by default nobody is let in who was not there before.
    ///
    /// # Errors
    ///
    /// [`Refusal`] closes the WebSocket with 4403.
    async fn connection_init(
        &self,
        head: &Parts,
        present: Option<Arc<dyn Caller>>,
        payload: Option<&Map<String, Value>>,
    ) -> Result<Arc<dyn Caller>, Refusal> {
        let (_, _) = (head, payload);
        present.ok_or_else(Refusal::unauthenticated)
    }
}

/// Why a caller is not let in. The caller reads all of it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// 401, 403, 429 or 503.
    pub status: StatusCode,
    /// `extensions.code` of the error.
    pub code: &'static str,
    /// What the caller can do about it.
    pub message: String,
    /// Headers of the answer, such as `WWW-Authenticate` or `Retry-After`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// There is no credential, or not one that anybody could accept.
    #[must_use]
    pub fn unauthenticated() -> Self {
        let challenge = (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: "UNAUTHENTICATED",
            message: "a credential is required".to_owned(),
            headers: vec![challenge],
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let mut problem = Self::new(refusal.status, refusal.code, refusal.message);
        problem.headers.extend(refusal.headers);
        problem
    }
}
