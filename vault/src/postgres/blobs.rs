//! Blobs: one row each. Whatever changes those of one tenant takes turns.

use async_trait::async_trait;
use bytes::Bytes;
use domain::id::TenantId;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres};

use super::call::COPY_TIME_MAX;
use super::{PostgresVault, Turn, in_turn};
use crate::port::{BlobName, Blobs, Hold, VaultError, failed};
use crate::statements::{self, length};

#[async_trait]
impl Blobs for PostgresVault {
    async fn put(
        &self,
        tenant: TenantId,
        name: BlobName,
        sealed: Bytes,
        hold: Hold,
    ) -> Result<(), VaultError> {
        let put =
            self.call(async |connection| put_held(connection, tenant, name, &sealed, hold).await);
        put.await.map_err(failed("storing a blob"))
    }

    async fn keep(&self, tenant: TenantId, hold: Hold) -> Result<(), VaultError> {
        let kept = self.call(async |connection| keep_held(connection, tenant, hold).await);
        kept.await.map_err(failed("keeping blobs"))
    }

    async fn release(&self, tenant: TenantId, hold: Hold) -> Result<(), VaultError> {
        let released = self.call(async |connection| release_held(connection, tenant, hold).await);
        released.await.map_err(failed("releasing blobs"))
    }

    async fn get(&self, tenant: TenantId, name: BlobName) -> Result<Option<Bytes>, VaultError> {
        let read = self.call(async |connection| {
            let sealed = sqlx::query_scalar(statements::READ).bind(tenant.0);
            let sealed = sealed.bind(name.hash.as_slice()).bind(length(name));
            sealed.fetch_optional(connection).await
        });
        let sealed: Option<Vec<u8>> = read.await.map_err(failed("reading a blob"))?;
        Ok(sealed.map(Bytes::from))
    }

    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        self.remove_all(tenant).await.map_err(failed("removing a tenant's blobs"))
    }
}

impl PostgresVault {
    /// Slice by slice: whoever repeats it goes on with what is left.
    async fn remove_all(&self, tenant: TenantId) -> Result<(), sqlx::Error> {
        self.call_for(COPY_TIME_MAX, async |it| forget_all(it, tenant).await).await?;
        while self.call_for(COPY_TIME_MAX, async |it| remove_some(it, tenant).await).await? > 0 {}
        Ok(())
    }
}

async fn put_held(
    connection: &mut PgConnection,
    tenant: TenantId,
    name: BlobName,
    sealed: &[u8],
    hold: Hold,
) -> Result<(), sqlx::Error> {
    let mut transaction = in_turn(connection, Turn::Blobs, tenant).await?;
    let stored = named(statements::STORE, tenant, name).bind(sealed);
    if stored.execute(&mut *transaction).await?.rows_affected() == 1 {
        named(statements::STORE_LOOSE, tenant, name).execute(&mut *transaction).await?;
    }
    let held = named(statements::HOLD, tenant, name).bind(hold.0);
    held.execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn keep_held(
    connection: &mut PgConnection,
    tenant: TenantId,
    hold: Hold,
) -> Result<(), sqlx::Error> {
    let mut transaction = in_turn(connection, Turn::Blobs, tenant).await?;
    for text in [statements::KEEP, statements::END_HOLD] {
        let query = sqlx::query(text).bind(tenant.0).bind(hold.0);
        query.execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

async fn release_held(
    connection: &mut PgConnection,
    tenant: TenantId,
    hold: Hold,
) -> Result<(), sqlx::Error> {
    let mut transaction = in_turn(connection, Turn::Blobs, tenant).await?;
    let held = sqlx::query_as(statements::HELD).bind(tenant.0).bind(hold.0);
    let held: Vec<(Vec<u8>, i64)> = held.fetch_all(&mut *transaction).await?;
    let query = sqlx::query(statements::END_HOLD).bind(tenant.0).bind(hold.0);
    query.execute(&mut *transaction).await?;
    for (hash, length) in held {
        let forget = sqlx::query(statements::FORGET).bind(tenant.0).bind(&hash).bind(length);
        if forget.execute(&mut *transaction).await?.rows_affected() == 1 {
            let remove = sqlx::query(statements::REMOVE).bind(tenant.0);
            remove.bind(&hash).bind(length).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await
}

async fn forget_all(connection: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    let mut transaction = in_turn(connection, Turn::Blobs, tenant).await?;
    for text in statements::FORGET_ALL {
        sqlx::query(text).bind(tenant.0).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

/// Removes some blobs, and returns how many.
async fn remove_some(connection: &mut PgConnection, tenant: TenantId) -> Result<u64, sqlx::Error> {
    let mut transaction = in_turn(connection, Turn::Blobs, tenant).await?;
    let remove = sqlx::query(statements::REMOVE_SOME).bind(tenant.0).bind(statements::BLOBS_MAX);
    let removed = remove.execute(&mut *transaction).await?.rows_affected();
    transaction.commit().await?;
    Ok(removed)
}

/// A statement whose first parameters name a blob.
fn named(
    text: &'static str,
    tenant: TenantId,
    name: BlobName,
) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(text).bind(tenant.0).bind(name.hash.to_vec()).bind(length(name))
}
