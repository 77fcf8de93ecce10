//! The state of an owner at a position, in pieces that fit every log.
//!
//! Only pieces that changed since the last snapshot are written. They are frozen in the owner's
//! loop, which costs a pointer each, and encoded beside it. Nothing rests on a snapshot: one
//! that is missing, damaged or of another fold version only makes the next start slower.
//!
//! [`rows`] is what is stored; this file says which pieces there are and how they travel.

pub(crate) mod rows;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use domain::Stream;
use domain::id::TenantId;
use event_log::{Link, Position, Snapshot, SnapshotChunk};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::idempotency::OutcomesFrozen;
use crate::state::shards::Shard;
use crate::state::{Map, Slot, State, Tally};
use rows::{MetaV1, OutcomeV1, RowError, SlotV1, TallyV1};

/// The version of the fold. Raise it with every change of what replaying the log results in, or
/// of [`rows`]: older snapshots are ignored then.
const FOLD_VERSION: u32 = 4;

/// The most bytes of one chunk's content; its key has the rest.
const CHUNK_BYTES_MAX: usize = 480 * 1024;

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    #[error("chunk `{0}` has a key of no known form")]
    Key(String),
    #[error("chunk `{0}` is missing")]
    Missing(&'static str),
    #[error("chunk `{key}` cannot be decoded")]
    Decode {
        key: String,
        #[source]
        source: postcard::Error,
    },
    #[error("a row of chunk `{key}` cannot be taken back")]
    Row {
        key: String,
        #[source]
        source: RowError,
    },
}

/// What must be remembered from one snapshot to the next.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    /// How many chunks each piece took, if more than one.
    parts: HashMap<String, usize>,
    /// Tenants that changed since.
    dirty: HashSet<TenantId>,
    /// The first and the last page of outcomes that is stored.
    pages: Option<(u64, u64)>,
    /// How many events were recorded since.
    events: u64,
}

/// A changed piece of state, frozen.
#[derive(Debug)]
struct Piece<T> {
    key: String,
    content: T,
}

/// What changed, frozen at a position.
#[derive(Debug)]
pub(crate) struct Frozen {
    upto: Position,
    meta: MetaV1,
    tallies: Vec<(TenantId, Tally)>,
    shards: Vec<(TenantId, u64, Arc<Shard>)>,
    outcomes: OutcomesFrozen,
    /// Pages of outcomes that are no longer.
    forgotten: Vec<u64>,
    parts: HashMap<String, usize>,
}

/// What became of a frozen state: what to save, and how it is split.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) snapshot: Snapshot,
    pub(crate) parts: HashMap<String, usize>,
}

/// A shard of a tenant's streams.
#[derive(Debug, Serialize, Deserialize)]
struct ShardV1 {
    depth: u32,
    slots: Vec<SlotV1>,
}

impl Snapshots {
    /// Notes that `tenant` changed by some events.
    pub(crate) fn changed(&mut self, tenant: TenantId) {
        self.dirty.insert(tenant);
    }

    /// Counts recorded events, and says how many there were since the last snapshot.
    pub(crate) fn count(&mut self, events: usize) -> u64 {
        self.events += u64::try_from(events).expect("a length fits 64 bits");
        self.events
    }

    /// Freezes what changed since the last call. `followed` is the position before which
    /// everything was reacted to.
    pub(crate) fn freeze(&mut self, state: &mut State, followed: Position) -> Frozen {
        let mut tallies = Vec::with_capacity(self.dirty.len());
        let mut shards = Vec::new();
        for tenant in self.dirty.drain() {
            let Some(changed) = state.tenants.get_mut(&tenant) else { continue };
            tallies.push((tenant, changed.tally));
            let dirty = changed.streams.take_dirty().into_iter();
            shards.extend(dirty.map(|(start, shard)| (tenant, start, shard)));
        }
        let pages = state.outcomes.numbers();
        let outcomes = state.outcomes.freeze(self.pages.map_or(0, |it| it.1));
        let first_before = self.pages.map_or(0, |it| it.0);
        let first = pages.map_or(first_before, |it| it.0);
        self.pages = pages;
        self.events = 0;
        Frozen {
            upto: state.next,
            meta: MetaV1 { recorded: state.recorded, followed: followed.0 },
            tallies,
            shards,
            outcomes,
            forgotten: (first_before..first).collect(),
            parts: self.parts.clone(),
        }
    }

