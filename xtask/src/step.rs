//! One step of a chore: a command, what it printed, how long it took.
//!
//! A step never stops the chore: all of them run, and the summary names those that failed.

use std::io::{BufRead, BufReader};
use std::ops::AddAssign;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The word in the path of a test that marks it as a reader of the shared data folder.
///
/// Such a test passes without doing anything where the folder is absent, so it must be counted
/// apart. See `tests/it/shared_data.rs`.
const READS_SHARED_DATA: &str = "shared_data";

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tests that passed.
    pub(crate) passed: usize,
    /// Tests that failed.
    pub(crate) failed: usize,
    /// Tests that were not run.
    pub(crate) skipped: usize,
    /// Those of the passed that read the shared data folder.
    pub(crate) shared: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.shared += other.shared;
    }
}

impl Counts {
    /// What one line that a test harness printed adds to the counts.
    ///
    /// The harness closes each binary with
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; …`.
    pub(crate) fn of_line(line: &str) -> Self {
        let mut counts = Self::default();
        if let Some(name) = line.strip_prefix("test ").and_then(|it| it.strip_suffix(" ... ok")) {
            counts.shared = usize::from(name.contains(READS_SHARED_DATA));
        } else if let Some(result) = line.strip_prefix("test result: ") {
            let (_, figures) = result.split_once(". ").unwrap_or_default();
            for figure in figures.split("; ") {
                match figure.split_once(' ').map(|(count, what)| (count.parse(), what)) {
                    Some((Ok(count), "passed")) => counts.passed = count,
                    Some((Ok(count), "failed")) => counts.failed = count,
                    Some((Ok(count), "ignored")) => counts.skipped = count,
                    _ => {}
                }
            }
        }
        counts
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
        counts += Counts::of_line(&line);
        println!("{line}");
    }
    let ok = child.wait().with_context(|| format!("cannot wait for {name}"))?.success();
    Ok(Outcome { name, ok, took: start.elapsed(), counts })
}

#[cfg(test)]
mod tests;
