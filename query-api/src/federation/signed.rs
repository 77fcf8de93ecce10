//! What a provider has signed, whatever it says: by whose key, for whom, and until when.
//!
//! Signature, issuer, audience and time are judged by the library. Only signatures that their maker
//! alone can make count: by what both sides know a provider's public key would do.

use chrono::TimeDelta;
use domain::tenant::Provider;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::de::DeserializeOwned;

use super::ProviderError;
use super::id_token::NotGood;
use super::watch::Watch;

/// How far a provider's clock may be from ours. In seconds: 60.
pub(super) const CLOCK_SKEW_MAX: TimeDelta = TimeDelta::seconds(60);

/// The longest token that is looked at. In bytes: 64 KiB.
pub(crate) const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// The longest name by which a provider knows somebody, in bytes: 255, as the standard says.
const SUBJECT_MAX: usize = 255;

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

/// What the token says, and how, if the provider has signed it, for this audience, and it is good now.
///
/// # Errors
///
/// [`ProviderError`].
pub(super) async fn read<T: DeserializeOwned>(
    watch: &Watch,
    provider: &Provider,
    audience: &str,
    token: &str,
) -> Result<(Header, T), ProviderError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(NotGood::Form.into());
    }
    let header = jsonwebtoken::decode_header(token).map_err(NotGood::Invalid)?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(NotGood::Form.into());
    }
    let key = watch.key(&provider.issuer, header.kid.as_deref(), header.alg).await?;
    let key = key.ok_or(NotGood::UnknownKey)?;
    let key = DecodingKey::from_jwk(&key).map_err(NotGood::Invalid)?;
    let validation = validation(provider, audience, header.alg);
    let said = jsonwebtoken::decode::<T>(token, &key, &validation).map_err(NotGood::Invalid)?;
    Ok((header, said.claims))
}

fn validation(provider: &Provider, audience: &str, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[&provider.issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    validation.validate_nbf = true;
    validation.leeway = CLOCK_SKEW_MAX.num_seconds().unsigned_abs();
    validation
}

/// Whether somebody can be called so.
pub(super) fn is_name(subject: &str) -> bool {
    let is_control = subject.bytes().any(|it| it.is_ascii_control());
    (1..=SUBJECT_MAX).contains(&subject.len()) && !is_control
}
