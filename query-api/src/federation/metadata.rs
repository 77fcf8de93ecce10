//! What a provider says of itself (OpenID Connect Discovery), and the keys that it signs with.

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Fetch, Fetched, ProviderError};

/// Where a provider says it, below its address.
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// The most keys of a provider that are looked at: 50.
const KEYS_MAX: usize = 50;

/// What a provider says of itself, as far as that matters here.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Metadata {
    issuer: String,
    pub(crate) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    jwks_uri: String,
    /// How a client proves who it is; in the header `Authorization` if nothing is said.
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether it says who it is when it sends somebody back (RFC 9207).
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

#[derive(Deserialize)]
struct KeySet {
    /// Read one by one: keys of a kind that is not known here are none of ours.
    keys: Vec<serde_json::Value>,
}

impl Metadata {
    /// What the provider at `issuer` says.
    pub(super) async fn of(fetch: &dyn Fetch, issuer: &str) -> Result<Self, ProviderError> {
        let place = format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/'));
        let metadata: Self = read(&fetch.get(&place).await.map_err(ProviderError::Away)?)?;
        if metadata.issuer != issuer {
            return Err(ProviderError::Issuer);
        }
        let (enter, token) = (&metadata.authorization_endpoint, &metadata.token_endpoint);
        for endpoint in [enter, token, &metadata.jwks_uri] {
            // Who is at http is on this machine, or would not have been added.
            let is_as_safe = endpoint.starts_with("https://") || issuer.starts_with("http://");
            if !is_as_safe {
                return Err(ProviderError::Address);
            }
        }
        Ok(metadata)
    }

    /// The keys that it signs with.
    pub(super) async fn keys(&self, fetch: &dyn Fetch) -> Result<Vec<Jwk>, ProviderError> {
        let set: KeySet = read(&fetch.get(&self.jwks_uri).await.map_err(ProviderError::Away)?)?;
        let keys = set.keys.into_iter().take(KEYS_MAX);
        Ok(keys.filter_map(|it| serde_json::from_value(it).ok()).collect())
    }

    /// Whether a client may prove who it is only in the form that it sends.
    pub(super) fn wants_secret_in_form(&self) -> bool {
        let has = |ways: &Vec<String>, way: &str| ways.iter().any(|it| it == way);
        self.token_endpoint_auth_methods_supported
            .as_ref()
            .is_some_and(|it| has(it, "client_secret_post") && !has(it, "client_secret_basic"))
    }
}

/// What an answer says.
pub(super) fn read<T: DeserializeOwned>(fetched: &Fetched) -> Result<T, ProviderError> {
    match fetched.status {
        200 => serde_json::from_slice(&fetched.body).map_err(ProviderError::Unreadable),
        status => Err(ProviderError::Status(status)),
    }
}

/// The key among `keys` that a token names and that is for signatures of this kind. One that names none
/// is meant to be signed with the only one that there is.
pub(super) fn find<'k>(
    keys: &'k [Jwk],
    name: Option<&str>,
    algorithm: Algorithm,
) -> Option<&'k Jwk> {
    let mut fit = keys.iter().filter(|it| {
        let said = &it.common;
        let is_named = name.is_none_or(|name| said.key_id.as_deref() == Some(name));
        let is_for = said.key_algorithm.is_none_or(|it| it.to_string() == format!("{algorithm:?}"));
        let signs = matches!(said.public_key_use, None | Some(PublicKeyUse::Signature));
        is_named && is_for && signs && family(&it.algorithm) == Some(algorithm.family())
    });
    let found = fit.next();
    found.filter(|_| name.is_some() || fit.next().is_none())
}

/// What a public key can verify.
fn family(parameters: &AlgorithmParameters) -> Option<AlgorithmFamily> {
    match parameters {
        AlgorithmParameters::RSA(_) => Some(AlgorithmFamily::Rsa),
        AlgorithmParameters::EllipticCurve(_) => Some(AlgorithmFamily::Ec),
        AlgorithmParameters::OctetKeyPair(_) => Some(AlgorithmFamily::Ed),
        // What both sides know, and what is not known here.
        _ => None,
    }
}
