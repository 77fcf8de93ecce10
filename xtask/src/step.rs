//! One step of a chore: a command, what it printed, how long it took.
//!
//! A step never stops the chore: all of them run, and the summary names those that failed.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What a test may need that this machine may lack.
///
/// Such a test passes without doing anything where that is missing, so it must be counted apart.
/// It is known by a module that it lives in; see `tests/it/shared_data.rs`, `tests/it/services.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// The folder with real-world samples.
    SharedData,
    /// A running Kafka.
    Kafka,
    /// A running PostgreSQL.
    Postgres,
    /// A running Keycloak.
    Keycloak,
    /// Node's `oidc-provider`.
    OidcProvider,
}

impl Need {
    /// All there are.
    pub(crate) const ALL: [Self; 5] =
        [Self::SharedData, Self::Kafka, Self::Postgres, Self::Keycloak, Self::OidcProvider];

    /// The word in the path of a test that marks it.
    fn word(self) -> &'static str {
        match self {
            Self::SharedData => "shared_data",
            Self::Kafka => "on_kafka",
            Self::Postgres => "on_postgres",
            Self::Keycloak => "at_keycloak",
            Self::OidcProvider => "at_oidc_provider",
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SharedData => "shared data",
            Self::Kafka => "Kafka",
            Self::Postgres => "PostgreSQL",
            Self::Keycloak => "Keycloak",
            Self::OidcProvider => "oidc-provider",
        })
    }
}

/// How the tests ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tests that passed.
    pub(crate) passed: usize,
    /// Tests that failed.
    pub(crate) failed: usize,
    /// Tests that were not run.
    pub(crate) skipped: usize,
    /// Those of the passed that need something, by what it is.
    pub(crate) needing: BTreeMap<Need, usize>,
    /// The names of those that failed.
    pub(crate) failures: Vec<String>,
}

impl Counts {
    /// Adds what one line that a test harness printed says.
    ///
    /// The harness prints `test some::name ... ok` or `… FAILED` for each test, and closes with
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; …`.
    pub(crate) fn read(&mut self, line: &str) {
        let Some(line) = line.strip_prefix("test ") else { return };
        if let Some(name) = line.strip_suffix(" ... FAILED") {
            self.failures.push(name.to_owned());
        } else if let Some(name) = line.strip_suffix(" ... ok") {
            for need in Need::ALL.into_iter().filter(|it| name.contains(it.word())) {
                *self.needing.entry(need).or_default() += 1;
            }
        } else if let Some((_, figures)) =
            line.split_once(". ").filter(|_| line.starts_with("result:"))
        {
            for figure in figures.split("; ") {
                match figure.split_once(' ').map(|(count, what)| (count.parse::<usize>(), what)) {
                    Some((Ok(count), "passed")) => self.passed += count,
                    Some((Ok(count), "failed")) => self.failed += count,
                    Some((Ok(count), "ignored")) => self.skipped += count,
                    _ => {}
                }
            }
        }
    }

    /// Adds what was counted elsewhere.
    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        for (need, count) in &other.needing {
            *self.needing.entry(*need).or_default() += count;
        }
        self.failures.extend_from_slice(&other.failures);
    }
}

/// A step that has ended.
pub(crate) struct Outcome {
    /// What the step was about, in a word or two.
    pub(crate) name: &'static str,
    /// Whether its command ended well.
    pub(crate) ok: bool,
    /// How long it took, compilation included.
    pub(crate) took: Duration,
    /// The tests it ran.
    pub(crate) counts: Counts,
}

/// Runs `command` as a step called `name`, passing on its output and counting the tests in it.
pub(crate) fn run(name: &'static str, command: &mut Command) -> Result<Outcome> {
    println!("\n── {name}");
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let output = child.stdout.take().expect("its output is a pipe");
    let mut counts = Counts::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.with_context(|| format!("cannot read the output of {name}"))?;
        let line = String::from_utf8_lossy(&line);
        counts.read(&line);
        println!("{line}");
    }
    let ok = child.wait().with_context(|| format!("cannot wait for {name}"))?.success();
    Ok(Outcome { name, ok, took: start.elapsed(), counts })
}

/// Runs `work` as a step called `name`. Its value is none where it failed, which is printed.
pub(crate) fn timed<T>(
    name: &'static str,
    work: impl FnOnce() -> Result<T>,
) -> (Outcome, Option<T>) {
    let start = Instant::now();
    let value = work().inspect_err(|it| println!("\n{name}: {it:#}")).ok();
    let counts = Counts::default();
    (Outcome { name, ok: value.is_some(), took: start.elapsed(), counts }, value)
}

#[cfg(test)]
mod tests;
