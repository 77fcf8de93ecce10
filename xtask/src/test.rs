//! `cargo xtask test`: everything that must hold before a change is good.
//!
//! How hard the tests try (histories, kills, power cuts) is one word in the environment variable
//! `CALLBOARD_TEST_PROFILE`, which tests read for their iteration counts: `fast`, `ci` or `full`.
//! The tests themselves are the same in all three.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::step::{self, Counts, Outcome};
use crate::{cargo, root};

/// What `cargo xtask test` can be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Answers sooner: few iterations, no documentation, lints of shipped code only.
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

/// A step: its name, what it asks of cargo, and whether the fast run has it too.
type Step = (&'static str, &'static [&'static str], Speed);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Speed {
    /// Part of every run.
    Fast,
    /// Part of the thorough runs only.
    Slow,
    /// Stands in for a slow step in the fast run.
    FastOnly,
}

/// In the order that tells soonest. Integration tests start the real binary, hence the build.
const STEPS: &[Step] = &[
    ("format", &["fmt", "--all", "--check"], Speed::Fast),
    ("lints", &["clippy", "--workspace", "--", "-D", "warnings"], Speed::FastOnly),
    ("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], Speed::Slow),
    ("documentation", &["doc", "--workspace", "--no-deps", "--quiet"], Speed::Slow),
    ("unit tests", &["test", "--workspace", "--lib", "--bins", "--no-fail-fast"], Speed::Fast),
    ("build", &["build", "--workspace", "--bins"], Speed::Fast),
    ("integration tests", &["test", "--workspace", "--test", "*", "--no-fail-fast"], Speed::Fast),
    ("doc tests", &["test", "--workspace", "--doc", "--no-fail-fast"], Speed::Slow),
];

/// Runs the steps one after the other, all of them, and sums up.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let shared = shared_data();
    let left_out = if options.fast { Speed::Slow } else { Speed::FastOnly };
    let mut outcomes = Vec::new();
    for (name, arguments, speed) in STEPS {
        if *speed != left_out {
            let mut command = cargo(arguments);
            command
                .env("CALLBOARD_TEST_PROFILE", options.profile())
                .env("CALLBOARD_SHARED", &shared)
                .env("RUSTDOCFLAGS", "-D warnings");
            outcomes.push(step::run(name, &mut command)?);
        }
    }
    Ok(summarize(&outcomes, shared.is_dir()))
}

/// The folder with real-world samples that some tests read where it is present.
fn shared_data() -> PathBuf {
    std::env::var_os("CALLBOARD_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from)
}

fn summarize(outcomes: &[Outcome], shared_is_present: bool) -> ExitCode {
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
    if shared_is_present {
        println!("shared data: present, {} tests read it", counts.shared);
    } else {
        println!("shared data: absent, {} tests skipped", counts.shared);
        counts.passed -= counts.shared;
        counts.skipped += counts.shared;
    }
    println!("{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped);
    if outcomes.iter().all(|it| it.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
