//! The real Kafka and PostgreSQL that `cargo xtask test` starts, and what it takes to start more.
//!
//! A test that needs one lives in a module called `on_kafka`, `on_postgres`, `at_keycloak` or
//! `at_oidc_provider`, so that it can be counted, and returns at once where the function here answers
//! `None`, which says why. What runs is shared with all other tests: whoever uses it names topics,
//! groups, databases and realms of their own.

use std::io::Write;

use xtask::services::kafka::Distribution;
use xtask::services::postgres::Binaries;
use xtask::services::providers::{keycloak, oidc_provider};
use xtask::services::{KAFKA, KAFKA_LIBS, KEYCLOAK, KEYCLOAK_HOME, NODE_HOME, POSTGRES};

/// The bootstrap servers of the Kafka that runs.
pub(crate) fn given_kafka() -> Option<String> {
    given(KAFKA)
}

/// What clusters of a test's own are started from.
pub(crate) fn kafka_distribution() -> Option<Distribution> {
    given(KAFKA_LIBS).map(Distribution::at)
}

/// The URL of the PostgreSQL that runs, as a user that may do everything.
pub(crate) fn given_postgres() -> Option<String> {
    given(POSTGRES)
}

/// What servers of a test's own are started from. There is none where the one that runs was given
/// to us and none is installed.
pub(crate) fn postgres_binaries() -> Option<Binaries> {
    given(POSTGRES)?;
    Binaries::find().inspect_err(|it| skip(&it.to_string())).ok()
}

/// The URL of the Keycloak that runs, of a user that may do everything.
pub(crate) fn given_keycloak() -> Option<String> {
    given(KEYCLOAK)
}

/// What Keycloaks of a test's own are started from.
pub(crate) fn keycloak_distribution() -> Option<keycloak::Distribution> {
    given(KEYCLOAK_HOME).map(keycloak::Distribution::at)
}

/// What providers of a test's own are started from that run in node.
pub(crate) fn oidc_provider() -> Option<oidc_provider::Distribution> {
    given(NODE_HOME).map(oidc_provider::Distribution::at)
}

fn given(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|it| !it.is_empty());
    if value.is_none() {
        skip(&format!("`{variable}` is not set; `cargo xtask services up` says to what"));
    }
    value
}

/// Says, where the output of tests that pass is shown, that this one does nothing.
fn skip(why: &str) {
    // Nobody may be reading.
    drop(writeln!(std::io::stderr(), "skipped: {why}"));
}
