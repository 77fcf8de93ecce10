//! Blobs: one row each, in a file and with connections of their own, so that nobody who stores
//! much keeps others from their keys.

use async_trait::async_trait;
use bytes::Bytes;
use domain::id::TenantId;

use super::{SqliteVault, failed};
use crate::port::{BlobName, Blobs, VaultError};

#[async_trait]
impl Blobs for SqliteVault {
    async fn put(&self, tenant: TenantId, name: BlobName, sealed: Bytes) -> Result<(), VaultError> {
        sqlx::query("insert into blobs values ($1, $2, $3, $4) on conflict do nothing")
            .bind(tenant.0)
            .bind(name.hash.as_slice())
            .bind(length(name))
            .bind(sealed.as_ref())
            .execute(&self.blobs)
            .await
            .map_err(failed("storing a blob"))?;
        Ok(())
    }

    async fn get(&self, tenant: TenantId, name: BlobName) -> Result<Option<Bytes>, VaultError> {
        let sealed: Option<Vec<u8>> = sqlx::query_scalar(
            "select sealed from blobs where tenant = $1 and hash = $2 and length = $3",
        )
        .bind(tenant.0)
        .bind(name.hash.as_slice())
        .bind(length(name))
        .fetch_optional(&self.blobs)
        .await
        .map_err(failed("reading a blob"))?;
        Ok(sealed.map(Bytes::from))
    }

    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        sqlx::query("delete from blobs where tenant = $1")
            .bind(tenant.0)
            .execute(&self.blobs)
            .await
            .map_err(failed("removing a tenant's blobs"))?;
        Ok(())
    }
}

/// SQL integers are signed; no blob is that long.
fn length(name: BlobName) -> i64 {
    i64::try_from(name.length).unwrap_or(i64::MAX)
}
