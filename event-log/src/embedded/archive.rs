//! A sealed segment, compressed into one file that never changes.
//!
//! ```text
//! magic · blocks (each a zstd frame over whole segment frames) · index · trailer · SHA-256
//! index: per block  first position u64 · offset u64 · bytes u32 · bytes when unpacked u32
//! trailer: first position u64 · end position u64 · index offset u64 · blocks u32 · CRC-32C u32
//! ```
//!
//! The CRC covers index and trailer, so that opening an archive need not read all of it; the
//! hash covers the whole file before it. What a block unpacks to is what lay in the segment,
//! checksums included.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Buf, BufMut, Bytes};

use super::files::{File, Files, failed};
use super::frame::Seed;
use super::segment::{Found, Frame, Walk, damaged};
use crate::port::LogError;

mod packing;

pub(super) use packing::pack;

/// First bytes of every archive.
const MAGIC: &[u8; 8] = b"CBarch01";

/// Length of an index entry. In bytes.
const ENTRY_BYTES: usize = 24;

/// Length of the trailer. In bytes.
const TRAILER_BYTES: usize = 32;

/// Length of the hash. In bytes.
const HASH_BYTES: usize = 32;

/// How much goes into one block, at least. In bytes: 256 KiB, what a reader unpacks at a time.
const BLOCK_BYTES: usize = 256 * 1024;

/// One compressed run of frames.
#[derive(Clone, Copy, Debug)]
struct Block {
    first: u64,
    offset: u64,
    bytes: u32,
    unpacked_bytes: u32,
}

/// An archive that can be read.
#[derive(Debug)]
pub(super) struct Archive {
    file: Arc<dyn File>,
    path: Box<Path>,
    seed: Seed,
    /// Position of its first record.
    pub(super) first: u64,
    /// Position after its last record.
    pub(super) end: u64,
    index_offset: u64,
    blocks: Vec<Block>,
}

impl Archive {
    /// Opens an archive and checks its index.
    pub(super) fn open(files: &dyn Files, path: &Path, seed: Seed) -> Result<Self, LogError> {
        let reading = || failed("reading", path);
        let file = files.open(path).map_err(reading())?;
        let length = file.length().map_err(reading())?;
        let wrong = |reason| damaged(path, length, reason);
        let tail_offset = length
            .checked_sub((TRAILER_BYTES + HASH_BYTES) as u64)
            .ok_or_else(|| wrong("the archive is too short"))?;
        let mut trailer = [0; TRAILER_BYTES];
        file.read_at(tail_offset, &mut trailer).map_err(reading())?;
        let (summed, mut sum) = trailer.split_at(TRAILER_BYTES - 4);
        let mut fields = summed;
        let (first, end) = (fields.get_u64_le(), fields.get_u64_le());
        let (index_offset, blocks) = (fields.get_u64_le(), fields.get_u32_le());
        let index_bytes = blocks as usize * ENTRY_BYTES;
        if index_offset.checked_add(index_bytes as u64) != Some(tail_offset) || first >= end {
            return Err(wrong("the trailer of the archive is wrong"));
        }
        let mut index = vec![0; index_bytes];
        file.read_at(index_offset, &mut index).map_err(reading())?;
        if crc32c::crc32c_append(crc32c::crc32c(&index), summed) != sum.get_u32_le() {
            return Err(damaged(path, index_offset, "the checksum of the index is wrong"));
        }
        let blocks = index.chunks_exact(ENTRY_BYTES).map(Block::decode).collect();
        Ok(Self { file, path: path.into(), seed, first, end, index_offset, blocks })
    }

    /// Starts reading at `position`, which must be in the archive.
    pub(super) fn seek(self, position: u64) -> ArchiveWalk {
        let after = self.blocks.partition_point(|it| it.first <= position);
        let block = after.saturating_sub(1);
        ArchiveWalk { archive: self, block, walk: None }
    }

