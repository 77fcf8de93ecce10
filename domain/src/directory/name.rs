//! Names that select a tenant: slugs and hosts. They do *not* know which tenant.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a tenant is called in addresses: a lower-case DNS label of 3 to 40 characters.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("minLength" = 3, "maxLength" = 40, "pattern" = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$"))]
pub struct Slug(Box<str>);

/// A DNS name that selects a tenant, in lower case.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("maxLength" = 253, "pattern" = HOST_PATTERN))]
pub struct Host(Box<str>);

/// What a host looks like: labels of 1 to 63 characters with dots between, at least two.
const HOST_PATTERN: &str =
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$";

/// Why a text is not a slug or a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a slug.
    #[error(
        "expected a slug of 3 to 40 characters of `a-z 0-9 -`, beginning with a letter, got `{0}`"
    )]
    Slug(String),
    /// A slug that is kept for the installation.
    #[error("the slug `{0}` is reserved")]
    Reserved(String),
    /// Not a host name.
    #[error("expected a host name like `portal.example.com`, got `{0}`")]
    Host(String),
}

impl Slug {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Slug {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = (3..=40).contains(&text.len())
            && text.starts_with(|it: char| it.is_ascii_lowercase())
            && !text.ends_with('-')
            && !text.contains("--")
            && text.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !fits {
            return Err(NameError::Slug(text.chars().take(64).collect()));
        }
        if RESERVED_SLUGS.contains(&text) {
            return Err(NameError::Reserved(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

/// Slugs that would be mistaken for a part of the installation.
const RESERVED_SLUGS: [&str; 16] = [
    "admin",
    "api",
    "app",
    "auth",
    "billing",
    "callboard",
    "docs",
    "graphql",
    "healthz",
    "help",
    "login",
    "metrics",
    "operator",
    "status",
    "system",
    "www",
];

impl std::str::FromStr for Host {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let label = |it: &str| {
            (1..=63).contains(&it.len())
                && !it.starts_with('-')
                && !it.ends_with('-')
                && it.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if text.len() <= 253 && text.contains('.') && text.split('.').all(label) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Host(text.chars().take(64).collect()))
        }
    }
}

/// Last labels of names that never lead from elsewhere to here: the IANA registry of special-use
/// domain names, and `internal`, which ICANN keeps for private use.
const PRIVATE_LABELS: [&str; 8] =
    ["alt", "arpa", "internal", "invalid", "local", "localdomain", "localhost", "onion"];

impl Host {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Why nobody can be selected by this name, if that is so. Hosts that were added before this
    /// was asked stay what they are.
    #[must_use]
    pub fn unfit(&self) -> Option<String> {
        let last = self.0.rsplit('.').next().unwrap_or_default();
        // Whatever ends in a number is read as an IPv4 address, be it one or not.
        if last.bytes().all(|it| it.is_ascii_digit()) {
            return Some(format!(
                "expected a name like `portal.example.com`, got the address `{}`",
                self.0
            ));
        }
        let is_private = PRIVATE_LABELS.contains(&last);
        is_private.then(|| {
            format!(
                "expected a name that everybody can resolve, `.{last}` is reserved, got `{}`",
                self.0
            )
        })
    }
}

impl TryFrom<String> for Slug {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> Self {
        slug.0.into()
    }
}

impl TryFrom<String> for Host {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.0.into()
    }
}
