//! The real Kafka, PostgreSQL and identity providers beside which Callboard is tested and developed.
//!
//! This starts processes on loopback addresses and temporary folders, waits until they serve, and
//! breaks and stops them on demand. It knows nothing of topics, tables and realms. Start at
//! [`Services`], which is what a test run needs; a test that breaks things starts a
//! [`kafka::Cluster`], a [`postgres::Server`] or one of [`providers`] of its own.

pub mod kafka;
pub mod postgres;
pub mod providers;

mod account;
mod fetching;
mod folder;
mod ports;
mod process;
mod running;
mod way;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Result, anyhow};

use providers::{keycloak, oidc_provider};

pub use running::Running;
pub use way::Way;

/// The variable with the bootstrap servers of a running Kafka: `host:port`, separated by commas.
pub const KAFKA: &str = "CALLBOARD_TEST_KAFKA";

/// The variable with the folder of Kafka's jars, for tests that start clusters of their own.
pub const KAFKA_LIBS: &str = "CALLBOARD_TEST_KAFKA_LIBS";

/// The variable with the URL of a running PostgreSQL, of a user that may do everything.
pub const POSTGRES: &str = "CALLBOARD_TEST_POSTGRES";

/// The variable with the URL of a running Keycloak, of a user that may do everything.
pub const KEYCLOAK: &str = "CALLBOARD_TEST_OIDC_KEYCLOAK";

/// The variable with the folder of Keycloak, for tests that start servers of their own.
pub const KEYCLOAK_HOME: &str = "CALLBOARD_TEST_OIDC_KEYCLOAK_HOME";

/// The variable with the folder of node's `oidc-provider`, for tests that start one.
pub const NODE_HOME: &str = "CALLBOARD_TEST_OIDC_NODE_HOME";

/// The variables by which tests find all of them.
pub const VARIABLES: [&str; 6] = [KAFKA, KAFKA_LIBS, POSTGRES, KEYCLOAK, KEYCLOAK_HOME, NODE_HOME];

/// What a service is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Tests: it starts fast, ends with the process that started it, and survives no power cut.
    Tests,
    /// Development: it outlives the process that started it, and is as fast and as safe as can be.
    Development,
}

/// All services, running. Those that were started for this value stop when it is dropped.
#[derive(Debug)]
pub struct Services {
    kafka: Kafka,
    postgres: Postgres,
    keycloak: Keycloak,
    node: oidc_provider::Distribution,
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

#[derive(Debug)]
struct Keycloak {
    url: String,
    home: PathBuf,
    _started: Option<keycloak::Server>,
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
        let ((kafka, postgres), (keycloak, node)) = both(
            || both(|| Kafka::for_tests(&running), || Postgres::for_tests(&running)),
            || both(|| Keycloak::for_tests(&running), node),
        )?;
        Ok(Self { kafka, postgres, keycloak, node })
    }

    /// What tests find them by.
    #[must_use]
    pub fn variables(&self) -> Vec<Variable> {
        let Self { kafka, postgres, keycloak, node } = self;
        [
            of_kafka(&kafka.bootstrap, &kafka.libs).as_slice(),
            &[of_postgres(&postgres.url)],
            &of_keycloak(&keycloak.url, &keycloak.home),
            &[of_node(node)],
        ]
        .concat()
    }
}

impl Kafka {
    fn for_tests(running: &Running) -> Result<Self> {
        if let Some(bootstrap) = text(KAFKA)? {
            let fetch = || Ok(kafka::Distribution::fetch()?.libs().to_path_buf());
            let libs = given_or(KAFKA_LIBS, fetch)?;
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

impl Keycloak {
    fn for_tests(running: &Running) -> Result<Self> {
        if let Some(url) = text(KEYCLOAK)? {
            let fetch = || Ok(keycloak::Distribution::fetch()?.home().to_path_buf());
            let home = given_or(KEYCLOAK_HOME, fetch)?;
            return Ok(Self { url, home, _started: None });
        }
        if let Some((url, home)) = running.keycloak() {
            return Ok(Self { url: url.to_owned(), home: home.into(), _started: None });
        }
        let distribution = keycloak::Distribution::fetch()?;
        let server = keycloak::Server::start(&distribution, Purpose::Tests)?;
        let (url, home) = (server.url()?, distribution.home().to_path_buf());
        Ok(Self { url, home, _started: Some(server) })
    }
}

/// The folder that a variable names, else what `fetch` puts somewhere.
fn given_or(variable: &str, fetch: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
    std::env::var_os(variable).map_or_else(fetch, |it| Ok(it.into()))
}

fn node() -> Result<oidc_provider::Distribution> {
    match std::env::var_os(NODE_HOME).filter(|it| !it.is_empty()) {
        Some(home) => Ok(oidc_provider::Distribution::at(home)),
        None => oidc_provider::Distribution::fetch(),
    }
}

type Variable = (&'static str, OsString);

fn of_kafka(bootstrap: &str, libs: &Path) -> [Variable; 2] {
    [(KAFKA, bootstrap.into()), (KAFKA_LIBS, libs.into())]
}

fn of_postgres(url: &str) -> Variable {
    (POSTGRES, url.into())
}

fn of_keycloak(url: &str, home: &Path) -> [Variable; 2] {
    [(KEYCLOAK, url.into()), (KEYCLOAK_HOME, home.into())]
}

fn of_node(installed: &oidc_provider::Distribution) -> Variable {
    (NODE_HOME, installed.home().into())
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
