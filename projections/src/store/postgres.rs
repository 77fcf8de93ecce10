//! Table sets as schemas of a PostgreSQL database.
//!
//! Their owner writes. Whoever reads does so in a role that owns nothing, and says for which
//! tenant at the beginning of its transaction; row-level security shows it nothing else. Whoever
//! may write to a set holds a lock that is shared, by which another process sees that it must not
//! remove the set: locks end with their connection, so a process that dies keeps nothing.

mod definition;
mod fitness;
mod removal;
mod session;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, PgConnection, SqlSafeStr};
use tokio::sync::Mutex;

use super::{Connection, Sql, StoreError};
use crate::tables::PostgresTables;

pub(crate) use session::Session;

/// What the names of all our schemas begin with.
const SCHEMAS: &str = "callboard_";

/// How often the server looks whether anybody still waits for an answer. In milliseconds: 20.
const CONNECTION_CHECK_MS: u32 = 20;

/// How often whoever uses tables makes sure that the server knows. In seconds: 2.
pub(crate) const HOLD_EVERY: Duration = Duration::from_secs(2);

/// How often the server looks whether whoever writes still waits for an answer. In milliseconds: 1,000;
/// what nobody waits for is given up, and its locks.
const WRITER_CHECK_MS: u32 = 1_000;

/// What stands for the making of schemas, tables and roles among advisory locks.
pub(crate) const MAKING: i64 = 0x6361_6c6c_626f;

/// How long whoever makes or removes tables may rest in between, before the server ends that: others
/// that start, or want to use those tables, wait for it meanwhile. In seconds: 5.
const REST_MAX_S: u32 = 5;

/// How long to wait for whoever makes tables, or writes to them. In seconds: 15, longer than one may rest
/// who makes some, and less than its answer is waited for, so that it is told why.
const MAKING_TIME_MAX_S: u32 = 15;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// A PostgreSQL database with table sets.
#[derive(Debug)]
pub(crate) struct Postgres {
    options: PgConnectOptions,
    reader_role: Arc<str>,
    /// For how long nobody was seen to use tables before they are removed.
    unused_min: Duration,
    /// For how long nobody was seen to fill a partition before somebody else than its owner does.
    pub(super) unmoved_min: Duration,
    /// Looks after schemas.
    caretaker: Mutex<Session>,
}

impl Postgres {
    /// Connects, and makes sure that everything is there.
    pub(super) async fn open(settings: &PostgresTables) -> Result<Self, StoreError> {
        let options = fitness::options(&settings.url)?;
        // What is compiled for a long query costs more than any of ours takes.
        let options = options.statement_cache_capacity(256).options([("jit", "off")]);
        let options = options.options([
            ("client_connection_check_interval", WRITER_CHECK_MS.to_string()),
            ("lock_timeout", format!("{MAKING_TIME_MAX_S}s")),
        ]);
        fitness::check(&options, &settings.reader_role).await?;
        let reader_role = settings.reader_role.as_str().into();
        let caretaker = Mutex::new(Session::connect(options.clone(), None, &reader_role).await?);
        let PostgresTables { unused_min, unmoved_min, .. } = *settings;
        Ok(Self { options, reader_role, unused_min, unmoved_min, caretaker })
    }

    pub(super) async fn connect(
        &self,
        name: &str,
        purpose: Purpose,
    ) -> Result<Session, StoreError> {
        let schema = schema(name);
        let options = self.options.clone().options([("search_path", &schema)]);
        match purpose {
            Purpose::Read => {
                let options = options.options([("role", &*self.reader_role)]).options([
                    ("client_connection_check_interval", CONNECTION_CHECK_MS.to_string()),
                    ("default_transaction_read_only", "on".to_owned()),
                ]);
                Session::connect(options, None, &self.reader_role).await
            }
            Purpose::Write => {
                let mut session =
                    Session::connect(options, Some(schema.clone()), &self.reader_role).await?;
                self.make(&schema, &mut session).await?;
                Ok(session)
            }
        }
    }

    /// Makes a schema, which `session` holds already, if it is not there. Whoever finds it waits for
    /// nobody, and those who make it say so at once: none of them can be paused halfway.
    async fn make(&self, schema: &str, session: &mut Session) -> Result<(), StoreError> {
        let mut sql = Sql::new("SELECT 1 FROM pg_namespace WHERE nspname = ");
        sql.bind(schema).push(" AND has_schema_privilege(").bind(&*self.reader_role);
        sql.push(", oid, 'USAGE')");
        if !session.fetch(sql.for_postgres()).await?.is_empty() {
            return Ok(());
        }
        let role = &self.reader_role;
        let text = format!(
            "SET LOCAL lock_timeout = '{MAKING_TIME_MAX_S}s';
            SELECT pg_advisory_xact_lock({MAKING});
            CREATE SCHEMA IF NOT EXISTS {schema};
            GRANT USAGE ON SCHEMA {schema} TO {role}"
        );
        session.run_at_once(text).await.map_err(StoreError::or_held)
    }

    pub(super) async fn exists(&self, name: &str) -> Result<bool, StoreError> {
        let mut sql = Sql::new("SELECT 1 FROM pg_namespace WHERE nspname = ");
        sql.bind(schema(name));
        Ok(!self.caretaker.lock().await.fetch(sql.for_postgres()).await?.is_empty())
    }
}

/// The schema of a set: a name of ours, so it needs no quotes.
pub(super) fn schema(name: &str) -> String {
    format!("{SCHEMAS}{}", name.replace('-', "_"))
}

/// Runs a statement that nothing a caller said is part of.
async fn run(connection: &mut PgConnection, text: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(text).into_sql_str()).execute(connection).await?;
    Ok(())
}

/// `text` as PostgreSQL can hold it: without the one character it cannot.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { text.into() }
}

/// Makes everything that was committed survive a power cut: the log is synced up to `last`.
pub(super) async fn make_durable(connection: &mut Connection, last: Sql) -> Result<(), StoreError> {
    let mut transaction = super::begin(connection).await?;
    sync_at_commit(&mut transaction).await?;
    last.execute(&mut transaction).await?;
    transaction.commit().await
}

pub(super) async fn sync_at_commit(transaction: &mut Connection) -> Result<(), StoreError> {
    Sql::new("SET LOCAL synchronous_commit = on").execute(transaction).await?;
    Ok(())
}

/// Without statistics the plans of the first minutes are guesses.
pub(super) async fn gather_statistics(connection: &mut Connection) -> Result<(), StoreError> {
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()";
    for row in Sql::new(tables).fetch(connection).await? {
        Sql::new(&format!("ANALYZE {}", row.text(0)?)).execute(connection).await?;
    }
    Ok(())
}

pub(super) async fn take_turns(transaction: &mut Connection) -> Result<(), StoreError> {
    for text in [
        format!("SET LOCAL idle_in_transaction_session_timeout = '{REST_MAX_S}s'"),
        format!("SET LOCAL lock_timeout = '{MAKING_TIME_MAX_S}s'"),
        format!("SELECT pg_advisory_xact_lock({MAKING})"),
    ] {
        Sql::new(&text).execute(transaction).await.map_err(StoreError::or_held)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
