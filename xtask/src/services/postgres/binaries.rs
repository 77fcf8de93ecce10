//! Where PostgreSQL's programs are installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::super::missing;

/// Where Debian keeps one folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The folder with PostgreSQL's programs.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// The newest version that Debian's packages installed, else the one that `pg_config` tells of.
    ///
    /// # Errors
    ///
    /// If there is none, with what to install.
    pub fn find() -> Result<Self> {
        let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
        let debian = newest(versions.filter_map(|it| it.file_name().into_string().ok()));
        let debian = debian.map(|it| Path::new(DEBIAN).join(it).join("bin"));
        let folder = debian.into_iter().chain(told()).find(|it| it.join("initdb").is_file());
        folder.map(|folder| Self { folder }).with_context(|| missing("PostgreSQL", "postgresql"))
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    pub(super) fn basebackup(&self) -> PathBuf {
        self.folder.join("pg_basebackup")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }
}

/// The greatest of the names that are numbers.
fn newest(names: impl Iterator<Item = String>) -> Option<String> {
    names.filter(|it| it.parse::<u32>().is_ok()).max_by_key(|it| it.parse::<u32>().ok())
}

/// The folder that `pg_config` names, if it is there.
fn told() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().into())
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn the_newest_version_is_the_greatest_number() {
        let newest = |names: &[&str]| newest(names.iter().map(|it| (*it).to_owned()));
        assert_eq!(newest(&["9", "15", "beta"]).as_deref(), Some("15"));
        assert_eq!(newest(&["beta"]), None);
    }
}
