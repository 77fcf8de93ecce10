//! Beginning a session for somebody who has just proved who they are.
//!
//! The owner of the partition begins it, wherever that is. What it is asked with is a proof of this
//! installation's own, which is good for a minute and for nothing else (`token`): so a process that
//! passes the question on cannot say of anybody that they have signed in.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use axum::http::HeaderValue;
use chrono::{DateTime, Utc};
use commands::{CommandError, Outcome, Request, SecretOf};
use domain::Principal;
use domain::id::{ActorId, ProviderId, SessionId, TenantId};
use domain::member::{CredentialChange, Lifetime, Method, SignIn, Term};
use domain::operation::Operation;
use uuid::Uuid;

use super::{Credential, Secret, Session, cookie, token};
use crate::context::Context;

/// What becomes of the other sessions of who signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They go on.
    Stay,
    /// They end, since their member proves from now on otherwise who they are.
    End,
}

/// How a session is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// How somebody has proved who they are.
    pub methods: BTreeSet<Method>,
    /// How long ago, in seconds; none if that is not known.
    pub proved_s_ago: Option<u32>,
    /// How long it is good.
    pub lifetime: Lifetime,
    /// What becomes of their other sessions.
    pub others: Others,
    /// For which time they must be a member, if what they have proved holds for one only.
    pub term: Option<Term>,
}

/// A session that has begun.
pub struct SignedIn {
    /// Which.
    pub session: SessionId,
    /// What stands for it.
    credential: Credential,
    /// What hands it to the browser: the value of `Set-Cookie`.
    pub cookie: HeaderValue,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// What became of the command.
    pub outcome: Outcome,
}

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn").field("session", &self.session).finish_non_exhaustive()
    }
}

impl SignedIn {
    /// The session itself, of the member `actor` of `tenant`, for who ends it.
    pub(crate) fn as_session(&self, tenant: TenantId, actor: ActorId) -> Session {
        let principal = Principal::session(tenant, actor, self.session, Arc::default());
        Session { principal, expires_at: self.expires_at, credential: self.credential.clone() }
    }
}

/// Begins a session of the member `actor` of `tenant`, who has proved who they are. That they have is
/// for the caller to know.
///
/// # Errors
///
/// [`CommandError::Rejected`] if they are no member or the tenant is not active; else as for
/// [`Context::submit`].
pub async fn sign_in(
    context: &Context,
    tenant: TenantId,
    actor: ActorId,
    asking: Asking,
) -> Result<SignedIn, CommandError> {
    let Asking { methods, proved_s_ago, lifetime, others, term } = asking;
    let keyring = context.keyring();
    let text = Secret::draw(keyring, SecretOf::Session, tenant, actor);
    let secret = context.commands().digest_of_secret(tenant, SecretOf::Session, &text).await?;
    let session = SessionId(Uuid::now_v7());
    let ends_others = others == Others::End;
    let asked = SignIn { secret, methods, proved_s_ago, lifetime, ends_others, term };
    let operation = Operation::SignIn { session, asked };
    // Nobody else names a request like this, so it may be sent again if an answer is lost.
    let key = session.to_string().parse().expect("an id is visible ASCII");
    let request = Request { idempotency_key: Some(key), ..Request::new(operation) };
    let outcome = context.submit(&proved(context, tenant, actor), request).await?;
    Ok(SignedIn {
        session,
        credential: Credential::bearer(&text),
        cookie: cookie::set(&text, lifetime),
        expires_at: lifetime.after(outcome.at),
        outcome,
    })
}

/// Records that a member who has proved who they are proves it otherwise from now on. That they have is for the
/// caller to know.
///
/// # Errors
///
/// As for [`sign_in`].
pub(crate) async fn change_credential(
    context: &Context,
    tenant: TenantId,
    (actor, term): (ActorId, Term),
    change: CredentialChange,
    provider: Option<ProviderId>,
) -> Result<(), CommandError> {
    let request = Request::new(Operation::ChangeCredential { term, change, provider });
    context.submit(&proved(context, tenant, actor), request).await.map(drop)
}

/// Somebody who may begin a session, or say that they prove otherwise from now on who they are, and do
/// nothing else, for a minute.
fn proved(context: &Context, tenant: TenantId, actor: ActorId) -> Session {
    let issuer = context.keyring().issuer();
    let proof = token::mint_proof(issuer, tenant, actor).expect("the issuer's key signs anything");
    Session {
        principal: Principal::signing_in(tenant, actor),
        expires_at: Utc::now() + token::PROOF_LIFETIME,
        credential: Credential::bearer(&proof),
    }
}
