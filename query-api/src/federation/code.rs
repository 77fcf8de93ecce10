//! The authorization code flow of OpenID Connect: where somebody is sent, and what becomes of the code
//! that they come back with.

use axum::http::HeaderValue;
use axum::http::header::InvalidHeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use domain::tenant::Provider;
use form_urlencoded::Serializer;
use serde::Deserialize;

use super::ProviderError;
use super::id_token::{self, Asked, Told};
use super::login::{Goal, Login};
use super::metadata::{self, Metadata};
use super::watch::Watch;

/// What a provider sends somebody back with.
#[derive(Deserialize)]
pub(crate) struct Back {
    pub(crate) state: Option<String>,
    pub(crate) code: Option<String>,
    /// Why there is no code.
    pub(crate) error: Option<String>,
    /// Who it says it is (RFC 9207).
    pub(crate) iss: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

/// Where a browser goes.
///
/// # Errors
///
/// If the provider has named no address.
pub(crate) fn address(
    provider: &Provider,
    metadata: &Metadata,
    login: &Login,
) -> Result<HeaderValue, InvalidHeaderValue> {
    let scopes = provider.scopes.iter().map(String::as_str).filter(|it| *it != "openid");
    let scope = ["openid"].into_iter().chain(scopes).collect::<Vec<_>>().join(" ");
    let mut asked = Serializer::new(String::new());
    asked
        .append_pair("response_type", "code")
        .append_pair("client_id", &provider.client_id)
        .append_pair("redirect_uri", &login.back)
        .append_pair("scope", &scope)
        .append_pair("state", &login.state)
        .append_pair("nonce", &login.nonce)
        .append_pair("code_challenge", &login.challenge())
        .append_pair("code_challenge_method", "S256");
    if login.goal == Goal::Prove {
        // Either asks for it, and not every provider knows both. To be told when (`auth_time`) needs the first.
        asked.append_pair("max_age", "0").append_pair("prompt", "login");
    }
    let asked = asked.finish();
    let place = &metadata.authorization_endpoint;
    let between = if place.contains('?') { '&' } else { '?' };
    HeaderValue::try_from(format!("{place}{between}{asked}"))
}

/// Whether it is this provider who has sent somebody back, as far as it says.
pub(crate) fn is_from(provider: &Provider, metadata: &Metadata, back: &Back) -> bool {
    match &back.iss {
        Some(issuer) => *issuer == provider.issuer,
        None => !metadata.authorization_response_iss_parameter_supported,
    }
}

/// Who somebody is who has come back with `code`.
///
/// # Errors
///
/// [`ProviderError`].
pub(crate) async fn exchange(
    watch: &Watch,
    provider: &Provider,
    secret: Option<&str>,
    login: &Login,
    code: &str,
) -> Result<Told, ProviderError> {
    let metadata = watch.metadata(&provider.issuer).await?;
    let in_form = secret.filter(|_| metadata.wants_secret_in_form());
    let in_header = secret.filter(|_| in_form.is_none());
    let client = in_header.is_none().then_some((provider.client_id.as_str(), in_form));
    let form = form(login, code, client);
    let authorization = in_header.map(|it| basic(&provider.client_id, it));
    let sent = watch.fetch().post(&metadata.token_endpoint, form, authorization).await;
    let tokens: Tokens = metadata::read(&sent.map_err(ProviderError::Away)?)?;
    let asked = Asked { provider, nonce: &login.nonce, begun: login.begun };
    id_token::verify(watch, asked, &tokens.id_token, Utc::now()).await
}

/// What is sent for a token; with the client, and its secret if it has one, unless they are in the header.
fn form(login: &Login, code: &str, client: Option<(&str, Option<&str>)>) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", &login.back)
        .append_pair("code_verifier", &login.verifier);
    if let Some((client, secret)) = client {
        form.append_pair("client_id", client);
        form.extend_pairs(secret.map(|it| ("client_secret", it)));
    }
    form.finish()
}

/// A client and its secret in the header `Authorization`, each encoded as a form is (RFC 6749, 2.3.1).
fn basic(client: &str, secret: &str) -> String {
    let encoded = |it: &str| form_urlencoded::byte_serialize(it.as_bytes()).collect::<String>();
    let both = format!("{}:{}", encoded(client), encoded(secret));
    format!("Basic {}", STANDARD.encode(both))
}
