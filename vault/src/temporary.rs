//! PostgreSQL databases for tests: each has an owner of its own and goes when it is dropped.
//!
//! They are made where the environment variable `CALLBOARD_TEST_POSTGRES` says, the address of a
//! superuser. Not for anything but tests.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqlSafeStr};
use uuid::Uuid;

/// The variable that says where.
const VARIABLE: &str = "CALLBOARD_TEST_POSTGRES";

/// A database that goes when this is dropped.
#[derive(Debug)]
pub struct TemporaryDatabase {
    /// Names database and owner.
    name: String,
    url: String,
    superuser: Box<PgConnectOptions>,
}

impl TemporaryDatabase {
    /// Whether there is a server to make databases on; says so if not.
    #[must_use]
    #[expect(clippy::print_stdout, reason = "a test says that it was skipped")]
    pub fn can_be_made() -> bool {
        let can = std::env::var_os(VARIABLE).is_some();
        if !can {
            println!("skipped: {VARIABLE} names no server");
        }
        can
    }

    /// An empty database. Its owner is no superuser and may not make roles.
    ///
    /// # Panics
    ///
    /// If there is no server, or it refuses: a test cannot go on then.
    pub async fn make() -> Self {
        let address = std::env::var(VARIABLE).expect("somebody has asked whether it is there");
        let superuser = PgConnectOptions::from_str(&address).expect("an address of PostgreSQL");
        let name = format!("callboard_test_{}", Uuid::now_v7().simple());
        let mut connection = superuser.connect().await.expect("the server of the tests runs");
        let reader = "DO $$ BEGIN CREATE ROLE callboard_reader NOLOGIN;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$";
        run(&mut connection, reader.to_owned()).await;
        run(&mut connection, format!("CREATE ROLE {name} LOGIN PASSWORD '{name}'")).await;
        run(&mut connection, format!("GRANT callboard_reader TO {name}")).await;
        let made =
            format!("CREATE DATABASE {name} OWNER {name} TEMPLATE template0 ENCODING 'UTF8'");
        run(&mut connection, made).await;
        connection.close().await.expect("it is open");
        let (host, port) = (superuser.get_host(), superuser.get_port());
        let url = format!("postgres://{name}:{name}@{host}:{port}/{name}");
        Self { name, url, superuser: Box::new(superuser) }
    }

    /// Its address, as its owner.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TemporaryDatabase {
    fn drop(&mut self) {
        let (name, superuser) = (self.name.clone(), self.superuser.clone());
        // Whoever drops it may be within a runtime, which must not be waited in.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async {
                let mut connection = superuser.connect().await.expect("the server runs");
                run(&mut connection, format!("DROP DATABASE {name} WITH (FORCE)")).await;
                run(&mut connection, format!("DROP ROLE {name}")).await;
            });
        });
        let dropped = dropping.join();
        assert!(dropped.is_ok() || std::thread::panicking(), "{} stays behind", self.name);
    }
}

async fn run(connection: &mut PgConnection, text: String) {
    let text = AssertSqlSafe(text).into_sql_str();
    sqlx::raw_sql(text).execute(connection).await.expect("a superuser may do this");
}
