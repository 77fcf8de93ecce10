//! The vault in a schema of a PostgreSQL database, `callboard_vault`.
//!
//! Commits are synced by the server before they return. What changes the keys or the blobs of a
//! tenant waits for whoever else does, as in a file that has one writer; tenants do not wait for
//! each other. Readers of read models have no rights here.

mod blobs;
mod call;
mod connecting;
mod cursors;
mod keys;
mod records;

use std::fmt;
use std::time::Duration;

use domain::id::TenantId;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgPool, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use crate::port::{VaultError, failed};

pub use call::ANSWER_TIME_MAX;
pub(crate) use call::in_copy_time;
use call::{TABLE_TIME_MAX, in_time};
use connecting::FOR_CHANGES;
pub use connecting::{connect, options};

/// How the tables came to be, in order. Never edited: what is new is appended.
const MIGRATIONS: [&str; 8] = [
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
    // When a record ends is told in microseconds since 1970.
    "create table records (
        tenant uuid not null,
        kind text not null,
        name bytea not null,
        version bigint not null,
        ends_at bigint,
        sealed bytea not null,
        primary key (tenant, kind, name)
    )",
    "create index records_by_end on records (ends_at) where ends_at is not null",
];

/// The schema of the tables.
const SCHEMA: &str = "callboard_vault";

/// How long the server lets a statement of ours wait for whoever holds what it needs. In seconds: 8,
/// less than its client waits, so that who waits is told why.
const LOCK_TIME_MAX: Duration = Duration::from_secs(8);

/// What is set on the vault's connections beside what all have: by then the client has given up
/// what it asked, and if it is gone or paused nobody is to wait for it.
const CALL_LIMITS: [(&str, Duration); 3] = [
    ("idle_in_transaction_session_timeout", ANSWER_TIME_MAX),
    ("lock_timeout", LOCK_TIME_MAX),
    ("statement_timeout", call::COPY_TIME_MAX),
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
            ["08", "53", "57"].iter().any(|it| code.starts_with(it)) || HELD.contains(&&*code)
        }
        _ => false,
    }
}

/// What the server says where somebody else holds what is needed, and where it has ended a connection
/// that held something for too long.
const HELD: [&str; 2] = ["55P03", "25P03"];

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

impl PostgresVault {
    /// Opens the vault in the database at `url`, with so many connections at most. Its tables are
    /// made on first use; they belong to the user of the address.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the address is none, the server cannot be reached or is too old, or the
    /// user may not make the tables.
    pub async fn open(url: &str, connections_max: u32) -> Result<Self, VaultError> {
        let options = options(url).map_err(failed("reading the address of its database"))?;
        let limits = CALL_LIMITS.map(|(name, at_most)| (name, format!("{}s", at_most.as_secs())));
        let options = options.options(limits);
        let mut first = connect(&options).await.map_err(failed("connecting to its database"))?;
        let making = in_time(ANSWER_TIME_MAX, make_schema(&mut first)).await;
        making.map_err(failed(
            "making its schema, for which its user needs the right to create in the database",
        ))?;
        let vault = Self::on(options, connections_max);
        let migrated = vault.call_for(TABLE_TIME_MAX, migrate).await;
        migrated.map_err(failed("bringing its tables up to date"))?;
        Ok(vault)
    }

    /// Whether there is one in the database at `url`. Makes none.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the address is none or the server cannot be reached.
    pub async fn is_there(url: &str) -> Result<bool, VaultError> {
        let options = options(url).map_err(failed("reading the address of its database"))?;
        let looking = in_time(ANSWER_TIME_MAX, async {
            let mut connection = connect(&options).await?;
            has_schema(&mut connection).await
        });
        looking.await.map_err(failed("looking for its schema"))
    }

    /// The vault there, to which nobody is connected yet.
    fn on(options: PgConnectOptions, connections_max: u32) -> Self {
        let options = options.options([
            // Whatever the role or the database says: what a key has sealed may be recorded at once.
            ("synchronous_commit", "on"),
            ("search_path", SCHEMA),
            FOR_CHANGES,
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(connections_max)
            // Each call has a bound of its own, which says what is away.
            .acquire_timeout(call::COPY_TIME_MAX)
            .connect_lazy_with(options);
        Self { pool }
    }

    /// Closes every connection, after running statements have ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A transaction that waits for whoever else changes the same of `tenant`.
async fn in_turn(
    connection: &mut PgConnection,
    turn: Turn,
    tenant: TenantId,
) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("select pg_advisory_xact_lock(hashtextextended($1::text, $2))")
        .bind(tenant.0)
        .bind(turn as i64)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}

/// Sets how long the server works on a statement, until the end of the transaction or for good.
async fn allow(
    connection: &mut PgConnection,
    time_max: Duration,
    scope: Scope,
) -> Result<(), sqlx::Error> {
    let is_local = scope == Scope::Transaction;
    sqlx::query("select set_config('statement_timeout', $1, $2)")
        .bind(format!("{}s", time_max.as_secs()))
        .bind(is_local)
        .execute(connection)
        .await?;
    Ok(())
}

/// For how long something is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Connection,
    Transaction,
}

async fn has_schema(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let there = sqlx::query("select 1 from pg_namespace where nspname = $1").bind(SCHEMA);
    Ok(there.fetch_optional(connection).await?.is_some())
}

async fn make_schema(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    if has_schema(connection).await? {
        return Ok(());
    }
    let text = "begin; select pg_advisory_xact_lock(hashtextextended('callboard_vault', 0));
        create schema if not exists callboard_vault; commit";
    sqlx::raw_sql(text).execute(connection).await?;
    Ok(())
}

async fn migrate(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    allow(&mut transaction, TABLE_TIME_MAX, Scope::Transaction).await?;
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
