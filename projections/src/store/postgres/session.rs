//! One connection to PostgreSQL, which is made again after it broke.

use std::fmt;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgDatabaseError, PgSeverity};
use sqlx::{
    Arguments, AssertSqlSafe, Connection as _, Database, PgConnection, Postgres, SqlSafeStr,
};
use sqlx_core::transaction::TransactionManager;
use tokio::time::Instant;
use uuid::Uuid;

use super::definition::TENANT;
use super::{clean, run};
use crate::store::sql::{IN, List, Sql, Value};
use crate::store::{Durability, Patience, Row, StoreError};

/// How long a connection may rest before it is asked whether it is still there. In seconds: 1; a
/// server that restarts has ended it, and nothing of its own accord says so.
const REST_MAX: Duration = Duration::from_secs(1);
/// How long it may take to say whether a connection is still there.
const CONNECT_TIME_MAX: Duration = vault::postgres::ANSWER_TIME_MAX;

/// How long to wait for whoever is removing the schema that is to be used. In seconds: 30, since the
/// server ends one that rests in between after five, and large tables take a while to go.
const HOLD_TIME_MAX: Duration = Duration::from_secs(30);

/// The longest that anything but a read waits for its answer, which never comes if the network was cut
/// meanwhile. In seconds: 20, longer than the server lets anybody wait for a lock.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// The same for what goes over whole tables. In minutes: 30, several times what it takes to sort the
/// largest ones.
const TABLES_TIME_MAX: Duration = Duration::from_secs(30 * 60);

/// A text and what it binds.
pub(crate) type Statement = (String, PgArguments);

type Transactions = <Postgres as Database>::TransactionManager;

/// When an answer has to be there.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// At the end of the read that the statement is part of.
    At(Instant),
    /// So long after it was asked for.
    In(Duration),
}

/// One connection to PostgreSQL.
pub(crate) struct Session {
    connection: PgConnection,
    options: PgConnectOptions,
    /// The schema that nobody may remove while this is connected.
    holds: Option<String>,
    reader_role: Arc<str>,
    durability: Durability,
    /// Whether it has to be made again.
    broken: bool,
    /// When it was last of use.
    used: Instant,
    /// How often it was made again.
    remade: u64,
    /// While it is used for a read, when that has to be over. A read is one transaction.
    deadline: Option<Instant>,
    patience: Patience,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session(holds {:?})", self.holds)
    }
}

impl Session {
    pub(super) async fn connect(
        options: PgConnectOptions,
        holds: Option<String>,
        reader_role: &Arc<str>,
    ) -> Result<Self, StoreError> {
        let durability = Durability::Ordered;
        let connection = connect(&options, holds.as_deref(), durability).await?;
        let reader_role = reader_role.clone();
        let (broken, remade, used, deadline) = (false, 0, Instant::now(), None);
        let patience = Patience::Rows;
        Ok(Self {
            connection,
            options,
            holds,
            reader_role,
            durability,
            broken,
            remade,
            used,
            deadline,
            patience,
        })
    }

    pub(in crate::store) fn remade(&self) -> u64 {
        self.remade
    }

    pub(super) fn reader_role(&self) -> &str {
        &self.reader_role
    }

    /// Chooses what statements are about from now on, and answers what they were about before.
    pub(in crate::store) fn set_patience(&mut self, patience: Patience) -> Patience {
        std::mem::replace(&mut self.patience, patience)
    }

    #[cfg(test)]
    pub(in crate::store) fn patience(&self) -> Patience {
        self.patience
    }

    fn limit(&self) -> Limit {
        match (self.deadline, self.patience) {
            (Some(at), _) => Limit::At(at),
            (None, Patience::Rows) => Limit::In(ANSWER_TIME_MAX),
            (None, Patience::Tables) => Limit::In(TABLES_TIME_MAX),
        }
    }

    /// Makes the connection again if it broke. What was going on in it is lost.
    async fn ready(&mut self) -> Result<(), StoreError> {
        if Transactions::get_transaction_depth(&self.connection) > 0 {
            return Ok(());
        }
        if self.broken || !self.is_there().await {
            let made = connect(&self.options, self.holds.as_deref(), self.durability).await?;
            self.connection = made;
            self.broken = false;
            self.remade += 1;
        }
        Ok(())
    }

    /// Whether it still stands, which is asked if it has rested for a while.
    async fn is_there(&mut self) -> bool {
        let asking = async { Ok(self.connection.ping().await?) };
        self.used.elapsed() <= REST_MAX || in_time(CONNECT_TIME_MAX, asking).await.is_ok()
    }

    #[cfg(test)]
    pub(super) fn has_rested(&mut self) {
        self.used -= 2 * REST_MAX;
    }

