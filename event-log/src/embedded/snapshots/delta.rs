//! One snapshot file.
//!
//! ```text
//! magic · previous u64 (all ones: whole) · fold u32 · upto u64 · CRC-32C u32
//! per chunk  key bytes u32 · bytes u32 (all ones: removed) · key · bytes
//! chunks u32 · CRC-32C of the chunks and their number u32
//! ```
//!
//! It is written front to back and synced bit by bit; one that ends early is none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};

use crate::embedded::files::{self, File, Files, failed};
use crate::embedded::segment::damaged;
use crate::port::{LogError, Position, SNAPSHOT_SLICE_BYTES_MAX, Snapshot, SnapshotChunk};

/// First bytes of every snapshot file.
const MAGIC: &[u8; 8] = b"CBsnap02";

/// Length of everything before the chunks. In bytes.
const HEADER_BYTES: usize = 8 + 8 + 4 + 8 + 4;

/// Stands for "no previous file" and "no bytes".
const NONE: u32 = u32::MAX;

/// What a file begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// The number it builds on; none if it is whole.
    pub(super) previous: Option<u64>,
    pub(super) fold: u32,
    pub(super) upto: u64,
}

/// A file being written. It is one only once it is finished.
#[derive(Debug)]
pub(super) struct DeltaFile {
    file: Arc<dyn File>,
    path: PathBuf,
    header: Header,
    offset: u64,
    chunks: u32,
    /// Of the chunks so far.
    sum: u32,
}

/// What is known of a file without reading all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// The number it builds on; none if it is whole.
    pub(super) previous: Option<u64>,
    pub(super) fold: u32,
    pub(super) upto: u64,
    pub(super) bytes: u64,
}

/// The content of a file.
#[derive(Debug)]
pub(super) struct Delta {
    previous: Option<u64>,
    fold: u32,
    upto: u64,
    chunks: BTreeMap<String, Option<Bytes>>,
}

impl Delta {
    /// Both changes in one, `newer` over this.
    pub(super) fn then(mut self, newer: Self) -> Self {
        self.chunks.extend(newer.chunks);
        let (fold, upto) = (newer.fold, newer.upto);
        Self { fold, upto, ..self }.without_needless_removals()
    }

    /// Where there is nothing before there is nothing to remove.
    fn without_needless_removals(mut self) -> Self {
        if self.previous.is_none() {
            self.chunks.retain(|_, bytes| bytes.is_some());
        }
        self
    }

    pub(super) fn into_snapshot(self) -> Snapshot {
        let chunks = self.chunks.into_iter().map(|(key, bytes)| SnapshotChunk { key, bytes });
        Snapshot { upto: Position(self.upto), fold: self.fold, chunks: chunks.collect() }
    }

    /// Writes the file and syncs it; its name is up to the caller.
    pub(super) fn write(&self, files: &dyn Files, path: &Path) -> Result<Summary, LogError> {
        let header = Header::new(self.previous, self.upto, self.fold);
        let mut file = DeltaFile::create(files, path, header)?;
        let mut chunks = self.chunks.iter().peekable();
        while chunks.peek().is_some() {
            let mut room = SNAPSHOT_SLICE_BYTES_MAX;
            let slice = std::iter::from_fn(|| {
                let (key, bytes) = chunks.peek()?;
                let size = key.len() + bytes.as_ref().map_or(0, Bytes::len);
                room = room.checked_sub(size)?;
                chunks.next()
            });
            file.push(slice.map(|(key, bytes)| (key.as_str(), bytes.as_ref())))?;
        }
        file.finish()
    }

    /// Reads and checks a file.
    pub(super) fn read(files: &dyn Files, path: &Path) -> Result<Self, LogError> {
        let reading = || failed("reading", path);
        let file = match files.open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(damaged(path, 0, "the file is gone"));
            }
            opened => opened.map_err(reading())?,
        };
        let bytes = Bytes::from(files::read_whole(&*file).map_err(reading())?);
        let summary = parse_header(&bytes).ok_or_else(|| damaged(path, 0, "no snapshot"))?;
        let chunks = take_chunks(&bytes.slice(HEADER_BYTES..))
            .ok_or_else(|| damaged(path, HEADER_BYTES as u64, "the checksum or shape is wrong"))?;
        let Summary { previous, fold, upto, .. } = summary;
        Ok(Self { previous, fold, upto, chunks }.without_needless_removals())
    }
}

impl Header {
    pub(super) fn new(previous: Option<u64>, upto: u64, fold: u32) -> Self {
        Self { previous, fold, upto }
    }
}

