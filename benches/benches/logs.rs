//! The vault log and the audit tree.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use keyshell_base::names::SecretName;
use keyshell_client::index::Index;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::seal::SecretContext;
use serde_bytes::ByteBuf;
use shared::ids::{AccountId, DeviceId, Digest, PublicKey, SecretId, ServerId, Version};
use shared::merkle::{self, Nodes};
use shared::secret::Key;
use shared::vault_log::{
    ENTRY_FORMAT, Entry, FIRST_EPOCH, Head, Identity, Op, Sealed, SignedEntry,
};
use shared::wire::call::LoggedEntry;

const ENTRIES: usize = 10_000;

fn sign(keys: &AccountKeys, head: Head, op: Op, metadata: Option<Vec<u8>>) -> LoggedEntry {
    let entry = Entry {
        format: ENTRY_FORMAT,
        account: keys.account(),
        seq: head.seq.next(),
        previous: head.hash,
        device: DeviceId::new([1; 16]),
        time_ms: 0,
        seen: None,
        op,
        authorisation: None,
    };
    LoggedEntry {
        entry: SignedEntry::sign(&entry, &keys.signing()).unwrap(),
        metadata: metadata.map(ByteBuf::from),
    }
}

fn put(keys: &AccountKeys, head: Head, number: usize) -> LoggedEntry {
    let place = SecretContext {
        secret: SecretId::random(),
        version: Version(1),
    };
    let metadata = Metadata::named(SecretName::parse(&format!("secret {number}")).unwrap());
    let encoded = metadata.encode().unwrap();
    let sealed = place.seal_metadata(keys, encoded.expose()).unwrap();
    let op = Op::Put(Sealed {
        secret: place.secret,
        version: place.version,
        epoch: FIRST_EPOCH,
        value: Digest::of(&[]),
        metadata: Digest::of(&sealed),
    });
    sign(keys, head, op, Some(sealed))
}

fn log(keys: &AccountKeys) -> (Vec<LoggedEntry>, Head) {
    let identity = Identity {
        server: ServerId::new([1; 16]),
        opaque_key: PublicKey::new([2; 32]),
        checkpoint_key: PublicKey::new([3; 32]),
        log_key: keys.log_key(),
        suite: 1,
    };
    let mut head = Head::EMPTY;
    let mut entries = Vec::with_capacity(ENTRIES);
    for number in 0..ENTRIES {
        let entry = if number == 0 {
            sign(keys, head, Op::Genesis(identity.clone()), None)
        } else {
            put(keys, head, number)
        };
        head = head.with(&entry.entry);
        entries.push(entry);
    }
    (entries, head)
}

fn vault_log(c: &mut Criterion) {
    let keys = AccountKeys::first(AccountId::random(), Key::random());
    let (entries, head) = log(&keys);
    let mut group = c.benchmark_group("vault log");
    group.bench_function("seal and sign one entry", |b| {
        b.iter(|| black_box(put(&keys, head, 1)));
    });
    group.sample_size(10);
    group.bench_function(BenchmarkId::new("replay", ENTRIES), |b| {
        b.iter(|| {
            let mut index = Index::new();
            for entry in &entries {
                index.replay(&keys, entry).unwrap();
            }
            black_box(index)
        });
    });
    group.finish();
}

/// A tree in memory: what the hashing costs, without a database.
#[derive(Clone, Default)]
struct Tree {
    nodes: HashMap<(u8, u64), Digest>,
    size: u64,
}

impl Nodes for Tree {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Digest, Infallible> {
        Ok(*self.nodes.get(&(level, index)).unwrap())
    }
}

impl Tree {
    fn of(size: u64) -> Self {
        let mut tree = Self::default();
        for index in 0..size {
            tree.push(merkle::leaf_hash(&index.to_be_bytes()));
        }
        tree
    }

    fn push(&mut self, leaf: Digest) {
        let Ok(fresh) = merkle::append(self, self.size, leaf);
        for node in fresh {
            self.nodes.insert((node.level, node.index), node.hash);
        }
        self.size += 1;
    }
}

fn merkle_tree(c: &mut Criterion) {
    let mut group = c.benchmark_group("audit tree");
    for size in [1_000, 100_000] {
        let tree = Tree::of(size);
        let leaf = Digest::of(b"leaf");
        group.bench_with_input(BenchmarkId::new("append", size), &tree, |b, tree| {
            b.iter(|| black_box(merkle::append(tree, tree.size, leaf)));
        });
        group.bench_with_input(BenchmarkId::new("root", size), &tree, |b, tree| {
            b.iter(|| black_box(merkle::root(tree, tree.size)));
        });
        group.bench_with_input(
            BenchmarkId::new("inclusion proof", size),
            &tree,
            |b, tree| {
                b.iter(|| black_box(merkle::inclusion_proof(tree, tree.size / 3, tree.size)));
            },
        );
        group.bench_with_input(
            BenchmarkId::new("consistency proof", size),
            &tree,
            |b, tree| {
                b.iter(|| black_box(merkle::consistency_proof(tree, tree.size / 3, tree.size)));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, vault_log, merkle_tree);
criterion_main!(benches);
