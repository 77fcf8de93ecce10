//! The real Kafka and PostgreSQL that `cargo xtask test` starts, and what it takes to start more.
//!
//! A test that needs one lives in a module called `on_kafka` or `on_postgres`, so that it can be
//! counted, and returns at once where the function here answers `None`, which says why. What runs
//! is shared with all other tests: whoever uses it names topics, groups and databases of their own.

use std::io::Write;

use xtask::services::kafka::Distribution;
use xtask::services::postgres::Binaries;
use xtask::services::{KAFKA, KAFKA_LIBS, POSTGRES};

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
