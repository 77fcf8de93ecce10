//! How snapshots lie in their compacted topic, and how the newest one is read back.
//!
//! ```text
//! piece/<number>/<key>    the bytes of a piece that snapshot <number> brought
//! key/<version>/<key>     the number of the piece that counts for this version of the fold;
//!                         written when a snapshot is finished
//! head/<version>          its newest snapshot: number, the first one of its series, fold, position
//! ```
//!
//! Finishing writes pointers and head in one transaction: what is staged counts for nothing before,
//! and what was left half-way never does. Pointers older than the series of their head do not count.
//! The versions that saved last keep their snapshots; the heads of others are removed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use bytes::Bytes;
use rdkafka::message::Message as _;

use super::ends::number as partition_number;
use super::scan::Scanner;
use crate::port::{FOLD_VERSIONS_MAX, LogError, Partition, Position, Snapshot, SnapshotChunk};

const HEAD: &str = "head/";

const PIECE: &str = "piece/";
const POINTER: &str = "key/";

/// What the newest snapshot of a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) number: u64,
    /// The number of the first snapshot of the same series, from which pointers count.
    pub(super) since: u64,
    pub(super) upto: Position,
    pub(super) fold: u32,
}

impl Head {
    pub(super) fn to_text(self) -> String {
        let Self { number, since, upto, fold } = self;
        format!("v1 {number} {since} {upto} {fold}")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("v1 ")?.split(' ');
        Some(Self {
            number: words.next()?.parse().ok()?,
            since: words.next()?.parse().ok()?,
            upto: Position(words.next()?.parse().ok()?),
            fold: words.next()?.parse().ok()?,
        })
    }
}

/// The key of a piece.
pub(super) fn piece(number: u64, key: &str) -> String {
    format!("{PIECE}{number}/{key}")
}

/// The key that says which piece counts for a version.
pub(super) fn pointer(version: u32, key: &str) -> String {
    format!("{POINTER}{version}/{key}")
}

/// The key of the head of a version.
pub(super) fn head(version: u32) -> String {
    format!("{HEAD}{version}")
}

/// What is stored of one partition's snapshots, without the bytes.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By version of the fold.
    pub(super) heads: BTreeMap<u32, Head>,
    /// The piece that counts for each version and key, if its number does.
    pub(super) pointers: HashMap<(u32, String), u64>,
    /// Every piece that is stored.
    pub(super) pieces: HashSet<(u64, String)>,
}

impl Index {
    /// The number of the next snapshot: that of no piece so far.
    pub(super) fn next_number(&self) -> u64 {
        let pieces = self.pieces.iter().map(|it| it.0);
        pieces.chain(self.heads.values().map(|it| it.number)).max().map_or(1, |it| it + 1)
    }

    /// The versions whose snapshots do not stay once `version` has saved one.
    pub(super) fn outlived(&self, version: u32) -> BTreeSet<u32> {
        let mut others: Vec<_> = self.heads.iter().filter(|it| *it.0 != version).collect();
        others.sort_by_key(|it| std::cmp::Reverse(it.1.number));
        others.into_iter().skip(FOLD_VERSIONS_MAX - 1).map(|it| *it.0).collect()
    }

    /// The pieces that count for nothing, without those of the snapshot `besides`.
    pub(super) fn garbage(&self, besides: u64, max: usize) -> HashSet<(u64, String)> {
        let counting: HashSet<(u64, &str)> = self.counting().collect();
        let counts = |(number, key): &&(u64, String)| {
            *number == besides || counting.contains(&(*number, key.as_str()))
        };
        self.pieces.iter().filter(|it| !counts(it)).take(max).cloned().collect()
    }

    /// The pointers that count for nothing.
    pub(super) fn loose(&self, max: usize) -> HashSet<(u32, String)> {
        let is_loose = |(version, _): &&(u32, String)| !self.heads.contains_key(version);
        self.pointers.keys().filter(is_loose).take(max).cloned().collect()
    }

