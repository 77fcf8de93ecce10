//! `cargo xtask coverage`: which lines of our code the tests reach, per crate and in all.
//!
//! Test code itself is not counted, nor are the chores. A process that is killed on purpose writes
//! no figures, so crash tests reach a little more than is shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use xtask::services::Services;

use crate::{cargo, root, step};

/// What `cargo xtask coverage` can be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fails when fewer lines than this are reached. In percent.
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    at_least: f64,
    /// Also writes an HTML report to `target/llvm-cov/html`.
    #[arg(long)]
    html: bool,
}

/// Files whose lines are not shipped: tests, their harness, and the chores.
const NOT_SHIPPED: &str = r"(^|/)(tests|conformance|xtask)(/|\.rs$)";

/// Builds everything with counters, runs the tests, and prints the share of lines reached.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let tools = Tools::find()?;
    let services = Services::for_tests()?;
    let steps: [(&'static str, &[&str]); 3] = [
        ("clean", &["llvm-cov", "clean", "--workspace"]),
        // Integration tests start the binary; running it once builds it where they look.
        ("build", &["llvm-cov", "run", "--no-report", "--bin", "callboard", "--", "--version"]),
        ("tests", &["llvm-cov", "test", "--no-report", "--workspace", "--tests"]),
    ];
    for (name, arguments) in steps {
        let mut command = tools.cargo(arguments);
        command.env("CALLBOARD_TEST_PROFILE", "fast").envs(services.variables());
        if !step::run(name, &mut command)?.ok {
            bail!("the step `{name}` failed, so there is nothing to measure");
        }
    }
    if options.html {
        let mut command = tools.cargo(&["llvm-cov", "report", "--html"]);
        step::run("page", command.args(["--ignore-filename-regex", NOT_SHIPPED]))?;
    }
    let reached = print(&tools.report()?);
    if reached < options.at_least {
        println!("that is less than the {:.1} % asked for", options.at_least);
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// LLVM's own tools, of the same major version as the compiler's LLVM.
struct Tools {
    folder: Option<PathBuf>,
}

impl Tools {
    /// Takes the distribution's tools where they are installed, else rustup's component.
    fn find() -> Result<Self> {
        if !cargo(&["llvm-cov", "--version"]).output()?.status.success() {
            bail!("cargo-llvm-cov is not installed: run `scripts/setup-dev.sh --coverage`");
        }
        let version = Command::new("rustc").arg("-vV").current_dir(root()).output()?;
        let version = String::from_utf8(version.stdout)?;
        let major = version
            .lines()
            .find_map(|it| it.strip_prefix("LLVM version: "))
            .and_then(|it| it.split('.').next())
            .context("rustc does not say which LLVM it uses")?;
        let folder = PathBuf::from(format!("/usr/lib/llvm-{major}/bin"));
        Ok(Self { folder: folder.is_dir().then_some(folder) })
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo(arguments);
        if let Some(folder) = &self.folder {
            command.env("LLVM_COV", folder.join("llvm-cov"));
            command.env("LLVM_PROFDATA", folder.join("llvm-profdata"));
        }
        command
    }

    fn report(&self) -> Result<Report> {
        let mut command = self.cargo(&["llvm-cov", "report", "--json", "--summary-only"]);
        let output = command.args(["--ignore-filename-regex", NOT_SHIPPED]).output()?;
        serde_json::from_slice(&output.stdout).context("cargo-llvm-cov wrote no report")
    }
}

/// The part of LLVM's coverage export that we read.
#[derive(Deserialize)]
struct Report {
    data: Vec<Export>,
}

#[derive(Deserialize)]
struct Export {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: PathBuf,
    summary: Summary,
}

#[derive(Deserialize)]
struct Summary {
    lines: Lines,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
struct Lines {
    count: u32,
    covered: u32,
}

impl Lines {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.covered += other.covered;
    }

    #[expect(clippy::float_arithmetic, reason = "a percentage for people to read")]
    fn percent(self) -> f64 {
        100.0 * f64::from(self.covered) / f64::from(self.count.max(1))
    }
}

/// The lines of each folder of the workspace.
fn by_crate(report: &Report, root: &Path) -> BTreeMap<PathBuf, Lines> {
    let mut crates = BTreeMap::<PathBuf, Lines>::new();
    for file in report.data.iter().flat_map(|it| &it.files) {
        let inside = file.filename.strip_prefix(root).unwrap_or(&file.filename);
        let folder = inside.iter().next().map_or(inside, Path::new);
        crates.entry(folder.to_path_buf()).or_default().add(file.summary.lines);
    }
    crates
}

/// Prints one line per crate and one for all; returns the share of all lines, in percent.
fn print(report: &Report) -> f64 {
    println!("\n── line coverage");
    let mut all = Lines::default();
    for (folder, lines) in by_crate(report, &root()) {
        println!("{:<12} {:>5.1} % of {:>6}", folder.display(), lines.percent(), lines.count);
        all.add(lines);
    }
    println!("{:<12} {:>5.1} % of {:>6}", "workspace", all.percent(), all.count);
    all.percent()
}

#[cfg(test)]
mod tests;
