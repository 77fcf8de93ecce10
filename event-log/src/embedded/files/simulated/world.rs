//! What the simulated programs see, and what the simulated disk has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{Crash, Held, Omit};

/// What a disk writes whole or not at all. In bytes.
pub(super) const SECTOR_BYTES: usize = 512;

/// Numbers that look random, the same for the same seed.
#[derive(Clone, Debug)]
pub(in crate::embedded) struct Random(pub(in crate::embedded) u64);

impl Random {
    /// A number below `bound`.
    pub(in crate::embedded) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    pub(super) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// One file.
#[derive(Clone, Default)]
pub(super) struct Node {
    /// What programs see.
    pub(super) seen: Vec<u8>,
    /// What the disk has.
    pub(super) stored: Vec<u8>,
    /// Sectors that were written since the last sync.
    pub(super) dirty: BTreeSet<usize>,
}

/// A change of names that happens as one: the files they mean from now on, if any.
pub(super) type Naming = Vec<(PathBuf, Option<usize>)>;

/// Everything there is.
#[derive(Clone)]
pub(super) struct World {
    pub(super) random: Random,
    pub(super) nodes: Vec<Node>,
    pub(super) names: BTreeMap<PathBuf, usize>,
    pub(super) stored_names: BTreeMap<PathBuf, usize>,
    /// Changes of names that were not synced yet.
    pub(super) namings: Vec<Naming>,
    pub(super) omit: Omit,
    /// How many more calls work before the crash.
    pub(super) calls_left: Option<(u64, Crash)>,
    pub(super) crashed: bool,
    /// How many more syncs of files with this extension work before one fails.
    pub(super) syncs_left: Option<(&'static str, u64)>,
    /// How many syncs there were, by extension.
    pub(super) syncs: BTreeMap<String, u64>,
    /// How long all files together may be. In bytes.
    pub(super) room: usize,
    pub(super) held: Held,
    /// The most that was written to one file and not synced, by extension. In bytes.
    pub(super) unsynced_max: BTreeMap<String, usize>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random(seed | 1),
            nodes: Vec::new(),
            names: BTreeMap::new(),
            stored_names: BTreeMap::new(),
            namings: Vec::new(),
            omit: Omit::Nothing,
            calls_left: None,
            crashed: false,
            syncs_left: None,
            syncs: BTreeMap::new(),
            room: usize::MAX,
            held: Held::None,
            unsynced_max: BTreeMap::new(),
        }
    }

    pub(super) fn used(&self) -> usize {
        self.names.values().map(|it| self.nodes[*it].seen.len()).sum()
    }

    pub(super) fn name(&mut self, naming: Naming) {
        apply(&naming, &mut self.names);
        self.namings.push(naming);
    }

    pub(super) fn sync_names(&mut self, count: usize) {
        for naming in self.namings.drain(..count) {
            apply(&naming, &mut self.stored_names);
        }
    }

    pub(super) fn crash(&mut self, crash: Crash) {
        self.crashed = true;
        if crash == Crash::Process {
            return;
        }
        let namings = self.namings.len() as u64;
        let count = usize::try_from(self.random.below(namings + 1)).unwrap();
        self.sync_names(count);
        self.namings.clear();
        self.names = self.stored_names.clone();
        for node in &mut self.nodes {
            for sector in std::mem::take(&mut node.dirty) {
                if self.random.coin() {
                    node.store(sector);
                }
            }
            node.seen = node.stored.clone();
        }
    }
}

fn apply(naming: &Naming, names: &mut BTreeMap<PathBuf, usize>) {
    for (path, node) in naming {
        match node {
            Some(node) => names.insert(path.clone(), *node),
            None => names.remove(path),
        };
    }
}

impl Node {
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        self.seen.resize(self.seen.len().max(end), 0);
        self.seen[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES);
    }

    pub(super) fn store(&mut self, sector: usize) {
        let start = sector * SECTOR_BYTES;
        let end = (start + SECTOR_BYTES).min(self.seen.len());
        self.stored.resize(self.stored.len().max(end), 0);
        self.stored[start..end].copy_from_slice(&self.seen[start..end]);
    }
}
