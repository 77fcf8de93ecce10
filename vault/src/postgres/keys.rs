//! Keys: one row each; a destroyed one keeps its row without the key, so that it stays so.
//!
//! Whoever destroys a tenant's keys waits for those who make some, and they are turned away
//! meanwhile: so none is made behind its back.

use async_trait::async_trait;
use domain::id::{SubjectId, TenantId};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::call::{COPY_TIME_MAX, TABLE_TIME_MAX};
use super::{PostgresVault, Scope, Turn, allow, in_turn};
use crate::port::{Held, KeyName, Keys, Slot, VaultError, Wrapped, failed};
use crate::slots::{self, Rows};
use crate::statements;

#[async_trait]
impl Keys for PostgresVault {
    async fn get(&self, names: &[KeyName]) -> Result<Vec<Option<Slot>>, VaultError> {
        let read = self.call(async |connection| select(connection, names).await);
        read.await.map_err(failed("reading keys"))
    }

    async fn get_or_create(
        &self,
        candidates: &[(KeyName, Wrapped)],
    ) -> Result<Vec<Slot>, VaultError> {
        let created = self.call(async |connection| create(connection, candidates).await);
        let created = created.await.map_err(failed("creating keys"))?;
        created.ok_or_else(|| failed("creating keys")(Held))
    }

    async fn destroy_subject(
        &self,
        tenant: TenantId,
        subject: SubjectId,
    ) -> Result<(), VaultError> {
        let destroyed = self.try_destroy_subject(tenant, subject).await;
        destroyed.map_err(failed("destroying a subject's key"))
    }

    async fn destroy_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        let destroyed = self.try_destroy_tenant(tenant).await;
        destroyed.map_err(failed("destroying a tenant's keys"))
    }
}

impl PostgresVault {
    async fn try_destroy_subject(
        &self,
        tenant: TenantId,
        subject: SubjectId,
    ) -> Result<(), sqlx::Error> {
        let name = KeyName::Subject(tenant, subject);
        self.call(async |connection| destroy(connection, name).await).await?;
        self.vacuum().await
    }

    /// The tenant's key is the first, without which those of its subjects do not count. There may be
    /// any number of them, so they go slice by slice, and whoever repeats it goes on with what is left.
    async fn try_destroy_tenant(&self, tenant: TenantId) -> Result<(), sqlx::Error> {
        let name = KeyName::Tenant(tenant);
        self.call(async |connection| destroy(connection, name).await).await?;
        while self.call(async |it| remove_some(it, tenant).await).await? > 0 {}
        self.vacuum().await
    }

    async fn vacuum(&self) -> Result<(), sqlx::Error> {
        // Older versions of rows go; their bytes stay until the space is used again, and in what
        // the server archives. Like a copy in a backup they are of no use without the root key.
        self.call_for(TABLE_TIME_MAX, async |connection| {
            allow(connection, TABLE_TIME_MAX, Scope::Connection).await?;
            let vacuumed = sqlx::query("vacuum keys").execute(&mut *connection).await;
            // However it ended: the next one that has this connection is to be stopped as ever.
            allow(connection, COPY_TIME_MAX, Scope::Connection).await?;
            vacuumed.map(drop)
        })
        .await
    }
}

/// Creates keys; none if keys of one of the tenants are being destroyed.
async fn create(
    connection: &mut PgConnection,
    candidates: &[(KeyName, Wrapped)],
) -> Result<Option<Vec<Slot>>, sqlx::Error> {
    let names: Vec<_> = candidates.iter().map(|it| it.0).collect();
    let mut transaction = connection.begin().await?;
    let mut tenants: Vec<Uuid> = names.iter().map(|it| it.parts().0).collect();
    tenants.sort_unstable();
    tenants.dedup();
    // Nobody waits here, with a connection, for those who may wait for others.
    let text = "select bool_and(pg_try_advisory_xact_lock_shared(hashtextextended(id::text, $2)))
        from unnest($1) as asked (id)";
    let are_free = sqlx::query_scalar(text).bind(tenants).bind(Turn::Keys as i64);
    let are_free: Option<bool> = are_free.fetch_one(&mut *transaction).await?;
    if are_free == Some(false) {
        return Ok(None);
    }
    let before = select(&mut transaction, &names).await?;
    let missing = candidates.iter().zip(&before).filter(|it| it.1.is_none());
    let mut missing: Vec<_> = missing.map(|it| it.0).collect();
    // Stable: of two candidates for one name the first is stored.
    missing.sort_by_key(|it| it.0);
    let mut wrapped: Vec<&[u8]> = Vec::with_capacity(missing.len());
    wrapped.extend(missing.iter().map(|it| it.1.0.as_slice()));
    let (tenants, purposes, ids) = columns(missing.iter().map(|it| it.0));
    sqlx::query("insert into keys select * from unnest($1, $2, $3, $4) on conflict do nothing")
        .bind(tenants)
        .bind(purposes)
        .bind(ids)
        .bind(wrapped)
        .execute(&mut *transaction)
        .await?;
    let after = select(&mut transaction, &names).await?;
    transaction.commit().await?;
    let slots = after.into_iter().collect::<Option<_>>();
    slots.ok_or(sqlx::Error::RowNotFound).map(Some)
}

async fn destroy(connection: &mut PgConnection, name: KeyName) -> Result<(), sqlx::Error> {
    let (tenant, purpose, id) = name.parts();
    let mut transaction = in_turn(connection, Turn::Keys, TenantId(tenant)).await?;
    sqlx::query(
        "insert into keys values ($1, $2, $3, null)
         on conflict (tenant, purpose, id) do update set wrapped = null",
    )
    .bind(tenant)
    .bind(purpose)
    .bind(id)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// Removes some keys of the tenant's subjects, and returns how many.
async fn remove_some(connection: &mut PgConnection, tenant: TenantId) -> Result<u64, sqlx::Error> {
    let mut transaction = in_turn(connection, Turn::Keys, tenant).await?;
    let remove = sqlx::query(statements::REMOVE_SUBJECTS).bind(tenant.0);
    let removed = remove.bind(statements::SUBJECTS_MAX).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(removed.rows_affected())
}

type Columns = (Vec<Uuid>, Vec<&'static str>, Vec<Uuid>);

fn columns(names: impl Iterator<Item = KeyName>) -> Columns {
    let (mut tenants, mut purposes, mut ids) = Columns::default();
    for (tenant, purpose, id) in names.map(KeyName::parts) {
        tenants.push(tenant);
        purposes.push(purpose);
        ids.push(id);
    }
    (tenants, purposes, ids)
}

/// The slots of `names`, in order, with what follows from their parents.
async fn select(
    connection: &mut PgConnection,
    names: &[KeyName],
) -> Result<Vec<Option<Slot>>, sqlx::Error> {
    let (tenants, purposes, ids) = columns(slots::asked(names).into_iter());
    let text = "select tenant, purpose, id, wrapped from keys
        join unnest($1, $2, $3) as asked (t, p, i) on tenant = t and purpose = p and id = i";
    let found = sqlx::query_as(text).bind(tenants).bind(purposes).bind(ids);
    let found: Vec<(Uuid, String, Uuid, Option<Vec<u8>>)> = found.fetch_all(connection).await?;
    let found = found.into_iter();
    let rows: Rows = found.map(|(tenant, purpose, id, it)| ((tenant, purpose, id), it)).collect();
    Ok(slots::of(names, &rows))
}
