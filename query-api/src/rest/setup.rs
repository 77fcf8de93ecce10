//! The door for the first account of an installation, which needs the token from its console.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::extract::{self, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::Utc;
use commands::{CommandError, Request};
use domain::id::{ActorId, TenantId};
use domain::member::{CredentialChange, Method};
use domain::operation::Operation;
use domain::role::{BuiltIn, RoleName};
use serde::Deserialize;
use utoipa::ToSchema;

use super::accounts::{Asked, begin, handed, login_name, note, unset};
use super::{Door, Problem};
use crate::accounts::{self, Grant, Once, Password, Unset, Whose};
use crate::auth::{Credential, Others, Session, mint};
use crate::error::ApiError;

/// How long the console may take to say who the first operator is. In seconds: 60.
const LIFETIME: Duration = Duration::from_secs(60);

/// The token from the console, and how the first operator signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Setup {
    /// The setup token, `cbs_…`.
    token: String,
    /// The login name, 1 to 128 characters. Neither case nor how it is composed counts.
    login: String,
    /// The password, 12 to 128 characters of any kind, that is not easy to guess.
    #[schema(value_type = String)]
    password: Password,
    /// What the operator is called.
    #[serde(default)]
    name: Option<String>,
}

/// Makes the first operator: an owner of the system tenant who signs in with a password.
#[utoipa::path(
    post,
    path = "/api/v1/setup",
    request_body = Setup,
    responses(
        (status = 204, description = "The session is in the cookie that is set."),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn set_up(
    State(door): State<Door>,
    request: extract::Request,
) -> Result<Response, Problem> {
    let asked = Asked::<Setup>::read(&door, request).await?;
    let Setup { token, login, password, name } = asked.body;
    let (login, tenant) = (login_name(&login)?, TenantId::SYSTEM);
    if asked.whose != Whose::Tenant(tenant) {
        return Err(refused());
    }
    let opening = door.accounts.opening(&token).await?.ok_or_else(refused)?;
    let names = name.iter().cloned().collect();
    let hashed = door.accounts.hash(tenant, login, password, names, asked.from).await;
    let hashed = hashed.map_err(|it| unset(it, "password"))?;
    add(&door, opening.member, name).await?;
    let (member, commands) = (opening.member, door.context.commands());
    let term = commands.term_now(tenant, member).await?.ok_or_else(refused)?;
    let grant = Grant { tenant, member, term, once: Once::Setup(opening.version) };
    note(&door, tenant, (member, term), CredentialChange::PasswordSet).await?;
    let belongs = |member, term| commands.term(tenant, member) == Some(term);
    door.accounts.set(&grant, &hashed, belongs).await.map_err(|error| match error {
        Unset::Used => refused(),
        error => unset(error, "password"),
    })?;
    let methods = [Method::Pwd].into();
    Ok(handed(begin(&door, tenant, (member, term), methods, Others::End).await?))
}

/// Makes the member an owner of the system tenant, unless that was done before: whoever repeats
/// what was interrupted has the same member.
async fn add(door: &Door, member: ActorId, name: Option<String>) -> Result<(), Problem> {
    let session = console(door).await?;
    let roles = BTreeSet::from([RoleName::from(BuiltIn::Owner)]);
    let request = Request::new(Operation::AddMember { member, name, roles });
    match door.context.submit(&session, request).await {
        Err(CommandError::Rejected { code, .. }) if code == "MEMBER_EXISTS" => Ok(()),
        added => Ok(added.map(drop)?),
    }
}

/// Whoever holds the root key, for whom whoever reads the console acts.
async fn console(door: &Door) -> Result<Session, Problem> {
    let (keyring, tenant) = (door.context.keyring(), TenantId::SYSTEM);
    let actor = accounts::console(keyring).await.map_err(ApiError::from)?;
    let principal = door.context.commands().principal(tenant, actor).await?;
    let token = mint(keyring.issuer(), tenant, actor, LIFETIME);
    let token = token.expect("the issuer's key signs anything");
    let (credential, expires_at) = (Credential::bearer(&token), Utc::now() + LIFETIME);
    Ok(Session { principal, expires_at, credential })
}

fn refused() -> Problem {
    let detail = "the setup token is not good here, or not any more; a start prints another one as \
                  long as no operator has an account";
    Problem::new(StatusCode::FORBIDDEN, "SETUP_REFUSED", detail)
}
