//! Where a program that has signed in at a provider changes the provider's token for one of ours.
//!
//! So at every other door, and between processes, there are only credentials that this installation has
//! made. Which member it is only the link says: a program is linked as a browser is, by an invite.

use std::time::Duration;

use axum::Json;
use axum::extract::{self, Path, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::id::{ActorId, ProviderId, TenantId};
use domain::member::{Lifetime, Method, Term};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::accounts::{Asked, invited, leave as end, no_invite};
use super::super::{Door, Problem};
use super::{busy, known, link, no_store, refused, unsaid};
use crate::accounts::{Identity, Right, Whose};
use crate::auth::{Asking, Others, mint, sign_in};
use crate::federation::access_token::{self, Bearer};
use crate::federation::signed::TOKEN_BYTES_MAX;

/// The most that a request may say, in bytes: the longest token, an invite, and what is around them.
pub(in crate::rest) const BYTES_MAX: usize = TOKEN_BYTES_MAX + 1_024;

/// How long a token is good that a provider's was changed for, if the provider's is. In seconds: 900.
const LIFETIME: Duration = Duration::from_secs(15 * 60);

/// What a program has from a provider.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rest) struct Shown {
    /// A token that the provider has signed, with `urn:callboard:<idp_…>` as audience: a JWT.
    token: String,
    /// The text of an invite, `cbi_…`: the member is from now on whom the token is for.
    invite: Option<String>,
}

/// What it is changed for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct Changed {
    /// A token for all doors: `Authorization: Bearer …`.
    token: String,
    /// When it ends.
    expires_at: DateTime<Utc>,
}

/// Changes a token that a provider has made for these doors for one of our own, which is good for 15
/// minutes at most.
#[utoipa::path(
    post,
    path = "/api/v1/sign-in/oidc/{provider}/token",
    params(("provider" = String, Path, description = "The provider, `idp_…`.")),
    request_body = Shown,
    responses(
        (status = 200, body = Changed, description = "A token of the member whom the provider's is for."),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(in crate::rest) async fn change(
    State(door): State<Door>,
    Path(provider): Path<String>,
    request: extract::Request,
) -> Result<Response, Problem> {
    let Asked { whose, body, .. } = Asked::<Shown>::read(&door, request).await?;
    let Whose::Tenant(tenant) = whose else { return Err(refused()) };
    let id: ProviderId = provider.parse().map_err(|_| refused())?;
    let provider = known(&door, tenant, id).await?;
    let bearer = {
        let _seat = door.watch.seat(&provider.issuer).ok_or_else(busy)?;
        access_token::verify(&door.watch, (id, &provider), &body.token, Utc::now()).await
    };
    let Bearer { subject, expires_at } = bearer.map_err(|it| unsaid(id, &it))?;
    let identity = Identity { provider: id, issuer: provider.issuer.clone(), subject };
    if let Some(invite) = &body.invite {
        accept(&door, tenant, &identity, invite).await?;
    }
    let (member, term) = door.accounts.identified(tenant, &identity).await?.ok_or_else(refused)?;
    if door.context.commands().term_now(tenant, member).await? != Some(term) {
        return Err(refused());
    }
    let left = (expires_at - Utc::now()).to_std().map_err(|_| refused())?;
    let issuer = door.context.keyring().issuer();
    let lifetime = left.min(LIFETIME);
    let token = mint(issuer, tenant, member, lifetime).expect("the issuer's key signs anything");
    tracing::info!(provider = %id, %member, "a provider's token was changed for one of ours");
    let expires_at = expires_at.min(Utc::now() + LIFETIME);
    Ok(([no_store()], Json(Changed { token, expires_at })).into_response())
}

/// Has the member who was invited be whom a provider's token is for.
///
/// That is a sign-in, and recorded as one: it ends all sessions of who proved otherwise before that they
/// are the member. Its own session nobody has.
async fn accept(
    door: &Door,
    tenant: TenantId,
    identity: &Identity,
    invite: &str,
) -> Result<(), Problem> {
    let member = invited(door, &Whose::Tenant(tenant), invite).await?.actor;
    let term = door.context.commands().invited_still(tenant, member, invite).await?;
    let who: (ActorId, Term) = (member, term.ok_or_else(no_invite)?);
    let right = Right::Invite(invite, Lifetime::INVITE_MAX.after(Utc::now()));
    link(door, tenant, who, identity, right).await?;
    let (lifetime, methods) = (Lifetime::SESSION_MAX, [Method::Fed].into());
    let (proved_s_ago, others, term) = (None, Others::End, Some(who.1));
    let asking = Asking { methods, proved_s_ago, lifetime, others, term };
    let entered = sign_in(&door.context, tenant, member, asking).await?;
    end(door, &entered.as_session(tenant, member)).await;
    Ok(())
}
