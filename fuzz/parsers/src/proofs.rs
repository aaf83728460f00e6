//! Inclusion and consistency proofs (RFC 9162), against the RFC's own recursive definitions.

use shared::ids::Digest;
use shared::merkle::{self, Frontier, Nodes};

use crate::cursor::Cursor;

/// Largest tree that is built in full.
const MAX_TREE: u8 = 40;

/// Proofs of real trees verify, and verify nothing else; made-up proofs with any sizes do no harm.
pub(crate) fn proofs(data: &[u8]) {
    let mut script = Cursor::new(data);
    match script.choice(4) {
        0 => made_up_inclusion(&mut script),
        1 => made_up_consistency(&mut script),
        2 => real_inclusion(&mut script),
        _ => real_consistency(&mut script),
    }
}

/// A tree in memory, by the RFC's definition of `MTH`.
struct Tree(Vec<Digest>);

impl Tree {
    fn new(script: &mut Cursor<'_>) -> Self {
        let size = 1 + script.choice(MAX_TREE);
        let tree = Self((0..size).map(|leaf| merkle::leaf_hash(&[leaf])).collect());
        let mut frontier = Frontier::new();
        for leaf in &tree.0 {
            frontier.push(*leaf);
        }
        assert_eq!(frontier.size(), tree.size());
        assert_eq!(frontier.root(), tree.root());
        assert_eq!(merkle::root(&tree, tree.size()), Ok(tree.root()));
        tree
    }

    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn root(&self) -> Digest {
        root(&self.0)
    }

    fn beginning(&self, size: u64) -> Self {
        Self(self.0[..usize::try_from(size).unwrap()].to_vec())
    }
}

impl Nodes for Tree {
    type Error = (u8, u64);

    fn node(&self, level: u8, index: u64) -> Result<Digest, Self::Error> {
        let width = 1 << level;
        let start = usize::try_from(index).unwrap() * width;
        let leaves = self.0.get(start..start + width).ok_or((level, index))?;
        Ok(root(leaves))
    }
}

fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => merkle::empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            merkle::node_hash(&root(left), &root(right))
        }
    }
}

fn digests(script: &mut Cursor<'_>, most: usize) -> Vec<Digest> {
    let mut digests = Vec::new();
    while !script.is_empty() && digests.len() < most {
        digests.push(Digest::new([script.byte(); 32]));
    }
    digests
}

/// What the RFC's recursion makes of a path from a leaf; `None` where the path has the wrong length.
fn climb(leaf: Digest, index: u64, size: u64, path: &[Digest]) -> Option<Digest> {
    if size <= 1 {
        return (size == 1 && index == 0 && path.is_empty()).then_some(leaf);
    }
    let (sibling, path) = path.split_last()?;
    let middle = 1 << (size - 1).ilog2();
    if index < middle {
        Some(merkle::node_hash(
            &climb(leaf, index, middle, path)?,
            sibling,
        ))
    } else {
        let right = climb(leaf, index - middle, size - middle, path)?;
        Some(merkle::node_hash(sibling, &right))
    }
}

fn made_up_inclusion(script: &mut Cursor<'_>) {
    let (index, size) = (script.number(), script.number());
    let leaf = Digest::new([script.byte(); 32]);
    let path = digests(script, 100);
    let climbed = (index < size)
        .then(|| climb(leaf, index, size, &path))
        .flatten();
    if let Some(root) = climbed {
        assert!(merkle::verify_inclusion(&leaf, index, size, &path, &root));
        let other = merkle::leaf_hash(leaf.as_bytes());
        assert!(!merkle::verify_inclusion(&other, index, size, &path, &root));
        assert!(!merkle::verify_inclusion(&leaf, index, size, &path, &other));
        let longer = [path.as_slice(), &[leaf]].concat();
        assert!(!merkle::verify_inclusion(
            &leaf, index, size, &longer, &root
        ));
    } else {
        assert!(!merkle::verify_inclusion(&leaf, index, size, &path, &leaf));
    }
}

fn made_up_consistency(script: &mut Cursor<'_>) {
    let (old, new) = (script.number(), script.number());
    let (old_root, new_root) = (
        Digest::new([script.byte(); 32]),
        Digest::new([script.byte(); 32]),
    );
    let proof = digests(script, 150);
    if merkle::verify_consistency(old, new, &old_root, &new_root, &proof) {
        // No hash of two others is a repeated byte: only what needs no hashing can be true.
        assert!(old == new && old_root == new_root && proof.is_empty());
    }
}

fn real_inclusion(script: &mut Cursor<'_>) {
    let tree = Tree::new(script);
    let (size, root) = (tree.size(), tree.root());
    let index = u64::from(script.byte()) % size;
    let leaf = tree.0[usize::try_from(index).unwrap()];
    let path = merkle::inclusion_proof(&tree, index, size).unwrap();
    assert_eq!(climb(leaf, index, size, &path), Some(root));
    assert!(merkle::verify_inclusion(&leaf, index, size, &path, &root));

    let other = merkle::leaf_hash(&[script.byte(), 0]);
    assert!(!merkle::verify_inclusion(&other, index, size, &path, &root));
    let elsewhere = script.number();
    if elsewhere != index {
        assert!(!merkle::verify_inclusion(
            &leaf, elsewhere, size, &path, &root
        ));
    }
    if let Some(altered) = altered(&path, script) {
        assert!(!merkle::verify_inclusion(
            &leaf, index, size, &altered, &root
        ));
    }
}

fn real_consistency(script: &mut Cursor<'_>) {
    let tree = Tree::new(script);
    let new = tree.size();
    let old = u64::from(script.byte()) % (new + 1);
    let (old_root, new_root) = (tree.beginning(old).root(), tree.root());
    let proof = merkle::consistency_proof(&tree, old, new).unwrap();
    let holds = |old_root: &Digest, new_root: &Digest, proof: &[Digest]| {
        merkle::verify_consistency(old, new, old_root, new_root, proof)
    };
    assert!(holds(&old_root, &new_root, &proof));
    let other = merkle::leaf_hash(&[script.byte(), 0]);
    assert!(!holds(&other, &new_root, &proof));
    // Every tree extends the empty one.
    assert!(old == 0 || !holds(&old_root, &other, &proof));
    if let Some(altered) = altered(&proof, script) {
        assert!(!holds(&old_root, &new_root, &altered));
    }
}

/// The same proof with a hash changed, dropped, doubled or added; `None` where the script changes nothing.
fn altered(proof: &[Digest], script: &mut Cursor<'_>) -> Option<Vec<Digest>> {
    let mut altered = proof.to_vec();
    let place = usize::from(script.byte());
    match script.choice(3) {
        0 => {
            let hash = altered.get_mut(place)?;
            let mut bytes = *hash.as_bytes();
            bytes[usize::from(script.byte()) % 32] ^= script.byte();
            *hash = Digest::new(bytes);
        }
        1 if place < altered.len() => drop(altered.remove(place)),
        _ => altered.push(Digest::new([script.byte(); 32])),
    }
    (altered != proof).then_some(altered)
}
