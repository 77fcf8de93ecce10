//! The data folder: where each part of an installation keeps its files, and the demo's mark.

use std::fs::{self, DirBuilder, File};
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::Mode;

/// The file that marks a folder as a demo's.
const DEMO_MARK: &str = "DEMO";

/// What the root key's file is called, where it is in the folder.
const ROOT_KEY: &str = "root.key";

/// What every process that served from the folder has left in it.
const IDENTITIES: &str = "identities";

/// How every file of SQLite begins.
const DATABASE: &[u8; 16] = b"SQLite format 3\0";

/// Below how much room a disk is full for whoever opens a database. In bytes: 256 KiB.
const ROOM_MIN: u64 = 256 * 1024;

/// What a folder is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Real data.
    Serve,
    /// Made-up data, served to this machine only.
    Demo,
}

/// Lets nobody but its owner into whatever this process makes from here on, be it a database of
/// names, a segment of the log or a backup. The folder it is in may be open to others.
pub(crate) fn keep_private() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// A data folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    root_key: PathBuf,
}

impl Folder {
    /// Opens the folder at `path` for `purpose`, creating it if it is not there.
    ///
    /// A demo needs an empty folder or a demo's; anything else refuses a demo's.
    ///
    /// # Errors
    ///
    /// If the folder is not fit for the purpose, or cannot be created.
    pub(crate) fn open(path: &Path, purpose: Purpose) -> Result<Self> {
        // Read models hold names and addresses of people: nobody else on the machine looks in.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("could not create the data folder `{}`", path.display()))?;
        let mark = path.join(DEMO_MARK);
        let empty = fs::read_dir(path)?.next().is_none();
        match purpose {
            Purpose::Demo if empty => fs::write(&mark, "This folder holds a demo's data.\n")?,
            Purpose::Demo if !mark.exists() => bail!(
                "`{}` holds data that is not a demo's; choose another folder with --folder",
                path.display()
            ),
            Purpose::Serve if mark.exists() => bail!(
                "`{}` holds a demo's data; start it with --demo, or choose another folder",
                path.display()
            ),
            Purpose::Demo | Purpose::Serve => {}
        }
        Ok(Self::at(path))
    }

    /// The folder of an installation that is there already.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(crate) fn existing(path: &Path) -> Result<Self> {
        if !path.join(ROOT_KEY).exists() && !path.join(IDENTITIES).exists() {
            bail!("`{}` is not a data folder; `callboard up` makes one", path.display());
        }
        Ok(Self::at(path))
    }

    fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), root_key: path.join(ROOT_KEY) }
    }

    /// The same folder, with the root key in `file` unless that is empty.
    pub(crate) fn with_root_key(mut self, file: &Path) -> Self {
        if !file.as_os_str().is_empty() {
            file.clone_into(&mut self.root_key);
        }
        self
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The log's files.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// The vault's database.
    pub(crate) fn vault(&self) -> PathBuf {
        self.path.join("vault.db")
    }

    /// The one secret that is not in the vault.
    pub(crate) fn root_key(&self) -> PathBuf {
        self.root_key.clone()
    }

    /// The read models' tables.
    pub(crate) fn models(&self) -> PathBuf {
        self.path.join("models")
    }

    /// Looks at the beginning of each file of the read models, and says how many there are.
    ///
    /// # Errors
    ///
    /// If one is no database, with what to do; or cannot be read.
    pub(crate) fn check_models(&self) -> Result<usize> {
        let Ok(entries) = fs::read_dir(self.models()) else { return Ok(0) };
        let mut count = 0;
        for path in entries.flatten().map(|it| it.path()) {
            if path.extension().is_none_or(|it| it != "db") {
                continue;
            }
            let mut begin = Vec::new();
            let read = File::open(&path).and_then(|it| it.take(16).read_to_end(&mut begin));
            read.with_context(|| format!("could not read `{}`", path.display()))?;
            if !begin.is_empty() && begin != DATABASE {
                bail!(
                    "`{}` is no database; delete it, and those beside it that end with `-wal` and \
                     `-shm`, while no server runs: it is filled from the log",
                    path.display()
                );
            }
            count += 1;
        }
        Ok(count)
    }

    /// Says of an error that the disk is full, if it is.
    pub(crate) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        match rustix::fs::statvfs(&self.path) {
            Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM_MIN => error.context(
                format!("the disk with `{}` is full; free some space", self.path.display()),
            ),
            Ok(_) | Err(_) => error,
        }
    }

    /// The usage identities' files.
    pub(crate) fn identities(&self) -> PathBuf {
        self.path.join(IDENTITIES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(path: &Path, purpose: Purpose, with: &str) {
        let error = Folder::open(path, purpose).unwrap_err().to_string();
        assert!(error.contains(with), "expected `{with}` in `{error}`");
    }

    #[test]
    fn only_its_owner_looks_into_a_data_folder() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("new");
        Folder::open(&folder, Purpose::Serve).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_demo_never_mixes_with_real_data() {
        let folder = tempfile::tempdir().unwrap();
        let (demo, real) = (folder.path().join("demo"), folder.path().join("real"));
        Folder::open(&demo, Purpose::Demo).unwrap();
        Folder::open(&demo, Purpose::Demo).unwrap();
        refused(&demo, Purpose::Serve, "start it with --demo");
        Folder::open(&real, Purpose::Serve).unwrap();
        fs::write(real.join("root.key"), "x").unwrap();
        refused(&real, Purpose::Demo, "not a demo's");
        Folder::existing(&real).unwrap();
        assert!(Folder::existing(&demo).is_err());
    }

    #[test]
    fn a_file_of_a_read_model_that_is_no_database_is_named_with_what_to_do() {
        let path = tempfile::tempdir().unwrap();
        let folder = Folder::open(path.path(), Purpose::Serve).unwrap();
        assert_eq!(folder.check_models().unwrap(), 0);
        fs::create_dir(folder.models()).unwrap();
        let write =
            |name: &str, bytes: &[u8]| fs::write(folder.models().join(name), bytes).unwrap();
        write("audit.db", DATABASE);
        write("new.db", b"");
        write("audit.db-wal", b"something else");
        assert_eq!(folder.check_models().unwrap(), 2);
        write("catalog.db", b"no database at all");
        let error = folder.check_models().unwrap_err().to_string();
        assert!(error.contains("catalog.db` is no database; delete it"), "{error}");
    }

    #[test]
    fn a_root_key_elsewhere_leaves_the_rest_where_it_is() {
        let path = tempfile::tempdir().unwrap();
        let folder = Folder::open(path.path(), Purpose::Serve).unwrap();
        assert_eq!(folder.clone().with_root_key(Path::new("")).root_key(), folder.root_key());
        let elsewhere = folder.with_root_key(Path::new("/elsewhere/key"));
        assert_eq!(elsewhere.root_key(), Path::new("/elsewhere/key"));
        fs::create_dir(elsewhere.identities()).unwrap();
        assert!(!path.path().join(ROOT_KEY).exists());
        Folder::existing(path.path()).unwrap();
    }
}