impl DeltaFile {
    pub(super) fn create(files: &dyn Files, path: &Path, header: Header) -> Result<Self, LogError> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.put_slice(MAGIC);
        bytes.put_u64_le(header.previous.unwrap_or(u64::MAX));
        bytes.put_u32_le(header.fold);
        bytes.put_u64_le(header.upto);
        let sum = crc32c::crc32c(&bytes);
        bytes.put_u32_le(sum);
        let created = files.create(path).and_then(|it| it.write_at(0, &bytes).map(|()| it));
        let file = created.map_err(failed("writing", path))?;
        let offset = bytes.len() as u64;
        Ok(Self { file, path: path.to_owned(), header, offset, chunks: 0, sum: 0 })
    }

    /// Adds chunks and syncs them.
    pub(super) fn push<'c>(
        &mut self,
        chunks: impl Iterator<Item = (&'c str, Option<&'c Bytes>)>,
    ) -> Result<(), LogError> {
        let mut buffer = Vec::new();
        for (key, bytes) in chunks {
            buffer.put_u32_le(length(key.len()));
            buffer.put_u32_le(bytes.map_or(NONE, |it| length(it.len())));
            buffer.put_slice(key.as_bytes());
            buffer.put_slice(bytes.map(Bytes::as_ref).unwrap_or_default());
            self.chunks += 1;
        }
        self.sum = crc32c::crc32c_append(self.sum, &buffer);
        self.put(&buffer)
    }

    /// Writes what makes it whole, and syncs it; its name is up to the caller.
    pub(super) fn finish(&mut self) -> Result<Summary, LogError> {
        let mut buffer = Vec::with_capacity(8);
        buffer.put_u32_le(self.chunks);
        let sum = crc32c::crc32c_append(self.sum, &buffer);
        buffer.put_u32_le(sum);
        self.put(&buffer)?;
        let Header { previous, fold, upto } = self.header;
        Ok(Summary { previous, fold, upto, bytes: self.offset })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        let written = self.file.write_at(self.offset, bytes).and_then(|()| self.file.sync());
        written.map_err(failed("writing", &self.path))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

/// Reads the beginning of a file only.
pub(super) fn read_summary(files: &dyn Files, path: &Path) -> Result<Summary, LogError> {
    let reading = || failed("reading", path);
    let file = files.open(path).map_err(reading())?;
    let mut header = [0; HEADER_BYTES];
    file.read_at(0, &mut header).map_err(reading())?;
    let bytes = file.length().map_err(reading())?;
    let summary = parse_header(&header).ok_or_else(|| damaged(path, 0, "no snapshot"))?;
    Ok(Summary { bytes, ..summary })
}

fn parse_header(bytes: &[u8]) -> Option<Summary> {
    let (header, mut sum) = bytes.get(..HEADER_BYTES)?.split_at(HEADER_BYTES - 4);
    if !header.starts_with(MAGIC) || crc32c::crc32c(header) != sum.get_u32_le() {
        return None;
    }
    let mut fields = &header[MAGIC.len()..];
    let previous = Some(fields.get_u64_le()).filter(|it| *it != u64::MAX);
    let (fold, upto) = (fields.get_u32_le(), fields.get_u64_le());
    Some(Summary { previous, fold, upto, bytes: bytes.len() as u64 })
}

fn take_chunks(body: &Bytes) -> Option<BTreeMap<String, Option<Bytes>>> {
    let mut rest = body.slice(..body.len().checked_sub(4)?);
    if crc32c::crc32c(&rest) != (&body[rest.len()..]).get_u32_le() {
        return None;
    }
    let count = rest.split_off(rest.len().checked_sub(4)?).get_u32_le();
    let mut chunks = BTreeMap::new();
    for _ in 0..count {
        let mut lengths = (rest.len() >= 8).then(|| rest.split_to(8))?;
        let (key_bytes, value_bytes) = (lengths.get_u32_le(), lengths.get_u32_le());
        let mut take =
            |length: u32| (rest.len() >= length as usize).then(|| rest.split_to(length as usize));
        let key = String::from_utf8(take(key_bytes)?.to_vec()).ok()?;
        let value = if value_bytes == NONE { None } else { Some(take(value_bytes)?) };
        chunks.insert(key, value);
    }
    rest.is_empty().then_some(chunks)
}

fn length(count: usize) -> u32 {
    u32::try_from(count).expect("chunks are limited to 512 KiB")
}
