//! Personal data: readable while its subject's key exists, and never stored in the clear.
//!
//! A [`Personal`] is born plain in a command, compares by its keyed digest, and is sealed by
//! the write side before its event is stored. Serialising a plain one is an error, so a fact
//! that was not sealed cannot reach the log.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::SubjectId;

/// A keyed digest (HMAC-SHA-256 under the tenant's key, cut to 128 bits): equal texts of one
/// tenant have equal digests, and nobody without the key can tell the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, JsonSchema)]
#[schemars(extend("pattern" = "^[0-9a-f]{32}$"))]
pub struct Digest(#[schemars(with = "String")] pub [u8; 16]);

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::deserialize(deserializer)
    }
}

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 32 hex digits, got `{0}`")]
pub struct DigestError(String);

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let bytes = unhex(text).and_then(|it| it.try_into().ok());
        bytes.map(Self).ok_or_else(|| DigestError(text.chars().take(64).collect()))
    }
}

/// A text about a person.
#[derive(Clone, Debug)]
pub struct Personal {
    /// Whose key seals it.
    pub subject: SubjectId,
    /// Stands for the text in comparisons.
    pub digest: Digest,
    /// The text, plain or sealed.
    pub content: Content,
}

/// What is held of a personal text.
#[derive(Clone)]
pub enum Content {
    /// The text itself; never stored.
    Plain(String),
    /// Nonce, ciphertext and tag of AES-256-GCM under the subject's key.
    Sealed(Box<[u8]>),
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain(…)",
            Self::Sealed(_) => "Sealed(…)",
        })
    }
}

impl PartialEq for Personal {
    fn eq(&self, other: &Self) -> bool {
        self.subject == other.subject && self.digest == other.digest
    }
}

impl Eq for Personal {}

/// A text about a person, sealed.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Personal")]
struct Stored {
    /// Whose key seals it.
    subject: SubjectId,
    /// Stands for the text in comparisons.
    digest: Digest,
    /// Nonce, ciphertext and tag of AES-256-GCM under the subject's key, in hexadecimal digits.
    #[schemars(extend("pattern" = "^([0-9a-f]{2})*$"))]
    sealed: String,
}

impl JsonSchema for Personal {
    fn schema_name() -> Cow<'static, str> {
        Stored::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Stored::json_schema(generator)
    }
}

impl Serialize for Personal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Content::Sealed(sealed) = &self.content else {
            return Err(S::Error::custom("personal data must be sealed before it is stored"));
        };
        let sealed = hex(sealed);
        Stored { subject: self.subject, digest: self.digest, sealed }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Personal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Stored { subject, digest, sealed } = Stored::deserialize(deserializer)?;
        let sealed = unhex(&sealed).ok_or_else(|| D::Error::custom("expected hex digits"))?;
        Ok(Self { subject, digest, content: Content::Sealed(sealed.into()) })
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits =
        bytes.iter().flat_map(|it| [DIGITS[usize::from(it >> 4)], DIGITS[usize::from(it & 15)]]);
    digits.map(char::from).collect()
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|it| Some(digit(*it.first()?)? << 4 | digit(*it.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests;
