//! The engine on a real database.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::{IpAddr, Ipv4Addr};

use ed25519_dalek::SigningKey;
use serde_bytes::ByteBuf;
use shared::audit_record::{Operation, Outcome, Record};
use shared::ids::{
    AccountId, DeviceId, Digest, PublicKey, SecretId, Seq, ServerId, SessionId, Version,
};
use shared::merkle::{self, Frontier};
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::secret::Key;
use shared::vault_log::{
    ENTRY_FORMAT, Entry, Head, Identity, Op, Put, Remove, SecretState, SignedEntry,
};
use shared::wire::call::{NewEntry, ValueRef};
use shared::wire::error::Refusal;
use shared::wire::register::{SlotRecord, WrappedKey};

use super::api::{
    Account, Draft, FinishLogin, ReadAudit, ReadEntries, ReadValues, Register, StorageError,
    Success,
};
use super::at_rest::AtRest;
use super::engine::{Engine, Verified, Write, Written};
use super::lmdb::Lmdb;
use super::tables::SCHEMA;
use super::{Storage, StorageConfig};

pub(super) const NOW: u64 = 1_800_000_000_000;
pub(super) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

pub(super) fn config(folder: &tempfile::TempDir) -> StorageConfig {
    StorageConfig {
        data_dir: folder.path().to_owned(),
        min_free_bytes: 0,
        ..StorageConfig::default()
    }
}

pub(super) fn open(config: StorageConfig) -> Lmdb {
    Lmdb::open(config, AtRest::new(&Key::new([7; 32]))).unwrap()
}

/// What the owner's password wraps.
fn wrapped() -> WrappedKey {
    WrappedKey {
        generation: 1,
        epoch: 1,
        blob: ByteBuf::from(vec![7; 92]),
    }
}

/// An owner who writes one log.
pub(super) struct Owner {
    pub(super) id: AccountId,
    pub(super) name: AccountName,
    key: SigningKey,
    pub(super) head: Head,
}

impl Owner {
    pub(super) fn new(name: &str) -> Self {
        Self {
            id: AccountId::random(),
            name: AccountName::parse(name).unwrap(),
            key: SigningKey::from_bytes(&rand::random()),
            head: Head::EMPTY,
        }
    }

    fn log_key(&self) -> PublicKey {
        PublicKey::new(self.key.verifying_key().to_bytes())
    }

    fn sign(&self, head: Head, op: Op) -> SignedEntry {
        let entry = Entry {
            format: ENTRY_FORMAT,
            account: self.id,
            seq: head.seq.next(),
            previous: head.hash,
            device: DeviceId::new([1; 16]),
            time_ms: NOW,
            seen: None,
            op,
        };
        SignedEntry::sign(&entry, &self.key).unwrap()
    }

    /// A right proof of this owner's.
    pub(super) fn succeed(&self, remote: IpAddr) -> Write {
        Write::FinishLogin(FinishLogin {
            name: self.name.clone(),
            success: Some(Success {
                account: self.id,
                session: SessionId::random(),
                slot: Slot::Password,
                wrapped: wrapped(),
            }),
            remote,
        })
    }

    pub(super) fn register(&mut self) -> Write {
        let genesis = self.sign(
            Head::EMPTY,
            Op::Genesis(Identity {
                server: ServerId::new([2; 16]),
                opaque_key: PublicKey::new([3; 32]),
                checkpoint_key: PublicKey::new([4; 32]),
                log_key: self.log_key(),
                suite: 1,
            }),
        );
        self.head = Head {
            seq: Seq(1),
            hash: genesis.hash(),
        };
        Write::Register(Box::new(Register {
            account: Account {
                id: self.id,
                name: self.name.clone(),
                log_key: self.log_key(),
                slots: vec![SlotRecord {
                    slot: Slot::Password,
                    record: ByteBuf::from(vec![7; 192]),
                    wrapped: wrapped(),
                }],
                created_ms: NOW,
            },
            genesis,
            invite: None,
            remote: HERE,
        }))
    }

