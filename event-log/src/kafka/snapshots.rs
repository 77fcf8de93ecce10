//! How snapshots lie in their compacted topic, and how the newest one is read back.
//!
//! ```text
//! piece/<number>/<key>   the bytes of a piece that snapshot <number> brought
//! key/<key>              the number of the piece that counts; written when a snapshot is finished
//! head                   the newest snapshot: its number, the first one of its fold, its position
//! barrier                nothing; written to prove that the partition is still owned
//! ```
//!
//! Finishing writes pointers and head in one transaction: what is staged counts for nothing before,
//! and what was left half-way never does. Pointers older than the fold of the head do not count.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;

use bytes::Bytes;
use rdkafka::message::Message as _;

use super::ends::number as partition_number;
use super::scan::Scanner;
use crate::port::{LogError, Partition, Position, Snapshot, SnapshotChunk};

/// The key of the head.
pub(super) const HEAD: &str = "head";

const PIECE: &str = "piece/";
const POINTER: &str = "key/";

/// What the newest snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) number: u64,
    /// The number of the first snapshot of the same fold, from which pointers count.
    pub(super) since: u64,
    pub(super) upto: Position,
    pub(super) fold_version: u32,
}

impl Head {
    pub(super) fn to_text(self) -> String {
        let Self { number, since, upto, fold_version } = self;
        format!("v1 {number} {since} {upto} {fold_version}")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("v1 ")?.split(' ');
        Some(Self {
            number: words.next()?.parse().ok()?,
            since: words.next()?.parse().ok()?,
            upto: Position(words.next()?.parse().ok()?),
            fold_version: words.next()?.parse().ok()?,
        })
    }
}

/// The key of a piece.
pub(super) fn piece(number: u64, key: &str) -> String {
    format!("{PIECE}{number}/{key}")
}

/// The key that says which piece counts.
pub(super) fn pointer(key: &str) -> String {
    format!("{POINTER}{key}")
}

/// What is stored of one partition's snapshots, without the bytes.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) head: Option<Head>,
    /// The piece that counts for each key, if its number does.
    pub(super) pointers: HashMap<String, u64>,
    /// Every piece that is stored.
    pub(super) pieces: HashSet<(u64, String)>,
}

impl Index {
    /// The number of the next snapshot: that of no piece so far.
    pub(super) fn next_number(&self) -> u64 {
        let pieces = self.pieces.iter().map(|it| it.0);
        pieces.chain(self.head.map(|it| it.number)).max().map_or(1, |it| it + 1)
    }

    /// The pieces that count for nothing, without those of the snapshot `besides`.
    pub(super) fn garbage(&self, besides: u64, max: usize) -> HashSet<(u64, String)> {
        let since = self.head.map_or(0, |it| it.since);
        let counts = |(number, key): &&(u64, String)| {
            *number == besides || (*number >= since && self.pointers.get(key) == Some(number))
        };
        self.pieces.iter().filter(|it| !counts(it)).take(max).cloned().collect()
    }

    /// Takes in a record of the topic.
    fn apply(&mut self, key: &str, value: Option<&[u8]>) {
        let text = value.and_then(|it| std::str::from_utf8(it).ok());
        if let Some(name) = key.strip_prefix(POINTER) {
            match text.and_then(|it| it.parse().ok()) {
                Some(number) => self.pointers.insert(name.to_owned(), number),
                None => self.pointers.remove(name),
            };
        } else if let Some(name) = parse_piece(key) {
            match value {
                Some(_) => self.pieces.insert(name),
                None => self.pieces.remove(&name),
            };
        } else if key == HEAD {
            self.head = text.and_then(Head::parse);
        }
    }
}

fn parse_piece(key: &str) -> Option<(u64, String)> {
    let (number, name) = key.strip_prefix(PIECE)?.split_once('/')?;
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

/// Reads the newest snapshot of `partition`. Blocks.
pub(super) fn newest(
    scanner: &Scanner,
    topic: &str,
    partition: Partition,
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
    let Some(head) = index.head else { return Ok(None) };
    let mut chunks = Vec::with_capacity(index.pointers.len());
    for (key, number) in index.pointers.into_iter().filter(|it| it.1 >= head.since) {
        let Some(bytes) = pieces.remove(&(number, key.clone())) else {
            tracing::warn!(log.partition = %partition, key, "a piece of the snapshot is missing");
            return Ok(None);
        };
        chunks.push(SnapshotChunk { key, bytes: Some(bytes) });
    }
    Ok(Some(Snapshot { upto: head.upto, fold_version: head.fold_version, chunks }))
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
    scanner.scan(topic, partition, extent.low, |message| {
        if message.offset() >= extent.stable {
            return ControlFlow::Break(());
        }
        if let Some(key) = message.key().and_then(|it| std::str::from_utf8(it).ok()) {
            apply(key, message.payload());
        }
        ControlFlow::Continue(())
    })
}
