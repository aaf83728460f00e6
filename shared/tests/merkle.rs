//! The Merkle tree against a foreign implementation of the same RFC, and against forgeries.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Tree, record};
use ct_merkle::digest::typenum::U32;
use ct_merkle::digest::{FixedOutput, HashMarker, Output, OutputSizeUser, Update};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof};
use shared::ids::Digest;
use shared::merkle::{
    Frontier, consistency_proof, empty_root, inclusion_proof, leaf_hash, root, verify_consistency,
    verify_inclusion,
};

const SIZES: u64 = 70;

/// SHA-256 as the foreign crate wants it: it is a generation of traits ahead.
#[derive(Default, Clone)]
struct Sha256(sha2::Sha256);

impl Update for Sha256 {
    fn update(&mut self, data: &[u8]) {
        sha2::Digest::update(&mut self.0, data);
    }
}

impl OutputSizeUser for Sha256 {
    type OutputSize = U32;
}

impl FixedOutput for Sha256 {
    fn finalize_into(self, out: &mut Output<Self>) {
        out.copy_from_slice(&sha2::Digest::finalize(self.0));
    }
}

impl HashMarker for Sha256 {}

type Foreign = MemoryBackedTree<Sha256, Vec<u8>>;

fn foreign(size: u64) -> Foreign {
    let mut tree = Foreign::new();
    (0..size).for_each(|index| tree.push(record(index)));
    tree
}

fn bytes(proof: &[Digest]) -> Vec<u8> {
    proof.iter().flat_map(|digest| *digest.as_bytes()).collect()
}

fn root_of(tree: &Foreign) -> Digest {
    Digest::from_slice(tree.root().as_bytes()).unwrap()
}

#[test]
fn roots_equal_the_foreign_ones() {
    let tree = Tree::of(SIZES);
    let mut frontier = Frontier::new();
    for size in 0..=SIZES {
        let expected = root_of(&foreign(size));
        assert_eq!(root(&tree, size).unwrap(), expected, "size {size}");
        assert_eq!(frontier.root(), expected, "size {size}");
        assert_eq!(frontier.size(), size);
        frontier.push(leaf_hash(&record(size)));
    }
}

#[test]
fn inclusion_proofs_equal_the_foreign_ones_and_verify_on_both_sides() {
    let tree = Tree::of(SIZES);
    for size in 1..=SIZES {
        let other = foreign(size);
        let root = root(&tree, size).unwrap();
        for index in 0..size {
            let proof = inclusion_proof(&tree, index, size).unwrap();
            let theirs = other.prove_inclusion(usize::try_from(index).unwrap());
            assert_eq!(bytes(&proof), theirs.as_bytes(), "{index} in {size}");
            assert!(verify_inclusion(
                &leaf_hash(&record(index)),
                index,
                size,
                &proof,
                &root
            ));
            let ours = InclusionProof::try_from_bytes(bytes(&proof)).unwrap();
            other
                .root()
                .verify_inclusion(&record(index), index, &ours)
                .unwrap();
        }
    }
}

#[test]
fn consistency_proofs_equal_the_foreign_ones_and_verify_on_both_sides() {
    let tree = Tree::of(SIZES);
    for new in 1..=SIZES {
        let other = foreign(new);
        for old in 1..=new {
            let proof = consistency_proof(&tree, old, new).unwrap();
            let theirs = other.prove_consistency(usize::try_from(new - old).unwrap());
            assert_eq!(bytes(&proof), theirs.as_bytes(), "{old} to {new}");
            let (from, to) = (root(&tree, old).unwrap(), root(&tree, new).unwrap());
            assert!(
                verify_consistency(old, new, &from, &to, &proof),
                "{old} to {new}"
            );
            let ours = ConsistencyProof::try_from_bytes(bytes(&proof)).unwrap();
            other
                .root()
                .verify_consistency(&foreign(old).root(), &ours)
                .unwrap();
        }
    }
}

