//! From the head of a request to a [`Session`], or a refusal that says what to do.
//!
//! What was [`Verified`] is remembered; what its subject may do is asked at each request.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::Data;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use chrono::{DateTime, Utc};
use commands::{CommandError, Commands};
use domain::Principal;
use domain::id::{ActorId, TenantId};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};
use vault::Keyring;

use super::api_key::{self, ApiKey};
use super::{Credential, token};
use crate::context::{Asked, Context};
use crate::transport::{Authenticator, Caller, Refusal};
use crate::turns::{Turn, Turns};

/// A credential that this installation has made: whom it names, and for which tenant.
#[derive(Clone, Debug)]
pub struct Verified {
    /// For which tenant.
    pub tenant: TenantId,
    /// Whom.
    actor: ActorId,
    kind: Kind,
    /// The credential itself.
    credential: Credential,
}

/// How a credential ends.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// At a time it says itself.
    Token { expires_at: DateTime<Utc> },
    /// As is known of the API key.
    ApiKey,
}

impl Verified {
    /// Asks what whom it names may do at this moment.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if that cannot be known here, or it is an API key that is good for nothing any
    /// more.
    pub async fn enter(self, commands: &Commands) -> Result<Session, Refusal> {
        let Self { tenant, actor, kind, credential } = self;
        let (principal, expires_at) = match kind {
            Kind::Token { expires_at } => {
                let principal = commands.principal(tenant, actor).await;
                (principal.map_err(|it| unavailable(&it))?, expires_at)
            }
            Kind::ApiKey => {
                let known = commands.principal_of_api_key(tenant, actor, credential.token()).await;
                let known = known.map_err(|it| unavailable(&it))?;
                known.ok_or_else(|| unauthenticated("the API key has ended or was revoked"))?
            }
        };
        Ok(Session { principal, expires_at, credential })
    }
}

/// Somebody with a verified credential and what they may do.
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
    known: Arc<Mutex<HashMap<Box<str>, Verified>>>,
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

    /// Whom the credential in these headers names; none without one.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if there is more than one credential or it is not accepted.
    pub fn verified(&self, headers: &HeaderMap) -> Result<Option<Verified>, Refusal> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(refusal(StatusCode::BAD_REQUEST, "expected one `Authorization` header"));
        }
        let text = value.to_str().ok();
        let text = text.ok_or_else(|| unauthenticated("`Authorization` is not text"))?;
        self.bearer(text).map(Some)
    }

    /// Whom `Bearer <token>` names.
    fn bearer(&self, text: &str) -> Result<Verified, Refusal> {
        let token = text
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| unauthenticated("expected `Authorization: Bearer <token>`"))?;
        if let Some(verified) = self.remembered(token) {
            return Ok(verified);
        }
        let (tenant, actor, kind) = self.read(token)?;
        let verified = Verified { tenant, actor, kind, credential: Credential::bearer(token) };
        self.remember(token, &verified);
        Ok(verified)
    }

    /// What a token or an API key says of itself.
    fn read(&self, token: &str) -> Result<(TenantId, ActorId, Kind), Refusal> {
        if token.starts_with(api_key::PREFIX) {
            let key = ApiKey::read(&self.keyring, token);
            let key = key.ok_or_else(|| unauthenticated("the API key is none, or not whole"))?;
            return Ok((key.tenant, key.actor, Kind::ApiKey));
        }
        let claims = token::verify(self.keyring.issuer(), token);
        let claims = claims.map_err(|error| unauthenticated(&error.to_string()))?;
        Ok((claims.tenant, claims.actor, Kind::Token { expires_at: claims.expires_at }))
    }

    /// What exactly this token was found to say, if it still holds.
    fn remembered(&self, token: &str) -> Option<Verified> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |it: &&Verified| match it.kind {
            Kind::Token { expires_at } => expires_at > Utc::now(),
            Kind::ApiKey => true,
        };
        known.get(token).filter(holds).cloned()
    }

    fn remember(&self, token: &str, verified: &Verified) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(token.into(), verified.clone());
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

/// When a caller may ask again of whom nothing can be known at present. In seconds: 1.
const UNKNOWN_RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

fn unavailable(error: &CommandError) -> Refusal {
    tracing::warn!(error = %error, "it is not known here who may do what");
    Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "UNAVAILABLE",
        message: "it is not known at present who may do what; try again".to_owned(),
        headers: vec![(header::RETRY_AFTER, UNKNOWN_RETRY_AFTER)],
    }
}

/// Completes when a session ends: its credential has expired, any of what it could do was taken
/// away, or its tenant was suspended. Who comes back goes on with what it may do then.
pub(crate) fn ended(session: &Session, commands: &Commands) -> BoxFuture<'static, ()> {
    let left = (session.expires_at - Utc::now()).to_std().unwrap_or_default();
    let ended = commands.ended(&session.principal);
    async move {
        // It ends at the latest when the credential does.
        let _ = tokio::time::timeout(left, ended).await;
    }
    .boxed()
}

/// A caller of the GraphQL door: a session with what its operations need.
#[derive(Clone)]
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

    fn renewed(&self) -> Option<Arc<dyn Caller>> {
        let principal = self.context.commands().renewed(&self.session.principal);
        let session = Session { principal, ..self.session.clone() };
        Some(Arc::new(Self { session, ..self.clone() }))
    }

    fn ended(&self) -> BoxFuture<'static, ()> {
        ended(&self.session, self.context.commands())
    }
}

/// Lets callers into the GraphQL door.
pub(crate) struct GraphqlAuthenticator {
    pub(crate) verifier: Verifier,
    pub(crate) context: Context,
    pub(crate) turns: Turns,
}

impl GraphqlAuthenticator {
    async fn caller(&self, verified: Verified, head: &Parts) -> Result<Arc<dyn Caller>, Refusal> {
        let session = verified.enter(self.context.commands()).await?;
        Ok(Arc::new(GraphqlCaller {
            name: session.name(),
            turn: self.turns.of(Some(session.principal.tenant())),
            session,
            context: self.context.clone(),
            asked: Asked::of(&head.headers),
        }))
    }
}

#[async_trait::async_trait]
impl Authenticator for GraphqlAuthenticator {
    async fn authenticate(&self, head: &Parts) -> Result<Option<Arc<dyn Caller>>, Refusal> {
        let Some(verified) = self.verifier.verified(&head.headers)? else { return Ok(None) };
        Ok(Some(self.caller(verified, head).await?))
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
            (None, Some(text)) => self.caller(self.verifier.bearer(text)?, head).await,
            (None, None) => Err(Refusal::unauthenticated()),
            (Some(_), Some(_)) => {
                Err(refusal(StatusCode::BAD_REQUEST, "expected one credential, got two"))
            }
        }
    }
}
