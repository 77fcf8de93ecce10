//! The few things done to the files of the index, in one place, so that tests can lose power
//! between any two of them.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::IdentitiesError;

/// A folder of files.
pub(super) trait Files: std::fmt::Debug + Send + Sync {
    /// Where a file of this name is.
    fn path(&self, name: &str) -> PathBuf;

    /// Makes an empty file, in place of one that may be there.
    fn create(&self, name: &str) -> io::Result<File>;

    /// Opens a file for reading.
    fn open(&self, name: &str) -> io::Result<File>;

    /// Returns once what was written to the file survives a power cut.
    fn sync(&self, name: &str, file: &File) -> io::Result<()>;

    /// Gives a file another name, in place of the file that may have it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns once the names of files survive a power cut.
    fn sync_names(&self) -> io::Result<()>;

    /// The names of all files.
    fn names(&self) -> io::Result<Vec<String>>;
}

/// A folder of the file system.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`, made if need be.
    pub(super) fn open(path: &Path) -> Result<Self, IdentitiesError> {
        std::fs::create_dir_all(path).map_err(|source| IdentitiesError::Io {
            doing: "making",
            path: path.into(),
            source,
        })?;
        Ok(Self(path.into()))
    }
}

impl Files for Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.path(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        File::open(self.path(name))
    }

    fn sync(&self, _: &str, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        std::fs::read_dir(&self.0)?
            .map(|it| Ok(it?.file_name().to_string_lossy().into_owned()))
            .collect()
    }
}

/// Names what was being done to which file when it failed.
pub(super) fn failed(
    files: &dyn Files,
    doing: &'static str,
    name: &str,
) -> impl FnOnce(io::Error) -> IdentitiesError {
    let path = files.path(name);
    move |source| IdentitiesError::Io { doing, path, source }
}