    /// Notes that a frozen state was saved.
    pub(crate) fn saved(&mut self, parts: HashMap<String, usize>) {
        self.parts = parts;
    }

    /// Marks a frozen state as changed again: it was not saved.
    pub(crate) fn lost(&mut self, state: &mut State, frozen: &[(TenantId, u64)]) {
        for (tenant, start) in frozen {
            self.dirty.insert(*tenant);
            if let Some(changed) = state.tenants.get_mut(tenant) {
                changed.streams.put_back([*start]);
            }
        }
        self.pages = None;
    }
}

impl Frozen {
    /// Which shards are in it.
    pub(crate) fn shards(&self) -> Vec<(TenantId, u64)> {
        self.shards.iter().map(|(tenant, start, _)| (*tenant, *start)).collect()
    }

    /// Encodes everything; to be called beside the loop.
    pub(crate) fn encode(self) -> Encoded {
        let Self { upto, meta, tallies, shards, outcomes, forgotten, mut parts } = self;
        let mut chunks = Vec::new();
        let mut put = |key: &str, bytes| split(key, bytes, &mut parts, &mut chunks);
        put("meta", encode(&meta));
        for (tenant, tally) in tallies {
            put(&format!("tenant/{}", tenant.0.as_simple()), encode(&TallyV1::of(&tally)));
        }
        for (tenant, start, shard) in shards {
            let slots = shard.slots().iter().map(|(stream, slot)| SlotV1::of(stream, slot));
            let content = ShardV1 { depth: shard.depth(), slots: slots.collect() };
            put(&format!("shard/{}/{start:016x}", tenant.0.as_simple()), encode(&content));
        }
        for (number, rows) in outcomes.pages {
            put(&format!("outcomes/{number}"), encode(&rows));
        }
        let gone = forgotten.iter().map(|it| format!("outcomes/{it}"));
        chunks.extend(gone.map(|key| SnapshotChunk { key, bytes: None }));
        let snapshot = Snapshot { upto, fold_version: FOLD_VERSION, chunks };
        Encoded { snapshot, parts }
    }
}

/// A snapshot taken back.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) state: State,
    pub(crate) snapshots: Snapshots,
    /// Everything before was reacted to.
    pub(crate) followed: Position,
}

/// Takes a snapshot back. None if it was made by another version of the fold.
pub(crate) fn restore(snapshot: &Snapshot) -> Result<Option<Restored>, RestoreError> {
    if snapshot.fold_version != FOLD_VERSION {
        return Ok(None);
    }
    let mut state = State { next: snapshot.upto, ..State::default() };
    let mut snapshots = Snapshots::default();
    let mut meta: Option<MetaV1> = None;
    let mut pages = Vec::new();
    for Piece { key, content } in join(&snapshot.chunks, &mut snapshots.parts) {
        let mut words = key.split('/');
        match (words.next(), words.next(), words.next()) {
            (Some("meta"), None, None) => meta = Some(decode(&key, &content)?),
            (Some("tenant"), Some(tenant), None) => {
                let tenant = tenant_of(&key, tenant)?;
                let tally: TallyV1 = decode(&key, &content)?;
                state.tenants.entry(tenant).or_default().tally = tally.into();
            }
            (Some("shard"), Some(tenant), Some(start)) => {
                let tenant = tenant_of(&key, tenant)?;
                let start = u64::from_str_radix(start, 16);
                let start = start.map_err(|_| RestoreError::Key(key.clone()))?;
                restore_shard(&mut state, tenant, start, &key, &content)?;
            }
            (Some("outcomes"), Some(number), None) => {
                let number: u64 = number.parse().map_err(|_| RestoreError::Key(key.clone()))?;
                pages.push((number, decode::<Vec<OutcomeV1>>(&key, &content)?));
            }
            _ => return Err(RestoreError::Key(key)),
        }
    }
    let meta = meta.ok_or(RestoreError::Missing("meta"))?;
    pages.sort_unstable_by_key(|it| it.0);
    state.outcomes.restore(pages);
    state.recorded = meta.recorded;
    snapshots.pages = state.outcomes.numbers();
    Ok(Some(Restored { state, snapshots, followed: Position(meta.followed) }))
}

