//! Keys: one row each; a destroyed one keeps its row without the key, so that it stays so.

use async_trait::async_trait;
use domain::id::{SubjectId, TenantId};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::SqliteVault;
use crate::port::{KeyName, Keys, Slot, VaultError, Wrapped, failed};
use crate::slots::{self, Rows};
use crate::statements;

/// How many rows one statement names: 1,000, well below the limit on bound parameters.
const ROWS_MAX: usize = 1_000;

#[async_trait]
impl Keys for SqliteVault {
    async fn get(&self, names: &[KeyName]) -> Result<Vec<Option<Slot>>, VaultError> {
        let failed = failed("reading keys");
        let mut connection = match self.pool.acquire().await {
            Ok(connection) => connection,
            Err(error) => return Err(failed(error)),
        };
        select(&mut connection, names).await.map_err(failed)
    }

    async fn get_or_create(
        &self,
        candidates: &[(KeyName, Wrapped)],
    ) -> Result<Vec<Slot>, VaultError> {
        self.try_create(candidates).await.map_err(failed("creating keys"))
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

impl SqliteVault {
    async fn try_create(
        &self,
        candidates: &[(KeyName, Wrapped)],
    ) -> Result<Vec<Slot>, sqlx::Error> {
        let names: Vec<_> = candidates.iter().map(|it| it.0).collect();
        // Immediate: what is read here stays true until the commit.
        let mut transaction = self.pool.begin_with("begin immediate").await?;
        let before = select(&mut transaction, &names).await?;
        let missing: Vec<_> =
            candidates.iter().zip(&before).filter(|it| it.1.is_none()).map(|it| it.0).collect();
        for rows in missing.chunks(ROWS_MAX) {
            let mut insert = QueryBuilder::<Sqlite>::new("insert into keys ");
            insert.push_values(rows, |mut row, (name, wrapped)| {
                let (tenant, purpose, id) = name.parts();
                row.push_bind(tenant).push_bind(purpose).push_bind(id).push_bind(&wrapped.0);
            });
            insert.push(" on conflict do nothing").build().execute(&mut *transaction).await?;
        }
        let after = select(&mut transaction, &names).await?;
        transaction.commit().await?;
        after.into_iter().collect::<Option<_>>().ok_or(sqlx::Error::RowNotFound)
    }

    async fn try_destroy_subject(
        &self,
        tenant: TenantId,
        subject: SubjectId,
    ) -> Result<(), sqlx::Error> {
        self.mark_destroyed(KeyName::Subject(tenant, subject)).await?;
        self.wipe().await
    }

    /// The tenant's key is the first, without which those of its subjects do not count. There may be
    /// any number of them, so they go slice by slice: whoever else writes has a turn in between.
    async fn try_destroy_tenant(&self, tenant: TenantId) -> Result<(), sqlx::Error> {
        self.mark_destroyed(KeyName::Tenant(tenant)).await?;
        loop {
            let remove = sqlx::query(statements::REMOVE_SUBJECTS).bind(tenant.0);
            let removed = remove.bind(statements::SUBJECTS_MAX).execute(&self.pool).await?;
            if removed.rows_affected() == 0 {
                return self.wipe().await;
            }
        }
    }

    async fn mark_destroyed(&self, name: KeyName) -> Result<(), sqlx::Error> {
        let (tenant, purpose, id) = name.parts();
        sqlx::query(
            "insert into keys values ($1, $2, $3, null)
             on conflict (tenant, purpose, id) do update set wrapped = null",
        )
        .bind(tenant)
        .bind(purpose)
        .bind(id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn wipe(&self) -> Result<(), sqlx::Error> {
        // The write-ahead log still holds pages with the key, and cannot be cut while somebody
        // reads an older state.
        let wipe = sqlx::query_scalar("pragma wal_checkpoint(truncate)");
        match wipe.fetch_one(&self.pool).await? {
            0_i64 => Ok(()),
            _ => Err(sqlx::Error::Io(std::io::ErrorKind::ResourceBusy.into())),
        }
    }
}

/// The slots of `names`, in order, with what follows from their parents.
async fn select(
    connection: &mut SqliteConnection,
    names: &[KeyName],
) -> Result<Vec<Option<Slot>>, sqlx::Error> {
    let asked = slots::asked(names);
    let mut rows = Rows::new();
    for names in asked.chunks(ROWS_MAX) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "select tenant, purpose, id, wrapped from keys where (tenant, purpose, id) in (",
        );
        query.push_values(names, |mut row, name| {
            let (tenant, purpose, id) = name.parts();
            row.push_bind(tenant).push_bind(purpose).push_bind(id);
        });
        let found: Vec<(Uuid, String, Uuid, Option<Vec<u8>>)> =
            query.push(")").build_query_as().fetch_all(&mut *connection).await?;
        rows.extend(found.into_iter().map(|(tenant, purpose, id, it)| ((tenant, purpose, id), it)));
    }
    Ok(slots::of(names, &rows))
}
