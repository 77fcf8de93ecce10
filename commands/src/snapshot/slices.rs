//! From frozen state to the slices a log takes, encoded as they are asked for: neither all of them
//! nor anything larger than a slice is ever in memory twice.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use domain::id::TenantId;
use event_log::port::SNAPSHOT_SLICE_BYTES_MAX;
use event_log::{Position, SnapshotChunk};
use serde::Serialize;

use super::ShardV1;
use super::rows::{MetaV1, SlotV1, TallyV1};
use crate::idempotency::OutcomesFrozen;
use crate::state::Tally;
use crate::state::shards::Shard;

/// The most bytes of one chunk's content; its key has the rest.
const CHUNK_BYTES_MAX: usize = 480 * 1024;

/// What changed, frozen at a position.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) upto: Position,
    pub(crate) fold: u32,
    pub(super) meta: MetaV1,
    pub(super) tallies: Vec<(TenantId, Tally)>,
    pub(super) shards: Vec<(TenantId, u64, Arc<Shard>)>,
    pub(super) outcomes: OutcomesFrozen,
    /// Pages of outcomes that are no longer.
    pub(super) forgotten: Vec<u64>,
    pub(super) parts: HashMap<String, usize>,
}

/// A changed piece of state, encoded; without content it is no longer.
type Piece = (String, Option<Vec<u8>>);

/// The slices of a frozen state, one after the other.
pub(crate) struct Slices {
    pieces: Box<dyn Iterator<Item = Piece> + Send>,
    /// Chunks of pieces that are encoded and did not fit the last slice.
    waiting: VecDeque<SnapshotChunk>,
    /// How many chunks each piece took, if more than one.
    parts: HashMap<String, usize>,
}

impl std::fmt::Debug for Slices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slices").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Frozen {
    /// Everything, to be encoded beside the loop.
    pub(crate) fn slices(self) -> Slices {
        let Self { meta, tallies, shards, outcomes, forgotten, parts, .. } = self;
        let meta = std::iter::once_with(move || ("meta".to_owned(), Some(encode(&meta))));
        let tallies = tallies.into_iter().map(|(tenant, tally)| {
            (format!("tenant/{}", tenant.0.as_simple()), Some(encode(&TallyV1::of(&tally))))
        });
        let shards = shards.into_iter().map(|(tenant, start, shard)| {
            let slots = shard.slots().iter().map(|(stream, slot)| SlotV1::of(stream, slot));
            let content = ShardV1 { depth: shard.depth(), slots: slots.collect() };
            (format!("shard/{}/{start:016x}", tenant.0.as_simple()), Some(encode(&content)))
        });
        let pages = outcomes.pages.into_iter();
        let pages = pages.map(|(number, rows)| (format!("outcomes/{number}"), Some(encode(&rows))));
        let gone = forgotten.into_iter().map(|it| (format!("outcomes/{it}"), None));
        let pieces = meta.chain(tallies).chain(shards).chain(pages).chain(gone);
        Slices { pieces: Box::new(pieces), waiting: VecDeque::new(), parts }
    }
}

impl Slices {
    /// The next slice; none after the last.
    pub(crate) fn next(&mut self) -> Option<Vec<SnapshotChunk>> {
        let mut slice = Vec::new();
        let mut room = SNAPSHOT_SLICE_BYTES_MAX;
        loop {
            while let Some(chunk) = self.waiting.pop_front() {
                let Some(left) = room.checked_sub(chunk.size()) else {
                    self.waiting.push_front(chunk);
                    return Some(slice);
                };
                room = left;
                slice.push(chunk);
            }
            match self.pieces.next() {
                Some((key, Some(bytes))) => self.split(&key, bytes),
                Some((key, None)) => self.waiting.push_back(SnapshotChunk { key, bytes: None }),
                None => return Some(slice).filter(|it| !it.is_empty()),
            }
        }
    }

    /// How many chunks each piece takes, if more than one, once all slices were taken.
    pub(crate) fn into_parts(self) -> HashMap<String, usize> {
        self.parts
    }

    /// Splits one piece into chunks of at most [`CHUNK_BYTES_MAX`], and removes those it no longer
    /// needs.
    fn split(&mut self, key: &str, bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        let count = bytes.len().div_ceil(CHUNK_BYTES_MAX).max(1);
        for part in 0..count {
            let end = bytes.len().min((part + 1) * CHUNK_BYTES_MAX);
            let piece = bytes.slice(part * CHUNK_BYTES_MAX..end);
            let chunk = SnapshotChunk { key: chunk_key(key, part), bytes: Some(piece) };
            self.waiting.push_back(chunk);
        }
        let before = if count == 1 {
            self.parts.remove(key)
        } else {
            self.parts.insert(key.to_owned(), count)
        };
        let gone = (count..before.unwrap_or(1)).map(|it| chunk_key(key, it));
        self.waiting.extend(gone.map(|key| SnapshotChunk { key, bytes: None }));
    }
}

fn encode<T: Serialize>(content: &T) -> Vec<u8> {
    postcard::to_allocvec(content).expect("rows have no form that postcard cannot encode")
}

/// The key of the n-th chunk of a piece, so that they sort in order.
fn chunk_key(key: &str, part: usize) -> String {
    if part == 0 { key.to_owned() } else { format!("{key}#{part:04}") }
}
