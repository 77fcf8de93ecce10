//! The doors to identity providers: where a browser leaves for one, and where it comes back.
//!
//! Which tenant is meant only the host says, and a provider is asked about its own tenant only.
//! Whatever is wrong, the answer is the same; the log says more, and no token, code or name.

pub(super) mod exchange;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{self, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use commands::CommandError;
use domain::Principal;
use domain::id::{ActorId, ProviderId, SessionId, TenantId};
use domain::member::{Lifetime, Session, Term};
use domain::principal::{Means, Unfit};
use domain::tenant::Provider;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::{Asked, invited, leave as end, no_invite, note_link};
use super::{Door, Problem};
use crate::accounts::{Identity, Right, Unlinked, Whose};
use crate::auth::{Asking, Others, cookie, sign_in};
use crate::error::UNAVAILABLE_RETRY_AFTER;
use crate::federation::code::{self, Back};
use crate::federation::login::{self, Goal, Login};
use crate::federation::{ProviderError, secret};

/// Where a browser goes that has come back: the tenant's page.
const HOME: HeaderValue = HeaderValue::from_static("/");

/// What somebody wants of a provider, who does not just sign in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The text of an invite, `cbi_…`: to sign in at the provider from now on. Without it the member
    /// whose session the request is in signs in there, too.
    invite: Option<String>,
}

/// Where the browser has to go.
#[derive(Serialize, ToSchema)]
pub(super) struct Leave {
    /// The provider's address, with what it is asked.
    location: String,
}

/// How somebody is to sign in at a provider.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Leaving {
    #[serde(default)]
    again: bool,
}

