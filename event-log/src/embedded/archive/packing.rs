//! Makes an archive of a sealed segment.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::BufMut;

use super::{BLOCK_BYTES, Block, ENTRY_BYTES, MAGIC, TRAILER_BYTES};
use crate::embedded::files::{File, Files, failed};
use crate::embedded::segment::{Found, Segment, Walk};
use crate::port::LogError;

/// How hard to compress: the fastest level, since it competes with commands for the processor.
const LEVEL: i32 = 1;

/// Writes the records of `segment` from `first` to `end` into a new archive at `path`, durable
/// when this returns.
pub(in crate::embedded) fn pack(
    files: &dyn Files,
    path: &Path,
    segment: &Segment,
    first: u64,
    end: u64,
) -> Result<(), LogError> {
    let temporary = path.with_extension("temporary");
    let written = write(files, &temporary, segment, first, end).and_then(|()| {
        files.rename(&temporary, path).map_err(failed("renaming", &temporary))?;
        let folder = path.parent().expect("every archive is in a folder");
        files.sync_folder(folder).map_err(failed("syncing", folder))
    });
    written.inspect_err(|_| {
        // Only room is at stake: a file of this name is removed at the next start anyway.
        drop(files.remove(&temporary));
    })
}

fn write(
    files: &dyn Files,
    path: &Path,
    segment: &Segment,
    first: u64,
    end: u64,
) -> Result<(), LogError> {
    let mut output = Output::create(files, path)?;
    output.put(MAGIC)?;
    let mut blocks = Vec::new();
    let mut compressor = zstd::bulk::Compressor::new(LEVEL).map_err(failed("packing", path))?;
    let mut frames = Vec::with_capacity(2 * BLOCK_BYTES);
    let mut walk = Walk::new(segment, 0, u64::MAX);
    let mut at = first;
    while at < end {
        let block_first = at;
        frames.clear();
        while frames.len() < BLOCK_BYTES && at < end {
            let offset = walk.offset;
            match walk.next(at).map_err(failed("reading", &segment.path))? {
                Found::Frame(frame) => {
                    frames.extend_from_slice(&frame.bytes);
                    at = frame.header.end();
                }
                Found::End => return Err(segment.damaged(offset, "there is no frame")),
                Found::Bad(reason) => return Err(segment.damaged(offset, reason)),
            }
        }
        let packed = compressor.compress(&frames).map_err(failed("packing", path))?;
        blocks.push(Block {
            first: block_first,
            offset: output.offset,
            bytes: u32::try_from(packed.len()).expect("a block is a few batches long"),
            unpacked_bytes: u32::try_from(frames.len()).expect("a block is a few batches long"),
        });
        output.put(&packed)?;
    }
    output.finish(first, end, &blocks)
}

/// An archive being written.
struct Output<'a> {
    file: Arc<dyn File>,
    path: &'a Path,
    offset: u64,
    hash: Context,
}

impl<'a> Output<'a> {
    fn create(files: &dyn Files, path: &'a Path) -> Result<Self, LogError> {
        let file = files.create(path).map_err(failed("creating", path))?;
        Ok(Self { file, path, offset: 0, hash: Context::new(&SHA256) })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        self.hash.update(bytes);
        self.file.write_at(self.offset, bytes).map_err(failed("writing", self.path))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn finish(mut self, first: u64, end: u64, blocks: &[Block]) -> Result<(), LogError> {
        let mut index = Vec::with_capacity(blocks.len() * ENTRY_BYTES);
        for block in blocks {
            block.encode(&mut index);
        }
        let mut trailer = Vec::with_capacity(TRAILER_BYTES);
        trailer.put_u64_le(first);
        trailer.put_u64_le(end);
        trailer.put_u64_le(self.offset);
        trailer.put_u32_le(u32::try_from(blocks.len()).expect("an archive has a few blocks"));
        let sum = crc32c::crc32c_append(crc32c::crc32c(&index), &trailer);
        trailer.put_u32_le(sum);
        self.put(&index)?;
        self.put(&trailer)?;
        let hash = self.hash.clone().finish();
        self.put(hash.as_ref())?;
        self.file.sync().map_err(failed("syncing", self.path))
    }
}
