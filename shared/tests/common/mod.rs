//! What several test files need: fixed inputs, JSON in the form of `docs/vectors`, a scripted source of randomness.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

use std::collections::VecDeque;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use rand::{CryptoRng, RngCore};
use serde::Serialize;
use serde_json::Value;
use shared::ids::Digest;
use shared::merkle::{self, Nodes};

/// `N` bytes that count upwards from `first`: easy to recognise in a dump, never equal for different `first`.
pub fn fixed<const N: usize>(first: u8) -> [u8; N] {
    let mut bytes = [0; N];
    for (byte, value) in bytes.iter_mut().zip(0u8..) {
        *byte = value.wrapping_add(first);
    }
    bytes
}

/// Lower-case hex.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

/// From lower-case hex.
pub fn unhex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// JSON in which byte strings are lower-case hex.
pub fn readable(value: &impl Serialize) -> Value {
    hexed(serde_json::to_value(value).unwrap())
}

fn hexed(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let bytes: Option<Vec<u8>> = items
                .iter()
                .map(|item| item.as_u64().and_then(|n| u8::try_from(n).ok()))
                .collect();
            match bytes {
                Some(bytes) if !bytes.is_empty() => Value::String(hex(bytes)),
                _ => Value::Array(items.into_iter().map(hexed).collect()),
            }
        }
        Value::Object(map) => map
            .into_iter()
            .map(|(key, item)| (key, hexed(item)))
            .collect(),
        other => other,
    }
}

/// Where a file of vectors is.
pub fn vector_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/vectors/{name}.json"))
}

/// Randomness from a script: each request takes the next piece, filled up with zeros.
///
/// A scalar is drawn from 64 bytes that are reduced as one little-endian number, so that a piece of 32 bytes below the
/// group's order becomes that very scalar: how RFC 9807's vectors give their blinds.
pub struct Script(VecDeque<Vec<u8>>);

impl Script {
    pub fn new<const N: usize>(pieces: [&[u8]; N]) -> Self {
        Self(pieces.iter().map(|piece| piece.to_vec()).collect())
    }
}

impl RngCore for Script {
    fn next_u32(&mut self) -> u32 {
        panic!("only bytes are scripted")
    }

    fn next_u64(&mut self) -> u64 {
        panic!("only bytes are scripted")
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        let piece = self.0.pop_front().expect("the script is long enough");
        assert!(piece.len() <= dest.len(), "the script's piece is too long");
        dest.fill(0);
        dest[..piece.len()].copy_from_slice(&piece);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Script {}

/// A tree in memory.
#[derive(Default)]
pub struct Tree {
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// The tree over the first `size` of [`record`].
    pub fn of(size: u64) -> Self {
        let mut tree = Self::default();
        for index in 0..size {
            tree.push(merkle::leaf_hash(&record(index)));
        }
        tree
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Digest) {
        let size = self.levels.first().map_or(0, Vec::len) as u64;
        for new in merkle::append(self, size, leaf).unwrap() {
            let level = usize::from(new.level);
            self.levels
                .resize(self.levels.len().max(level + 1), Vec::new());
            assert_eq!(self.levels[level].len() as u64, new.index);
            self.levels[level].push(new.hash);
        }
    }
}

impl Nodes for Tree {
    type Error = (u8, u64);

    fn node(&self, level: u8, index: u64) -> Result<Digest, Self::Error> {
        let position = usize::try_from(index).unwrap();
        let node = self
            .levels
            .get(usize::from(level))
            .and_then(|nodes| nodes.get(position));
        node.copied().ok_or((level, index))
    }
}

/// Record number `index` of the trees in tests and vectors: its number in decimal.
pub fn record(index: u64) -> Vec<u8> {
    format!("record {index}").into_bytes()
}
