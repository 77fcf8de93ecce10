//! Content too large for an event, sealed under its tenant's key and named by its keyed hash.

use std::sync::Arc;

use bytes::Bytes;
use domain::id::TenantId;

use crate::port::{BlobName, Blobs, Hold, VaultError};
use crate::tenant_keys::TenantKeys;

/// The most one blob may hold. In bytes: 16 MiB, so that a handful of readers fit in memory.
pub const BLOB_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a blob was not stored or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The caller's content is too large.
    #[error("expected at most {BLOB_BYTES_MAX} bytes, got {0}")]
    TooLarge(usize),
    /// What is stored is not the content that was named. Somebody must look.
    #[error("the stored content {0} is damaged")]
    Damaged(BlobName),
    /// The storage failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Stores and reads content for tenants whose keys the caller holds.
#[derive(Clone, Debug)]
pub struct BlobStore(Arc<dyn Blobs>);

impl BlobStore {
    /// A store over `blobs`.
    #[must_use]
    pub fn new(blobs: Arc<dyn Blobs>) -> Self {
        Self(blobs)
    }

    /// Stores and holds `content`; once this is `Ok`, and until it is released, an event may name
    /// it.
    ///
    /// # Errors
    ///
    /// [`BlobError::TooLarge`], or a fault of the storage.
    pub async fn put(
        &self,
        keys: &TenantKeys,
        content: &[u8],
        hold: Hold,
    ) -> Result<BlobName, BlobError> {
        if content.len() > BLOB_BYTES_MAX {
            return Err(BlobError::TooLarge(content.len()));
        }
        let name = keys.blob_name(content);
        let sealed = Bytes::from(keys.seal_blob(name, content));
        self.0.put(keys.tenant(), name, sealed, hold).await?;
        Ok(name)
    }

    /// Ends a hold, since events name what is under it: it stays for as long as the tenant has any.
    ///
    /// # Errors
    ///
    /// A fault of the storage; then it stays held.
    pub async fn keep(&self, tenant: TenantId, hold: Hold) -> Result<(), VaultError> {
        self.0.keep(tenant, hold).await
    }

    /// Ends a hold, since no event will name what is under it: it goes unless others hold it or it
    /// was kept before.
    ///
    /// # Errors
    ///
    /// A fault of the storage; then ask again.
    pub async fn release(&self, tenant: TenantId, hold: Hold) -> Result<(), VaultError> {
        self.0.release(tenant, hold).await
    }

    /// Removes everything a tenant ever stored.
    ///
    /// # Errors
    ///
    /// A fault of the storage; then ask again.
    pub async fn remove_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        self.0.remove_tenant(tenant).await
    }

    /// The content of that name; none if the tenant has none.
    ///
    /// # Errors
    ///
    /// [`BlobError::Damaged`] if it is not the content that was stored, or a fault of the
    /// storage.
    pub async fn get(
        &self,
        keys: &TenantKeys,
        name: BlobName,
    ) -> Result<Option<Vec<u8>>, BlobError> {
        let Some(sealed) = self.0.get(keys.tenant(), name).await? else { return Ok(None) };
        keys.open_blob(name, &sealed).map(Some).ok_or(BlobError::Damaged(name))
    }
}

#[cfg(test)]
mod tests;
