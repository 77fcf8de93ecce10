//! Whether a PostgreSQL database can hold tables: said before anything is written to it.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use super::session::in_time;
use super::{MAKING, MAKING_TIME_MAX_S, run};
use crate::store::StoreError;

/// How long it may take to see whether a database is fit, and to make the role. In seconds: 30, twice as
/// long as whoever makes tables is waited for.
const CHECK_TIME_MAX: Duration = Duration::from_secs(30);

/// How often it is tried to make the role, while others may be making it too.
const ATTEMPTS_MAX: u32 = 5;

/// Where the database is.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    vault::postgres::options(url).map_err(|error| unfit(error.to_string()))
}

pub(super) async fn check(options: &PgConnectOptions, reader: &str) -> Result<(), StoreError> {
    let connecting = vault::postgres::connect(options).await;
    let connection = connecting.map_err(|error| cannot_connect(options, error))?;
    in_time(CHECK_TIME_MAX, check_database(connection, reader)).await
}

async fn check_database(mut connection: PgConnection, reader: &str) -> Result<(), StoreError> {
    let text = "SELECT has_database_privilege(current_database(), 'CREATE'),
        current_setting('server_encoding'), current_user::text, current_database()::text";
    let (may_create, encoding, user, database): (bool, String, String, String) =
        sqlx::query_as(text).fetch_one(&mut connection).await?;
    if encoding != "UTF8" {
        return Err(unfit(format!(
            "the database `{database}` is encoded in {encoding}; make one with ENCODING 'UTF8'"
        )));
    }
    if !may_create {
        return Err(unfit(format!(
            "`{user}` may not make schemas in `{database}`; as its owner, run \
             `GRANT CREATE ON DATABASE {database} TO {user}`"
        )));
    }
    check_name(reader)?;
    make_role(&mut connection, reader, &user).await?;
    Ok(connection.close().await?)
}

fn check_name(reader: &str) -> Result<(), StoreError> {
    let fits = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_';
    let starts = reader.starts_with(|it: char| it.is_ascii_lowercase());
    if starts && reader.chars().all(fits) && reader.len() < 64 {
        return Ok(());
    }
    Err(unfit(format!(
        "expected a role of lower-case letters, digits and underscores for readers, got `{reader}`"
    )))
}

/// What a role that reads is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Missing,
    /// It sees what row-level security hides.
    Mighty,
    /// The owner of the tables cannot take it on.
    Foreign,
    Fit,
}

async fn make_role(
    connection: &mut PgConnection,
    reader: &str,
    owner: &str,
) -> Result<(), StoreError> {
    let mut failure = None;
    for _ in 0..ATTEMPTS_MAX {
        let text = match role(connection, reader).await? {
            Role::Fit => return Ok(()),
            Role::Mighty => {
                return Err(unfit(format!(
                    "the role `{reader}` for readers is a superuser, bypasses row-level security, \
                     or has the rights of `{owner}`; name another one"
                )));
            }
            Role::Missing => format!("CREATE ROLE {reader} NOLOGIN NOBYPASSRLS"),
            Role::Foreign => format!("GRANT {reader} TO \"{}\"", owner.replace('"', "\"\"")),
        };
        // Roles belong to all databases of a server, and so does whoever makes the same one.
        let text = format!(
            "BEGIN; SET LOCAL lock_timeout = '{MAKING_TIME_MAX_S}s';
            SELECT pg_advisory_xact_lock({MAKING}); {text}; COMMIT"
        );
        let Err(error) = run(connection, text).await else { continue };
        run(connection, "ROLLBACK".to_owned()).await?;
        match StoreError::from(error).or_held() {
            StoreError::Database(error) => failure = Some(error),
            held => return Err(held),
        }
    }
    Err(StoreError::Unfit {
        problem: format!(
            "the role `{reader}` for readers cannot be made or taken on by `{owner}`; as \
             superuser, run `CREATE ROLE {reader} NOLOGIN; GRANT {reader} TO {owner}`"
        ),
        source: failure,
    })
}

async fn role(connection: &mut PgConnection, reader: &str) -> Result<Role, sqlx::Error> {
    let text = "SELECT r.rolsuper OR r.rolbypassrls OR pg_has_role(r.oid, o.oid, 'MEMBER'),
            pg_has_role(o.oid, r.oid, $2)
        FROM pg_roles r, pg_roles o WHERE r.rolname = $1 AND o.rolname = current_user";
    // Since version 16 one may belong to a role without being able to take it on.
    let version = connection.server_version_num().unwrap_or(0) / 10_000;
    let takes_on = if version < 16 { "MEMBER" } else { "SET" };
    let found = sqlx::query_as(text).bind(reader).bind(takes_on);
    let found: Option<(bool, bool)> = found.fetch_optional(connection).await?;
    Ok(match found {
        None => Role::Missing,
        Some((true, _)) => Role::Mighty,
        Some((false, false)) => Role::Foreign,
        Some((false, true)) => Role::Fit,
    })
}

fn unfit(problem: String) -> StoreError {
    StoreError::Unfit { problem, source: None }
}

fn cannot_connect(options: &PgConnectOptions, error: sqlx::Error) -> StoreError {
    let (host, port) = (options.get_host(), options.get_port());
    let (user, database) = (options.get_username(), options.get_database().unwrap_or("postgres"));
    StoreError::Unfit {
        problem: format!(
            "could not connect to PostgreSQL at `{host}:{port}`, database `{database}`, as \
             `{user}`; check the address, the password and that the server runs"
        ),
        source: Some(error),
    }
}