    /// Passes `result` on, and remembers if the connection is of no more use.
    fn noted<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match &result {
            Err(StoreError::Database(error)) => self.broken |= breaks(error),
            // Its answer may still come, and would be taken for that of the next.
            Err(StoreError::OutOfTime) => self.broken = true,
            _ => (),
        }
        self.used = Instant::now();
        result
    }

    pub(in crate::store) async fn fetch(
        &mut self,
        statement: Statement,
    ) -> Result<Vec<Row>, StoreError> {
        self.ready().await?;
        let limit = self.limit();
        let fetching = query(statement).fetch_all(&mut self.connection);
        let rows = within(limit, async { Ok(fetching.await?) }).await;
        let rows = self.noted(rows)?;
        Ok(rows.into_iter().map(Row::of_postgres).collect())
    }

    pub(in crate::store) async fn each(
        &mut self,
        statement: Statement,
        mut take: impl FnMut(&Row) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        self.ready().await?;
        let limit = self.limit();
        let mut rows = query(statement).fetch(&mut self.connection);
        let taking = async {
            while let Some(row) = rows.try_next().await? {
                if take(&Row::of_postgres(row))?.is_break() {
                    break;
                }
            }
            Ok(())
        };
        let taken = within(limit, taking).await;
        drop(rows);
        self.noted(taken)
    }

    pub(in crate::store) async fn execute(
        &mut self,
        statement: Statement,
    ) -> Result<u64, StoreError> {
        self.ready().await?;
        let limit = self.limit();
        let executing = query(statement).execute(&mut self.connection);
        let done = within(limit, async { Ok(executing.await?) }).await;
        Ok(self.noted(done)?.rows_affected())
    }

    /// Does what these statements say, all or nothing, without waiting for us in between. Nothing
    /// that a caller said is part of them.
    pub(super) async fn run_at_once(&mut self, text: String) -> Result<(), StoreError> {
        self.ready().await?;
        let limit = self.limit();
        let running = run(&mut self.connection, text);
        let done = within(limit, async { Ok(running.await?) }).await;
        self.noted(done)
    }

    /// Begins a transaction, and says whether it did: a read is one already.
    pub(in crate::store) async fn begin(&mut self) -> Result<bool, StoreError> {
        if self.deadline.is_some() {
            return Ok(false);
        }
        self.ready().await?;
        // Asked before, since one that cannot begin within another undoes that.
        let is_within = Transactions::get_transaction_depth(&self.connection) > 0;
        let begun = self.try_begin().await;
        if begun.is_ok() || !self.broken || is_within {
            return begun.map(|()| true);
        }
        // It was lost while it rested, and nothing was asked of it yet.
        self.ready().await?;
        self.try_begin().await.map(|()| true)
    }

    async fn try_begin(&mut self) -> Result<(), StoreError> {
        let limit = self.limit();
        let begun = Transactions::begin(&mut self.connection, None);
        let begun = within(limit, async { Ok(begun.await?) }).await;
        self.noted(begun)
    }

    pub(in crate::store) async fn commit(&mut self) -> Result<(), StoreError> {
        if self.deadline.is_some() {
            return Ok(());
        }
        let limit = self.limit();
        let committing = Transactions::commit(&mut self.connection);
        let done = within(limit, async { Ok(committing.await?) }).await;
        self.noted(done)
    }

    pub(in crate::store) async fn rollback(&mut self) -> Result<(), StoreError> {
        if self.deadline.is_some() {
            return Ok(());
        }
        let limit = self.limit();
        let undoing = Transactions::rollback(&mut self.connection);
        let done = within(limit, async { Ok(undoing.await?) }).await;
        self.noted(done)
    }

    pub(in crate::store) fn start_rollback(&mut self) {
        Transactions::start_rollback(&mut self.connection);
    }

    /// Begins a read of what `tenant` may see, all of it as it is now.
    pub(in crate::store) async fn begin_read(
        &mut self,
        tenant: Uuid,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let text = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL {TENANT} = '{tenant}'"
        );
        let text = AssertSqlSafe(text).into_sql_str();
        let begun = Transactions::begin(&mut self.connection, Some(text));
        within(Limit::At(deadline), async { Ok(begun.await?) }).await?;
        self.deadline = Some(deadline);
        Ok(())
    }

    /// Ends a read. Whoever comes next says anew for whom it reads.
    pub(in crate::store) async fn end_read(&mut self) -> Result<(), StoreError> {
        self.deadline = None;
        self.rollback().await
    }

    pub(in crate::store) async fn set_durability(
        &mut self,
        durability: Durability,
    ) -> Result<(), StoreError> {
        self.durability = durability;
        self.execute((synchronous_commit(durability).to_owned(), PgArguments::default())).await?;
        Ok(())
    }
}

async fn connect(
    options: &PgConnectOptions,
    holds: Option<&str>,
    durability: Durability,
) -> Result<PgConnection, StoreError> {
    let mut connection = vault::postgres::connect(options).await?;
    if let Some(schema) = holds {
        let holding = hold(&mut connection, schema, durability);
        in_time(CONNECT_TIME_MAX + HOLD_TIME_MAX, holding).await.map_err(StoreError::or_held)?;
    }
    Ok(connection)
}

