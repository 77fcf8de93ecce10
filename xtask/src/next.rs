//! `cargo xtask next`: the binary as its next version would be, for the rehearsal of an upgrade.
//!
//! It is the same program with the feature `next`, which has one level, one version of an event and
//! one version of the fold more, and other tables in one model; and with the feature `sabotage`, which
//! lets fault tests leave out what keeps a cluster safe. It lies beside the binary, as
//! `callboard-next`, once the binary itself is built again: both have one name as long as cargo knows
//! them.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{cargo, step};

/// What cargo is asked for the next version.
pub(crate) const NEXT: &[&str] =
    &["build", "--workspace", "--bins", "--features", "server/next,server/sabotage"];

/// What cargo is asked for this one.
pub(crate) const THIS: &[&str] = &["build", "--workspace", "--bins"];

/// Builds it, and this version again.
pub(crate) fn run() -> Result<ExitCode> {
    let mut ok = step::run("next version", &mut cargo(NEXT))?.ok;
    if ok {
        keep()?;
        ok = step::run("build", &mut cargo(THIS))?.ok;
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Puts what was built last aside.
pub(crate) fn keep() -> Result<()> {
    let folder = std::env::current_exe().context("a running program knows where it is")?;
    let built = folder.with_file_name("callboard");
    let kept = folder.with_file_name("callboard-next");
    fs::copy(&built, &kept).with_context(|| format!("`{}` cannot be copied", built.display()))?;
    Ok(())
}
