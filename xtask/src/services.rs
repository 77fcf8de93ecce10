//! The real Kafka and PostgreSQL beside which Callboard is tested and developed.
//!
//! This starts processes on loopback addresses and temporary folders, waits until they serve, and
//! breaks and stops them on demand. It knows nothing of topics and tables. Start at [`Services`],
//! which is what a test run needs; a test that breaks things starts a [`kafka::Cluster`] or a
//! [`postgres::Server`] of its own.

pub mod kafka;
pub mod postgres;

mod account;
mod folder;
mod ports;
mod process;
mod running;
mod way;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Result, anyhow};

pub use running::Running;
pub use way::Way;

/// The variable with the bootstrap servers of a running Kafka: `host:port`, separated by commas.
pub const KAFKA: &str = "CALLBOARD_TEST_KAFKA";

/// The variable with the folder of Kafka's jars, for tests that start clusters of their own.
pub const KAFKA_LIBS: &str = "CALLBOARD_TEST_KAFKA_LIBS";

/// The variable with the URL of a running PostgreSQL, of a user that may do everything.
pub const POSTGRES: &str = "CALLBOARD_TEST_POSTGRES";

/// The variables by which tests find both.
pub const VARIABLES: [&str; 3] = [KAFKA, KAFKA_LIBS, POSTGRES];

/// What a service is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Tests: it starts fast, ends with the process that started it, and survives no power cut.
    Tests,
    /// Development: it outlives the process that started it, and is as fast and as safe as can be.
    Development,
}

/// Both services, running. Those that were started for this value stop when it is dropped.
#[derive(Debug)]
pub struct Services {
    kafka: Kafka,
    postgres: Postgres,
}

#[derive(Debug)]
struct Kafka {
    bootstrap: String,
    libs: PathBuf,
    _started: Option<kafka::Cluster>,
}

#[derive(Debug)]
struct Postgres {
    url: String,
    _started: Option<postgres::Server>,
}

impl Services {
    /// The services that the environment names, else those that `cargo xtask services up` left
    /// running, else new ones that end with this process.
    ///
    /// # Errors
    ///
    /// If one cannot be started: what is missing, and how it is installed.
    pub fn for_tests() -> Result<Self> {
        let running = Running::read()?;
        let (kafka, postgres) =
            both(|| Kafka::for_tests(&running), || Postgres::for_tests(&running))?;
        Ok(Self { kafka, postgres })
    }

    /// What tests find them by.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, OsString); 3] {
        variables(&self.kafka.bootstrap, &self.kafka.libs, &self.postgres.url)
    }
}

impl Kafka {
    fn for_tests(running: &Running) -> Result<Self> {
        if let Some(bootstrap) = text(KAFKA)? {
            let given = std::env::var_os(KAFKA_LIBS).map(PathBuf::from);
            let libs = match given {
                Some(libs) => libs,
                None => kafka::Distribution::fetch()?.libs().to_path_buf(),
            };
            return Ok(Self { bootstrap, libs, _started: None });
        }
        if let Some((bootstrap, libs)) = running.kafka() {
            return Ok(Self { bootstrap: bootstrap.to_owned(), libs: libs.into(), _started: None });
        }
        let distribution = kafka::Distribution::fetch()?;
        let cluster = kafka::Plan::new(1).start(&distribution)?;
        let (bootstrap, libs) = (cluster.bootstrap(), distribution.libs().to_path_buf());
        Ok(Self { bootstrap, libs, _started: Some(cluster) })
    }
}

impl Postgres {
    fn for_tests(running: &Running) -> Result<Self> {
        let given = text(POSTGRES)?;
        if let Some(url) = given.or_else(|| running.postgres().map(str::to_owned)) {
            return Ok(Self { url, _started: None });
        }
        let server = postgres::Server::start(&postgres::Binaries::find()?, Purpose::Tests)?;
        Ok(Self { url: server.url(), _started: Some(server) })
    }
}

fn variables(bootstrap: &str, libs: &Path, url: &str) -> [(&'static str, OsString); 3] {
    [(KAFKA, bootstrap.into()), (KAFKA_LIBS, libs.into()), (POSTGRES, url.into())]
}

/// Runs both at the same time. The error is the first one's, then the second's.
fn both<A: Send, B: Send>(
    first: impl FnOnce() -> Result<A> + Send,
    second: impl FnOnce() -> Result<B> + Send,
) -> Result<(A, B)> {
    let (second, first) = thread::scope(|scope| {
        let first = scope.spawn(first);
        (second(), first.join())
    });
    let first = first.unwrap_or_else(|it| std::panic::resume_unwind(it));
    Ok((first?, second?))
}

/// The value of an environment variable, if there is one.
fn text(name: &str) -> Result<Option<String>> {
    let value = std::env::var_os(name).filter(|it| !it.is_empty());
    let readable = |it: OsString| {
        it.into_string().map_err(|it| anyhow!("`{name}`: expected text, got {}", it.display()))
    };
    value.map(readable).transpose()
}

/// Says what is missing and how it is installed.
fn missing(what: &str, packages: &str) -> String {
    format!("{what} is missing: run `scripts/setup-dev.sh`, or `apt-get install {packages}`")
}
