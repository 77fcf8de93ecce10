//! Writes a run from front to back.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;

use super::IdentitiesError;
use super::block::{self, BLOCK_BYTES, BLOCK_ENTRIES, Block};
use super::files::{Files, failed};
use super::filter::Filter;
use super::fingerprint::{Fingerprint, halves};
use super::run::{CHUNK_BYTES, Header, Run, file_name};

/// A run being written. It does not exist before the manifest names it.
pub(super) struct RunWriter<'a> {
    files: &'a dyn Files,
    name: String,
    number: u64,
    file: BufWriter<File>,
    block: Block,
    fences: Vec<u64>,
    filter: Filter,
    entries: u64,
}

impl<'a> RunWriter<'a> {
    /// Begins the run of this number, for at most `entries` fingerprints.
    pub(super) fn create(
        files: &'a dyn Files,
        number: u64,
        entries: u64,
    ) -> Result<Self, IdentitiesError> {
        let name = file_name(number);
        let file = files.create(&name).map_err(failed(files, "creating", &name))?;
        let mut writer = Self {
            files,
            name,
            number,
            file: BufWriter::with_capacity(CHUNK_BYTES, file),
            block: Block::empty(),
            fences: Vec::new(),
            filter: Filter::new(entries),
            entries: 0,
        };
        // The header is known, and written, last.
        let begun = writer.file.write_all(&[0; BLOCK_BYTES]);
        begun.map_err(failed(files, "writing", &writer.name))?;
        Ok(writer)
    }

    /// Adds a fingerprint, above all before it.
    pub(super) fn push(&mut self, fingerprint: Fingerprint) -> Result<(), IdentitiesError> {
        if self.block.entries == BLOCK_ENTRIES {
            self.write_block().map_err(failed(self.files, "writing", &self.name))?;
        }
        if self.block.entries == 0 {
            self.fences.push(halves(fingerprint.identity).0);
        }
        self.block.push(fingerprint);
        self.filter.insert(fingerprint.identity);
        self.entries += 1;
        Ok(())
    }

    /// Completes the run and makes it durable.
    pub(super) fn finish(mut self, sealed_upto: u64) -> Result<Run, IdentitiesError> {
        let (files, name) = (self.files, self.name.clone());
        let header = self.write_rest(sealed_upto).map_err(failed(files, "writing", &name))?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error);
        let file = file.map_err(failed(files, "writing", &name))?;
        let written = file.write_all_at(&header.encode(), 0);
        written.map_err(failed(files, "writing", &name))?;
        files.sync(&name, &file).map_err(failed(files, "syncing", &name))?;
        files.sync_names().map_err(failed(files, "syncing", ""))?;
        Ok(Run::written(files.path(&name), file, header, self.fences, self.filter))
    }

    fn write_block(&mut self) -> io::Result<()> {
        let number = self.fences.len() as u64 - 1;
        block::seal(&mut self.block.page, self.number, number);
        self.file.write_all(&self.block.page)?;
        self.block = Block::empty();
        Ok(())
    }

    fn write_rest(&mut self, sealed_upto: u64) -> io::Result<Header> {
        if self.block.entries > 0 {
            self.write_block()?;
        }
        let mut index_checksum = 0;
        for word in self.fences.iter().copied().chain(self.filter.words()) {
            let bytes = word.to_le_bytes();
            index_checksum = crc32c::crc32c_append(index_checksum, &bytes);
            self.file.write_all(&bytes)?;
        }
        Ok(Header {
            number: self.number,
            sealed_upto,
            entries: self.entries,
            filter_words: self.filter.word_count(),
            index_checksum,
        })
    }
}