/// Sends the browser to a provider to sign in there.
#[utoipa::path(
    get,
    path = "/api/v1/sign-in/oidc/{provider}",
    params(
        ("provider" = String, Path, description = "The provider, `idp_…`."),
        ("again" = Option<bool>, Query, description = "Whether the provider asks who somebody is also if it \
            knows: before what needs a sign-in of the last minutes (`STEP_UP_REQUIRED`)."),
    ),
    responses(
        (status = 303, description = "To the provider, with a cookie that belongs to the answer."),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn leave(
    State(door): State<Door>,
    Path(provider): Path<String>,
    leaving: Result<Query<Leaving>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = door.hosts.selected(&headers)?.ok_or_else(refused)?;
    let Query(Leaving { again }) = leaving.map_err(|_| {
        Problem::bad_request("expected no parameters but `again`, which is `true` or `false`")
    })?;
    let goal = if again { Goal::Prove } else { Goal::Enter };
    let (location, cookie) = set_out(&door, tenant, &provider, &headers, goal).await?;
    let headers = [(header::LOCATION, location), (header::SET_COOKIE, cookie), no_store()];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

/// Prepares to accept an invite at a provider, or to link it with the member who is signed in.
#[utoipa::path(
    post,
    path = "/api/v1/sign-in/oidc/{provider}",
    params(("provider" = String, Path, description = "The provider, `idp_…`.")),
    request_body = Wanted,
    responses(
        (status = 200, body = Leave, description = "Where the browser has to go, with a cookie that belongs to the answer."),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn prepare(
    State(door): State<Door>,
    Path(provider): Path<String>,
    request: extract::Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let Asked { whose, body, .. } = Asked::<Wanted>::read(&door, request).await?;
    let Whose::Tenant(tenant) = whose else { return Err(refused()) };
    let goal = match body.invite {
        Some(invite) => {
            invited(&door, &whose, &invite).await?;
            Goal::Accept(invite)
        }
        None => of_session(&door, tenant, &headers).await?,
    };
    let (location, cookie) = set_out(&door, tenant, &provider, &headers, goal).await?;
    let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
    let headers = [(header::SET_COOKIE, cookie), no_store()];
    Ok((headers, Json(Leave { location })).into_response())
}

/// Where a provider sends the browser back to: begins a session, or says what was wrong.
#[utoipa::path(
    get,
    path = "/api/v1/sign-in/oidc/{provider}/callback",
    params(
        ("provider" = String, Path, description = "The provider, `idp_…`."),
        ("state" = Option<String>, Query, description = "What it was sent with."),
        ("code" = Option<String>, Query, description = "What the provider tells who it is for."),
        ("iss" = Option<String>, Query, description = "Who the provider is."),
        ("error" = Option<String>, Query, description = "Why there is no code."),
    ),
    responses(
        (status = 303, description = "To the tenant's page; the session is in the cookie that is set."),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn come_back(
    State(door): State<Door>,
    Path(provider): Path<String>,
    back: Result<Query<Back>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = door.hosts.selected(&headers)?.ok_or_else(refused)?;
    let Ok(Query(back)) = back else { return Err(refused()) };
    let begun = Login::read(&headers, door.context.keyring(), tenant, Utc::now());
    // Whoever has made the browser come here with something else has not ended what it began.
    let is_it =
        |it: &Login| it.provider.to_string() == provider && Some(&it.state) == back.state.as_ref();
    let login = begun.filter(is_it).ok_or_else(refused)?;
    match enter(&door, tenant, &login, back).await {
        Ok(mut response) => {
            response.headers_mut().append(header::SET_COOKIE, login::clear());
            Ok(response)
        }
        Err(mut problem) => {
            problem.headers.push((header::SET_COOKIE, login::clear()));
            Err(problem)
        }
    }
}

/// The member whose session a request is in, who wants to sign in at a provider, too: for good, so whoever got
/// to a session of somebody else's must not.
async fn of_session(door: &Door, tenant: TenantId, headers: &HeaderMap) -> Result<Goal, Problem> {
    let principal = door.session(headers).await?.principal;
    match principal.means() {
        Means::Session(id) if principal.tenant() == tenant => {
            let session = session(door, &principal, id).ok_or_else(refused)?;
            if !session.is_fresh(Utc::now()) {
                return Err(CommandError::from(Unfit::NotFresh).into());
            }
            Ok(Goal::Link(principal.actor(), id))
        }
        _ => Err(refused()),
    }
}

/// Where the browser goes, and the cookie that it comes back with.
async fn set_out(
    door: &Door,
    tenant: TenantId,
    provider: &str,
    headers: &HeaderMap,
    goal: Goal,
) -> Result<(HeaderValue, HeaderValue), Problem> {
    let id: ProviderId = provider.parse().map_err(|_| refused())?;
    let provider = known(door, tenant, id).await?;
    let origin = cookie::own_origin(headers)?.ok_or_else(refused)?;
    let metadata = door.watch.metadata(&provider.issuer).await;
    let metadata = metadata.map_err(|it| unsaid(id, &it))?;
    let back = format!("{origin}/api/v1/sign-in/oidc/{id}/callback");
    let login = Login::begin(id, back, goal);
    let location = code::address(&provider, &metadata, &login).map_err(|_| refused())?;
    Ok((location, login.cookie(door.context.keyring(), tenant)))
}

/// What becomes of somebody who has come back to the browser that they left from.
async fn enter(
    door: &Door,
    tenant: TenantId,
    login: &Login,
    back: Back,
) -> Result<Response, Problem> {
    let (keyring, id) = (door.context.keyring(), login.provider);
    // Before anything else, so that it counts whatever comes of it.
    if !login.come_back(keyring, tenant).await? {
        return Err(refused());
    }
    let provider = known(door, tenant, id).await?;
    let metadata = door.watch.metadata(&provider.issuer).await.map_err(|it| unsaid(id, &it))?;
    if !code::is_from(&provider, &metadata, &back) {
        tracing::warn!(provider = %id, "somebody came back from another provider than they left for");
        return Err(refused());
    }
    let Some(code) = back.code.filter(|_| back.error.is_none()) else { return Err(refused()) };
    let _seat = door.watch.seat(&provider.issuer).ok_or_else(busy)?;
    let secret = secret::of(keyring, tenant, id).await?;
    let told = code::exchange(&door.watch, &provider, secret.as_deref(), login, &code).await;
    let told = told.map_err(|it| unsaid(id, &it))?;
    let issuer = provider.issuer.clone();
    let identity = Identity { provider: id, issuer, subject: told.subject };
    let commands = door.context.commands();
    let (who, others) = match &login.goal {
        Goal::Enter | Goal::Prove => {
            let who = door.accounts.identified(tenant, &identity).await?;
            (who.ok_or_else(refused)?, Others::Stay)
        }
        Goal::Accept(invite) => {
            let member = invited(door, &Whose::Tenant(tenant), invite).await?.actor;
            let term = commands.invited_still(tenant, member, invite).await?;
            let who = (member, term.ok_or_else(no_invite)?);
            let right = Right::Invite(invite, Lifetime::INVITE_MAX.after(Utc::now()));
            link(door, tenant, who, &identity, right).await?;
            (who, Others::End)
        }
        Goal::Link(member, session) => {
            let term = commands.term_now(tenant, *member).await?;
            let who = (*member, term.ok_or_else(refused)?);
            if !lasts(door, tenant, *member, *session) {
                return Err(refused());
            }
            link(door, tenant, who, &identity, Right::Session).await?;
            return Ok(home([no_store()]));
        }
    };
    let (lifetime, methods, term) = (Lifetime::SESSION_MAX, told.methods, Some(who.1));
    if login.goal == Goal::Prove && told.proved_at.is_none() {
        tracing::warn!(provider = %id, "a provider does not say when it asked who somebody is");
        return Err(unproved());
    }
    let proved_s_ago =
        told.proved_at.and_then(|it| u32::try_from((Utc::now() - it).num_seconds()).ok());
    let asking = Asking { methods, proved_s_ago, lifetime, others, term };
    let entered = match sign_in(&door.context, tenant, who.0, asking).await {
        Ok(entered) => entered,
        // They are no member any more, or their tenant lets nobody in: that is nobody's business.
        Err(CommandError::Rejected { .. } | CommandError::Denied(_)) => return Err(refused()),
        Err(error) => return Err(error.into()),
    };
    // Whoever has accepted an invite meanwhile has ended all sessions, and may have come before this one.
    if door.accounts.identified(tenant, &identity).await? != Some(who) {
        end(door, &entered.as_session(tenant, who.0)).await;
        return Err(refused());
    }
    Ok(home([(header::SET_COOKIE, entered.cookie), no_store()]))
}

async fn known(door: &Door, tenant: TenantId, id: ProviderId) -> Result<Arc<Provider>, Problem> {
    let provider = door.context.commands().provider(tenant, id).await?;
    provider.map(Arc::new).ok_or_else(refused)
}

async fn link(
    door: &Door,
    tenant: TenantId,
    who: (ActorId, Term),
    identity: &Identity,
    right: Right<'_>,
) -> Result<(), Problem> {
    let commands = door.context.commands();
    let belongs = |member, term| commands.term(tenant, member) == Some(term);
    match door.accounts.identified(tenant, identity).await? {
        Some(known) if known == who => {}
        Some((member, term)) if belongs(member, term) => return Err(refused()),
        Some(_) | None => note_link(door, tenant, who, identity.provider).await?,
    }
    let linked = door.accounts.link(tenant, who, identity, right, belongs).await;
    linked.map_err(|error| match error {
        Unlinked::Taken => refused(),
        Unlinked::Used => no_invite(),
        Unlinked::Busy => busy(),
        Unlinked::Fault(error) => error.into(),
    })
}

/// Whether somebody is still signed in who has left from a page of theirs.
fn lasts(door: &Door, tenant: TenantId, member: ActorId, id: SessionId) -> bool {
    let principal = Principal::session(tenant, member, id, Arc::default());
    session(door, &principal, id).is_some_and(|it| Utc::now() < it.expires_at)
}

/// What is known of a session of the member that `principal` is.
fn session(door: &Door, principal: &Principal, id: SessionId) -> Option<Session> {
    let sessions = door.context.commands().sessions(principal);
    sessions.into_iter().find(|it| it.0 == id).map(|it| it.1)
}

fn home<const N: usize>(headers: [(header::HeaderName, HeaderValue); N]) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, HOME)], headers).into_response()
}

fn no_store() -> (header::HeaderName, HeaderValue) {
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

/// Why a provider has not said who somebody is: in full for the log, and for nobody else.
fn unsaid(provider: ProviderId, error: &ProviderError) -> Problem {
    let is_away = error.is_away();
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, %provider, "a provider has not said who somebody is");
    if !is_away {
        return refused();
    }
    let detail = "the provider does not answer at present; try again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail)
        .retry_after(Some(UNAVAILABLE_RETRY_AFTER))
}

/// A session would be of no more use than the one before.
fn unproved() -> Problem {
    let detail = "the provider does not say when it asked who you are (`auth_time`), so nothing is gained by \
                  signing in there again; have somebody invite you to sign in with a password, or ask \
                  somebody else to do it";
    Problem::new(StatusCode::FORBIDDEN, "STEP_UP_UNAVAILABLE", detail)
}

fn busy() -> Problem {
    let detail = "too many are signing in there; try again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", detail)
        .retry_after(Some(UNAVAILABLE_RETRY_AFTER))
}

fn refused() -> Problem {
    let detail = "the sign-in came to nothing; begin again, or ask for an invite";
    Problem::new(StatusCode::FORBIDDEN, "SIGN_IN_REFUSED", detail)
}
