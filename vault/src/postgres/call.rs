//! One call of the database: on a connection of its own, and for so long only.
//!
//! A server that is stopped, or behind a network that was cut, takes what it is asked and says
//! nothing. Nobody waits for it for longer than is said here, and a connection on which something is
//! still to be answered is never lent to the next one.

use std::io::ErrorKind;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};
use tokio::time::timeout;

use super::PostgresVault;
use super::connecting::or_standby;

/// The longest that a call waits for its answer, and for a connection before. In seconds: 10, which
/// is enough for content of 16 MiB at 2 MiB/s.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// The same for what copies many rows at a time, for which nobody else waits. In seconds: 30, for four
/// times as much.
pub(crate) const COPY_TIME_MAX: Duration = Duration::from_secs(30);

/// The same for what looks at a whole table. In minutes: 30.
pub(super) const TABLE_TIME_MAX: Duration = Duration::from_secs(30 * 60);

impl PostgresVault {
    /// Does `work` in [`ANSWER_TIME_MAX`].
    pub(super) async fn call<T>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        self.call_for(ANSWER_TIME_MAX, work).await
    }

    /// Does `work` in `time_max`.
    pub(super) async fn call_for<T>(
        &self,
        time_max: Duration,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        in_time(time_max, async {
            let mut lent = Lent(Some(self.pool.acquire().await.map_err(or_standby)?));
            let done = work(&mut lent).await;
            lent.give_back();
            done
        })
        .await
    }
}

/// Does `work` in `time_max`, or says that nobody answered.
pub(super) async fn in_time<T>(
    time_max: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout(time_max, work).await.unwrap_or_else(|_elapsed| {
        let problem = format!("it did not answer in {} s", time_max.as_secs());
        Err(std::io::Error::new(ErrorKind::TimedOut, problem).into())
    })
}

/// The same for what copies rows.
pub(crate) async fn in_copy_time<T>(
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    in_time(COPY_TIME_MAX, work).await
}

/// A connection of the pool. It is closed, unless it is given back: its answer may still come, and
/// nobody waits for that.
struct Lent(Option<PoolConnection<Postgres>>);

/// Why there is one.
const UNTIL_GIVEN_BACK: &str = "a connection is there until it is given back";

impl Lent {
    /// Lets the next one have it, once it has ended what was begun on it.
    fn give_back(mut self) {
        let Some(mut connection) = self.0.take() else { return };
        tokio::spawn(async move {
            // The pool alone would wait for ever, with room for one connection less.
            drop(timeout(ANSWER_TIME_MAX, connection.return_to_pool()).await);
        });
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        drop(self.0.take().map(PoolConnection::detach));
    }
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0.as_ref().expect(UNTIL_GIVEN_BACK)
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect(UNTIL_GIVEN_BACK)
    }
}