    fn put(&self, head: Head, secret: SecretId, version: u64, value: &[u8]) -> Verified {
        let op = Op::Put(Put {
            secret,
            version: Version(version),
            epoch: 1,
            value_hash: Digest::of(value),
            metadata: ByteBuf::from(vec![0; 300]),
        });
        let new = NewEntry {
            entry: self.sign(head, op),
            value: Some(ByteBuf::from(value.to_vec())),
        };
        Verified::check(new, &self.id, &self.log_key()).unwrap()
    }

    fn append(&self, entries: Vec<Verified>) -> Write {
        let records = entries
            .iter()
            .map(|_| Draft::without_session(Operation::Put, Outcome::Done, Some(HERE)))
            .collect();
        Write::Append {
            account: self.id,
            entries,
            records,
        }
    }
}

pub(super) fn write(engine: &Lmdb, write: Write) -> Result<Written, StorageError> {
    engine.write(&[write], NOW).pop().unwrap()
}

pub(super) fn head(written: Result<Written, StorageError>) -> Head {
    match written {
        Ok(Written::Head(head)) => head,
        other => panic!("no head: {other:?}"),
    }
}

pub(super) fn refusal(written: Result<Written, StorageError>) -> Refusal {
    match written {
        Err(StorageError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

pub(super) fn audit(engine: &Lmdb, account: AccountId) -> Vec<Record> {
    let page = engine
        .audit(&ReadAudit {
            account,
            from: 0,
            limit: 1000,
            size: None,
            verified_size: 0,
            proofs: true,
        })
        .unwrap();
    let mut tree = Frontier::new();
    for (index, record) in (0..).zip(&page.records) {
        let leaf = Record::leaf_hash(record);
        tree.push(leaf);
        let proof = &page.inclusion[usize::try_from(index).unwrap()];
        let (size, root) = (page.head.size, page.head.root);
        assert!(merkle::verify_inclusion(&leaf, index, size, proof, &root));
    }
    assert_eq!((tree.size(), tree.root()), (page.head.size, page.head.root));
    let decode = |record: &ByteBuf| shared::codec::decode(record, record.len()).unwrap();
    page.records.iter().map(decode).collect()
}

#[test]
fn appends_survive_reopening_and_conflicts_are_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let mut owner = Owner::new("alice");
    let (secret, value) = (SecretId::random(), vec![9; 100]);
    {
        let engine = open(config(&folder));
        write(&engine, owner.register()).unwrap();
        let put = owner.put(owner.head, secret, 1, &value);
        let new_head = head(write(&engine, owner.append(vec![put])));
        assert_eq!(new_head.seq, Seq(2));
        let late = owner.put(owner.head, SecretId::random(), 1, b"late");
        let refused = refusal(write(&engine, owner.append(vec![late])));
        assert_eq!(refused, Refusal::Conflict(new_head));
        let wrong_version = owner.put(new_head, secret, 3, b"x");
        let refused = refusal(write(&engine, owner.append(vec![wrong_version])));
        assert_eq!(refused, Refusal::BadEntry);
        owner.head = new_head;
    }
    let engine = open(config(&folder));
    let after = Seq(0);
    let account = owner.id;
    let (entries, stored) = engine.entries(&ReadEntries { account, after }).unwrap();
    assert_eq!((entries.len(), stored), (2, owner.head));
    let items = vec![ValueRef {
        secret,
        version: Version(1),
    }];
    let values = engine.values(&ReadValues { account, items }).unwrap();
    assert_eq!(values, [Some(ByteBuf::from(value))]);
    let outcomes: Vec<_> = audit(&engine, account).iter().map(|r| r.outcome).collect();
    let expected = [
        Outcome::Done,
        Outcome::Done,
        Outcome::Conflict,
        Outcome::Refused,
    ];
    assert_eq!(outcomes, expected);
}

#[test]
fn a_batch_mixes_accounts_and_refusals_do_not_spread() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(config(&folder));
    let mut owners: Vec<Owner> = (0..10).map(|n| Owner::new(&format!("owner{n}"))).collect();
    let registrations: Vec<Write> = owners.iter_mut().map(Owner::register).collect();
    assert!(engine.write(&registrations, NOW).iter().all(Result::is_ok));
    let mut writes = Vec::new();
    for owner in &owners {
        for n in 0..10 {
            // Only the first of these continues the log.
            let put = owner.put(owner.head, SecretId::random(), 1, &[n; 10]);
            writes.push(owner.append(vec![put]));
        }
    }
    let results = engine.write(&writes, NOW);
    assert_eq!(results.len(), 100);
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 10);
    for owner in &owners {
        assert_eq!(audit(&engine, owner.id).len(), 11);
    }
}

