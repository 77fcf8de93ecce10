//! What a provider signs about somebody (an ID token), and whether that is good here.
//!
//! Signature, issuer, audience and time are judged by the library; what only OpenID Connect asks for
//! (nonce, authorized party, when it was issued) by this file. Only signatures that their maker alone
//! can make count: by what both sides know a provider's public key would do.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use domain::member::Method;
use domain::tenant::Provider;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::ProviderError;
use super::watch::Watch;

/// How far a provider's clock may be from ours. In seconds: 60.
const CLOCK_SKEW_MAX: TimeDelta = TimeDelta::seconds(60);

/// The longest name by which a provider knows somebody, in bytes: 255, as the standard says.
const SUBJECT_MAX: usize = 255;

/// The longest token that is looked at. In bytes: 64 KiB.
const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// How a provider may sign.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

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
    /// It was made before anybody asked for it, or is yet to be made.
    #[error("the token was not made during this sign-in")]
    Issued,
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
    if token.len() > TOKEN_BYTES_MAX {
        return Err(NotGood::Form.into());
    }
    let header = jsonwebtoken::decode_header(token).map_err(NotGood::Invalid)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(NotGood::Form.into());
    }
    let issuer = &asked.provider.issuer;
    let key = watch.key(issuer, header.kid.as_deref(), header.alg).await?;
    let key = key.ok_or(NotGood::UnknownKey)?;
    let key = DecodingKey::from_jwk(&key).map_err(NotGood::Invalid)?;
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation(asked, header.alg));
    Ok(judge(claims.map_err(NotGood::Invalid)?.claims, asked, now)?)
}

fn validation(asked: Asked<'_>, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[&asked.provider.issuer]);
    validation.set_audience(&[&asked.provider.client_id]);
    validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    validation.validate_nbf = true;
    validation.leeway = CLOCK_SKEW_MAX.num_seconds().unsigned_abs();
    validation
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
    let is_no_name = claims.sub.bytes().any(|it| it.is_ascii_control());
    if claims.sub.is_empty() || claims.sub.len() > SUBJECT_MAX || is_no_name {
        return Err(NotGood::Subject);
    }
    let known = |name: &String| Method::ALL.into_iter().find(|it| it.name() == name);
    let methods = claims.amr.iter().filter_map(known).chain([Method::Fed]).collect();
    Ok(Told { subject: claims.sub, methods })
}
