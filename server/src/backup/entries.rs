//! The files of a backup: entries of two parts each, one after the other, compressed, with a
//! checksum, and closed by how many there are.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

/// What stands where the length of a part would stand, behind the last entry.
const END: u32 = u32::MAX;

/// What stands for a second part that is not there.
const NONE: u32 = u32::MAX - 1;

/// The longest part. In bytes: 32 MiB, above that of any blob.
const PART_BYTES_MAX: u32 = 32 * 1024 * 1024;

/// Two parts, the second perhaps not there.
pub(super) type Entry = (Vec<u8>, Option<Vec<u8>>);

/// Writes a file that is not there yet.
pub(super) struct Writer {
    path: PathBuf,
    out: zstd::Encoder<'static, BufWriter<File>>,
    count: u64,
}

impl Writer {
    /// Begins the file at `path`, for its owner only.
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        let file = new_file(&path)?;
        let mut out = zstd::Encoder::new(BufWriter::new(file), zstd::DEFAULT_COMPRESSION_LEVEL)?;
        out.include_checksum(true)?;
        Ok(Self { path, out, count: 0 })
    }

    /// Adds an entry.
    pub(super) fn push(&mut self, first: &[u8], second: Option<&[u8]>) -> Result<()> {
        let written = self.part(first).and_then(|()| match second {
            Some(second) => self.part(second),
            None => self.out.write_all(&NONE.to_le_bytes()),
        });
        self.count += 1;
        written.with_context(|| format!("could not write `{}`", self.path.display()))
    }

    fn part(&mut self, part: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(part.len()).ok().filter(|it| *it <= PART_BYTES_MAX);
        let length = length.ok_or_else(|| std::io::Error::other("an entry is too long"))?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(part)
    }

    /// Ends the file durably and says how many entries it has.
    pub(super) fn finish(mut self) -> Result<u64> {
        let failed = || format!("could not write `{}`", self.path.display());
        self.out.write_all(&END.to_le_bytes()).with_context(failed)?;
        self.out.write_all(&self.count.to_le_bytes()).with_context(failed)?;
        let file = self.out.finish().and_then(|it| Ok(it.into_inner()?)).with_context(failed)?;
        file.sync_all().with_context(failed)?;
        Ok(self.count)
    }
}

/// Reads a file to its end.
pub(super) struct Reader {
    path: PathBuf,
    from: zstd::Decoder<'static, BufReader<File>>,
    count: u64,
}

impl Reader {
    /// Opens the file at `path`.
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let opened = File::open(&path).and_then(zstd::Decoder::new);
        let from = opened.with_context(|| format!("could not read `{}`", path.display()))?;
        Ok(Self { path, from, count: 0 })
    }

    /// The next entry; none behind the last, if there are as many as there were.
    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        let entry = self.read();
        entry.with_context(|| format!("`{}` is damaged", self.path.display()))
    }

    fn read(&mut self) -> Result<Option<Entry>> {
        let length = self.number()?;
        if length == END {
            let mut count = [0; 8];
            self.from.read_exact(&mut count)?;
            ensure!(u64::from_le_bytes(count) == self.count, "entries are missing");
            // Reads the checksum too.
            ensure!(self.from.read(&mut [0])? == 0, "there is more behind its end");
            return Ok(None);
        }
        let first = self.part(length)?;
        let second = match self.number()? {
            NONE => None,
            length => Some(self.part(length)?),
        };
        self.count += 1;
        Ok(Some((first, second)))
    }

    fn number(&mut self) -> Result<u32> {
        let mut bytes = [0; 4];
        self.from.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn part(&mut self, length: u32) -> Result<Vec<u8>> {
        if length > PART_BYTES_MAX {
            bail!("an entry says that it has {length} bytes");
        }
        let mut part = vec![0; length as usize];
        self.from.read_exact(&mut part)?;
        Ok(part)
    }
}

/// Writes a small file that is not there yet, durably.
pub(super) fn write_durably(path: &Path, content: &[u8]) -> Result<()> {
    let failed = || format!("could not write `{}`", path.display());
    let mut file = new_file(path)?;
    file.write_all(content).with_context(failed)?;
    file.sync_all().with_context(failed)
}

/// Makes the names in `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|it| it.sync_all());
    synced.with_context(|| format!("could not write `{}`", folder.display()))
}

fn new_file(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.with_context(|| format!("could not make `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("entries");
        let mut writer = Writer::create(path.clone()).unwrap();
        for number in 0..100_u8 {
            let second = (number % 3 != 0).then(|| vec![number; usize::from(number) * 10]);
            writer.push(&[number], second.as_deref()).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), 100);
        path
    }

    fn read(path: &Path) -> Result<Vec<Entry>> {
        let mut reader = Reader::open(path.to_owned())?;
        let mut entries = Vec::new();
        while let Some(entry) = reader.next()? {
            entries.push(entry);
        }
        Ok(entries)
    }

    #[test]
    fn what_was_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let entries = read(&written(&folder)).unwrap();
        assert_eq!(entries.len(), 100);
        assert_eq!(entries[3], (vec![3], None));
        assert_eq!(entries[4], (vec![4], Some(vec![4; 40])));
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(&folder);
        let whole = std::fs::read(&path).unwrap();
        let before = read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(read(&path).is_err(), "cut after {length} bytes");
        }
        for index in 0..whole.len() {
            let mut changed = whole.clone();
            changed[index] ^= 4;
            std::fs::write(&path, &changed).unwrap();
            // A few bits of the format's own header mean nothing.
            assert!(read(&path).map_or(true, |it| it == before), "changed at {index}");
        }
    }
}
