//! Reads a run from front to back, a chunk at a time.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::super::IdentitiesError;
use super::super::block::{BLOCK_BYTES, Block};
use super::super::fingerprint::Fingerprint;
use super::{CHUNK_BYTES, Run};

/// Gives every fingerprint of a run, in order. Of no use after an error.
pub(in super::super) struct Scan {
    run: Arc<Run>,
    pages: Vec<u8>,
    /// Blocks read so far.
    blocks_read: u64,
    /// The block being handed out, and how much of it was.
    block: Option<Block>,
    place: usize,
    /// Blocks of `pages` handed out.
    pages_used: usize,
}

impl Scan {
    pub(in super::super) fn new(run: Arc<Run>) -> Self {
        Self { run, pages: Vec::new(), blocks_read: 0, block: None, place: 0, pages_used: 0 }
    }

    /// The next block, if there is one.
    fn next_block(&mut self) -> Result<Option<Block>, IdentitiesError> {
        let pages = self.pages.as_chunks::<BLOCK_BYTES>().0;
        if self.pages_used == pages.len() {
            let left = self.run.header.blocks() - self.blocks_read;
            let more = left.min((CHUNK_BYTES / BLOCK_BYTES) as u64);
            if more == 0 {
                return Ok(None);
            }
            let length = usize::try_from(more).expect("at most a chunk") * BLOCK_BYTES;
            self.pages.resize(length, 0);
            let place = (1 + self.blocks_read) * BLOCK_BYTES as u64;
            self.run.file.read_exact_at(&mut self.pages, place).map_err(|source| {
                IdentitiesError::Io { doing: "reading", path: self.run.path.clone(), source }
            })?;
            self.pages_used = 0;
        }
        let page = self.pages.as_chunks::<BLOCK_BYTES>().0[self.pages_used];
        self.run.check(&page, self.blocks_read)?;
        let entries = self.run.entries_of(self.blocks_read);
        self.pages_used += 1;
        self.blocks_read += 1;
        Ok(Some(Block { page, entries }))
    }
}

impl Iterator for Scan {
    type Item = Result<Fingerprint, IdentitiesError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(fingerprint) = self.block.as_ref().and_then(|it| it.get(self.place)) {
            self.place += 1;
            return Some(Ok(fingerprint));
        }
        self.block = match self.next_block() {
            Ok(block) => block,
            Err(error) => return Some(Err(error)),
        };
        self.place = 1;
        self.block.as_ref()?.get(0).map(Ok)
    }
}
