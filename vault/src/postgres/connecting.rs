//! How a database is connected to, for the vault and for whoever else has tables there.
//!
//! A server that is too old is refused, and so is a standby: it takes no changes, and what was stored a
//! moment ago may not have reached it. Whoever asks it for a key would take that for lost.

use std::io::ErrorKind;
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgSeverity};
use sqlx::{ConnectOptions as _, PgConnection};

use super::call::{ANSWER_TIME_MAX, in_time};

/// The oldest server that the tests run on: PostgreSQL 15.
const VERSION_MIN: u32 = 15;

/// Settings of every connection of this installation: how long the server goes on holding locks for
/// one that says nothing any more, since it is cut off, or its process paused. A minute, as on a busy
/// machine the longest rest on purpose is one of some ten seconds, where tables take the place of
/// others; every transaction here takes milliseconds.
const SESSION_LIMITS: [(&str, &str); 5] = [
    ("idle_in_transaction_session_timeout", "60s"),
    ("tcp_keepalives_idle", "30s"),
    ("tcp_keepalives_interval", "10s"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "60s"),
];

/// What a standby refuses to connect with.
pub(super) const FOR_CHANGES: (&str, &str) = ("transaction_read_only", "off");

/// What it says then, by its version.
const NOT_FOR_CHANGES: [&str; 2] = ["25001", "0A000"];

/// The database at `url`, which is never said, for it holds a password.
///
/// # Errors
///
/// If it is no address of one.
pub fn options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        let expected = "expected an address like `postgres://user:password@host:5432/database`";
        return Err(sqlx::Error::Configuration(expected.into()));
    }
    let options = PgConnectOptions::from_str(url)?;
    Ok(options.application_name("callboard").options(SESSION_LIMITS))
}

/// Connects, in [`ANSWER_TIME_MAX`].
///
/// # Errors
///
/// If the server cannot be reached, refuses, is too old or a standby.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    in_time(ANSWER_TIME_MAX, async {
        let mut connection = options.connect().await?;
        let version = connection.server_version_num().unwrap_or(0) / 10_000;
        if version < VERSION_MIN {
            let problem = format!("expected PostgreSQL {VERSION_MIN} or newer, got {version}");
            return Err(sqlx::Error::Configuration(problem.into()));
        }
        let asked = sqlx::query_scalar("select pg_is_in_recovery()");
        if asked.fetch_one(&mut connection).await? { Err(standby()) } else { Ok(connection) }
    })
    .await
}

/// The same, said as what it is if a standby has refused what is [`FOR_CHANGES`].
pub(super) fn or_standby(error: sqlx::Error) -> sqlx::Error {
    let refusal = error.as_database_error().and_then(|it| it.try_downcast_ref::<PgDatabaseError>());
    let is_standbys = refusal.is_some_and(|it| {
        matches!(it.severity(), PgSeverity::Fatal) && NOT_FOR_CHANGES.contains(&it.code())
    });
    if is_standbys { standby() } else { error }
}

/// It is away for us, and may come back as a primary.
fn standby() -> sqlx::Error {
    let problem = "the server is a standby (it is in recovery), which may lack what was just stored; \
                   name its primary in `storage.postgresql.url`, or promote it";
    std::io::Error::new(ErrorKind::ReadOnlyFilesystem, problem).into()
}
