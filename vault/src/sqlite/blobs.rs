//! Blobs: one row each, in a file and with connections of their own, so that nobody who stores
//! much keeps others from their keys.

use async_trait::async_trait;
use bytes::Bytes;
use domain::id::TenantId;
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;

use super::SqliteVault;
use crate::port::{BlobName, Blobs, Hold, VaultError, failed};
use crate::statements::{self, length};

#[async_trait]
impl Blobs for SqliteVault {
    async fn put(
        &self,
        tenant: TenantId,
        name: BlobName,
        sealed: Bytes,
        hold: Hold,
    ) -> Result<(), VaultError> {
        self.put_held(tenant, name, &sealed, hold).await.map_err(failed("storing a blob"))
    }

    async fn keep(&self, tenant: TenantId, hold: Hold) -> Result<(), VaultError> {
        self.keep_held(tenant, hold).await.map_err(failed("keeping blobs"))
    }

    async fn release(&self, tenant: TenantId, hold: Hold) -> Result<(), VaultError> {
        self.release_held(tenant, hold).await.map_err(failed("releasing blobs"))
    }

    async fn get(&self, tenant: TenantId, name: BlobName) -> Result<Option<Bytes>, VaultError> {
        let sealed: Option<Vec<u8>> = sqlx::query_scalar(statements::READ)
            .bind(tenant.0)
            .bind(name.hash.as_slice())
            .bind(length(name))
            .fetch_optional(&self.blobs)
            .await
            .map_err(failed("reading a blob"))?;
        Ok(sealed.map(Bytes::from))
    }

    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        self.remove_all(tenant).await.map_err(failed("removing a tenant's blobs"))
    }
}

impl SqliteVault {
    async fn put_held(
        &self,
        tenant: TenantId,
        name: BlobName,
        sealed: &[u8],
        hold: Hold,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.blobs.begin_with("begin immediate").await?;
        let stored = named(statements::STORE, tenant, name).bind(sealed);
        if stored.execute(&mut *transaction).await?.rows_affected() == 1 {
            named(statements::STORE_LOOSE, tenant, name).execute(&mut *transaction).await?;
        }
        let held = named(statements::HOLD, tenant, name).bind(hold.0);
        held.execute(&mut *transaction).await?;
        transaction.commit().await
    }

    async fn keep_held(&self, tenant: TenantId, hold: Hold) -> Result<(), sqlx::Error> {
        let mut transaction = self.blobs.begin_with("begin immediate").await?;
        for text in [statements::KEEP, statements::END_HOLD] {
            let query = sqlx::query(text).bind(tenant.0).bind(hold.0);
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    async fn release_held(&self, tenant: TenantId, hold: Hold) -> Result<(), sqlx::Error> {
        let mut transaction = self.blobs.begin_with("begin immediate").await?;
        let held = sqlx::query_as(statements::HELD).bind(tenant.0).bind(hold.0);
        let held: Vec<(Vec<u8>, i64)> = held.fetch_all(&mut *transaction).await?;
        let query = sqlx::query(statements::END_HOLD).bind(tenant.0).bind(hold.0);
        query.execute(&mut *transaction).await?;
        for (hash, length) in held {
            let forget = sqlx::query(statements::FORGET).bind(tenant.0).bind(&hash).bind(length);
            if forget.execute(&mut *transaction).await?.rows_affected() == 1 {
                let remove =
                    sqlx::query(statements::REMOVE).bind(tenant.0).bind(&hash).bind(length);
                remove.execute(&mut *transaction).await?;
            }
        }
        transaction.commit().await
    }

    /// Slice by slice: whoever else writes has a turn in between, and whoever repeats it goes on with
    /// what is left.
    async fn remove_all(&self, tenant: TenantId) -> Result<(), sqlx::Error> {
        for text in statements::FORGET_ALL {
            sqlx::query(text).bind(tenant.0).execute(&self.blobs).await?;
        }
        loop {
            let remove = sqlx::query(statements::REMOVE_SOME).bind(tenant.0);
            let removed = remove.bind(statements::BLOBS_MAX).execute(&self.blobs).await?;
            if removed.rows_affected() == 0 {
                return Ok(());
            }
        }
    }
}

/// A statement whose first parameters name a blob.
fn named(
    text: &'static str,
    tenant: TenantId,
    name: BlobName,
) -> Query<'static, Sqlite, SqliteArguments> {
    sqlx::query(text).bind(tenant.0).bind(name.hash.as_slice()).bind(length(name))
}