    fn unpack(&self, index: usize) -> Result<Walk, LogError> {
        let block = self.blocks[index];
        let mut packed = vec![0; block.bytes as usize];
        let read = self.file.read_at(block.offset, &mut packed);
        read.map_err(failed("reading", &self.path))?;
        let frames = zstd::bulk::decompress(&packed, block.unpacked_bytes as usize);
        let frames = frames.map_err(|_| self.damaged(index, "the block cannot be unpacked"))?;
        if frames.len() != block.unpacked_bytes as usize {
            return Err(self.damaged(index, "the block unpacks to another length"));
        }
        Ok(Walk::over(Bytes::from(frames), self.seed))
    }

    fn damaged(&self, block: usize, reason: &str) -> LogError {
        let offset = self.blocks.get(block).map_or(self.index_offset, |it| it.offset);
        damaged(&self.path, offset, reason)
    }

    /// Names the archive itself.
    pub(super) fn damaged_whole(&self, reason: &str) -> LogError {
        damaged(&self.path, 0, reason)
    }

    /// Compares the whole file with its hash.
    pub(super) fn check_hash(&self) -> Result<(), LogError> {
        let reading = || failed("reading", &self.path);
        let length = self.file.length().map_err(reading())?;
        let hashed = length - HASH_BYTES as u64;
        let mut context = Context::new(&SHA256);
        let mut buffer = vec![0; BLOCK_BYTES];
        let mut at = 0;
        while at < hashed {
            let wanted = usize::try_from(hashed - at).map_or(BLOCK_BYTES, |it| it.min(BLOCK_BYTES));
            let read = self.file.read_at(at, &mut buffer[..wanted]).map_err(reading())?;
            if read == 0 {
                break;
            }
            context.update(&buffer[..read]);
            at += read as u64;
        }
        let mut hash = [0; HASH_BYTES];
        self.file.read_at(hashed, &mut hash).map_err(reading())?;
        if context.finish().as_ref() == hash {
            return Ok(());
        }
        Err(damaged(&self.path, self.index_offset, "the hash of the archive is wrong"))
    }
}

impl Block {
    fn decode(mut bytes: &[u8]) -> Self {
        Self {
            first: bytes.get_u64_le(),
            offset: bytes.get_u64_le(),
            bytes: bytes.get_u32_le(),
            unpacked_bytes: bytes.get_u32_le(),
        }
    }

    fn encode(self, buffer: &mut Vec<u8>) {
        buffer.put_u64_le(self.first);
        buffer.put_u64_le(self.offset);
        buffer.put_u32_le(self.bytes);
        buffer.put_u32_le(self.unpacked_bytes);
    }
}

/// Walks over the frames of an archive.
#[derive(Debug)]
pub(super) struct ArchiveWalk {
    archive: Archive,
    block: usize,
    walk: Option<Walk>,
}

impl ArchiveWalk {
    /// The first position of the block the walk is in.
    pub(super) fn position(&self) -> u64 {
        self.archive.blocks.get(self.block).map_or(self.archive.end, |it| it.first)
    }

    /// The next frame, which must begin with position `expected`; nothing after the last one.
    pub(super) fn next(&mut self, expected: u64) -> Result<Option<Frame>, LogError> {
        while self.block < self.archive.blocks.len() {
            let walk = match &mut self.walk {
                Some(walk) => walk,
                none => none.insert(self.archive.unpack(self.block)?),
            };
            let found = walk.next(expected);
            match found.map_err(failed("reading", &self.archive.path))? {
                Found::Frame(frame) => return Ok(Some(frame)),
                Found::Bad(reason) => return Err(self.archive.damaged(self.block, reason)),
                Found::End => {
                    self.walk = None;
                    self.block += 1;
                }
            }
        }
        Ok(None)
    }

    /// Names a frame that this walk returned.
    pub(super) fn damaged(&self, reason: &str) -> LogError {
        self.archive.damaged(self.block, reason)
    }
}
