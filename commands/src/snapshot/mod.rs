//! The state of an owner at a position, in pieces that fit every log.
//!
//! Only pieces that changed since the last snapshot are written. They are frozen in the owner's
//! loop, which costs a pointer each, and encoded and written beside it. Nothing rests on a
//! snapshot: one that is missing or damaged only makes the next start slower. Each version of the
//! fold has its own, so that the version before finds its one where it is put back.
//!
//! [`rows`] is what is stored, [`cover`] under which key, [`slices`] how it travels; this file says
//! which pieces there are.

pub(crate) mod cover;
pub(crate) mod rows;
mod slices;

use std::collections::{HashMap, HashSet};

use domain::Stream;
use domain::id::TenantId;
use event_log::port::{SERIES_BITS, version_of};
use event_log::{Link, Partition, Position, Snapshot, SnapshotChunk};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vault::Keyring;

use crate::settings::Values;
use crate::state::{Map, Slot, State, Tally};
use cover::{CoverError, Place, Rows};
use rows::{MetaV1, OutcomeV1, RowError, SlotV1, TallyV1};
pub(crate) use slices::{Frozen, Step, Written};

/// The version of the fold, which a snapshot of the log says. Raise it with every change of what
/// replaying the log results in, or of `rows`: older snapshots are ignored then.
pub const FOLD_VERSION: u32 = if cfg!(feature = "next") { 15 } else { 14 };

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
    #[error("chunk `{key}` cannot be opened")]
    Cover {
        key: String,
        #[source]
        source: CoverError,
    },
}

/// What must be remembered from one snapshot to the next.
///
/// What changed since the last one is written, so it must be known which that is. Whoever takes a
/// partition over does not know: another owner may have saved snapshots meanwhile, with pieces
/// that are of no meaning here. So it begins a series of its own, with everything, and the log
/// drops what belongs to another one ([`event_log::SnapshotWriter`]).
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    /// The series that the newest snapshot is known to belong to.
    series: Option<u32>,
    /// How many chunks each piece took, if more than one.
    parts: HashMap<String, usize>,
    /// Tenants that changed since.
    dirty: HashSet<TenantId>,
    /// The first and the last page of outcomes that is stored.
    pages: Option<(u64, u64)>,
    /// How many events were recorded since.
    events: u64,
}

/// A piece of state, put together again.
#[derive(Debug)]
struct Piece {
    key: String,
    content: Vec<u8>,
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
        let series = *self.series.get_or_insert_with(|| {
            self.parts.clear();
            self.pages = None;
            self.dirty.extend(state.tenants.keys());
            state.tenants.values_mut().for_each(|it| it.streams.all_changed());
            random_series()
        });
        let mut tallies = Vec::with_capacity(self.dirty.len());
        let mut shards = Vec::new();
        for tenant in self.dirty.drain() {
            let Some(changed) = state.tenants.get_mut(&tenant) else { continue };
            tallies.push((tenant, changed.tally));
            if state.unread.contains_key(&tenant) {
                // It has no rows, which must not be taken for what it stored.
                continue;
            }
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
            fold: FOLD_VERSION << SERIES_BITS | series,
            meta: MetaV1 { recorded: state.recorded, followed: followed.0 },
            tallies,
            shards,
            unread: state.unread.iter().map(|(tenant, first)| (*tenant, *first)).collect(),
            outcomes,
            forgotten: (first_before..first).collect(),
            parts: self.parts.clone(),
        }
    }

    /// Notes that a frozen state was saved. If rows were left out, the next one has everything.
    pub(crate) fn saved(&mut self, Written { parts, is_short }: Written) {
        self.parts = parts;
        if is_short {
            self.begin_anew();
        }
    }

    /// The newest snapshot is no longer known: the next one has everything.
    pub(crate) fn begin_anew(&mut self) {
        self.series = None;
    }
}

/// A series that no other owner has taken, but for a chance of one in 16 million.
fn random_series() -> u32 {
    let random = uuid::Uuid::now_v7().as_u128() & ((1 << SERIES_BITS) - 1);
    u32::try_from(random).expect("it has 24 bits")
}

/// A snapshot taken back.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) state: State,
    pub(crate) snapshots: Snapshots,
    /// Everything before was reacted to.
    pub(crate) followed: Position,
}

/// Whose snapshot is taken back, and how the next one will be stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restoring<'a> {
    pub(crate) partition: Partition,
    pub(crate) values: Values,
    pub(crate) keyring: &'a Keyring,
}

/// Takes a snapshot back. None if it was made by another version of the fold. Of a tenant whose
/// key was destroyed there is left what replaying the log would leave: how far it had come; so there is
/// of one whose key cannot be had, or could not be when it was saved, which is unread then.
pub(crate) async fn restore(
    snapshot: &Snapshot,
    restoring: Restoring<'_>,
) -> Result<Option<Restored>, RestoreError> {
    let Restoring { partition, values, keyring } = restoring;
    if version_of(snapshot.fold) != FOLD_VERSION {
        return Ok(None);
    }
    let mut state = State { next: snapshot.upto, ..State::default() };
    let series = Some(snapshot.fold & ((1 << SERIES_BITS) - 1));
    let mut snapshots = Snapshots { series, ..Snapshots::default() };
    let mut meta: Option<MetaV1> = None;
    let mut pages = Vec::new();
    let (mut gone, mut unread) = (HashSet::new(), HashMap::new());
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
                let place = Place { partition, fold: snapshot.fold, key: &key };
                let failed = |source| RestoreError::Cover { key: key.clone(), source };
                match place.take(tenant, content, keyring).await.map_err(failed)? {
                    Rows::Gone => drop(gone.insert(tenant)),
                    Rows::Unread => drop(unread.entry(tenant).or_insert(None)),
                    Rows::Read(stored, rows) => {
                        if stored != values {
                            snapshots.begin_anew();
                        }
                        restore_shard(&mut state, tenant, start, &key, &rows)?;
                    }
                }
            }
            (Some("unread"), Some(tenant), None) => {
                let first: Option<u64> = decode(&key, &content)?;
                unread.insert(tenant_of(&key, tenant)?, first.map(Position));
            }
            (Some("outcomes"), Some(number), None) => {
                let number: u64 = number.parse().map_err(|_| RestoreError::Key(key.clone()))?;
                pages.push((number, decode::<Vec<OutcomeV1>>(&key, &content)?));
            }
            _ => return Err(RestoreError::Key(key)),
        }
    }
    for tenant in gone {
        state.tenants.entry(tenant).or_default().tally.entities = 0;
    }
    unread.into_iter().for_each(|(tenant, first)| state.leave_unread(tenant, first));
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

fn decode<T: DeserializeOwned>(key: &str, content: &[u8]) -> Result<T, RestoreError> {
    postcard::from_bytes(content)
        .map_err(|source| RestoreError::Decode { key: key.to_owned(), source })
}

/// Puts the pieces together again, and counts the chunks of those that have several.
fn join(chunks: &[SnapshotChunk], parts: &mut HashMap<String, usize>) -> Vec<Piece> {
    let mut sorted: Vec<_> = chunks.iter().collect();
    sorted.sort_unstable_by(|one, other| piece_of(one).cmp(&piece_of(other)));
    let mut pieces: Vec<Piece> = Vec::new();
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
        let Tally { sequence, link, entities, owners } = *tally;
        Self { sequence, link: link.0, entities, owners }
    }
}

impl From<TallyV1> for Tally {
    fn from(TallyV1 { sequence, link, entities, owners }: TallyV1) -> Self {
        Self { sequence, link: Link(link), entities, owners }
    }
}
