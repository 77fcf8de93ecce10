//! The project's chores, run as `cargo xtask <chore>`.
//!
//! Each chore starts ordinary tools (`cargo`, `cargo llvm-cov`, `cargo deny`) in a fixed order and
//! sums up what they said. It is not a build system: what `cargo` alone can do has no chore here.
//! Start at [`test`](mod@test), the one command that tests everything.
//! What integration tests need too, starting services, is in the library beside this program.
#![expect(clippy::print_stdout, reason = "talking to the person who called is what chores do")]

mod coverage;
mod deny;
mod development;
mod next;
mod step;
mod test;

use std::process::{Command, ExitCode};

use clap::Parser;
use xtask::root;

/// The chores of the Callboard workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
enum Chore {
    /// Tests everything: format, lints, documentation, unit, integration and doc tests.
    Test(test::Options),
    /// Measures which lines the tests reach (needs cargo-llvm-cov and LLVM's tools).
    Coverage(coverage::Options),
    /// Checks licences, bans and sources of all dependencies (needs cargo-deny).
    Deny(deny::Options),
    /// Builds the next version of the binary beside this one, for the rehearsal of an upgrade.
    Next,
    /// Keeps a Kafka, a PostgreSQL and identity providers running for development.
    #[command(subcommand)]
    Services(development::Action),
}

fn main() -> anyhow::Result<ExitCode> {
    match Chore::parse() {
        Chore::Test(options) => test::run(&options),
        Chore::Coverage(options) => coverage::run(&options),
        Chore::Deny(options) => deny::run(&options),
        Chore::Next => next::run(),
        Chore::Services(action) => development::run(&action),
    }
}

/// A `cargo` command that starts in the root of the workspace.
fn cargo(arguments: &[&str]) -> Command {
    // Cargo names itself to what it runs, so that the same toolchain is used throughout.
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}
