//! One page of a run: up to 170 fingerprints in order, and a checksum.
//!
//! The checksum also covers which run and which block of it this is, so that a page written to
//! or read from the wrong place shows.

use super::fingerprint::Fingerprint;

/// The size of a block: one page. In bytes: 4,096.
pub(super) const BLOCK_BYTES: usize = 4_096;

/// The size of a stored fingerprint. In bytes: 24.
const ENTRY_BYTES: usize = 24;

/// How many fingerprints a block holds: 170, which leaves 16 bytes, the last 4 of them the
/// checksum.
pub(super) const BLOCK_ENTRIES: usize = 170;

/// Where the checksum is.
const CHECKSUM: usize = BLOCK_BYTES - 4;

/// The bytes of a block.
pub(super) type Page = [u8; BLOCK_BYTES];

/// Writes the checksum of a block.
pub(super) fn seal(page: &mut Page, run: u64, block: u64) {
    let checksum = checksum(page, run, block);
    page[CHECKSUM..].copy_from_slice(&checksum);
}

/// Whether the block is what was written there.
pub(super) fn is_intact(page: &Page, run: u64, block: u64) -> bool {
    page[CHECKSUM..] == checksum(page, run, block)
}

fn checksum(page: &Page, run: u64, block: u64) -> [u8; 4] {
    let place = crc32c::crc32c_append(crc32c::crc32c(&run.to_le_bytes()), &block.to_le_bytes());
    crc32c::crc32c_append(place, &page[..CHECKSUM]).to_le_bytes()
}

/// A block of so many fingerprints.
pub(super) struct Block {
    pub(super) page: Page,
    pub(super) entries: usize,
}

impl Block {
    /// The content recorded with `identity`.
    pub(super) fn find(&self, identity: u128) -> Option<u64> {
        let entries = &self.page.as_chunks::<ENTRY_BYTES>().0[..self.entries];
        let place = entries.binary_search_by_key(&identity, |it| decode(it).identity).ok()?;
        Some(decode(&entries[place]).content)
    }

    /// The fingerprint at this place, if there are so many.
    pub(super) fn get(&self, place: usize) -> Option<Fingerprint> {
        let entries = &self.page.as_chunks::<ENTRY_BYTES>().0[..self.entries];
        entries.get(place).map(decode)
    }

    /// Adds a fingerprint after all others; the block must not be full.
    pub(super) fn push(&mut self, fingerprint: Fingerprint) {
        let entry = &mut self.page.as_chunks_mut::<ENTRY_BYTES>().0[self.entries];
        entry[..16].copy_from_slice(&fingerprint.identity.to_be_bytes());
        entry[16..].copy_from_slice(&fingerprint.content.to_le_bytes());
        self.entries += 1;
    }

    /// A block without any.
    pub(super) fn empty() -> Self {
        Self { page: [0; BLOCK_BYTES], entries: 0 }
    }
}

fn decode(entry: &[u8; ENTRY_BYTES]) -> Fingerprint {
    let (identity, content) = entry.split_first_chunk::<16>().expect("an entry has 24 bytes");
    let content = content.try_into().expect("an entry has 24 bytes");
    Fingerprint { identity: u128::from_be_bytes(*identity), content: u64::from_le_bytes(content) }
}
