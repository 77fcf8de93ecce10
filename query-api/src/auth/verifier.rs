//! From the head of a request to a [`Session`], or a refusal that says what to do.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::Data;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use chrono::{DateTime, Utc};
use domain::{Grants, Principal};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};
use vault::Keyring;

use super::{Credential, token};
use crate::context::{Asked, Context};
use crate::transport::{Authenticator, Caller, Refusal};
use crate::turns::{Turn, Turns};

/// A verified credential: who it grants to be, and until when.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who asks, and for which tenant.
    pub principal: Principal,
    /// When the credential ends.
    pub expires_at: DateTime<Utc>,
    /// The credential, for the process that decides what is asked: it verifies it again.
    pub credential: Credential,
}

impl Session {
    /// The same text for the same principal and no other.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.principal.tenant(), self.principal.actor())
    }
}

/// Verifies the credentials this installation accepts: a closed list.
#[derive(Clone)]
pub struct Verifier {
    keyring: Keyring,
    known: Arc<Mutex<HashMap<Box<str>, Session>>>,
}

/// Tokens that are remembered as verified: 4,096, some 3 MiB. Checking a signature costs more
/// than anything else about a small request.
const KNOWN_MAX: usize = 4_096;

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier with the installation's own issuer.
    #[must_use]
    pub fn new(keyring: Keyring) -> Self {
        Self { keyring, known: Arc::default() }
    }

    /// Who sent a request with these headers; none without a credential.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if there is more than one credential or it is not accepted.
    pub fn session(&self, headers: &HeaderMap) -> Result<Option<Session>, Refusal> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(refusal(StatusCode::BAD_REQUEST, "expected one `Authorization` header"));
        }
        let text = value.to_str().ok();
        let text = text.ok_or_else(|| unauthenticated("`Authorization` is not text"))?;
        self.bearer(text).map(Some)
    }

    /// Who holds `Bearer <token>`.
    fn bearer(&self, text: &str) -> Result<Session, Refusal> {
        let token = text
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| unauthenticated("expected `Authorization: Bearer <token>`"))?;
        if let Some(session) = self.remembered(token) {
            return Ok(session);
        }
        let claims = token::verify(self.keyring.issuer(), token)
            .map_err(|error| unauthenticated(&error.to_string()))?;
        let grants = Arc::new(Grants::of_owner(claims.tenant));
        let principal = Principal::member(claims.tenant, claims.actor, grants);
        let credential = Credential::bearer(token);
        let session = Session { principal, expires_at: claims.expires_at, credential };
        self.remember(token, &session);
        Ok(session)
    }

    /// Who was found to hold exactly this token, if it still holds.
    fn remembered(&self, token: &str) -> Option<Session> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(token).filter(|it| it.expires_at > Utc::now()).cloned()
    }

    fn remember(&self, token: &str, session: &Session) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(token.into(), session.clone());
    }
}

fn refusal(status: StatusCode, message: &str) -> Refusal {
    let headers = match status {
        StatusCode::UNAUTHORIZED => {
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            vec![(header::WWW_AUTHENTICATE, challenge)]
        }
        _ => Vec::new(),
    };
    Refusal { status, code: "UNAUTHENTICATED", message: message.to_owned(), headers }
}

fn unauthenticated(message: &str) -> Refusal {
    refusal(StatusCode::UNAUTHORIZED, message)
}

/// A caller of the GraphQL door: a session with what its operations need.
struct GraphqlCaller {
    name: String,
    session: Session,
    context: Context,
    asked: Asked,
    turn: Turn,
}

impl Caller for GraphqlCaller {
    fn principal(&self) -> &str {
        &self.name
    }

    fn attach(&self, data: &mut Data) {
        let request = self.context.request(self.session.clone(), self.asked.clone());
        request.attach(data);
    }

    fn turn(&self) -> Option<Turn> {
        Some(self.turn.clone())
    }

    fn ended(&self) -> BoxFuture<'static, ()> {
        let left = (self.session.expires_at - Utc::now()).to_std().unwrap_or_default();
        tokio::time::sleep(left).boxed()
    }
}

/// Lets callers into the GraphQL door.
pub(crate) struct GraphqlAuthenticator {
    pub(crate) verifier: Verifier,
    pub(crate) context: Context,
    pub(crate) turns: Turns,
}

impl GraphqlAuthenticator {
    fn caller(&self, session: Session, head: &Parts) -> Arc<dyn Caller> {
        Arc::new(GraphqlCaller {
            name: session.name(),
            turn: self.turns.of(Some(session.principal.tenant())),
            session,
            context: self.context.clone(),
            asked: Asked::of(&head.headers),
        })
    }
}

#[async_trait::async_trait]
impl Authenticator for GraphqlAuthenticator {
    async fn authenticate(&self, head: &Parts) -> Result<Option<Arc<dyn Caller>>, Refusal> {
        Ok(self.verifier.session(&head.headers)?.map(|it| self.caller(it, head)))
    }

    /// A browser cannot set headers on a WebSocket, so `connection_init` may carry the token;
    /// one that was authenticated in the handshake cannot become somebody else.
    async fn connection_init(
        &self,
        head: &Parts,
        present: Option<Arc<dyn Caller>>,
        payload: Option<&Map<String, Value>>,
    ) -> Result<Arc<dyn Caller>, Refusal> {
        let text = payload.and_then(|it| it.get("authorization")).and_then(Value::as_str);
        match (present, text) {
            (Some(present), None) => Ok(present),
            (None, Some(text)) => Ok(self.caller(self.verifier.bearer(text)?, head)),
            (None, None) => Err(Refusal::unauthenticated()),
            (Some(_), Some(_)) => {
                Err(refusal(StatusCode::BAD_REQUEST, "expected one credential, got two"))
            }
        }
    }
}
