//! A tenant's own keys: they name things, compare texts, and encrypt values.
//!
//! All are derived from the one key the vault keeps for the tenant, so destroying that one
//! destroys them. What is known about persons is sealed by [`crate::SubjectKeys`] instead.

use std::sync::Arc;

use aws_lc_rs::hmac;
use domain::id::{ActorId, CommandId, EntityId, LocationId, MeterId, SubjectId, TenantId};
use domain::personal::{Content, Digest, Personal};
use uuid::Uuid;

use crate::cipher::{Cipher, Secret, derive};
use crate::port::{BlobName, RecordKind, RecordName};

/// The media type of a value that [`TenantKeys::seal_value`] sealed, as its record names it.
pub const SEALED: &str = "application/vnd.callboard.sealed";

/// The keys of one tenant. Cheap to clone; hold it for a batch, not for ever: a copy outlives
/// the destruction of the tenant's key.
#[derive(Clone, Debug)]
pub struct TenantKeys(Arc<Keys>);

#[derive(Debug)]
struct Keys {
    tenant: TenantId,
    digests: hmac::Key,
    values: Cipher,
    snapshots: Cipher,
    blob_names: hmac::Key,
    blobs: Cipher,
    record_names: hmac::Key,
    records: Cipher,
}

/// A sealed value was changed, or sealed for another tenant, stream or place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value at sequence {sequence} of {tenant} was not sealed for this place")]
pub struct ValueForged {
    /// The tenant whose keys did not open it.
    pub tenant: TenantId,
    /// The place.
    pub sequence: u64,
}

impl TenantKeys {
    pub(crate) fn new(tenant: TenantId, secret: &Secret) -> Self {
        let mac = |usage| hmac::Key::new(hmac::HMAC_SHA256, derive(secret, usage).as_slice());
        // A tenant's values, snapshots, blobs and records have no bound on their number; hence SIV.
        let cipher = |usage| Cipher::gcm_siv(&derive(secret, usage));
        Self(Arc::new(Keys {
            tenant,
            digests: mac("digest"),
            values: cipher("value"),
            snapshots: cipher("snapshot"),
            blob_names: mac("blob name"),
            blobs: cipher("blob"),
            record_names: mac("record name"),
            records: cipher("record"),
        }))
    }

