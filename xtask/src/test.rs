//! `cargo xtask test`: everything that must hold before a change is good.
//!
//! How hard the tests try (histories, kills, power cuts) is one word in the environment variable
//! `CALLBOARD_TEST_PROFILE`, which tests read for their iteration counts: `fast`, `ci` or `full`.
//! The tests themselves are the same in all three. A real Kafka, PostgreSQL and identity
//! providers run beside them, but not in a fast run: what needs them takes minutes, and is counted as
//! skipped there.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::Result;
use xtask::services::postgres::Binaries;
use xtask::services::{self, Services};

use crate::step::{self, Counts, Need, Outcome};
use crate::{cargo, next, root};

/// What `cargo xtask test` can be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Answers sooner: few iterations, no services, no documentation, lints of shipped
    /// code only.
    #[arg(long, conflicts_with = "full")]
    fast: bool,
    /// Tries as hard as we ever do: may take hours.
    #[arg(long)]
    full: bool,
}

impl Options {
    fn profile(&self) -> &'static str {
        match (self.fast, self.full) {
            (true, _) => "fast",
            (false, true) => "full",
            (false, false) => "ci",
        }
    }
}

/// Which runs a step is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    Any,
    Fast,
    Thorough,
}

/// What is run: a name, what cargo is asked, and in which runs. In the order that tells soonest.
const STEPS: &[(&str, &[&str], Run)] = &[
    ("format", &["fmt", "--all", "--check"], Run::Any),
    ("lints", &["clippy", "--workspace", "--", "-D", "warnings"], Run::Fast),
    ("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], Run::Thorough),
    (
        "documentation",
        &["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"],
        Run::Thorough,
    ),
    (FIRST_TESTS, &["test", "--workspace", "--lib", "--bins", "--no-fail-fast"], Run::Any),
    // Integration tests start the real binary, and one of them its next version.
    (NEXT_VERSION, next::NEXT, Run::Thorough),
    ("build", next::THIS, Run::Any),
    ("integration tests", &["test", "--workspace", "--test", "*", "--no-fail-fast"], Run::Any),
    ("doc tests", &["test", "--workspace", "--doc", "--no-fail-fast"], Run::Thorough),
];

/// The first step that runs tests. Services that they need start while what is before it runs.
const FIRST_TESTS: &str = "unit tests";

/// The step after which what was built is put aside.
const NEXT_VERSION: &str = "next version";

/// Runs the steps one after the other, all of them, and sums up.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let shared = shared_data();
    let this = if options.fast { Run::Fast } else { Run::Thorough };
    let start = || thread::spawn(|| step::timed("services", Services::for_tests));
    let mut starting = (!options.fast).then(start);
    let mut services = None;
    let mut outcomes = Vec::new();
    for (name, arguments, part_of) in STEPS {
        if *name == FIRST_TESTS
            && let Some(starting) = starting.take()
        {
            let (outcome, started) = starting.join().expect("starting services does not panic");
            outcomes.push(outcome);
            services = started;
        }
        if *part_of == Run::Any || *part_of == this {
            let mut command = cargo(arguments);
            for it in services::VARIABLES {
                command.env_remove(it);
            }
            command
                .env("CALLBOARD_TEST_PROFILE", options.profile())
                .env("RUST_TEST_THREADS", threads(name).to_string())
                .env("CALLBOARD_SHARED", &shared)
                .envs(services.iter().flat_map(Services::variables))
                .env("RUSTDOCFLAGS", "-D warnings");
            let outcome = step::run(name, &mut command)?;
            if *name == NEXT_VERSION && outcome.ok {
                next::keep()?;
            }
            outcomes.push(outcome);
        }
    }
    let present = Need::ALL.into_iter().filter(|it| match it {
        Need::SharedData => shared.is_dir(),
        Need::Kafka | Need::Postgres | Need::Keycloak | Need::OidcProvider => services.is_some(),
    });
    let ended = summarize(&outcomes, &present.collect::<Vec<_>>());
    if let Some(error) = services.and_then(|_| Binaries::find().err()) {
        println!(
            "tests that start a PostgreSQL of their own did nothing, and count as passed: {error}"
        );
    }
    Ok(ended)
}

/// How many tests of one binary run at a time. Unit tests on Kafka and PostgreSQL mostly wait, so
/// there may be twice as many as processors; integration tests start whole processes.
fn threads(step: &str) -> usize {
    let processors = thread::available_parallelism().map_or(1, Into::into);
    if step == FIRST_TESTS { 2 * processors } else { processors }
}

/// The folder with real-world samples that some tests read where it is present.
fn shared_data() -> PathBuf {
    std::env::var_os("CALLBOARD_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from)
}

fn summarize(outcomes: &[Outcome], present: &[Need]) -> ExitCode {
    println!("\n── summary");
    let mut counts = Counts::default();
    for outcome in outcomes {
        let verdict = if outcome.ok { "ok" } else { "FAILED" };
        println!("{verdict:<7} {:<18} {:>7.1} s", outcome.name, outcome.took.as_secs_f64());
        counts.add(&outcome.counts);
    }
    for name in &counts.failures {
        println!("failed: {name}");
    }
    for (need, count) in std::mem::take(&mut counts.needing) {
        if present.contains(&need) {
            println!("{need}: present, {count} tests use it");
        } else {
            println!("{need}: absent, {count} tests skipped");
            counts.passed = counts.passed.saturating_sub(count);
            counts.skipped += count;
        }
    }
    println!("{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped);
    if outcomes.iter().all(|it| it.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
