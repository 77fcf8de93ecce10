//! The tokens of the built-in issuer: EdDSA-signed JWTs that name a subject and a tenant.
//!
//! They never hold permissions: what a subject may do is looked up when it asks.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::id::{ActorId, IdError, TenantId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vault::Issuer;

/// Who issues the tokens.
const ISSUER: &str = "callboard";

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// This installation's own doors.
    Doors,
    /// Whoever begins sessions: it proves who its subject is, and is good for nothing else.
    SignIn,
}

impl Audience {
    const ALL: [Self; 2] = [Self::Doors, Self::SignIn];

    const fn name(self) -> &'static str {
        match self {
            Self::Doors => "callboard",
            Self::SignIn => "callboard/sign-in",
        }
    }
}

/// How long a proof is good for: a minute, longer than a request waits for an owner. In seconds: 60.
pub const PROOF_LIFETIME: Duration = Duration::from_secs(60);

/// The longest a token may be good for: one day. In seconds: 86,400.
pub const LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How far clocks may differ when an expiry is checked. In seconds: 5.
const LEEWAY_SECONDS: u64 = 5;

/// What a verified token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who.
    pub actor: ActorId,
    /// For which tenant.
    pub tenant: TenantId,
    /// For what.
    pub audience: Audience,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It is not a token of this installation, was changed, or has expired.
    #[error("the token is not valid: {0}")]
    Invalid(#[from] jsonwebtoken::errors::Error),
    /// It names a subject or tenant that is none.
    #[error("the token names no subject or tenant: {0}")]
    Names(#[from] IdError),
    /// It names another key than ours.
    #[error("the token was signed with a key that is not in use")]
    UnknownKey,
    /// It is for something else, or for several things.
    #[error("the token is not for this")]
    Audience,
    /// Its expiry is not an instant.
    #[error("the token's expiry is out of range")]
    Expiry,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    iss: String,
    aud: String,
    sub: String,
    ten: String,
    iat: u64,
    exp: u64,
    jti: String,
}

/// Makes a token for `actor` in `tenant` that is good for `lifetime`, at most [`LIFETIME_MAX`].
///
/// # Errors
///
/// If the issuer's key cannot sign.
pub fn mint(
    issuer: &Issuer,
    tenant: TenantId,
    actor: ActorId,
    lifetime: Duration,
) -> Result<String, TokenError> {
    mint_for(issuer, Audience::Doors, tenant, actor, lifetime)
}

/// Makes a proof that `actor` of `tenant` may begin a session, good for [`PROOF_LIFETIME`].
///
/// # Errors
///
/// If the issuer's key cannot sign.
pub(crate) fn mint_proof(
    issuer: &Issuer,
    tenant: TenantId,
    actor: ActorId,
) -> Result<String, TokenError> {
    mint_for(issuer, Audience::SignIn, tenant, actor, PROOF_LIFETIME)
}

fn mint_for(
    issuer: &Issuer,
    audience: Audience,
    tenant: TenantId,
    actor: ActorId,
    lifetime: Duration,
) -> Result<String, TokenError> {
    let now = jsonwebtoken::get_current_timestamp();
    let wire = Wire {
        iss: ISSUER.to_owned(),
        aud: audience.name().to_owned(),
        sub: actor.to_string(),
        ten: tenant.to_string(),
        iat: now,
        exp: now + lifetime.min(LIFETIME_MAX).as_secs(),
        jti: Uuid::now_v7().as_simple().to_string(),
    };
    let header = Header { kid: Some(issuer.key_id().to_owned()), ..Header::new(Algorithm::EdDSA) };
    let key = EncodingKey::from_ed_der(issuer.private_key());
    Ok(jsonwebtoken::encode(&header, &wire, &key)?)
}

/// Says what `token` says and what it is for, if this installation's issuer signed it and it has not expired.
///
/// # Errors
///
/// [`TokenError`].
pub fn verify(issuer: &Issuer, token: &str) -> Result<Claims, TokenError> {
    let header = jsonwebtoken::decode_header(token)?;
    if header.kid.as_deref() != Some(issuer.key_id()) {
        return Err(TokenError::UnknownKey);
    }
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&Audience::ALL.map(Audience::name));
    validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    validation.leeway = LEEWAY_SECONDS;
    let key = DecodingKey::from_ed_der(issuer.public_key());
    let wire = jsonwebtoken::decode::<Wire>(token, &key, &validation)?.claims;
    let audience = Audience::ALL.into_iter().find(|it| it.name() == wire.aud);
    let expires = i64::try_from(wire.exp).ok().and_then(|it| DateTime::from_timestamp(it, 0));
    Ok(Claims {
        actor: wire.sub.parse()?,
        tenant: wire.ten.parse()?,
        audience: audience.ok_or(TokenError::Audience)?,
        expires_at: expires.ok_or(TokenError::Expiry)?,
    })
}

#[cfg(test)]
mod tests;
