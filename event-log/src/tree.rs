//! The Merkle tree of a tenant's events (RFC 6962): one hash that stands for all of them in order.
//!
//! The leaf of an event is made of its canonical bytes, the same that the chain covers. A
//! [`Frontier`] is all that has to be kept to go on: as many hashes as the number of events has
//! bits set. [`proof`] shows that an event, or an earlier tree, is a part of a later one. What a root was at
//! some size is said by a signed checkpoint ([`crate::checkpoint`]), not here.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

use crate::identity::hex;

pub mod proof;
#[cfg(test)]
mod tests;

/// The first byte of what is hashed for a leaf, so that no leaf can pass for two others.
const LEAF: u8 = 0;

/// The same for two nodes.
const PARENT: u8 = 1;

/// One hash of the tree: of an event, or of all events below it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node(pub [u8; 32]);

impl Node {
    /// That of the event with these `canonical` bytes.
    #[must_use]
    pub fn leaf(canonical: &[u8]) -> Self {
        Self::hash(&[&[LEAF], canonical])
    }

    /// That of everything below `self` and, after it, everything below `right`.
    #[must_use]
    pub fn with(self, right: Self) -> Self {
        Self::hash(&[&[PARENT], &self.0, &right.0])
    }

    /// The root of the tree without leaves.
    #[must_use]
    pub fn of_nothing() -> Self {
        Self::hash(&[])
    }

    fn hash(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        parts.iter().for_each(|it| context.update(it));
        Self(context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({self})")
    }
}

/// Everything that a tree of any size needs to grow, and to tell its root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// The roots of the complete trees that it falls into, the largest first: one for each bit
    /// that is set in `size`.
    peaks: Vec<Node>,
}

impl Frontier {
    /// That of a tree of this `size` with these `peaks`; none if it cannot have so many.
    #[must_use]
    pub fn from_parts(size: u64, peaks: Vec<Node>) -> Option<Self> {
        let fits = usize::try_from(size.count_ones()) == Ok(peaks.len());
        fits.then_some(Self { size, peaks })
    }

    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// See [`Frontier::from_parts`].
    #[must_use]
    pub fn peaks(&self) -> &[Node] {
        &self.peaks
    }

    /// Adds the next leaf: as many hashes as there are ones at the end of the size, one on average.
    pub fn push(&mut self, leaf: Node) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("there is a peak for each bit of the size");
            node = left.with(node);
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> Node {
        let peaks = self.peaks.iter().rev().copied();
        peaks.reduce(|right, left| left.with(right)).unwrap_or_else(Node::of_nothing)
    }
}
