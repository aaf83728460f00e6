//! The Merkle tree of RFC 9162, section 2.1: hashing, proofs, and verification of proofs.
//!
//! A tree is stored as its *complete* subtrees: node `(level, index)` covers the leaves
//! `index * 2^level .. (index + 1) * 2^level`. A complete node never changes.

use sha2::{Digest as _, Sha256};

use crate::ids::Digest;

/// A store of complete nodes.
pub trait Nodes {
    /// Why a node cannot be read.
    type Error;

    /// The hash of the complete node `(level, index)`.
    ///
    /// # Errors
    /// Those of the store; a node beyond the size of the tree is an error too.
    fn node(&self, level: u8, index: u64) -> Result<Digest, Self::Error>;
}

/// A node that became complete by an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewNode {
    /// Height above the leaves.
    pub level: u8,
    /// Position among the nodes of that height, from 0.
    pub index: u64,
    /// Hash of the node.
    pub hash: Digest,
}

/// `MTH({})`, the root of the empty tree: SHA-256 of no bytes.
pub fn empty_root() -> Digest {
    Digest::of(&[])
}

/// `SHA-256(0x00 || record)`.
pub fn leaf_hash(record: &[u8]) -> Digest {
    Digest::new(
        Sha256::new()
            .chain_update([0])
            .chain_update(record)
            .finalize()
            .into(),
    )
}

/// `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::new(
        Sha256::new()
            .chain_update([1])
            .chain_update(left.as_bytes())
            .chain_update(right.as_bytes())
            .finalize()
            .into(),
    )
}

/// The nodes that appending `leaf` to a tree of `size` leaves completes, from the leaf upwards.
///
/// # Errors
/// Those of [`Nodes::node`].
pub fn append<N: Nodes>(nodes: &N, size: u64, leaf: Digest) -> Result<Vec<NewNode>, N::Error> {
    let mut fresh = vec![NewNode {
        level: 0,
        index: size,
        hash: leaf,
    }];
    let (mut level, mut index, mut hash) = (0u8, size, leaf);
    while index % 2 == 1 {
        hash = node_hash(&nodes.node(level, index - 1)?, &hash);
        level += 1;
        index /= 2;
        fresh.push(NewNode { level, index, hash });
    }
    Ok(fresh)
}

/// The root over the first `size` leaves.
///
/// # Errors
/// Those of [`Nodes::node`].
pub fn root<N: Nodes>(nodes: &N, size: u64) -> Result<Digest, N::Error> {
    if size == 0 {
        return Ok(empty_root());
    }
    range_root(nodes, 0, size)
}

/// Inclusion proof of the leaf `index` in the tree of `size` leaves (RFC 9162, section 2.1.3.1), `index < size`.
///
/// # Errors
/// Those of [`Nodes::node`].
pub fn inclusion_proof<N: Nodes>(
    nodes: &N,
    index: u64,
    size: u64,
) -> Result<Vec<Digest>, N::Error> {
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range_root(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range_root(nodes, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// Proof that the tree of `old` leaves is a prefix of that of `new` leaves (RFC 9162, section 2.1.4.1).
/// Empty if `old` is 0 or `old >= new`.
///
/// # Errors
/// Those of [`Nodes::node`].
pub fn consistency_proof<N: Nodes>(nodes: &N, old: u64, new: u64) -> Result<Vec<Digest>, N::Error> {
    let mut path = Vec::new();
    if old == 0 || old >= new {
        return Ok(path);
    }
    let (mut start, mut end) = (0, new);
    let mut left_edge = true;
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(range_root(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range_root(nodes, start, middle)?);
            start = middle;
            left_edge = false;
        }
    }
    if !left_edge {
        path.push(range_root(nodes, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// Verifies an inclusion proof (RFC 9162, section 2.1.3.2).
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    path: &[Digest],
    root: &Digest,
) -> bool {
    if index >= size {
        return false;
    }
    let mut hash = *leaf;
    let is_complete = climb(index, size - 1, path, |sibling, is_left| {
        hash = join(sibling, is_left, &hash);
    });
    is_complete && hash == *root
}

/// Verifies a consistency proof (RFC 9162, section 2.1.4.2). Every tree extends the empty one.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Digest,
    new_root: &Digest,
    proof: &[Digest],
) -> bool {
    if old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == empty_root();
    }
    let (first, path) = match proof {
        path if old.is_power_of_two() => (old_root, path),
        [first, path @ ..] => (first, path),
        [] => return false,
    };
    let shift = (old - 1).trailing_ones();
    let (mut from_old, mut from_new) = (*first, *first);
    let (node, last) = ((old - 1) >> shift, (new - 1) >> shift);
    let is_complete = climb(node, last, path, |sibling, is_left| {
        if is_left {
            from_old = join(sibling, is_left, &from_old);
        }
        from_new = join(sibling, is_left, &from_new);
    });
    is_complete && from_old == *old_root && from_new == *new_root
}

/// Climbs from the node at position `node` of a level, whose last position is `last`, to the root. Calls `step` with
/// each sibling and whether it is a left one; `false` if the path has another length than the way to the root.
fn climb(
    mut node: u64,
    mut last: u64,
    path: &[Digest],
    mut step: impl FnMut(&Digest, bool),
) -> bool {
    for sibling in path {
        if last == 0 {
            return false;
        }
        let is_left = node % 2 == 1 || node == last;
        step(sibling, is_left);
        while is_left && node.is_multiple_of(2) && node != 0 {
            node /= 2;
            last /= 2;
        }
        node /= 2;
        last /= 2;
    }
    last == 0
}

fn join(sibling: &Digest, is_left: bool, hash: &Digest) -> Digest {
    if is_left {
        node_hash(sibling, hash)
    } else {
        node_hash(hash, sibling)
    }
}

/// The largest power of two below `n`, which is at least 2.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// `MTH(D[start:end])` for a range that the RFC's recursion visits: `start` is a multiple of the range's power of two.
fn range_root<N: Nodes>(nodes: &N, start: u64, end: u64) -> Result<Digest, N::Error> {
    let len = end - start;
    if len.is_power_of_two() {
        let level = u8::try_from(len.trailing_zeros()).unwrap_or(u8::MAX);
        return nodes.node(level, start >> level);
    }
    let middle = start + split(len);
    Ok(node_hash(
        &range_root(nodes, start, middle)?,
        &range_root(nodes, middle, end)?,
    ))
}

/// Computes the root of a tree from its leaves in order, with one hash per level in memory.
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Digest>,
}

impl Frontier {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Digest) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over all leaves so far.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else {
            return empty_root();
        };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}
