//! An identity provider of a tenant: another system that says who its members are.
//!
//! What it says of somebody counts in this tenant only, and gives them nothing beyond what the member
//! has whose account it was linked with. A provider is never changed, so that an account stays linked
//! with what it was linked with. The client's secret is *not* known here.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Event, Name, Rejection};
use crate::id::ProviderId;
use crate::violation::Violations;

/// The most providers a tenant may have: 10, more than somebody wants to choose from.
pub const PROVIDERS_MAX: usize = 10;

/// The longest address of an issuer, in characters: 512.
const ISSUER_MAX: usize = 512;

/// The longest name by which a provider knows Callboard, in characters: 255.
const CLIENT_ID_MAX: usize = 255;

/// The most scopes that are asked for beside `openid`: 10.
const SCOPES_MAX: usize = 10;

/// The longest scope, in characters: 128.
const SCOPE_MAX: usize = 128;

/// A provider that speaks OpenID Connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Provider {
    /// What it is called where people choose how they sign in.
    pub name: Name,
    /// Its address, as it calls itself in what it signs.
    pub issuer: String,
    /// What it calls Callboard.
    pub client_id: String,
    /// What it is asked for beside `openid`.
    pub scopes: BTreeSet<String>,
}

/// Notes what is wrong with the shape of a provider.
pub(crate) fn note_violations(provider: &Provider, violations: &mut Violations) {
    violations.text("issuer", &provider.issuer, ISSUER_MAX);
    if !is_issuer(&provider.issuer) {
        let expected = "expected an address like `https://login.example.com/realm`, or one that begins \
                        with `http://` and leads to this machine";
        violations.note("issuer", expected);
    }
    violations.text("clientId", &provider.client_id, CLIENT_ID_MAX);
    violations.at_most("scopes", provider.scopes.len(), SCOPES_MAX);
    for scope in &provider.scopes {
        // RFC 6749, 3.3.
        let is_scope = |it: u8| matches!(it, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if !(1..=SCOPE_MAX).contains(&scope.len()) || !scope.bytes().all(is_scope) {
            violations.note("scopes", format!("expected scopes like `profile`, got `{scope}`"));
        }
    }
}

/// Whether a text can be an issuer: an address without query and fragment, over `https` unless it
/// leads from a machine to itself.
fn is_issuer(text: &str) -> bool {
    let is_plain = |it: u8| it.is_ascii_graphic() && !matches!(it, b'?' | b'#' | b'@' | b'\\');
    if !text.bytes().all(is_plain) {
        return false;
    }
    let host = |rest: &str| rest.split('/').next().unwrap_or_default().to_owned();
    match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => !host(rest).is_empty(),
        (None, Some(rest)) => is_loopback(&host(rest)),
        (None, None) => false,
    }
}

/// Whether a host, maybe with its port, leads from a machine to itself.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

/// Adds a provider, unless there is one like it.
pub(super) fn add(
    known: &BTreeMap<ProviderId, Provider>,
    provider: ProviderId,
    described: &Provider,
) -> Result<Vec<Event>, Rejection> {
    let is_same =
        |it: &Provider| it.issuer == described.issuer && it.client_id == described.client_id;
    match known.get(&provider) {
        Some(before) if before == described => return Ok(Vec::new()),
        Some(_) => return Err(Rejection::ProviderExists),
        None if known.values().any(is_same) => return Err(Rejection::ProviderExists),
        None if known.len() >= PROVIDERS_MAX => return Err(Rejection::TooManyProviders),
        None => {}
    }
    Ok(vec![Event::ProviderAdded { provider, described: described.clone() }])
}

/// Removes a provider.
pub(super) fn remove(
    known: &BTreeMap<ProviderId, Provider>,
    provider: ProviderId,
) -> Result<Vec<Event>, Rejection> {
    match known.contains_key(&provider) {
        true => Ok(vec![Event::ProviderRemoved { provider }]),
        false => Err(Rejection::ProviderNotFound),
    }
}
