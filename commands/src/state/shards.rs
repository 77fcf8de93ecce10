//! The streams of one tenant in shards of bounded size.
//!
//! A shard covers a range of hashes and splits in two when it is full, so no insertion ever
//! moves more than one shard's slots, a snapshot rewrites only the shards that changed, and a
//! frozen copy of a shard costs a pointer. Shards never merge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::Stream;

use super::Map;
use super::slot::Slot;

/// How many slots a shard holds when it splits: 1,792, as many as a table of 2,048 buckets takes
/// before it grows, some 180 KiB of entities.
const SLOTS_MAX: usize = 1_792;

/// How often a shard can split: 2^24 shards is far beyond any tenant. Bounds the work if hashes
/// were ever to collide.
const DEPTH_MAX: u32 = 24;

/// Slots by stream.
#[derive(Clone, Debug)]
pub(crate) struct Shards {
    /// By the first hash they cover. There is always one at 0.
    shards: BTreeMap<u64, Arc<Shard>>,
    /// Those that changed since they were last [`taken`](Shards::take_dirty).
    dirty: BTreeSet<u64>,
    len: usize,
}

/// Slots whose stream hashes into one range.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shard {
    /// How many leading bits of the hash the slots have in common.
    depth: u32,
    slots: Map<Stream, Slot>,
}

impl Default for Shards {
    fn default() -> Self {
        let shards = BTreeMap::from([(0, Arc::default())]);
        Self { shards, dirty: BTreeSet::new(), len: 0 }
    }
}

impl Shards {
    pub(crate) fn get(&self, stream: &Stream) -> Option<&Slot> {
        self.shards.range(..=hash(stream)).next_back()?.1.slots.get(stream)
    }

    /// Puts `slot` in its place and returns what was there.
    pub(crate) fn insert(&mut self, stream: Stream, slot: Slot) -> Option<Slot> {
        let (start, shard) =
            self.shards.range_mut(..=hash(&stream)).next_back().expect("there is one at 0");
        let start = *start;
        self.dirty.insert(start);
        let shard = Arc::make_mut(shard);
        let before = shard.slots.insert(stream, slot);
        self.len += usize::from(before.is_none());
        if shard.slots.len() >= SLOTS_MAX && shard.depth < DEPTH_MAX {
            let (middle, upper) = shard.split(start);
            self.shards.insert(middle, Arc::new(upper));
            self.dirty.insert(middle);
        }
        before
    }

    /// How many streams there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Every slot, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Stream, &Slot)> {
        self.shards.values().flat_map(|it| &it.slots)
    }

    /// The shards in the order of the hashes they cover, from the one that covers `from`, each
    /// with the first hash after it (none for the last).
    pub(crate) fn from(&self, from: u64) -> impl Iterator<Item = (Option<u64>, &Shard)> {
        let first = self.shards.range(..=from).next_back().map_or(0, |it| *it.0);
        let mut following = self.shards.range(first..).peekable();
        std::iter::from_fn(move || {
            let (_, shard) = following.next()?;
            Some((following.peek().map(|it| *it.0), shard.as_ref()))
        })
    }

    /// A frozen copy of each shard that changed since the last call.
    pub(crate) fn take_dirty(&mut self) -> Vec<(u64, Arc<Shard>)> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().filter_map(|it| Some((it, self.shards.get(&it)?.clone()))).collect()
    }

    /// Marks every shard as changed.
    pub(crate) fn all_changed(&mut self) {
        self.dirty.extend(self.shards.keys());
    }

    /// Puts a shard back as a snapshot had it.
    pub(crate) fn restore(&mut self, start: u64, depth: u32, slots: Map<Stream, Slot>) {
        self.len += slots.len();
        let replaced = self.shards.insert(start, Arc::new(Shard { depth, slots }));
        self.len -= replaced.map_or(0, |it| it.slots.len());
    }
}

impl Shard {
    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    pub(crate) fn slots(&self) -> &Map<Stream, Slot> {
        &self.slots
    }

    /// Keeps the lower half and returns where the upper one begins, and it.
    fn split(&mut self, start: u64) -> (u64, Self) {
        let middle = start | 1 << (u64::BITS - 1 - self.depth);
        self.depth += 1;
        let upper = self.slots.extract_if(|stream, _| hash(stream) >= middle).collect();
        self.slots.shrink_to_fit();
        (middle, Self { depth: self.depth, slots: upper })
    }
}

/// Where a stream belongs. Stored in snapshots through the shards' bounds: never change it
/// without a new fold version.
fn hash(stream: &Stream) -> u64 {
    let (kind, id) = match stream {
        Stream::Directory => (0, 0),
        Stream::Tenant(id) => (1, id.0.as_u128()),
        Stream::Customer(id) => (2, id.0.as_u128()),
        Stream::Entity(id) => (3, id.0.as_u128()),
        Stream::Location(id) => (4, id.0.as_u128()),
        Stream::Plan(id) => (5, id.0.as_u128()),
        Stream::Subscription(id) => (6, id.0.as_u128()),
        Stream::Meter(id) => (7, id.0.as_u128()),
        Stream::Usage => (8, 0),
        Stream::Reactions => (9, 0),
        Stream::Requests => (10, 0),
        Stream::Member(id) => (11, id.0.as_u128()),
        Stream::Role(id) => (12, id.0.as_u128()),
        Stream::Audit => (13, 0),
    };
    let [a, b, c, d, e, f, g, h, low @ ..] = id.to_be_bytes();
    let high = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    mix(mix(high ^ kind) ^ u64::from_be_bytes(low))
}

/// Spreads every bit of `it` over all (the finaliser of `SplitMix64`).
fn mix(it: u64) -> u64 {
    let it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}

#[cfg(test)]
mod tests;
