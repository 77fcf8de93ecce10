//! Blobs: one row each, in a file and with connections of their own, so that nobody who stores
//! much keeps others from their keys.

use async_trait::async_trait;
use bytes::Bytes;
use domain::id::TenantId;
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;

use super::{SqliteVault, failed};
use crate::port::{BlobName, Blobs, Hold, VaultError};

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
        let text = "insert into blobs values ($1, $2, $3, $4) on conflict do nothing";
        let stored = named(text, tenant, name).bind(sealed).execute(&mut *transaction).await?;
        if stored.rows_affected() == 1 {
            let text = "insert into loose_blobs values ($1, $2, $3)";
            named(text, tenant, name).execute(&mut *transaction).await?;
        }
        // What was kept needs nobody to hold it.
        let text = "insert into blob_holds
            select tenant, $4, hash, length from loose_blobs
            where tenant = $1 and hash = $2 and length = $3
            on conflict do nothing";
        named(text, tenant, name).bind(hold.0).execute(&mut *transaction).await?;
        transaction.commit().await
    }

    async fn keep_held(&self, tenant: TenantId, hold: Hold) -> Result<(), sqlx::Error> {
        let mut transaction = self.blobs.begin_with("begin immediate").await?;
        let keep = "delete from loose_blobs where tenant = $1 and (hash, length) in
            (select hash, length from blob_holds where tenant = $1 and hold = $2)";
        for text in [keep, END_HOLD] {
            let query = sqlx::query(text).bind(tenant.0).bind(hold.0);
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    async fn release_held(&self, tenant: TenantId, hold: Hold) -> Result<(), sqlx::Error> {
        let mut transaction = self.blobs.begin_with("begin immediate").await?;
        let text = "select hash, length from blob_holds where tenant = $1 and hold = $2";
        let held = sqlx::query_as(text).bind(tenant.0).bind(hold.0);
        let held: Vec<(Vec<u8>, i64)> = held.fetch_all(&mut *transaction).await?;
        let query = sqlx::query(END_HOLD).bind(tenant.0).bind(hold.0);
        query.execute(&mut *transaction).await?;
        for (hash, length) in held {
            let forget = "delete from loose_blobs
                where tenant = $1 and hash = $2 and length = $3 and not exists (
                    select 1 from blob_holds where tenant = $1 and hash = $2 and length = $3
                )";
            let forget = sqlx::query(forget).bind(tenant.0).bind(&hash).bind(length);
            if forget.execute(&mut *transaction).await?.rows_affected() == 1 {
                let remove = "delete from blobs where tenant = $1 and hash = $2 and length = $3";
                let remove = sqlx::query(remove).bind(tenant.0).bind(&hash).bind(length);
                remove.execute(&mut *transaction).await?;
            }
        }
        transaction.commit().await
    }

    async fn remove_all(&self, tenant: TenantId) -> Result<(), sqlx::Error> {
        let mut transaction = self.blobs.begin_with("begin immediate").await?;
        for text in [
            "delete from blobs where tenant = $1",
            "delete from loose_blobs where tenant = $1",
            "delete from blob_holds where tenant = $1",
        ] {
            sqlx::query(text).bind(tenant.0).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }
}

const END_HOLD: &str = "delete from blob_holds where tenant = $1 and hold = $2";

/// A statement whose first parameters name a blob.
fn named(
    text: &'static str,
    tenant: TenantId,
    name: BlobName,
) -> Query<'static, Sqlite, SqliteArguments> {
    sqlx::query(text).bind(tenant.0).bind(name.hash.as_slice()).bind(length(name))
}

/// SQL integers are signed; no blob is that long.
fn length(name: BlobName) -> i64 {
    i64::try_from(name.length).unwrap_or(i64::MAX)
}
