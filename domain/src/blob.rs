//! Content too large for an event: the event names it, the vault keeps it.

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::personal::{hex, unhex};

/// Names content by what it is: the keyed hash (HMAC-SHA-256 under the tenant's key) and the
/// length. An event that carries the name pins the content, and the same content has another
/// name for every tenant.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct BlobName {
    /// The keyed hash of the content.
    #[serde(serialize_with = "write", deserialize_with = "read")]
    #[schemars(with = "String", extend("pattern" = "^[0-9a-f]{64}$"))]
    pub hash: [u8; 32],
    /// The length of the content, in bytes.
    pub length: u64,
}

impl std::fmt::Display for BlobName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} bytes", hex(&self.hash), self.length)
    }
}

fn write<S: Serializer>(hash: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex(hash))
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let hash = unhex(&String::deserialize(deserializer)?).and_then(|it| it.try_into().ok());
    hash.ok_or_else(|| D::Error::custom("expected 64 hex digits"))
}
