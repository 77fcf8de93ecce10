//! Says of most identities that are not in a run that they are not: a blocked Bloom filter.
//!
//! An identity sets seven bits of one 512-bit block, so a question costs one cache line. The
//! block follows the identity's order, so a filter is filled front to back while its run is
//! written, without holding the run in memory. (A binary fuse filter would take 9 bits instead
//! of 12 but needs every key at once: gigabytes for a large run.)

use super::fingerprint::halves;

/// Memory per identity: 12 bits, for about one false hit in 200.
const BITS_PER_IDENTITY: u64 = 12;

/// Bits set per identity.
const PROBES: u32 = 7;

/// Words of 64 bits in a block.
const BLOCK_WORDS: usize = 8;

/// Bits that choose one of a block's 512.
const PROBE_BITS: u32 = 9;

/// One cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(64))]
struct Block([u64; BLOCK_WORDS]);

/// A filter over the identities of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter(Box<[Block]>);

impl Filter {
    /// An empty filter for so many identities.
    pub(super) fn new(identities: u64) -> Self {
        let blocks = (identities * BITS_PER_IDENTITY).div_ceil(64 * BLOCK_WORDS as u64);
        Self::with_words(blocks.max(1) * BLOCK_WORDS as u64)
    }

    /// An empty filter of so many words, to be filled with stored ones.
    pub(super) fn with_words(words: u64) -> Self {
        let words = usize::try_from(words).expect("a filter fits in memory");
        Self(vec![Block::default(); words / BLOCK_WORDS].into())
    }

    /// Its words, to be stored.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|it| it.0)
    }

    /// How many words it has.
    pub(super) fn word_count(&self) -> u64 {
        self.bytes() / 8
    }

    /// Its words, to be filled with stored ones.
    pub(super) fn words_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        self.0.iter_mut().flat_map(|it| &mut it.0)
    }

    /// The memory it takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        size_of_val(&*self.0) as u64
    }

    pub(super) fn insert(&mut self, identity: u128) {
        let block = &mut self.0[self.block(identity)].0;
        for (word, bit) in probes(identity) {
            block[word] |= bit;
        }
    }

    /// False if the identity was not inserted; true if it was, and for few that were not.
    pub(super) fn may_hold(&self, identity: u128) -> bool {
        let block = &self.0[self.block(identity)].0;
        probes(identity).all(|(word, bit)| block[word] & bit != 0)
    }

    /// The block of an identity: as far into the filter as it is among all identities.
    fn block(&self, identity: u128) -> usize {
        let (upper, _) = halves(identity);
        let block = (u128::from(upper) * self.0.len() as u128) >> 64;
        usize::try_from(block).expect("less than the number of blocks")
    }
}

/// Word and mask of each bit of an identity, by its lower half.
fn probes(identity: u128) -> impl Iterator<Item = (usize, u64)> {
    let (_, lower) = halves(identity);
    (0..PROBES).map(move |probe| {
        let place = (lower >> (probe * PROBE_BITS)) & ((1 << PROBE_BITS) - 1);
        (usize::try_from(place / 64).expect("less than 8"), 1 << (place % 64))
    })
}

#[cfg(test)]
mod tests;
