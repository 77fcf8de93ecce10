//! Cursors: one row each, moved by compare-and-set.

use async_trait::async_trait;
use domain::id::TenantId;

use super::PostgresVault;
use crate::port::{CursorName, Cursors, Moved, VaultError, failed};
use crate::statements;

#[async_trait]
impl Cursors for PostgresVault {
    async fn get(&self, name: &CursorName) -> Result<Option<String>, VaultError> {
        let read = self.call(async |connection| {
            let cursor =
                sqlx::query_scalar(statements::CURSOR).bind(name.tenant.0).bind(&name.name);
            cursor.fetch_optional(connection).await
        });
        read.await.map_err(failed("reading a cursor"))
    }

    async fn advance(
        &self,
        name: &CursorName,
        expected: Option<&str>,
        next: &str,
    ) -> Result<Moved, VaultError> {
        let statement = match expected {
            None => sqlx::query(statements::SET_CURSOR),
            Some(_) => sqlx::query(statements::MOVE_CURSOR),
        };
        let statement = statement.bind(name.tenant.0).bind(&name.name).bind(next);
        let statement = match expected {
            None => statement,
            Some(expected) => statement.bind(expected),
        };
        let moved = self.call(async |connection| statement.execute(connection).await).await;
        if moved.map_err(failed("moving a cursor"))?.rows_affected() == 1 {
            return Ok(Moved::Here);
        }
        Ok(Moved::Elsewhere(Cursors::get(self, name).await?))
    }

    async fn remove_tenant(&self, tenant: TenantId) -> Result<(), VaultError> {
        let removal = sqlx::query(statements::REMOVE_CURSORS).bind(tenant.0);
        let removed = self.call(async |connection| removal.execute(connection).await).await;
        removed.map_err(failed("removing a tenant's cursors"))?;
        Ok(())
    }
}
