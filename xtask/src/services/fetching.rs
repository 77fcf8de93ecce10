//! Fetching what services are started from: by the ordinary clients of their registries, once.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::{folder, missing};

/// Has `fill` fill a new folder, and moves all of it to `home` at the end, so that `home` is whole or
/// absent.
pub(super) fn fetch_into(home: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let all = folder::kept();
    std::fs::create_dir_all(&all).with_context(|| format!("cannot make {}", all.display()))?;
    let fetched = tempfile::Builder::new().prefix("fetching-").tempdir_in(&all)?;
    fill(fetched.path())?;
    // Another process may have been faster.
    if std::fs::rename(fetched.path(), home).is_err() && !home.is_dir() {
        bail!("cannot move what was fetched to {}", home.display());
    }
    Ok(())
}

/// Has Maven reach `goal` with the project of `pom`.
pub(super) fn maven(pom: &Path, goal: &str, settings: &[String]) -> Result<()> {
    ensure!(starts("mvn", "--version"), missing("Maven", "maven"));
    let mut command = Command::new("mvn");
    command.args(["--quiet", "--batch-mode", "--file"]).arg(pom).arg(goal).args(settings);
    run(&mut command).with_context(|| format!("Maven cannot do `{goal}` of {}", pom.display()))
}

/// Runs a program to its end.
///
/// # Errors
///
/// If that is not a good one, with all that it said.
pub(super) fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        let (said, too) = (&output.stdout, &output.stderr);
        bail!("{}{}", String::from_utf8_lossy(said), String::from_utf8_lossy(too));
    }
    Ok(())
}

/// Whether `program` is there, asked with an argument that makes it end at once.
pub(super) fn starts(program: &str, argument: &str) -> bool {
    Command::new(program).arg(argument).output().is_ok_and(|it| it.status.success())
}

/// The value of a property in the text of a `pom.xml`.
pub(super) fn property<'a>(pom: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = pom.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{property, run};

    #[test]
    fn a_property_is_what_stands_between_its_names() {
        let pom = "<kafka.version>4.4.0</kafka.version>";
        assert_eq!(property(pom, "kafka.version"), Some("4.4.0"));
        assert_eq!(property("<version>1</version>", "kafka.version"), None);
    }

    #[test]
    fn a_program_that_fails_is_quoted() {
        let failed = run(Command::new("ls").arg("/nowhere")).unwrap_err().to_string();
        assert!(failed.contains("/nowhere"), "{failed}");
        run(&mut Command::new("true")).unwrap();
    }
}
