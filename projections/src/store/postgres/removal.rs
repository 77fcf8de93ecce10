//! How table sets go that nobody uses.
//!
//! Whoever uses a set holds a lock that ends with its connection. So a server that has just
//! crashed, was started again or has taken over from another one knows of nobody, until all have
//! connected anew; and nothing that it says of itself tells how long ago that was. Therefore
//! whoever removes a set has seen for itself, for a while and on one connection, that nobody uses
//! it: what ends the locks of others ends that connection too, and then it begins anew.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgArguments;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Postgres, REST_MAX_S, Session, schema};
use crate::store::{Patience, Sql, StoreError};

/// How often it is looked whether somebody uses a set. In milliseconds: 500.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long those are waited for who use a set that is to go in the course of time. In seconds:
/// 10; whoever goes on using it removes it in the end.
const USERS_TIME_MAX: Duration = Duration::from_secs(10);

/// How long those are waited for whom somebody waits to see gone: long enough for the connections
/// of a process that has just ended. In seconds: 1.
const ENDED_TIME_MAX: Duration = Duration::from_secs(1);

/// How long to wait for the lock that nobody was seen to hold, and for the last readers. In
/// milliseconds: 1,000.
const LOCK_TIMEOUT_MS: u32 = 1_000;

/// What somebody who looked saw of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Missing,
    Used,
    Unused,
}

impl Postgres {
    /// Removes, in the course of time, every set of tables whose name begins so, but `kept`, and but
    /// those that another process is using.
    pub(in crate::store) async fn remove_others(
        self: &Arc<Self>,
        beginning: &str,
        kept: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut sql =
            Sql::new("SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname, ");
        sql.bind(schema(beginning)).push(")");
        let kept = kept.map(schema);
        for row in self.caretaker.lock().await.fetch(sql.for_postgres()).await? {
            let schema = row.text(0)?;
            if Some(&schema) != kept.as_ref() {
                self.clone().remove_soon(schema);
            }
        }
        Ok(())
    }

    /// Removes a set of tables, unless somebody uses it.
    pub(in crate::store) async fn remove_unused(&self, name: &str) -> Result<(), StoreError> {
        remove(&self.caretaker, &schema(name), self.unused_min, ENDED_TIME_MAX).await
    }

    /// Removes a set of tables once nobody uses it any more. If another process goes on using it,
    /// that one removes it, or whoever starts next.
    pub(in crate::store) fn remove_replaced(self: Arc<Self>, name: &str) {
        self.remove_soon(schema(name));
    }

    fn remove_soon(self: Arc<Self>, schema: String) {
        let removing = async move {
            let (caretaker, unused_min) = (&self.caretaker, self.unused_min);
            let removed = remove(caretaker, &schema, unused_min, USERS_TIME_MAX).await;
            if let Err(error) = removed {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(tables = schema, error, "old tables stay until a process starts");
            }
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(removing);
        }
    }
}

/// Drops a schema once nobody was seen to use it for `unused_min`. If somebody uses it for longer
/// than `patience`, it stays.
async fn remove(
    caretaker: &Mutex<Session>,
    schema: &str,
    unused_min: Duration,
    patience: Duration,
) -> Result<(), StoreError> {
    let (began, mut unused) = (Instant::now(), None);
    loop {
        let seen = step(&mut *caretaker.lock().await, schema, unused_min, &mut unused).await;
        match seen {
            Ok(Seen::Missing) => return Ok(()),
            Ok(Seen::Unused) => (),
            Ok(Seen::Used) if began.elapsed() >= patience => {
                tracing::info!(tables = schema, "another process uses these tables; they stay");
                return Ok(());
            }
            Err(error) if began.elapsed() >= patience => return Err(error),
            Ok(Seen::Used) | Err(_) => unused = None,
        }
        tokio::time::sleep(LOOK_EVERY.min(unused_min)).await;
    }
}

/// Looks once, and drops the schema if nobody was seen to use it for long enough. `unused` is since
/// when that was so, and on which of the connections of `session`.
async fn step(
    session: &mut Session,
    schema: &str,
    unused_min: Duration,
    unused: &mut Option<(Instant, u64)>,
) -> Result<Seen, StoreError> {
    let seen = look(session, schema).await?;
    let connection = session.remade();
    match *unused {
        Some((since, seen_on)) if seen == Seen::Unused && seen_on == connection => {
            if since.elapsed() < unused_min {
                return Ok(seen);
            }
            drop_schema(session, schema, seen_on).await
        }
        _ => {
            *unused = Some((Instant::now(), connection));
            Ok(seen)
        }
    }
}

/// Whether anybody but `session` uses a schema, as far as the server knows.
async fn look(session: &mut Session, schema: &str) -> Result<Seen, StoreError> {
    let mut sql = Sql::new(
        "SELECT EXISTS (SELECT FROM pg_locks
            WHERE locktype = 'advisory' AND objsubid = 1 AND pid <> pg_backend_pid()
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND (CAST(classid AS BIGINT) << 32 | CAST(objid AS BIGINT))
                    = hashtextextended(nspname::text, 0))::int::bigint
        FROM pg_namespace WHERE nspname = ",
    );
    sql.bind(schema);
    let row = session.fetch(sql.for_postgres()).await?.into_iter().next();
    Ok(match row.map(|it| it.integer(0)).transpose()? {
        None => Seen::Missing,
        Some(0) => Seen::Unused,
        Some(_) => Seen::Used,
    })
}

/// Drops a schema if nobody uses it now either, and `session` still has the connection on which
/// that was seen: else the server may have forgotten who does. Answers what is seen of it then.
async fn drop_schema(
    session: &mut Session,
    schema: &str,
    seen_on: u64,
) -> Result<Seen, StoreError> {
    session.begin().await?;
    session.set_patience(Patience::Tables);
    let mut dropping = Dropping { session, is_done: false };
    let seen = drop_within(dropping.session, schema, seen_on).await?;
    if seen == Seen::Missing {
        dropping.session.commit().await?;
        dropping.is_done = true;
    }
    Ok(seen)
}

/// The transaction in which a schema is dropped.
struct Dropping<'s> {
    session: &'s mut Session,
    is_done: bool,
}

impl Drop for Dropping<'_> {
    fn drop(&mut self) {
        self.session.set_patience(Patience::Rows);
        if !self.is_done {
            // Also where the connection was lost: else it would be taken for open, and not made again.
            self.session.start_rollback();
        }
    }
}

async fn drop_within(
    session: &mut Session,
    schema: &str,
    seen_on: u64,
) -> Result<Seen, StoreError> {
    if session.remade() != seen_on {
        return Ok(Seen::Unused);
    }
    for text in [
        format!("SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"),
        format!("SET LOCAL idle_in_transaction_session_timeout = '{REST_MAX_S}s'"),
        format!("SELECT pg_advisory_xact_lock(hashtextextended('{schema}', 0))"),
        format!("DROP SCHEMA IF EXISTS {schema} CASCADE"),
    ] {
        match session.execute((text, PgArguments::default())).await.map_err(StoreError::or_held) {
            Err(StoreError::Held(_)) => return Ok(Seen::Used),
            done => done?,
        };
    }
    Ok(Seen::Missing)
}

#[cfg(test)]
mod tests;
