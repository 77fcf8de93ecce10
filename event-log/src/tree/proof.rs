//! Proofs in a Merkle tree: that a leaf is in it, and that an earlier tree is where it begins.
//!
//! They are made from all leaves and verified without any (RFC 9162, section 2.1). A tree without leaves is
//! in every other one, so nothing is proved of it.

use super::Node;

/// A proof does not show what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the proof does not lead to the root")]
pub struct NotProved;

/// The root over `leaves`.
#[must_use]
pub fn root(leaves: &[Node]) -> Node {
    match leaves {
        [] => Node::of_nothing(),
        [leaf] => *leaf,
        leaves => {
            let (left, right) = halves(leaves);
            root(left).with(root(right))
        }
    }
}

/// What shows that the leaf at `index` is one of `leaves`; none if there is no such leaf.
#[must_use]
pub fn inclusion(leaves: &[Node], index: usize) -> Option<Vec<Node>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut within, mut index, mut proof) = (leaves, index, Vec::new());
    while within.len() > 1 {
        let (left, right) = halves(within);
        if index < left.len() {
            proof.push(root(right));
            within = left;
        } else {
            proof.push(root(left));
            index -= left.len();
            within = right;
        }
    }
    proof.reverse();
    Some(proof)
}

/// What shows that the tree over the first `size` of `leaves` is where the one over all of them
/// begins; none if there are fewer, or none.
#[must_use]
pub fn consistency(leaves: &[Node], size: usize) -> Option<Vec<Node>> {
    if size == 0 || size > leaves.len() {
        return None;
    }
    let (mut within, mut size, mut proof) = (leaves, size, Vec::new());
    // As long as nothing was cut away on the left, who verifies knows the earlier root.
    let mut is_known = true;
    while size < within.len() {
        let (left, right) = halves(within);
        if size <= left.len() {
            proof.push(root(right));
            within = left;
        } else {
            proof.push(root(left));
            size -= left.len();
            within = right;
            is_known = false;
        }
    }
    if !is_known {
        proof.push(root(within));
    }
    proof.reverse();
    Some(proof)
}

/// Whether `leaf` is the one at `index` in a tree of this `size` and `root`.
///
/// # Errors
///
/// [`NotProved`].
pub fn verify_inclusion(
    leaf: Node,
    index: u64,
    (size, root): (u64, Node),
    proof: &[Node],
) -> Result<(), NotProved> {
    if index >= size {
        return Err(NotProved);
    }
    let (mut at, mut last, mut node) = (index, size - 1, leaf);
    for it in proof {
        if last == 0 {
            return Err(NotProved);
        }
        if at % 2 == 1 || at == last {
            node = it.with(node);
            // Where it is the last one, levels without a neighbour are passed over.
            while at.is_multiple_of(2) && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            node = node.with(*it);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last == 0 && node == root { Ok(()) } else { Err(NotProved) }
}

/// Whether the `earlier` tree, of a size and root, is where the `later` one begins.
///
/// # Errors
///
/// [`NotProved`].
pub fn verify_consistency(
    earlier: (u64, Node),
    later: (u64, Node),
    proof: &[Node],
) -> Result<(), NotProved> {
    if earlier.0 == 0 || earlier.0 > later.0 {
        return Err(NotProved);
    }
    if earlier.0 == later.0 {
        return if proof.is_empty() && earlier.1 == later.1 { Ok(()) } else { Err(NotProved) };
    }
    // A complete earlier tree is itself a node of the later one.
    let known = earlier.0.is_power_of_two().then_some(earlier.1);
    let mut nodes = known.into_iter().chain(proof.iter().copied());
    let first = nodes.next().ok_or(NotProved)?;
    let skipped = (earlier.0 - 1).trailing_ones();
    let (mut at, mut last) = ((earlier.0 - 1) >> skipped, (later.0 - 1) >> skipped);
    let (mut of_earlier, mut of_later) = (first, first);
    for it in nodes {
        if last == 0 {
            return Err(NotProved);
        }
        if at % 2 == 1 || at == last {
            of_earlier = it.with(of_earlier);
            of_later = it.with(of_later);
            while at.is_multiple_of(2) && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            of_later = of_later.with(it);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    let proved = last == 0 && of_earlier == earlier.1 && of_later == later.1;
    if proved { Ok(()) } else { Err(NotProved) }
}

/// The leaves below the root's left and its right: on the left as many as the largest power of two that
/// leaves some for the right.
fn halves(leaves: &[Node]) -> (&[Node], &[Node]) {
    leaves.split_at(leaves.len().next_power_of_two() / 2)
}