/// Keeps everybody from removing a schema, for as long as this is connected.
async fn hold(
    connection: &mut PgConnection,
    schema: &str,
    durability: Durability,
) -> Result<(), StoreError> {
    let limit = format!("SET lock_timeout = {}", HOLD_TIME_MAX.as_millis());
    run(connection, limit).await?;
    let text = "SELECT pg_advisory_lock_shared(hashtextextended($1, 0))";
    sqlx::query(text).bind(schema).execute(&mut *connection).await?;
    run(connection, "RESET lock_timeout".to_owned()).await?;
    Ok(run(connection, synchronous_commit(durability).to_owned()).await?)
}

/// The order of transactions survives a crash of the server either way.
fn synchronous_commit(durability: Durability) -> &'static str {
    match durability {
        Durability::Disposable | Durability::Ordered => "SET synchronous_commit = off",
        Durability::Full => "SET synchronous_commit = on",
    }
}

/// Whether a connection is of no more use after `error`.
fn breaks(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        // The server ends the connection, or has lost it.
        sqlx::Error::Database(error) => {
            let severity =
                error.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
            matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic))
                || error.code().is_some_and(|it| it.starts_with("08"))
        }
        sqlx::Error::BeginFailed => true,
        _ => false,
    }
}

async fn within<T>(
    limit: Limit,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match limit {
        Limit::In(time_max) => in_time(time_max, work).await,
        Limit::At(at) => {
            tokio::time::timeout_at(at, work).await.unwrap_or(Err(StoreError::OutOfTime))
        }
    }
}

/// Does `work`, unless the network seems to be cut.
pub(super) async fn in_time<T>(
    time_max: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let no_answer = |_| StoreError::Database(std::io::Error::from(ErrorKind::TimedOut).into());
    tokio::time::timeout(time_max, work).await.map_err(no_answer)?
}

fn query((text, arguments): Statement) -> sqlx::query::Query<'static, Postgres, PgArguments> {
    sqlx::query_with(AssertSqlSafe(text).into_sql_str(), arguments)
}

impl Sql {
    /// As PostgreSQL takes it: a list is one array.
    pub(in crate::store) fn for_postgres(mut self) -> Statement {
        let mut arguments = PgArguments::default();
        let (mut whole, mut written) = (String::new(), 0);
        let lists = std::mem::take(&mut self.lists);
        for List { at, number, .. } in &lists {
            let text = &self.text()[written..*at];
            whole.push_str(text.strip_suffix(IN).unwrap_or(text));
            match number {
                Some(number) => whole.push_str(&format!(" = ANY(${number})")),
                None => whole.push_str(" = ANY('{}')"),
            }
            written = *at;
        }
        whole.push_str(&self.text()[written..]);
        let mut lists = lists.into_iter().filter(|it| it.number.is_some()).peekable();
        for (index, value) in self.values.into_iter().enumerate() {
            match lists.next_if(|it| it.number == Some(index + 1)) {
                Some(list) => add_list(&mut arguments, value, list.rest),
                None => add(&mut arguments, value),
            }
        }
        (whole, arguments)
    }
}

fn add(arguments: &mut PgArguments, value: Value) {
    let added = match value {
        Value::Id(it) => arguments.add(it),
        Value::OptionalId(it) => arguments.add(it),
        Value::Text(it) => arguments.add(clean(&it)),
        Value::Shared(it) => arguments.add(clean(&it)),
        Value::OptionalText(it) => arguments.add(it.as_deref().map(clean)),
        Value::Integer(it) => arguments.add(it),
        Value::OptionalInteger(it) => arguments.add(it),
    };
    added.expect("texts, ids and integers can always be bound");
}

/// Binds an array. All values of a list are of one kind.
fn add_list(arguments: &mut PgArguments, first: Value, rest: Vec<Value>) {
    let all = std::iter::once(first).chain(rest);
    let (mut ids, mut texts, mut integers) = (Vec::new(), Vec::new(), Vec::new());
    for value in all {
        match value {
            Value::Id(it) => ids.push(it),
            Value::OptionalId(it) => ids.extend(it),
            Value::Text(it) => texts.push(clean(&it).into_owned()),
            Value::Shared(it) => texts.push(clean(&it).into_owned()),
            Value::OptionalText(it) => texts.extend(it.as_deref().map(|it| clean(it).into_owned())),
            Value::Integer(it) => integers.push(it),
            Value::OptionalInteger(it) => integers.extend(it),
        }
    }
    let added = match (ids.is_empty(), integers.is_empty()) {
        (false, _) => arguments.add(ids),
        (_, false) => arguments.add(integers),
        (true, true) => arguments.add(texts),
    };
    added.expect("texts, ids and integers can always be bound");
}