    /// Whose keys these are.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.0.tenant
    }

    /// The keyed digest of `text` for one purpose; digests for different purposes never match.
    #[must_use]
    pub fn digest(&self, purpose: &str, text: &str) -> Digest {
        self.digest_parts(purpose, &[text])
    }

    /// The keyed digest of several texts; where one ends and the next begins counts.
    fn digest_parts(&self, purpose: &str, parts: &[&str]) -> Digest {
        let mut mac = hmac::Context::with_key(&self.0.digests);
        for part in std::iter::once(&purpose).chain(parts) {
            let length = u64::try_from(part.len()).expect("a length fits 64 bits");
            mac.update(&length.to_be_bytes());
            mac.update(part.as_bytes());
        }
        Digest(*mac.sign().as_ref().first_chunk().expect("a digest has 32 bytes"))
    }

    /// A digest in the form of an identity (`UUIDv8`): 122 bits of it.
    fn id(&self, purpose: &str, parts: &[&str]) -> Uuid {
        uuid::Builder::from_custom_bytes(self.digest_parts(purpose, parts).0).into_uuid()
    }

    /// The stream of the entity with this canonical reference (`kind:namespace/name`, lower
    /// case).
    #[must_use]
    pub fn entity_id(&self, reference: &str) -> EntityId {
        EntityId(self.id("entity", &[reference]))
    }

    /// The stream of the location with this type and target.
    #[must_use]
    pub fn location_id(&self, kind: &str, target: &str) -> LocationId {
        LocationId(self.id("location", &[kind, target]))
    }

    /// The stream of the meter of this name.
    #[must_use]
    pub fn meter_id(&self, name: &str) -> MeterId {
        MeterId(self.id("meter", &[name]))
    }

    /// The person or customer this canonical text stands for.
    #[must_use]
    pub fn subject_id(&self, text: &str) -> SubjectId {
        SubjectId(self.id("subject", &[text]))
    }

    /// The actor a credential issuer knows under this name.
    #[must_use]
    pub fn actor_id(&self, issuer: &str, name: &str) -> ActorId {
        ActorId(self.id("actor", &[issuer, name]))
    }

    /// The command a client's idempotency key stands for: the same for every repetition.
    #[must_use]
    pub fn command_id(&self, actor: ActorId, operation: &str, idempotency_key: &str) -> CommandId {
        CommandId(self.id("command", &[&actor.to_string(), operation, idempotency_key]))
    }

    /// A personal text about `subject`, still plain, with the digest that stands for it.
    #[must_use]
    pub fn personal(&self, subject: SubjectId, text: impl Into<String>) -> Personal {
        let text = text.into();
        let digest = self.digest("personal", &text);
        Personal { subject, digest, content: Content::Plain(text) }
    }

    /// Encrypts the value of the record at `sequence` of `stream`.
    #[must_use]
    pub fn seal_value(&self, stream: &str, sequence: u64, value: &[u8]) -> Vec<u8> {
        self.0.values.seal(&place(self.0.tenant, stream, sequence), value)
    }

    /// Encrypts a piece of a snapshot of this tenant's state, bound to its `place`.
    #[must_use]
    pub fn seal_snapshot(&self, place: &str, content: &[u8]) -> Vec<u8> {
        self.0.snapshots.seal(&named(self.0.tenant, place), content)
    }

    /// Decrypts a piece of a snapshot; none if it is not what was sealed for this tenant and
    /// `place`.
    #[must_use]
    pub fn open_snapshot(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        self.0.snapshots.open(&named(self.0.tenant, place), sealed)
    }

    /// Decrypts the value of the record at `sequence` of `stream`.
    ///
    /// # Errors
    ///
    /// [`ValueForged`] if it is not what was sealed for this tenant, stream and sequence.
    pub fn open_value(
        &self,
        stream: &str,
        sequence: u64,
        sealed: &[u8],
    ) -> Result<Vec<u8>, ValueForged> {
        let tenant = self.0.tenant;
        let opened = self.0.values.open(&place(tenant, stream, sequence), sealed);
        opened.ok_or(ValueForged { tenant, sequence })
    }

    /// What the tenant's content of these bytes is called.
    #[must_use]
    pub fn blob_name(&self, content: &[u8]) -> BlobName {
        let hash = hmac::sign(&self.0.blob_names, content);
        BlobName {
            hash: hash.as_ref().try_into().expect("a digest has 32 bytes"),
            length: u64::try_from(content.len()).expect("a length fits 64 bits"),
        }
    }

    pub(crate) fn seal_blob(&self, name: BlobName, content: &[u8]) -> Vec<u8> {
        self.0.blobs.seal(&name.hash, content)
    }

    pub(crate) fn open_blob(&self, name: BlobName, sealed: &[u8]) -> Option<Vec<u8>> {
        let content = self.0.blobs.open(&name.hash, sealed)?;
        (self.blob_name(&content) == name).then_some(content)
    }

    /// What the tenant's record of this kind and name is called where it is stored.
    pub(crate) fn record_name(&self, kind: RecordKind, name: &str) -> RecordName {
        let mut mac = hmac::Context::with_key(&self.0.record_names);
        // No kind has a name with this character.
        for part in [kind.name(), "\n", name] {
            mac.update(part.as_bytes());
        }
        let digest = *mac.sign().as_ref().first_chunk().expect("a digest has 32 bytes");
        RecordName { tenant: self.0.tenant, kind, digest }
    }

    pub(crate) fn seal_record(&self, name: &RecordName, value: &[u8]) -> Vec<u8> {
        self.0.records.seal(&record_place(name), value)
    }

    pub(crate) fn open_record(&self, name: &RecordName, sealed: &[u8]) -> Option<Vec<u8>> {
        self.0.records.open(&record_place(name), sealed)
    }
}

fn named(tenant: TenantId, place: &str) -> Vec<u8> {
    [tenant.0.as_bytes().as_slice(), place.as_bytes()].concat()
}

fn record_place(name: &RecordName) -> Vec<u8> {
    let kind = name.kind.name();
    [name.tenant.0.as_bytes(), name.digest.as_slice(), kind.as_bytes()].concat()
}

fn place(tenant: TenantId, stream: &str, sequence: u64) -> Vec<u8> {
    [tenant.0.as_bytes(), sequence.to_be_bytes().as_slice(), stream.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
