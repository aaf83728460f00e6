//! An audit log of the operator's own making, signed with the real key.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;

use ed25519_dalek::SigningKey;
use serde_bytes::ByteBuf;
use shared::audit_record::Record;
use shared::checkpoint::{self, TreeHead};
use shared::ids::{AccountId, Digest, ServerId};
use shared::merkle::{self, Nodes};
use shared::wire::call::{Answer, AuditAnswer, Call, SyncAnswer};

use super::Operator;
use super::lie::Lie;
use crate::device::Device;

/// Records and the tree over them.
#[derive(Clone)]
pub struct Ledger {
    key: SigningKey,
    server: ServerId,
    account: AccountId,
    records: Vec<ByteBuf>,
    tree: Tree,
}

#[derive(Clone)]
struct Tree(HashMap<(u8, u64), Digest>);

impl Nodes for Tree {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Digest, Infallible> {
        Ok(self.0[&(level, index)])
    }
}

/// The same tree with invented nodes where there are no records.
struct Grown<'a>(&'a Ledger);

impl Nodes for Grown<'_> {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Digest, Infallible> {
        let real = self.0.size();
        let first = u128::from(index) << level;
        let end = u128::from(index + 1) << level;
        if end <= u128::from(real) {
            return self.0.tree.node(level, index);
        }
        if first >= u128::from(real) {
            return Ok(Digest::new([level; 32]));
        }
        let Ok(left) = self.node(level - 1, 2 * index);
        let Ok(right) = self.node(level - 1, 2 * index + 1);
        Ok(merkle::node_hash(&left, &right))
    }
}

/// The sizes of the audit logs that the devices of these entries have seen last, but for that of the one shown.
pub(super) fn seen_sizes(sync: &SyncAnswer, shown: u64) -> BTreeSet<u64> {
    let mut newest = BTreeMap::new();
    for logged in &sync.entries {
        // A lie may show bytes that are no entry.
        if let Ok(entry) = logged.entry.decode_unverified()
            && let Some(seen) = entry.seen
        {
            let size = newest.entry(entry.device).or_insert(seen.size);
            *size = seen.size.max(*size);
        }
    }
    newest.into_values().filter(|size| *size != shown).collect()
}

impl Ledger {
    /// The true log of a device's account, by way of its own `audit`, and then what `change` makes of it.
    pub fn of(operator: &Operator, device: &Device, change: impl Fn(&mut Vec<ByteBuf>)) -> Self {
        let (sender, pages) = std::sync::mpsc::channel();
        operator.lie(Lie::audit(move |page| {
            // One page holds everything here.
            let _ = sender.send(page.records.clone());
        }));
        device.run(&["audit"]).ok();
        operator.be_honest();
        let mut records = pages.recv().unwrap();
        change(&mut records);
        let keys = operator.keys();
        let account = operator.account(device);
        Self::new(keys.checkpoint.clone(), keys.server_id, account, records)
    }

    fn new(key: SigningKey, server: ServerId, account: AccountId, records: Vec<ByteBuf>) -> Self {
        let mut tree = Tree(HashMap::new());
        for (size, record) in (0..).zip(&records) {
            let leaf = Record::leaf_hash(record);
            let Ok(nodes) = merkle::append(&tree, size, leaf);
            let nodes = nodes.into_iter();
            tree.0
                .extend(nodes.map(|node| ((node.level, node.index), node.hash)));
        }
        Self {
            key,
            server,
            account,
            records,
            tree,
        }
    }

    /// The same log, signed with another key.
    #[must_use]
    pub fn signed_with(mut self, key: SigningKey) -> Self {
        self.key = key;
        self
    }

    fn size(&self) -> u64 {
        u64::try_from(self.records.len()).unwrap()
    }

    /// The tree's head.
    pub fn head(&self) -> TreeHead {
        let Ok(root) = merkle::root(&self.tree, self.size());
        TreeHead {
            size: self.size(),
            root,
        }
    }

    /// Signs any head.
    pub fn sign(&self, head: &TreeHead) -> String {
        checkpoint::sign(&self.key, &self.server, &self.account, head)
    }

    /// The proof from a smaller size; none where there is none.
    pub fn consistency(&self, old: u64) -> Vec<Digest> {
        if old > self.size() {
            return Vec::new();
        }
        let Ok(proof) = merkle::consistency_proof(&self.tree, old, self.size());
        proof
    }

    /// Claims that the log has this many records: the tree over those that there are, with invented nodes beside it,
    /// so that every proof is right.
    pub fn grown_to(self, size: u64) -> Lie {
        Lie::Answer(Box::new(move |request, answer| {
            let tree = Grown(&self);
            let Ok(root) = merkle::root(&tree, size);
            let note = self.sign(&TreeHead { size, root });
            let proof = |old| {
                let Ok(proof) = merkle::consistency_proof(&tree, old, size);
                proof
            };
            match (&request.call, answer) {
                (Call::Sync(asked), Answer::Sync(sync)) => {
                    sync.checkpoint = note;
                    sync.consistency = proof(asked.audit_size);
                    sync.seen = seen_sizes(sync, size).into_iter().map(proof).collect();
                }
                (Call::Audit(asked), Answer::Audit(page)) => {
                    page.checkpoint = note;
                    page.consistency = proof(asked.verified_size);
                }
                _ => {}
            }
        }))
    }

    /// Shows the true log with what `change` adds at its end, whenever the whole log is read.
    pub fn lengthened(
        operator: &Operator,
        device: &Device,
        change: impl Fn(&mut Vec<ByteBuf>) + Send + 'static,
    ) -> Lie {
        let (keys, account) = (operator.keys(), operator.account(device));
        Lie::Answer(Box::new(move |request, answer| {
            let (Call::Audit(asked), Answer::Audit(page)) = (&request.call, answer) else {
                return;
            };
            if page.records.is_empty() {
                return;
            }
            change(&mut page.records);
            let (key, records) = (keys.checkpoint.clone(), page.records.clone());
            let ledger = Self::new(key, keys.server_id, account, records);
            page.checkpoint = ledger.sign(&ledger.head());
            page.consistency = ledger.consistency(asked.verified_size);
        }))
    }

    /// Shows this log instead of the true one, as consistently as it can be done.
    pub fn shown(self) -> Lie {
        Lie::Answer(Box::new(move |request, answer| {
            let note = self.sign(&self.head());
            match (&request.call, answer) {
                (Call::Sync(asked), Answer::Sync(sync)) => {
                    sync.checkpoint = note;
                    sync.consistency = self.consistency(asked.audit_size);
                    let seen = seen_sizes(sync, self.size()).into_iter();
                    sync.seen = seen.map(|size| self.consistency(size)).collect();
                }
                (Call::Audit(asked), answer) => {
                    let from = usize::try_from(asked.from).unwrap();
                    let limit = usize::try_from(asked.limit).unwrap();
                    let records = self.records.iter().skip(from).take(limit);
                    *answer = Answer::Audit(AuditAnswer {
                        records: records.cloned().collect(),
                        checkpoint: note,
                        consistency: self.consistency(asked.verified_size),
                        inclusion: Vec::new(),
                    });
                }
                _ => {}
            }
        }))
    }
}