    /// The pieces that count.
    fn counting(&self) -> impl Iterator<Item = (u64, &str)> {
        let counts = |version: &u32, number: &u64| {
            self.heads.get(version).is_some_and(|it| *number >= it.since)
        };
        let counting =
            self.pointers.iter().filter(move |((version, _), number)| counts(version, number));
        counting.map(|((_, key), number)| (*number, key.as_str()))
    }

    /// Takes in a record of the topic.
    fn apply(&mut self, key: &str, value: Option<&[u8]>) {
        let text = value.and_then(|it| std::str::from_utf8(it).ok());
        if let Some(name) = key.strip_prefix(POINTER).and_then(parse_numbered) {
            match text.and_then(|it| it.parse().ok()) {
                Some(number) => self.pointers.insert(name, number),
                None => self.pointers.remove(&name),
            };
        } else if let Some(name) = parse_piece(key) {
            match value {
                Some(_) => self.pieces.insert(name),
                None => self.pieces.remove(&name),
            };
        } else if let Some(version) = key.strip_prefix(HEAD).and_then(|it| it.parse().ok()) {
            match text.and_then(Head::parse) {
                Some(head) => self.heads.insert(version, head),
                None => self.heads.remove(&version),
            };
        }
    }
}

fn parse_piece(key: &str) -> Option<(u64, String)> {
    key.strip_prefix(PIECE).and_then(parse_numbered)
}

fn parse_numbered<N: std::str::FromStr>(text: &str) -> Option<(N, String)> {
    let (number, name) = text.split_once('/')?;
    Some((number.parse().ok()?, name.to_owned()))
}

/// Reads what is stored of `partition`, everything before `known` included. Blocks.
pub(super) fn index(
    scanner: &Scanner,
    topic: &str,
    partition: Partition,
    known: i64,
) -> Result<Index, LogError> {
    let mut index = Index::default();
    each(scanner, topic, partition, known, |key, value| index.apply(key, value))?;
    Ok(index)
}

/// Reads the newest snapshot of `partition` by `version` of the fold. Blocks.
pub(super) fn newest(
    scanner: &Scanner,
    topic: &str,
    (partition, version): (Partition, u32),
    known: i64,
) -> Result<Option<Snapshot>, LogError> {
    let mut index = Index::default();
    let mut pieces = BTreeMap::new();
    each(scanner, topic, partition, known, |key, value| {
        index.apply(key, value);
        if let Some(name) = parse_piece(key) {
            match value {
                Some(bytes) => pieces.insert(name, Bytes::copy_from_slice(bytes)),
                None => pieces.remove(&name),
            };
        }
    })?;
    let Some(head) = index.heads.get(&version) else { return Ok(None) };
    let mut chunks = Vec::with_capacity(index.pointers.len());
    let of_version = |it: &((u32, String), u64)| it.0.0 == version && it.1 >= head.since;
    for ((_, key), number) in index.pointers.into_iter().filter(of_version) {
        let Some(bytes) = pieces.remove(&(number, key.clone())) else {
            tracing::warn!(log.partition = %partition, key, "a piece of the snapshot is missing");
            return Ok(None);
        };
        chunks.push(SnapshotChunk { key, bytes: Some(bytes) });
    }
    Ok(Some(Snapshot { upto: head.upto, fold: head.fold, chunks }))
}

fn each(
    scanner: &Scanner,
    topic: &str,
    partition: Partition,
    known: i64,
    mut apply: impl FnMut(&str, Option<&[u8]>),
) -> Result<(), LogError> {
    let partition = partition_number(partition);
    let extent = scanner.settled(topic, partition, known)?;
    if extent.low == extent.stable {
        return Ok(());
    }
    scanner.scan_all(topic, partition, extent.low, |message| {
        if message.offset() >= extent.stable {
            return ControlFlow::Break(());
        }
        if let Some(key) = message.key().and_then(|it| std::str::from_utf8(it).ok()) {
            apply(key, message.payload());
        }
        ControlFlow::Continue(())
    })
}
