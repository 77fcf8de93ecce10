//! From the head of a request to a [`Session`], or a refusal that says what to do.
//!
//! What was [`Verified`] is remembered; what its subject may do is asked at each request.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use chrono::{DateTime, Utc};
use commands::{Away, CommandError, Commands, SecretOf};
use domain::Principal;
use domain::id::{ActorId, TenantId};
use futures::FutureExt;
use futures::future::BoxFuture;
use vault::Keyring;

use super::refusal::{bad_request, unauthenticated};
use super::secret::{self, Secret};
use super::token::Audience;
use super::{Credential, Hosts, cookie, host, token};
use crate::context::Context;
use crate::transport::Refusal;

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
    /// As is known of the session.
    Session,
    /// With its minute: it proves who somebody is who begins a session.
    Proof { expires_at: DateTime<Utc> },
}

impl Verified {
    /// Asks what whom it names may do at this moment, and notes that they came.
    ///
    /// # Errors
    ///
    /// As for [`Self::identify`].
    pub(crate) async fn enter(self, context: &Context) -> Result<Session, Refusal> {
        let session = self.identify(context.commands()).await?;
        context.key_uses().note(&session.principal, Utc::now());
        Ok(session)
    }

    /// Asks what whom it names may do at this moment.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if that cannot be known here, or it is an API key that is good for nothing any
    /// more.
    pub async fn identify(self, commands: &Commands) -> Result<Session, Refusal> {
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
            Kind::Session => {
                let known = commands.principal_of_session(tenant, actor, credential.token()).await;
                let known = known.map_err(|it| unavailable(&it))?;
                known.ok_or_else(|| unauthenticated("the session has ended"))?
            }
            Kind::Proof { expires_at } => (Principal::signing_in(tenant, actor), expires_at),
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

/// How a credential came.
#[derive(Clone, Copy, Debug)]
enum Carried {
    Borne,
    InCookie,
}

/// Verifies the credentials this installation accepts: a closed list.
#[derive(Clone)]
pub struct Verifier {
    keyring: Keyring,
    doors: Doors,
    known: Arc<Mutex<HashMap<Box<str>, Verified>>>,
}

/// Whose requests are looked at.
#[derive(Clone)]
enum Doors {
    /// Anybody's, at these hosts.
    Public(Hosts),
    /// Those of other processes, which bear whatever credential they were shown.
    BetweenProcesses,
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
    /// A verifier for the public doors, at these hosts.
    #[must_use]
    pub fn new(keyring: Keyring, hosts: Hosts) -> Self {
        Self { keyring, doors: Doors::Public(hosts), known: Arc::default() }
    }

    /// A verifier for what other processes pass on. They have checked what is to be told from a request
    /// itself; the credential is borne here, whatever it was carried in, and verified again.
    #[must_use]
    pub fn between_processes(keyring: Keyring) -> Self {
        Self { keyring, doors: Doors::BetweenProcesses, known: Arc::default() }
    }

    /// Whom the credential in these headers names; none without one.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if there is more than one credential, it is not accepted, or it does not go with
    /// the host or, if it is a cookie, the origin of the request.
    pub fn verified(&self, headers: &HeaderMap) -> Result<Option<Verified>, Refusal> {
        let authorization = authorization(headers)?;
        let hosts = match &self.doors {
            Doors::Public(hosts) => hosts,
            Doors::BetweenProcesses => return authorization.map(|it| self.bearer(it)).transpose(),
        };
        host::authority(headers)?;
        match (authorization, cookie::of(headers)?) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(bad_request("expected one credential, got two")),
            (Some(text), None) => self.said_later(text, headers).map(Some),
            (None, Some(text)) => {
                cookie::check(headers)?;
                let verified = self.known_or_read(text, Carried::InCookie)?;
                hosts.belong(headers, verified.tenant)?;
                Ok(Some(verified))
            }
        }
    }

    /// Whom `Bearer <token>` names, said in or after a request with these headers.
    pub(super) fn said_later(&self, text: &str, headers: &HeaderMap) -> Result<Verified, Refusal> {
        let verified = self.bearer(text)?;
        if let Doors::Public(hosts) = &self.doors {
            hosts.agree(headers, verified.tenant)?;
        }
        Ok(verified)
    }

    /// Whom `Bearer <token>` names.
    fn bearer(&self, text: &str) -> Result<Verified, Refusal> {
        let token = text
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| unauthenticated("expected `Authorization: Bearer <token>`"))?;
        self.known_or_read(token, Carried::Borne)
    }

