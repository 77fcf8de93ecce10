//! From frozen state to the slices a log takes, encoded as they are asked for: neither all of them
//! nor anything larger than a slice is ever in memory twice.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use domain::id::TenantId;
use event_log::Partition;
use event_log::port::SNAPSHOT_SLICE_BYTES_MAX;
use event_log::{Position, SnapshotChunk};
use serde::Serialize;

use super::ShardV1;
use super::cover::{Cover, Place};
use super::rows::{MetaV1, SlotV1, TallyV1};
use crate::idempotency::OutcomesFrozen;
use crate::settings::Values;
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
    /// The tenants of which nothing is known, as in the state.
    pub(super) unread: Vec<(TenantId, Option<Position>)>,
    pub(super) outcomes: OutcomesFrozen,
    /// Pages of outcomes that are no longer.
    pub(super) forgotten: Vec<u64>,
    pub(super) parts: HashMap<String, usize>,
}

/// A changed piece of state, encoded.
#[derive(Debug)]
struct Piece {
    key: String,
    /// Whose rows it holds, if they are to be covered.
    tenant: Option<TenantId>,
    /// None if it is no longer.
    content: Option<Vec<u8>>,
}

/// The slices of a frozen state, one after the other.
pub(crate) struct Slices {
    partition: Partition,
    values: Values,
    fold: u32,
    pieces: Box<dyn Iterator<Item = Piece> + Send>,
    /// The next piece, if it waits for its tenant's cover.
    uncovered: Option<Piece>,
    /// What the rows of the last tenant are stored under, if its key is there: all of a tenant's
    /// pieces follow one another.
    cover: Option<(TenantId, Option<Cover>)>,
    /// Whether rows were left out, for want of a key.
    is_short: bool,
    /// Chunks of the slice that is being filled.
    slice: Vec<SnapshotChunk>,
    /// Chunks of pieces that are encoded and did not fit the last slice.
    waiting: VecDeque<SnapshotChunk>,
    /// How many chunks each piece took, if more than one.
    parts: HashMap<String, usize>,
}

/// What became of a frozen state.
#[derive(Debug)]
pub(crate) struct Written {
    /// How many chunks each piece takes, if more than one.
    pub(super) parts: HashMap<String, usize>,
    /// Whether rows were left out, for want of a key.
    pub(super) is_short: bool,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step {
    /// A slice.
    Slice(Vec<SnapshotChunk>),
    /// [`Slices::cover`] of this tenant, before it can go on.
    Cover(TenantId),
    /// Nothing.
    Done,
}

impl std::fmt::Debug for Slices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slices").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Frozen {
    /// Everything, to be encoded beside the loop.
    pub(crate) fn slices(self, partition: Partition, values: Values) -> Slices {
        let Self { fold, meta, tallies, shards, unread, outcomes, forgotten, parts, .. } = self;
        let open = |key, content| Piece { key, tenant: None, content };
        let meta = std::iter::once_with(move || open("meta".to_owned(), Some(encode(&meta))));
        let tallies = tallies.into_iter().map(move |(tenant, tally)| {
            let key = format!("tenant/{}", tenant.0.as_simple());
            open(key, Some(encode(&TallyV1::of(&tally))))
        });
        let shards = shards.into_iter().map(|(tenant, start, shard)| {
            let slots = shard.slots().iter().map(|(stream, slot)| SlotV1::of(stream, slot));
            let content = ShardV1 { depth: shard.depth(), slots: slots.collect() };
            let key = format!("shard/{}/{start:016x}", tenant.0.as_simple());
            Piece { key, tenant: Some(tenant), content: Some(encode(&content)) }
        });
        let unread = unread
            .into_iter()
            .map(move |(tenant, first)| open(mark(tenant), Some(encode(&first.map(|it| it.0)))));
        let pages = outcomes.pages.into_iter();
        let pages = pages
            .map(move |(number, rows)| open(format!("outcomes/{number}"), Some(encode(&rows))));
        let gone = forgotten.into_iter().map(move |it| open(format!("outcomes/{it}"), None));
        Slices {
            partition,
            values,
            fold,
            pieces: Box::new(
                meta.chain(tallies).chain(shards).chain(unread).chain(pages).chain(gone),
            ),
            uncovered: None,
            cover: None,
            is_short: false,
            slice: Vec::new(),
            waiting: VecDeque::new(),
            parts,
        }
    }
}

impl Slices {
    /// Goes on to the next slice, or to where it needs something.
    pub(crate) fn next(&mut self) -> Step {
        let filled: usize = self.slice.iter().map(SnapshotChunk::size).sum();
        let mut room = SNAPSHOT_SLICE_BYTES_MAX - filled;
        loop {
            while let Some(chunk) = self.waiting.pop_front() {
                let Some(left) = room.checked_sub(chunk.size()) else {
                    self.waiting.push_front(chunk);
                    return Step::Slice(std::mem::take(&mut self.slice));
                };
                room = left;
                self.slice.push(chunk);
            }
            let Some(piece) = self.uncovered.take().or_else(|| self.pieces.next()) else {
                return match std::mem::take(&mut self.slice) {
                    slice if slice.is_empty() => Step::Done,
                    slice => Step::Slice(slice),
                };
            };
            if let Some(tenant) = self.encode(piece) {
                return Step::Cover(tenant);
            }
        }
    }

    /// Gives what the rows of a tenant are to be stored under. Without it they are left out, and a mark
    /// says so: whoever takes the snapshot back must not take the tenant for empty.
    pub(crate) fn cover(&mut self, tenant: TenantId, cover: Option<Cover>) {
        if cover.is_none() {
            self.is_short = true;
            self.split(&mark(tenant), encode(&None::<u64>));
        }
        self.cover = Some((tenant, cover));
    }

    /// Makes the chunks of a piece; puts it aside and names its tenant if that one's cover is
    /// missing.
    fn encode(&mut self, piece: Piece) -> Option<TenantId> {
        let Piece { key, tenant, content } = piece;
        let Some(rows) = content else {
            self.waiting.push_back(SnapshotChunk { key, bytes: None });
            return None;
        };
        let place = Place { partition: self.partition, fold: self.fold, key: &key };
        let content = match (tenant, self.values, &self.cover) {
            (None, _, _) => rows,
            (Some(_), Values::Plain, _) => Cover::Plain.put(place, rows),
            (Some(tenant), Values::Sealed, Some((covered, cover))) if tenant == *covered => {
                let Some(cover) = cover else { return None };
                cover.put(place, rows)
            }
            (Some(tenant), Values::Sealed, _) => {
                self.uncovered = Some(Piece { key, tenant: Some(tenant), content: Some(rows) });
                return Some(tenant);
            }
        };
        self.split(&key, content);
        None
    }

    /// What was written, once all slices were taken.
    pub(crate) fn into_written(self) -> Written {
        Written { parts: self.parts, is_short: self.is_short }
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

/// The key of the piece that says that nothing is known of a tenant.
fn mark(tenant: TenantId) -> String {
    format!("unread/{}", tenant.0.as_simple())
}

fn encode<T: Serialize>(content: &T) -> Vec<u8> {
    postcard::to_allocvec(content).expect("rows have no form that postcard cannot encode")
}

/// The key of the n-th chunk of a piece, so that they sort in order.
fn chunk_key(key: &str, part: usize) -> String {
    if part == 0 { key.to_owned() } else { format!("{key}#{part:04}") }
}