#[test]
fn every_tree_extends_the_empty_one_and_nothing_else_does() {
    let tree = Tree::of(9);
    let to = root(&tree, 9).unwrap();
    assert!(verify_consistency(0, 9, &empty_root(), &to, &[]));
    assert!(verify_consistency(0, 0, &empty_root(), &empty_root(), &[]));
    assert!(!verify_consistency(0, 9, &to, &to, &[]));
    assert!(!verify_consistency(0, 9, &empty_root(), &to, &[to]));
    assert!(!verify_consistency(9, 0, &to, &empty_root(), &[]));
}

/// What a liar can do to a proof: alter each hash, drop or repeat or swap hashes, add one at either end.
fn forgeries(proof: &[Digest]) -> Vec<Vec<Digest>> {
    let mut forged = Vec::new();
    for position in 0..proof.len() {
        let mut altered = proof.to_vec();
        let mut hash = *altered[position].as_bytes();
        hash[31] ^= 1;
        altered[position] = Digest::new(hash);
        forged.push(altered);
        let mut dropped = proof.to_vec();
        dropped.remove(position);
        forged.push(dropped);
        let mut repeated = proof.to_vec();
        repeated.insert(position, proof[position]);
        forged.push(repeated);
        if position > 0 {
            let mut swapped = proof.to_vec();
            swapped.swap(position, position - 1);
            forged.push(swapped);
        }
    }
    let extra = Digest::of(b"extra");
    forged.push([proof, &[extra]].concat());
    forged.push([&[extra], proof].concat());
    forged
}

#[test]
fn forged_inclusion_proofs_are_refused() {
    let tree = Tree::of(33);
    for size in 1..=33 {
        let root = root(&tree, size).unwrap();
        for index in 0..size {
            let leaf = leaf_hash(&record(index));
            let proof = inclusion_proof(&tree, index, size).unwrap();
            for forged in forgeries(&proof) {
                assert!(
                    !verify_inclusion(&leaf, index, size, &forged, &root),
                    "{index} in {size}"
                );
            }
            for wrong in 0..size + 2 {
                let verifies = verify_inclusion(&leaf, wrong, size, &proof, &root);
                assert_eq!(
                    verifies,
                    wrong == index,
                    "{index} in {size}, presented as {wrong}"
                );
            }
            let other = leaf_hash(b"never recorded");
            assert!(!verify_inclusion(&other, index, size, &proof, &root));
            assert!(!verify_inclusion(&leaf, index, 0, &proof, &root));
        }
    }
}

#[test]
fn forged_consistency_proofs_are_refused() {
    let tree = Tree::of(33);
    let mut rewritten = Tree::default();
    rewritten.push(leaf_hash(b"rewritten"));
    (1..33).for_each(|index| rewritten.push(leaf_hash(&record(index))));
    for new in 1..=33 {
        let to = root(&tree, new).unwrap();
        for old in 1..=new {
            let from = root(&tree, old).unwrap();
            let proof = consistency_proof(&tree, old, new).unwrap();
            for forged in forgeries(&proof) {
                assert!(
                    !verify_consistency(old, new, &from, &to, &forged),
                    "{old} to {new}"
                );
            }
            let false_root = root(&rewritten, new).unwrap();
            let false_proof = consistency_proof(&rewritten, old, new).unwrap();
            assert!(!verify_consistency(old, new, &from, &false_root, &proof));
            assert!(!verify_consistency(
                old,
                new,
                &from,
                &false_root,
                &false_proof
            ));
            assert!(!verify_consistency(old, new, &false_root, &to, &proof));
            if old < new {
                assert!(!verify_consistency(new, old, &to, &from, &proof));
            }
        }
    }
}

#[test]
fn a_missing_node_is_an_error_and_no_wrong_root() {
    let tree = Tree::of(5);
    assert_eq!(root(&tree, 6), Err((1, 2)));
    assert!(inclusion_proof(&tree, 0, 8).is_err());
    assert!(consistency_proof(&tree, 3, 8).is_err());
}

#[test]
fn huge_sizes_from_outside_end_quickly() {
    let any = Digest::of(b"any");
    let path = vec![any; 100];
    assert!(!verify_inclusion(&any, u64::MAX - 1, u64::MAX, &path, &any));
    assert!(!verify_consistency(
        u64::MAX - 1,
        u64::MAX,
        &any,
        &any,
        &path
    ));
    assert!(!verify_consistency(1 << 63, u64::MAX, &any, &any, &path));
}