    fn known_or_read(&self, text: &str, carried: Carried) -> Result<Verified, Refusal> {
        let verified = match self.remembered(text) {
            Some(verified) => verified,
            None => self.read(text)?,
        };
        let is_public = matches!(self.doors, Doors::Public(_));
        match (verified.kind, carried) {
            (Kind::Session, Carried::Borne) if is_public => {
                Err(unauthenticated("a session is good in its cookie only"))
            }
            (Kind::Proof { .. }, _) if is_public => {
                Err(unauthenticated("the token is not for this"))
            }
            (Kind::Token { .. } | Kind::ApiKey | Kind::Proof { .. }, Carried::InCookie) => {
                Err(unauthenticated("the cookie holds no session"))
            }
            (_, Carried::Borne) | (Kind::Session, Carried::InCookie) => Ok(verified),
        }
    }

    /// What a credential says of itself.
    fn read(&self, text: &str) -> Result<Verified, Refusal> {
        let made = |of| {
            let made = Secret::read(&self.keyring, of, text);
            made.map(|it| (it.tenant, it.actor))
        };
        let ((tenant, actor), kind) = if text.starts_with(secret::prefix(SecretOf::ApiKey)) {
            let key = made(SecretOf::ApiKey);
            (key.ok_or_else(|| unauthenticated("the API key is none, or not whole"))?, Kind::ApiKey)
        } else if text.starts_with(secret::prefix(SecretOf::Session)) {
            let session = made(SecretOf::Session);
            let session = session.ok_or_else(|| unauthenticated("the cookie holds no session"))?;
            (session, Kind::Session)
        } else {
            let claims = token::verify(self.keyring.issuer(), text);
            let claims = claims.map_err(|error| unauthenticated(&error.to_string()))?;
            let expires_at = claims.expires_at;
            let kind = match claims.audience {
                Audience::Doors => Kind::Token { expires_at },
                Audience::SignIn => Kind::Proof { expires_at },
            };
            ((claims.tenant, claims.actor), kind)
        };
        let verified = Verified { tenant, actor, kind, credential: Credential::bearer(text) };
        self.remember(text, &verified);
        Ok(verified)
    }

    /// What exactly this token was found to say, if it still holds.
    fn remembered(&self, token: &str) -> Option<Verified> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |it: &&Verified| match it.kind {
            Kind::Token { expires_at } | Kind::Proof { expires_at } => expires_at > Utc::now(),
            Kind::ApiKey | Kind::Session => true,
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

/// What `Authorization` says, if it is there.
fn authorization(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(bad_request("expected one `Authorization` header"));
    }
    let text = value.to_str().map_err(|_| unauthenticated("`Authorization` is not text"))?;
    Ok(Some(text))
}

/// When a caller may ask again of whom nothing can be known at present. In seconds: 1.
const UNKNOWN_RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

fn unavailable(error: &CommandError) -> Refusal {
    tracing::warn!(error = %error, "it is not known here who may do what");
    let message = match error {
        // To try again would not help, or not before somebody has looked.
        CommandError::Unavailable(away @ (Away::Gone | Away::Key | Away::Replicas)) => {
            away.to_string()
        }
        _ => "it is not known at present who may do what; try again".to_owned(),
    };
    Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "UNAVAILABLE",
        message,
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
