//! Who comes through the GraphQL door: over HTTP, and over a WebSocket that says so later.

use std::sync::Arc;

use async_graphql::Data;
use axum::http::request::Parts;
use futures::future::BoxFuture;
use serde_json::{Map, Value};

use super::refusal::bad_request;
use super::verifier::{Session, Verified, Verifier, ended};
use crate::context::{Asked, Context};
use crate::transport::{Authenticator, Caller, Refusal};
use crate::turns::{Turn, Turns};

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
        let session = verified.enter(&self.context).await?;
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
            (None, Some(text)) => {
                let verified = self.verifier.said_later(text, &head.headers)?;
                self.caller(verified, head).await
            }
            (None, None) => Err(Refusal::unauthenticated()),
            (Some(_), Some(_)) => Err(bad_request("expected one credential, got two")),
        }
    }
}
