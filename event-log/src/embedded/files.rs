//! Everything the embedded log asks of a file system, and nothing more.
//!
//! One small layer, so that tests can cut the power, fail a sync or fill the disk at any of
//! these calls. [`Disk`] is the real one.

use std::any::Any;
use std::fmt::Debug;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::port::LogError;

#[cfg(test)]
pub(super) mod simulated;

/// A file system. Names are durable only after [`Files::sync_folder`] on their folder.
pub(super) trait Files: Debug + Send + Sync {
    /// Opens what exists, to read and write.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Makes an empty file, also in place of an older one.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Gives a file another name, replacing whatever had that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Handles that are still open go on working.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names of the files in a folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Makes a folder, and those above it, if they are missing; their names are durable.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Keeps every other process out for as long as the answer lives;
    /// [`io::ErrorKind::WouldBlock`] if another is in.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
}

/// Keeps a lock while it lives.
pub(super) trait Lock: Any + Debug + Send + Sync {}

/// One open file. All calls may come from any thread.
pub(super) trait File: Debug + Send + Sync {
    /// Writes all of `bytes`, making the file longer if need be.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Fills as much of `into` as the file has from `offset`, and says how much that was.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Makes everything written so far durable, its length included. After an error nothing is
    /// known about what was written since the last success, and asking again tells nothing.
    fn sync(&self) -> io::Result<()>;
    /// How long the file is, in bytes.
    fn length(&self) -> io::Result<u64>;
}

/// The file system of the machine.
#[derive(Debug)]
pub(super) struct Disk;

impl Files for Disk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(fs::File::options().read(true).write(true).open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut options = fs::File::options();
        Ok(Arc::new(options.read(true).write(true).create(true).truncate(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(folder)?.map(|it| Ok(it?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let parent = folder.parent().filter(|it| !it.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        self.create_folder(parent)?;
        fs::create_dir(folder)?;
        self.sync_folder(parent)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        fs::File::open(folder)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let file = fs::File::options().write(true).create(true).truncate(false).open(path)?;
        file.try_lock()?;
        Ok(Box::new(file))
    }
}

impl Lock for fs::File {}

impl File for fs::File {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match std::os::unix::fs::FileExt::read_at(self, &mut into[done..], offset + done as u64)
            {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// Says what was being done to which file when the storage failed.
pub(super) fn failed(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let doing = format!("{doing} {}", path.display());
    |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => LogError::Full,
        _ => LogError::Storage { doing, source },
    }
}

/// Writes a small file so that after a power cut it is there whole or not at all.
pub(super) fn write_whole(files: &dyn Files, path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    let temporary = path.with_extension("temporary");
    let written = (|| {
        let file = files.create(&temporary)?;
        file.write_at(0, bytes)?;
        file.sync()?;
        files.rename(&temporary, path)?;
        files.sync_folder(path.parent().expect("every file is in a folder"))
    })();
    written.map_err(failed("writing", path))
}

/// Reads a whole file.
pub(super) fn read_whole(file: &dyn File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.length()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}