#[test]
fn another_accounts_values_are_out_of_reach() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(config(&folder));
    let (mut alice, mut bob) = (Owner::new("alice"), Owner::new("bob"));
    write(&engine, alice.register()).unwrap();
    write(&engine, bob.register()).unwrap();
    let secret = SecretId::random();
    let put = alice.put(alice.head, secret, 1, b"hers");
    write(&engine, alice.append(vec![put])).unwrap();
    let items = vec![ValueRef {
        secret,
        version: Version(1),
    }];
    let account = bob.id;
    let values = engine.values(&ReadValues { account, items }).unwrap();
    assert_eq!(values, [None]);
}

#[test]
fn removing_a_secret_removes_its_values_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(config(&folder));
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    let secret = SecretId::random();
    let put = owner.put(owner.head, secret, 1, b"value");
    let top = head(write(&engine, owner.append(vec![put])));
    let remove = Op::Remove(Remove {
        secret,
        version: Version(1),
    });
    let new = NewEntry {
        entry: owner.sign(top, remove),
        value: None,
    };
    let remove = Verified::check(new, &owner.id, &owner.log_key()).unwrap();
    let top = head(write(&engine, owner.append(vec![remove])));
    let state: Option<SecretState> = engine
        .snapshot(|txn| {
            let key = super::tables::own(&owner.id, &[secret.as_bytes()]);
            engine.tables.secrets.decode(txn, &key)
        })
        .unwrap();
    assert_eq!(state, Some(SecretState::Removed));
    let items = vec![ValueRef {
        secret,
        version: Version(1),
    }];
    let account = owner.id;
    assert_eq!(
        engine.values(&ReadValues { account, items }).unwrap(),
        [None]
    );
    let again = owner.put(top, secret, 1, b"again");
    let refused = refusal(write(&engine, owner.append(vec![again])));
    assert_eq!(refused, Refusal::BadEntry);
}

#[test]
fn the_map_grows_and_stops_at_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(StorageConfig {
        map_size_initial: 1024 * 1024,
        map_size_max: 16 * 1024 * 1024,
        ..config(&folder)
    });
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    let value = vec![5; 1024 * 1024];
    let mut top = owner.head;
    let mut stored = 0;
    let refused = loop {
        let put = owner.put(top, SecretId::random(), 1, &value);
        match write(&engine, owner.append(vec![put])) {
            Ok(Written::Head(head)) => top = head,
            other => break refusal(other),
        }
        stored += 1;
    };
    assert_eq!(refused, Refusal::DiskFull);
    assert!(stored >= 10, "only {stored} MiB fit");
    let (account, after) = (owner.id, Seq(0));
    let (_, stored) = engine.entries(&ReadEntries { account, after }).unwrap();
    assert_eq!(stored, top);
}

#[test]
fn a_newer_schema_and_a_second_server_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    {
        let engine = open(config(&folder));
        let mut txn = engine.write_txn().unwrap();
        let newer = (SCHEMA + 1).to_be_bytes();
        engine.tables.meta.put(&mut txn, b"schema", &newer).unwrap();
        txn.commit().unwrap();
    }
    let key = Key::new([7; 32]);
    let error = Storage::open(config(&folder), &key).unwrap_err();
    assert!(error.to_string().contains("newer"), "{error}");
    let other = tempfile::tempdir().unwrap();
    let first = Storage::open(config(&other), &key).unwrap();
    let error = Storage::open(config(&other), &key).unwrap_err();
    assert!(error.to_string().contains("another keyserver"), "{error}");
    drop(first);
}
