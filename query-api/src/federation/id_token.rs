//! What a provider signs about somebody (an ID token), and whether that is good here.
//!
//! By whom it was signed, for whom and until when is judged as for everything that a provider signs
//! (`signed`); what only OpenID Connect asks for (nonce, authorized party, when it was issued) by this
//! file.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::member::Method;
use domain::tenant::Provider;
use serde::Deserialize;

use super::ProviderError;
use super::signed::{self, CLOCK_SKEW_MAX};
use super::watch::Watch;

/// Why what a provider signed is not good here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotGood {
    /// It is no token, or not signed by whom and for what it should be.
    #[error("the token is not valid: {0}")]
    Invalid(#[from] jsonwebtoken::errors::Error),
    /// It is signed in a way that is not taken, or too long.
    #[error("the token is signed in a way that is not taken, or is too long")]
    Form,
    /// The provider has no such key.
    #[error("the token was signed with a key that the provider does not have")]
    UnknownKey,
    /// It answers another question.
    #[error("the token was not made for this sign-in")]
    Nonce,
    /// It was made for somebody else.
    #[error("the token was made for another client, too")]
    Party,
    /// It was made before anybody asked for it, or is yet to be made, or is good for too long.
    #[error("the token was made at another time, or for too long")]
    Issued,
    /// It is for something else.
    #[error("the token is of another kind")]
    Kind,
    /// It says of nobody who they are.
    #[error("the token names nobody")]
    Subject,
}

/// Somebody of whom a provider speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// What the provider calls them, and nobody else ever.
    pub(crate) subject: String,
    /// How they have proved that.
    pub(crate) methods: BTreeSet<Method>,
    /// When they have, if it says.
    pub(crate) proved_at: Option<DateTime<Utc>>,
}

/// What was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) provider: &'a Provider,
    pub(crate) nonce: &'a str,
    pub(crate) begun: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    aud: Audience,
    azp: Option<String>,
    nonce: Option<String>,
    iat: i64,
    #[serde(default)]
    amr: Vec<String>,
    #[serde(default)]
    auth_time: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Who somebody is by this token, if it answers what was asked.
///
/// # Errors
///
/// [`ProviderError`].
pub(crate) async fn verify(
    watch: &Watch,
    asked: Asked<'_>,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Told, ProviderError> {
    let client = &asked.provider.client_id;
    let (_, claims) = signed::read(watch, asked.provider, client, token).await?;
    Ok(judge(claims, asked, now)?)
}

fn judge(claims: Claims, asked: Asked<'_>, now: DateTime<Utc>) -> Result<Told, NotGood> {
    if claims.nonce.as_deref() != Some(asked.nonce) {
        return Err(NotGood::Nonce);
    }
    let client = &asked.provider.client_id;
    let is_for_others = match &claims.aud {
        Audience::One(it) => it != client,
        Audience::Several(all) => all.iter().any(|it| it != client),
    };
    let is_ours = claims.azp.as_ref() == Some(client);
    if (is_for_others || claims.azp.is_some()) && !is_ours {
        return Err(NotGood::Party);
    }
    let issued = DateTime::from_timestamp(claims.iat, 0).ok_or(NotGood::Issued)?;
    if issued < asked.begun - CLOCK_SKEW_MAX || now + CLOCK_SKEW_MAX < issued {
        return Err(NotGood::Issued);
    }
    if !signed::is_name(&claims.sub) {
        return Err(NotGood::Subject);
    }
    let known = |name: &String| Method::ALL.into_iter().find(|it| it.name() == name);
    let methods = claims.amr.iter().filter_map(known).chain([Method::Fed]).collect();
    // Of one that is yet to come nothing is known.
    let proved_at = claims.auth_time.and_then(|it| DateTime::from_timestamp(it, 0));
    let proved_at = proved_at.filter(|it| *it < now + CLOCK_SKEW_MAX).map(|it| it.min(now));
    Ok(Told { subject: claims.sub, methods, proved_at })
}
