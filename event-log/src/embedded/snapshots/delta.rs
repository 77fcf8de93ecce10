//! One snapshot file.
//!
//! ```text
//! magic · previous u64 (all ones: whole) · fold version u32 · upto u64 · chunks u32 · CRC-32C u32
//! per chunk  key bytes u32 · bytes u32 (all ones: removed) · key · bytes
//! CRC-32C of the chunks u32
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use bytes::{Buf, BufMut, Bytes};

use crate::embedded::files::{self, File, Files, failed};
use crate::embedded::segment::damaged;
use crate::port::{LogError, Position, Snapshot, SnapshotChunk};

/// First bytes of every snapshot file.
const MAGIC: &[u8; 8] = b"CBsnap01";

/// Length of everything before the chunks. In bytes.
const HEADER_BYTES: usize = 8 + 8 + 4 + 8 + 4 + 4;

/// How much is collected before it is written. In bytes: 1 MiB.
const WRITE_BYTES: usize = 1024 * 1024;

/// Stands for "no previous file" and "no bytes".
const NONE: u32 = u32::MAX;

/// What is known of a file without reading all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// The number it builds on; none if it is whole.
    pub(super) previous: Option<u64>,
    pub(super) fold_version: u32,
    pub(super) upto: u64,
    pub(super) bytes: u64,
}

/// The content of a file.
#[derive(Debug)]
pub(super) struct Delta {
    previous: Option<u64>,
    fold_version: u32,
    upto: u64,
    chunks: BTreeMap<String, Option<Bytes>>,
}

impl Delta {
    /// What `changed` since the snapshot `previous`.
    pub(super) fn new(previous: Option<u64>, changed: Snapshot) -> Self {
        let chunks = changed.chunks.into_iter().map(|it| (it.key, it.bytes));
        let this = Self {
            previous,
            fold_version: changed.fold_version,
            upto: changed.upto.0,
            chunks: chunks.collect(),
        };
        this.without_needless_removals()
    }

    /// Both changes in one, `newer` over this.
    pub(super) fn then(mut self, newer: Self) -> Self {
        self.chunks.extend(newer.chunks);
        let (fold_version, upto) = (newer.fold_version, newer.upto);
        Self { fold_version, upto, ..self }.without_needless_removals()
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
        Snapshot {
            upto: Position(self.upto),
            fold_version: self.fold_version,
            chunks: chunks.collect(),
        }
    }

    /// Writes the file and syncs it; its name is up to the caller.
    pub(super) fn write(&self, files: &dyn Files, path: &Path) -> Result<Summary, LogError> {
        let written = files.create(path).and_then(|file| {
            let bytes = self.write_to(&*file)?;
            file.sync()?;
            Ok(bytes)
        });
        let bytes = written.map_err(failed("writing", path))?;
        let (previous, fold_version, upto) = (self.previous, self.fold_version, self.upto);
        Ok(Summary { previous, fold_version, upto, bytes })
    }

    fn write_to(&self, file: &dyn File) -> std::io::Result<u64> {
        let mut buffer = Vec::with_capacity(2 * WRITE_BYTES);
        buffer.put_slice(MAGIC);
        buffer.put_u64_le(self.previous.unwrap_or(u64::MAX));
        buffer.put_u32_le(self.fold_version);
        buffer.put_u64_le(self.upto);
        buffer.put_u32_le(length(self.chunks.len()));
        let sum = crc32c::crc32c(&buffer);
        buffer.put_u32_le(sum);
        file.write_at(0, &buffer)?;
        let mut offset = buffer.len() as u64;
        buffer.clear();
        let mut sum = 0;
        for (key, bytes) in &self.chunks {
            buffer.put_u32_le(length(key.len()));
            buffer.put_u32_le(bytes.as_ref().map_or(NONE, |it| length(it.len())));
            buffer.put_slice(key.as_bytes());
            buffer.put_slice(bytes.as_deref().unwrap_or_default());
            if buffer.len() >= WRITE_BYTES {
                sum = crc32c::crc32c_append(sum, &buffer);
                file.write_at(offset, &buffer)?;
                offset += buffer.len() as u64;
                buffer.clear();
            }
        }
        sum = crc32c::crc32c_append(sum, &buffer);
        buffer.put_u32_le(sum);
        file.write_at(offset, &buffer)?;
        Ok(offset + buffer.len() as u64)
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
        let count = (&bytes[HEADER_BYTES - 8..]).get_u32_le();
        let chunks = take_chunks(&bytes.slice(HEADER_BYTES..), count)
            .ok_or_else(|| damaged(path, HEADER_BYTES as u64, "the checksum or shape is wrong"))?;
        let Summary { previous, fold_version, upto, .. } = summary;
        Ok(Self { previous, fold_version, upto, chunks })
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
    let (fold_version, upto) = (fields.get_u32_le(), fields.get_u64_le());
    Some(Summary { previous, fold_version, upto, bytes: bytes.len() as u64 })
}

fn take_chunks(body: &Bytes, count: u32) -> Option<BTreeMap<String, Option<Bytes>>> {
    let mut rest = body.slice(..body.len().checked_sub(4)?);
    if crc32c::crc32c(&rest) != (&body[rest.len()..]).get_u32_le() {
        return None;
    }
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
