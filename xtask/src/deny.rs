//! `cargo xtask deny`: what we depend on is what `deny.toml` allows.
//!
//! Licences, bans and sources are checked from the lock file alone. Known vulnerabilities are
//! asked for by flag, because that needs the advisory database, which is fetched from the network.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::{cargo, step};

/// What `cargo xtask deny` can be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Also checks for known vulnerabilities; fetches the advisory database.
    #[arg(long)]
    advisories: bool,
}

/// Runs cargo-deny, or says how to install it.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if !cargo(&["deny", "--version"]).output()?.status.success() {
        bail!("cargo-deny is not installed: run `cargo install --locked cargo-deny`");
    }
    let mut command =
        cargo(&["deny", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
    if options.advisories {
        command.arg("advisories");
    }
    let outcome = step::run("dependencies", &mut command)?;
    Ok(if outcome.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
