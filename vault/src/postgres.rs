//! The vault in a schema of a PostgreSQL database, `callboard_vault`.
//!
//! Commits are synced by the server before they return. What changes the keys or the blobs of a
//! tenant waits for whoever else does, as in a file that has one writer; tenants do not wait for
//! each other. Readers of read models have no rights here.

mod blobs;
mod cursors;
mod keys;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use domain::id::TenantId;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Postgres, Transaction};

use crate::port::{VaultError, failed};

/// How the tables came to be, in order. Never edited: what is new is appended.
const MIGRATIONS: [&str; 6] = [
    "create table keys (
        tenant uuid not null,
        purpose text not null,
        id uuid not null,
        wrapped bytea,
        primary key (tenant, purpose, id)
    )",
    "create table cursors (
        tenant uuid not null,
        name text not null,
        value text not null,
        primary key (tenant, name)
    )",
    "create table blobs (
        tenant uuid not null,
        hash bytea not null,
        length bigint not null,
        sealed bytea not null,
        primary key (tenant, hash, length)
    )",
    // Those that were never kept. Beside the blobs, so that keeping one does not write it again.
    "create table loose_blobs (
        tenant uuid not null,
        hash bytea not null,
        length bigint not null,
        primary key (tenant, hash, length)
    )",
    "create table blob_holds (
        tenant uuid not null,
        hold uuid not null,
        hash bytea not null,
        length bigint not null,
        primary key (tenant, hold, hash, length)
    )",
    "create index blob_holds_by_blob on blob_holds (tenant, hash, length)",
];

/// The schema of the tables.
const SCHEMA: &str = "callboard_vault";

/// The oldest server that the tests run on: PostgreSQL 15.
const VERSION_MIN: u32 = 15;

/// How long a call waits for a connection. In seconds: 10.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Settings of every connection of this installation: how long the server goes on holding locks for
/// one that says nothing any more, since it is cut off, or its process paused. A minute, as on a busy
/// machine the longest rest on purpose is one of some ten seconds, where tables take the place of
/// others; every transaction here takes milliseconds.
pub const SESSION_LIMITS: [(&str, &str); 5] = [
    ("idle_in_transaction_session_timeout", "60s"),
    ("tcp_keepalives_idle", "30s"),
    ("tcp_keepalives_interval", "10s"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "60s"),
];

/// Whether the server is away, or lets nobody in at present: the same may succeed once it is back.
/// Not so where it has looked at who we are or what we ask, and refused.
#[must_use]
pub fn is_away(error: &sqlx::Error) -> bool {
    match error {
        // What cannot be read is a certificate that does not fit.
        sqlx::Error::Io(error) => error.kind() != std::io::ErrorKind::InvalidData,
        sqlx::Error::Protocol(_) | sqlx::Error::BeginFailed | sqlx::Error::PoolTimedOut => true,
        // By the class of the code: connections, resources, and what operators do.
        sqlx::Error::Database(error) if error.try_downcast_ref::<PgDatabaseError>().is_some() => {
            let code = error.code().unwrap_or_default();
            ["08", "53", "57"].iter().any(|it| code.starts_with(it))
        }
        _ => false,
    }
}

/// What of a tenant waits for each other, as a lock of the database names it.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Keys = 1,
    Blobs = 2,
}

/// A vault in PostgreSQL.
#[derive(Clone)]
pub struct PostgresVault {
    pub(crate) pool: PgPool,
}

impl fmt::Debug for PostgresVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresVault")
    }
}

/// The server is older than any the tests run on.
#[derive(Debug, thiserror::Error)]
#[error("expected PostgreSQL {VERSION_MIN} or newer, got {0}")]
struct TooOld(u32);

impl PostgresVault {
    /// Opens the vault in the database at `url`, with so many connections at most. Its tables are
    /// made on first use; they belong to the user of the address.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the address is none, the server cannot be reached or is too old, or the
    /// user may not make the tables.
    pub async fn open(url: &str, connections_max: u32) -> Result<Self, VaultError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(failed("reading the address of its database"))?;
        let options = options.application_name("callboard").options(SESSION_LIMITS);
        let mut first = options.connect().await.map_err(failed("connecting to its database"))?;
        let version = first.server_version_num().unwrap_or(0) / 10_000;
        if version < VERSION_MIN {
            return Err(failed("connecting to its database")(TooOld(version)));
        }
        let doing =
            "making its schema, for which its user needs the right to create in the database";
        make_schema(&mut first).await.map_err(failed(doing))?;
        let pool = PgPoolOptions::new()
            .max_connections(connections_max)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.options([("search_path", SCHEMA)]))
            .await
            .map_err(failed("connecting to its database"))?;
        migrate(&pool).await.map_err(failed("bringing its tables up to date"))?;
        Ok(Self { pool })
    }

    /// Closes every connection, after running statements have ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A transaction that waits for whoever else changes the same of `tenant`.
    async fn in_turn(
        &self,
        turn: Turn,
        tenant: TenantId,
    ) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("select pg_advisory_xact_lock(hashtextextended($1::text, $2))")
            .bind(tenant.0)
            .bind(turn as i64)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction)
    }
}

async fn make_schema(connection: &mut sqlx::PgConnection) -> Result<(), sqlx::Error> {
    let there = sqlx::query("select 1 from pg_namespace where nspname = $1").bind(SCHEMA);
    if there.fetch_optional(&mut *connection).await?.is_some() {
        return Ok(());
    }
    let text = "begin; select pg_advisory_xact_lock(hashtextextended('callboard_vault', 0));
        create schema if not exists callboard_vault; commit";
    sqlx::raw_sql(text).execute(connection).await?;
    Ok(())
}

async fn migrate(pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    for text in [
        "select pg_advisory_xact_lock(hashtextextended('callboard_vault', 0))",
        "create table if not exists migrations (number bigint primary key)",
    ] {
        sqlx::query(text).execute(&mut *transaction).await?;
    }
    for (number, migration) in (1_i64..).zip(MIGRATIONS) {
        let done = sqlx::query("insert into migrations values ($1) on conflict do nothing")
            .bind(number)
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() == 1 {
            sqlx::query(migration).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await
}

#[cfg(test)]
mod tests;
