//! Folders for the files of services: temporary ones, and the one where things are kept.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::Purpose;

/// What the names of all folders begin with. The number of the process that uses one follows,
/// or [`KEPT`].
const PREFIX: &str = "callboard-services-";

/// Stands for the number of a process where a folder outlives it.
const KEPT: &str = "kept";

/// A new folder for a service, which goes when it is dropped. Where a process is killed before,
/// those of tests go when the next one is made.
pub(super) fn temporary(purpose: Purpose) -> Result<TempDir> {
    let all = std::env::temp_dir();
    sweep(&all);
    let owner = match purpose {
        Purpose::Tests => std::process::id().to_string(),
        Purpose::Development => KEPT.to_owned(),
    };
    let name = format!("{PREFIX}{owner}-");
    let folder = tempfile::Builder::new().prefix(&name).tempdir_in(&all);
    folder.with_context(|| format!("cannot make a folder in {}", all.display()))
}

/// Where what was fetched and what is running is kept, below `target`. Always the same path, also
/// if there are several to it: Java's archive of classes names the jars by theirs.
pub(super) fn kept() -> PathBuf {
    let target = crate::root().join("target");
    target.canonicalize().unwrap_or(target).join("services")
}

/// Removes the folders of processes that are gone, as far as that is possible.
fn sweep(all: &Path) {
    let Ok(entries) = std::fs::read_dir(all) else { return };
    for entry in entries.flatten() {
        let owner = entry.file_name().to_str().and_then(owner);
        if owner.is_some_and(|it| !Path::new("/proc").join(it.to_string()).exists()) {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

/// The process that uses the folder of this name.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// Hexadecimal digits that nobody can guess. At most 32.
pub(super) fn secret(digits: usize) -> Result<String> {
    let mut bytes = [0; 16];
    let mut source = std::fs::File::open("/dev/urandom").context("cannot open /dev/urandom")?;
    source.read_exact(&mut bytes).context("cannot read /dev/urandom")?;
    let all: String = bytes.iter().map(|it| format!("{it:02x}")).collect();
    Ok(all[..digits].to_owned())
}

#[cfg(test)]
mod tests {
    use super::{PREFIX, owner, sweep};

    #[test]
    fn a_folder_names_its_owner() {
        assert_eq!(owner("callboard-services-71-a1B2"), Some(71));
        assert_eq!(owner("callboard-services-kept-a1B2"), None);
        assert_eq!(owner("somebody-elses-71-a1B2"), None);
    }

    #[test]
    fn only_folders_of_the_dead_are_swept() {
        let all = tempfile::tempdir().unwrap();
        let own = std::process::id().to_string();
        // No process has this number: it is above what Linux gives out.
        let dead = u32::MAX.to_string();
        let folders = [&own, &dead, "kept"].map(|it| all.path().join(format!("{PREFIX}{it}-x")));
        folders.iter().for_each(|it| std::fs::create_dir(it).unwrap());
        sweep(all.path());
        assert_eq!(folders.map(|it| it.exists()), [true, false, true]);
    }
}
