//! One sorted immutable file of fingerprints.
//!
//! A header page; the blocks; one fence per block (the upper half of its first identity); the
//! filter. Header, fences and filter are checked on opening, the latter two kept in memory;
//! blocks are read and checked when they are needed, through the page cache of the system and
//! no other: which block is asked for next is random. Numbers are little-endian, identities
//! big-endian, as they are sorted.

mod scan;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::IdentitiesError;
use super::block::{self, BLOCK_BYTES, BLOCK_ENTRIES, Block, Page};
use super::files::{Files, failed};
use super::filter::Filter;
use super::fingerprint::halves;

pub(super) use scan::Scan;

/// What a run's file begins with; the digit is the version of its format.
const MAGIC: [u8; 8] = *b"CBident1";

/// Stands for the header where a block number is needed.
const HEADER: u64 = u64::MAX;

/// How much is read or written at once when all of a part is. In bytes: 1 MiB.
pub(super) const CHUNK_BYTES: usize = 1024 * 1024;

/// The name of the file of a run.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:012}.run")
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Which run it is.
    pub(super) number: u64,
    /// The position up to which the log was sealed when it was written.
    pub(super) sealed_upto: u64,
    /// How many fingerprints it holds.
    pub(super) entries: u64,
    /// How many words the filter has.
    pub(super) filter_words: u64,
    /// The checksum of fences and filter.
    pub(super) index_checksum: u32,
}

impl Header {
    pub(super) fn encode(&self) -> Page {
        let mut page = [0; BLOCK_BYTES];
        let checksum = u64::from(self.index_checksum);
        let numbers = [self.number, self.sealed_upto, self.entries, self.filter_words, checksum];
        let (magic, rest) = page.split_at_mut(MAGIC.len());
        magic.copy_from_slice(&MAGIC);
        for (place, number) in rest.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        block::seal(&mut page, self.number, HEADER);
        page
    }

    /// The header in `page`, if it is one of the run of this number.
    fn decode(page: &Page, number: u64) -> Option<Self> {
        let (magic, rest) = page.split_at(MAGIC.len());
        if magic != MAGIC || !block::is_intact(page, number, HEADER) {
            return None;
        }
        let mut numbers = words(rest);
        Some(Self {
            number: numbers.next()?,
            sealed_upto: numbers.next()?,
            entries: numbers.next()?,
            filter_words: numbers.next()?,
            index_checksum: u32::try_from(numbers.next()?).ok()?,
        })
    }

    /// How many blocks there are.
    fn blocks(&self) -> u64 {
        self.entries.div_ceil(BLOCK_ENTRIES as u64)
    }

    /// Where the fences begin.
    pub(super) fn index(&self) -> u64 {
        (1 + self.blocks()) * BLOCK_BYTES as u64
    }
}

/// An open run.
#[derive(Debug)]
pub(super) struct Run {
    path: PathBuf,
    file: File,
    header: Header,
    /// The upper half of the first identity of each block.
    fences: Box<[u64]>,
    filter: Filter,
}

impl Run {
    /// Opens the run of this number and checks all of it but its blocks.
    pub(super) fn open(files: &dyn Files, number: u64) -> Result<Self, IdentitiesError> {
        let name = file_name(number);
        let damaged = |reason: &str| IdentitiesError::Damaged {
            path: files.path(&name),
            reason: reason.to_owned(),
        };
        let file = files.open(&name).map_err(failed(files, "opening", &name))?;
        let length = file.metadata().map_err(failed(files, "inspecting", &name))?.len();
        if length < BLOCK_BYTES as u64 {
            return Err(damaged("it is too short"));
        }
        let mut page = [0; BLOCK_BYTES];
        file.read_exact_at(&mut page, 0).map_err(failed(files, "reading", &name))?;
        let header = Header::decode(&page, number).ok_or_else(|| damaged("its header is wrong"))?;
        let (index, blocks) = (header.index(), header.blocks());
        if length != index + (blocks + header.filter_words) * 8 {
            return Err(damaged("it has not the length its header says"));
        }
        let (fences, filter, checksum) =
            read_index(&file, &header).map_err(failed(files, "reading", &name))?;
        if checksum != header.index_checksum {
            return Err(damaged("the checksum of its fences and filter does not match"));
        }
        Ok(Self { path: files.path(&name), file, header, fences: fences.into(), filter })
    }

    /// The run that was just written to `file`.
    pub(super) fn written(
        path: PathBuf,
        file: File,
        header: Header,
        fences: Vec<u64>,
        filter: Filter,
    ) -> Self {
        Self { path, file, header, fences: fences.into(), filter }
    }

