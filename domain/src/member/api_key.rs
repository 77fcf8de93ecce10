//! A member's API key: by it a machine may do a part of what the member may, for a time.
//!
//! A key is an actor of its own, so the audit trail tells what it did from what the member did.
//! Of its secret only a keyed digest is known. It does *not* know what a key looks like on the wire.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Event, Rejection};
use crate::id::ActorId;
use crate::personal::Digest;
use crate::principal::Permission;
use crate::violation::Violations;

/// The most keys a member may have at a time: 20, enough to have one for each thing that is
/// automated.
pub const API_KEYS_MAX: usize = 20;

/// The longest a key is good for: 366 days, so that it is renewed once a year.
pub const LIFETIME_MAX: TimeDelta = TimeDelta::days(366);

/// What a key is called, say `ci`: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(extend("pattern" = crate::text::KEY_PATTERN))]
pub struct ApiKeyName(Box<str>);

/// Why a text is not the name of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a name like `nightly-import`, got `{0}`")]
pub struct ApiKeyNameError(String);

impl FromStr for ApiKeyName {
    type Err = ApiKeyNameError;

    fn from_str(text: &str) -> Result<Self, ApiKeyNameError> {
        if crate::text::is_key(text) {
            Ok(Self(text.into()))
        } else {
            Err(ApiKeyNameError(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for ApiKeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ApiKeyName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ApiKeyName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::deserialize(deserializer)
    }
}

/// A key that was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKey {
    /// What it is called.
    pub name: ApiKeyName,
    /// What may be done by it as long as its member may do so, in order and each once.
    pub scope: Vec<Permission>,
    /// The keyed digest of its secret.
    pub secret: Digest,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl ApiKey {
    /// A digest of nothing, until the secret is known.
    pub const UNKNOWN: Digest = Digest([0; 16]);

    /// Whether it was issued for `permission` and has not ended at `now`.
    #[must_use]
    pub fn permits(&self, permission: Permission, now: DateTime<Utc>) -> bool {
        now < self.expires_at && self.scope.contains(&permission)
    }
}

/// Notes what is wrong with what a key is asked for. Nothing is issued by a key, or one that got
/// into wrong hands would have others come after it.
pub(crate) fn note_violations(scope: &[Permission], violations: &mut Violations) {
    violations.at_least_one("scope", scope.len());
    if scope.contains(&Permission::ApiKeyWrite) {
        violations.note("scope", "an API key cannot issue or revoke API keys".to_owned());
    }
}

/// Issues a key; those that have ended make room for it.
pub(super) fn issue(
    keys: &BTreeMap<ActorId, ApiKey>,
    key: ActorId,
    asked: &ApiKey,
    now: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    match keys.get(&key) {
        Some(known) if known == asked => return Ok(Vec::new()),
        Some(_) => return Err(Rejection::ApiKeyExists),
        None => {}
    }
    if asked.expires_at <= now || asked.expires_at > now + LIFETIME_MAX {
        return Err(Rejection::ApiKeyLifetime(asked.expires_at));
    }
    let ended: Vec<_> = keys.iter().filter(|it| it.1.expires_at <= now).map(|it| *it.0).collect();
    if keys.len() - ended.len() >= API_KEYS_MAX {
        return Err(Rejection::TooManyApiKeys);
    }
    let revoked = ended.into_iter().map(|key| Event::ApiKeyRevoked { key });
    let issued = Event::ApiKeyIssued { key, issued: asked.clone() };
    Ok(revoked.chain([issued]).collect())
}
