//! The contract between the vault and where it is stored, split by concern: keys, blobs,
//! cursors and records.
//!
//! Adapters store bytes that are already wrapped or sealed; none ever sees a secret. Every
//! method that changes something is durable once it returns `Ok`, and repeating it is harmless.

mod records;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
pub use domain::blob::BlobName;
use domain::id::{SubjectId, TenantId};
pub use records::{
    Change, Committed, PURGED_MAX, Record, RecordKind, RecordName, Records, Version,
};
use uuid::Uuid;

/// A fault of the vault's storage. Somebody must look; the caller may ask again later.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the vault failed while {doing}")]
pub struct VaultError {
    /// What was being done, in words.
    pub doing: &'static str,
    /// The cause.
    #[source]
    pub source: Arc<dyn std::error::Error + Send + Sync>,
}

impl VaultError {
    /// Whether the storage is away, so that the same may succeed once it is back.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.source.is::<Busy>() || self.source.downcast_ref().is_some_and(crate::postgres::is_away)
    }

    /// Whether keys cannot be made since others of the tenant are being destroyed just now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.source.is::<Held>()
    }
}

/// More is asked for than may wait.
#[derive(Debug, thiserror::Error)]
#[error("too many keys of the tenant are waited for")]
pub(crate) struct Busy;

/// Keys of the tenant are being destroyed.
#[derive(Debug, thiserror::Error)]
#[error("keys of the tenant are being destroyed")]
pub(crate) struct Held;

/// Names what was being done when the storage failed.
pub(crate) fn failed<E>(doing: &'static str) -> impl FnOnce(E) -> VaultError
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |source| VaultError { doing, source: Arc::new(source) }
}

/// What a key is for, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyName {
    /// One of the installation itself; cannot be destroyed.
    Installation(InstallationKey),
    /// The key from which all keys of a tenant but its subjects' are derived.
    Tenant(TenantId),
    /// The key that seals what is known about one person or customer of a tenant.
    Subject(TenantId, SubjectId),
}

/// The keys of an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstallationKey {
    /// What other symmetric keys of the installation are derived from.
    Master,
    /// The local issuer's signing key.
    Issuer,
    /// What signs audit trails: the first such key, the second, and so on.
    Audit(u32),
}

impl KeyName {
    /// The tenant the key belongs to, what it is for, and whose it is, as stored and as bound
    /// to the wrapped key. Where one of them means nothing it is nil.
    #[must_use]
    pub fn parts(self) -> (Uuid, &'static str, Uuid) {
        match self {
            Self::Installation(InstallationKey::Master) => (Uuid::nil(), "master", Uuid::nil()),
            Self::Installation(InstallationKey::Issuer) => (Uuid::nil(), "issuer", Uuid::nil()),
            Self::Installation(InstallationKey::Audit(generation)) => {
                (Uuid::nil(), "audit", Uuid::from_u128(generation.into()))
            }
            Self::Tenant(tenant) => (tenant.0, "tenant", Uuid::nil()),
            Self::Subject(tenant, subject) => (tenant.0, "subject", subject.0),
        }
    }

    /// The key whose destruction destroys this one too.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        match self {
            Self::Subject(tenant, _) => Some(Self::Tenant(tenant)),
            Self::Installation(_) | Self::Tenant(_) => None,
        }
    }
}

/// A key, encrypted under the root key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped(pub Vec<u8>);

/// What the vault knows of a key that was ever named in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// It exists.
    Held(Wrapped),
    /// It was destroyed, or its parent was, and will never exist again.
    Destroyed,
}

/// Where keys are kept.
#[async_trait]
pub trait Keys: std::fmt::Debug + Send + Sync {
    /// The slots of `names`, in order; none where a key never existed.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails.
    async fn get(&self, names: &[KeyName]) -> Result<Vec<Option<Slot>>, VaultError>;

    /// Stores each candidate whose name has no slot yet, all in one transaction, and returns
    /// the slots as they are afterwards, in order. Whoever comes first wins: callers that
    /// create the same key at once all get the same one. What was destroyed stays so.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails; then none of the candidates was stored. So it is where
    /// keys of one of the tenants are being destroyed just now ([`VaultError::is_held`]): then ask
    /// again, and for others without them.
    async fn get_or_create(
        &self,
        candidates: &[(KeyName, Wrapped)],
    ) -> Result<Vec<Slot>, VaultError>;

    /// Destroys one subject's key for ever, also if it never existed. On `Ok` its bytes are
    /// gone from the storage as far as the storage can say; copies in backups are not.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails; then ask again.
    async fn destroy_subject(&self, tenant: TenantId, subject: SubjectId)
    -> Result<(), VaultError>;

    /// Destroys a tenant's key and those of all its subjects for ever, also those that never
    /// existed.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails; then ask again.
    async fn destroy_tenant(&self, tenant: TenantId) -> Result<(), VaultError>;
}

/// Who needs blobs for the time being: one attempt at storing something that names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hold(pub Uuid);

impl Hold {
    /// One that nobody else has.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }
}

/// Where content is kept that is too large for an event.
///
/// A blob stays while anybody holds it, and once it was kept for as long as its tenant has any.
#[async_trait]
pub trait Blobs: std::fmt::Debug + Send + Sync {
    /// Stores `sealed` under `name` unless the tenant has a blob of that name already, and holds
    /// what is there then: whoever releases another hold at the same time does not remove it.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails; then it may be stored and held.
    async fn put(
        &self,
        tenant: TenantId,
        name: BlobName,
        sealed: Bytes,
        hold: Hold,
    ) -> Result<(), VaultError>;

    /// Ends a hold, and keeps everything under it.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails; then ask again.
    async fn keep(&self, tenant: TenantId, hold: Hold) -> Result<(), VaultError>;

    /// Ends a hold, and removes what was under it unless it was ever kept or somebody else holds
    /// it.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails; then ask again.
    async fn release(&self, tenant: TenantId, hold: Hold) -> Result<(), VaultError>;

    /// What is stored under `name` for `tenant`.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails.
    async fn get(&self, tenant: TenantId, name: BlobName) -> Result<Option<Bytes>, VaultError>;

    /// Removes everything stored for `tenant`.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails; then ask again.
    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), VaultError>;
}

/// Names a cursor: who follows something, and on whose behalf ([`TenantId::SYSTEM`] for the
/// installation's own).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CursorName {
    /// On whose behalf.
    pub tenant: TenantId,
    /// Who follows what, like `connector/github/repositories`.
    pub name: String,
}

/// How an attempt to move a cursor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It stands at the new place.
    Here,
    /// It did not stand where the caller thought, and was left there; none if it is not set.
    Elsewhere(Option<String>),
}

/// Where consumers of other systems remember how far they are.
#[async_trait]
pub trait Cursors: std::fmt::Debug + Send + Sync {
    /// Where the cursor stands; none if it was never set.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails.
    async fn get(&self, name: &CursorName) -> Result<Option<String>, VaultError>;

    /// Moves the cursor from `expected` (none: not set yet) to `next`, or not at all. So of two
    /// consumers under one name only one goes on.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails; then it may have moved.
    async fn advance(
        &self,
        name: &CursorName,
        expected: Option<&str>,
        next: &str,
    ) -> Result<Moved, VaultError>;

    /// Removes all cursors of `tenant`.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the storage fails; then ask again.
    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), VaultError>;
}