    pub(super) fn header(&self) -> Header {
        self.header
    }

    /// The memory its fences and its filter take, in bytes.
    pub(super) fn memory(&self) -> (u64, u64) {
        (size_of_val(&*self.fences) as u64, self.filter.bytes())
    }

    /// The content recorded with `identity`; none if it is not in this run.
    pub(super) fn find(&self, identity: u128) -> Result<Option<u64>, IdentitiesError> {
        if !self.filter.may_hold(identity) {
            return Ok(None);
        }
        let (upper, _) = halves(identity);
        // The last block that begins below it may hold it, and so may those that begin with
        // the same upper half.
        let mut number = self.fences.partition_point(|it| *it < upper).saturating_sub(1);
        while self.fences.get(number).is_some_and(|it| *it <= upper) {
            let found = self.block(number)?.find(identity);
            if found.is_some() {
                return Ok(found);
            }
            number += 1;
        }
        Ok(None)
    }

    /// Reads and checks one block.
    fn block(&self, number: usize) -> Result<Block, IdentitiesError> {
        let mut page = [0; BLOCK_BYTES];
        let place = (1 + number as u64) * BLOCK_BYTES as u64;
        self.file.read_exact_at(&mut page, place).map_err(|source| IdentitiesError::Io {
            doing: "reading",
            path: self.path.clone(),
            source,
        })?;
        self.check(&page, number as u64)?;
        Ok(Block { page, entries: self.entries_of(number as u64) })
    }

    fn check(&self, page: &Page, number: u64) -> Result<(), IdentitiesError> {
        if block::is_intact(page, self.header.number, number) {
            return Ok(());
        }
        Err(self.damaged(format!("the checksum of block {number} does not match")))
    }

    /// How many fingerprints a block holds: all are full but the last.
    fn entries_of(&self, number: u64) -> usize {
        let before = number * BLOCK_ENTRIES as u64;
        let left = self.header.entries.saturating_sub(before);
        usize::try_from(left).map_or(BLOCK_ENTRIES, |it| it.min(BLOCK_ENTRIES))
    }

    fn damaged(&self, reason: String) -> IdentitiesError {
        IdentitiesError::Damaged { path: self.path.clone(), reason }
    }

    /// Reads all of it and compares it with checksums, order, fences and filter.
    pub(super) fn verify(self: &Arc<Self>) -> Result<(), IdentitiesError> {
        let mut last = None;
        for (number, fingerprint) in Scan::new(Arc::clone(self)).enumerate() {
            let identity = fingerprint?.identity;
            if last.is_some_and(|it| it >= identity) {
                return Err(self.damaged(format!("entry {number} is out of order")));
            }
            if !self.filter.may_hold(identity) {
                return Err(self.damaged(format!("entry {number} is not in the filter")));
            }
            let first = number.is_multiple_of(BLOCK_ENTRIES);
            if first && self.fences[number / BLOCK_ENTRIES] != halves(identity).0 {
                return Err(self.damaged(format!("entry {number} is not in the fences")));
            }
            last = Some(identity);
        }
        Ok(())
    }
}

/// The numbers in `bytes`.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks::<8>().0.iter().map(|it| u64::from_le_bytes(*it))
}

/// Reads fences and filter, and their checksum as it is.
fn read_index(file: &File, header: &Header) -> io::Result<(Vec<u64>, Filter, u32)> {
    let mut fences = Vec::new();
    let place = header.index();
    let checksum = read_words(file, place, header.blocks(), 0, |it| fences.extend(it))?;

    let mut filter = Filter::with_words(header.filter_words);
    let mut places = filter.words_mut();
    let place = place + header.blocks() * 8;
    let checksum = read_words(file, place, header.filter_words, checksum, |words| {
        for (word, place) in words.zip(places.by_ref()) {
            *place = word;
        }
    })?;
    drop(places);
    Ok((fences, filter, checksum))
}

/// Reads `count` numbers from `place` on, chunk by chunk, and continues `checksum` over them.
fn read_words(
    file: &File,
    mut place: u64,
    count: u64,
    mut checksum: u32,
    mut take: impl FnMut(&mut dyn Iterator<Item = u64>),
) -> io::Result<u32> {
    let end = place + count * 8;
    let mut chunk = vec![0; CHUNK_BYTES];
    while place < end {
        let length = usize::try_from(end - place).map_or(CHUNK_BYTES, |it| it.min(CHUNK_BYTES));
        let bytes = &mut chunk[..length];
        file.read_exact_at(bytes, place)?;
        checksum = crc32c::crc32c_append(checksum, bytes);
        take(&mut words(bytes));
        place += length as u64;
    }
    Ok(checksum)
}
