//! A token that a provider has made for Callboard's doors (RFC 9068): a program shows it that has signed in at
//! the provider, for itself (client credentials) or for somebody.
//!
//! It is none of what is made for others, or for other ends: it names this very provider of this very
//! tenant as its audience, which no token for signing in does.

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::ProviderId;
use domain::tenant::Provider;
use serde::Deserialize;

use super::ProviderError;
use super::id_token::NotGood;
use super::signed::{self, CLOCK_SKEW_MAX};
use super::watch::Watch;

/// The longest that such a token may be good for, since nobody tells when it is revoked. In hours: 24, as for
/// our own.
const LIFETIME_MAX: TimeDelta = TimeDelta::hours(24);

/// Somebody for whom a provider has made a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bearer {
    /// What the provider calls them, and nobody else ever.
    pub(crate) subject: String,
    /// Until when, by the clock here.
    pub(crate) expires_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    iat: i64,
    exp: i64,
    /// What Keycloak calls the kind of a token.
    typ: Option<String>,
    /// What only a token has that tells of something (RFC 8417), a sign-out say.
    events: Option<serde_json::Value>,
}

/// What a token for the doors of the provider's tenant names as its audience.
pub(crate) fn audience(provider: ProviderId) -> String {
    format!("urn:callboard:{provider}")
}

/// Whom a provider has made this token for.
///
/// # Errors
///
/// [`ProviderError`].
pub(crate) async fn verify(
    watch: &Watch,
    (id, provider): (ProviderId, &Provider),
    token: &str,
    now: DateTime<Utc>,
) -> Result<Bearer, ProviderError> {
    let (header, claims) = signed::read::<Claims>(watch, provider, &audience(id), token).await?;
    let kind = header.typ.unwrap_or_default().to_ascii_lowercase();
    let kind = kind.strip_prefix("application/").unwrap_or(&kind);
    let is_for_doors = matches!(kind, "" | "jwt" | "at+jwt")
        && claims.typ.is_none_or(|it| it.eq_ignore_ascii_case("bearer"))
        && claims.events.is_none();
    if !is_for_doors {
        return Err(NotGood::Kind.into());
    }
    let instant = |it| DateTime::from_timestamp(it, 0).ok_or(NotGood::Issued);
    let (issued, ends) = (instant(claims.iat)?, instant(claims.exp)?);
    if now + CLOCK_SKEW_MAX < issued || ends - issued > LIFETIME_MAX {
        return Err(NotGood::Issued.into());
    }
    if !signed::is_name(&claims.sub) {
        return Err(NotGood::Subject.into());
    }
    Ok(Bearer { subject: claims.sub, expires_at: ends + CLOCK_SKEW_MAX })
}