fn restore_shard(
    state: &mut State,
    tenant: TenantId,
    start: u64,
    key: &str,
    content: &[u8],
) -> Result<(), RestoreError> {
    let ShardV1 { depth, slots } = decode(key, content)?;
    let row = |it: SlotV1| -> Result<(Stream, Slot), RowError> { it.restore() };
    let slots: Result<Map<_, _>, _> = slots.into_iter().map(row).collect();
    let slots = slots.map_err(|source| RestoreError::Row { key: key.to_owned(), source })?;
    for (stream, slot) in &slots {
        state.timers.replace(tenant, *stream, None, slot.held.due());
    }
    state.tenants.entry(tenant).or_default().streams.restore(start, depth, slots);
    Ok(())
}

fn tenant_of(key: &str, text: &str) -> Result<TenantId, RestoreError> {
    let id = uuid::Uuid::try_parse(text).map_err(|_| RestoreError::Key(key.to_owned()))?;
    Ok(TenantId(id))
}

fn encode<T: Serialize>(content: &T) -> Vec<u8> {
    postcard::to_allocvec(content).expect("rows have no form that postcard cannot encode")
}

fn decode<T: DeserializeOwned>(key: &str, content: &[u8]) -> Result<T, RestoreError> {
    postcard::from_bytes(content)
        .map_err(|source| RestoreError::Decode { key: key.to_owned(), source })
}

/// Splits one piece into chunks of at most [`CHUNK_BYTES_MAX`], and removes those it no longer
/// needs.
fn split(
    key: &str,
    bytes: Vec<u8>,
    parts: &mut HashMap<String, usize>,
    chunks: &mut Vec<SnapshotChunk>,
) {
    let bytes = Bytes::from(bytes);
    let count = bytes.len().div_ceil(CHUNK_BYTES_MAX).max(1);
    for part in 0..count {
        let end = bytes.len().min((part + 1) * CHUNK_BYTES_MAX);
        let piece = bytes.slice(part * CHUNK_BYTES_MAX..end);
        chunks.push(SnapshotChunk { key: chunk_key(key, part), bytes: Some(piece) });
    }
    let before = if count == 1 { parts.remove(key) } else { parts.insert(key.to_owned(), count) };
    for part in count..before.unwrap_or(1) {
        chunks.push(SnapshotChunk { key: chunk_key(key, part), bytes: None });
    }
}

/// The key of the n-th chunk of a piece, so that they sort in order.
fn chunk_key(key: &str, part: usize) -> String {
    if part == 0 { key.to_owned() } else { format!("{key}#{part:04}") }
}

/// Puts the pieces together again, and counts the chunks of those that have several.
fn join(chunks: &[SnapshotChunk], parts: &mut HashMap<String, usize>) -> Vec<Piece<Vec<u8>>> {
    let mut sorted: Vec<_> = chunks.iter().collect();
    sorted.sort_unstable_by(|one, other| piece_of(one).cmp(&piece_of(other)));
    let mut pieces: Vec<Piece<Vec<u8>>> = Vec::new();
    for chunk in sorted {
        let (key, _) = piece_of(chunk);
        let bytes = chunk.bytes.as_deref().unwrap_or_default();
        match pieces.last_mut() {
            Some(last) if last.key == key => {
                last.content.extend_from_slice(bytes);
                *parts.entry(key.to_owned()).or_insert(1) += 1;
            }
            _ => pieces.push(Piece { key: key.to_owned(), content: bytes.to_vec() }),
        }
    }
    pieces
}

fn piece_of(chunk: &SnapshotChunk) -> (&str, &str) {
    chunk.key.split_once('#').unwrap_or((&chunk.key, ""))
}

impl TallyV1 {
    fn of(tally: &Tally) -> Self {
        let Tally { sequence, link, entities } = *tally;
        Self { sequence, link: link.0, entities }
    }
}

impl From<TallyV1> for Tally {
    fn from(TallyV1 { sequence, link, entities }: TallyV1) -> Self {
        Self { sequence, link: Link(link), entities }
    }
}
