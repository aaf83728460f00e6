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
    Acknowledge, Credential, ENTRY_FORMAT, Entry, Head, Identity, Op, Put, Remove, SecretState,
    SignedEntry,
};
use shared::wire::call::{NewEntry, ValueRef};
use shared::wire::error::Refusal;
use shared::wire::register::{SlotRecord, WrappedKey};

use super::api::{
    Account, Draft, FinishLogin, ReadAudit, ReadEntries, ReadValues, Register, StartLogin,
    StorageError, Success, Which, WriteRecords,
};
use super::at_rest::AtRest;
use super::engine::{Engine, Verified, Write, Written};
use super::lmdb::Lmdb;
use super::tables::{LogId, SCHEMA};
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
    epoch: u32,
    pub(super) head: Head,
}

impl Owner {
    pub(super) fn new(name: &str) -> Self {
        Self {
            id: AccountId::random(),
            name: AccountName::parse(name).unwrap(),
            key: SigningKey::from_bytes(&rand::random()),
            epoch: 1,
            head: Head::EMPTY,
        }
    }

    pub(super) fn log_key(&self) -> PublicKey {
        PublicKey::new(self.key.verifying_key().to_bytes())
    }

    /// The same owner with another account key, whose log is empty.
    pub(super) fn with_next_key(&self) -> Self {
        Self {
            id: self.id,
            name: self.name.clone(),
            key: SigningKey::from_bytes(&rand::random()),
            epoch: self.epoch + 1,
            head: Head::EMPTY,
        }
    }

    pub(super) fn identity(&self) -> Identity {
        Identity {
            server: ServerId::new([2; 16]),
            opaque_key: PublicKey::new([3; 32]),
            checkpoint_key: PublicKey::new([4; 32]),
            log_key: self.log_key(),
            suite: 1,
        }
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
            former: Vec::new(),
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
        let genesis = self.sign(Head::EMPTY, Op::Genesis(self.identity()));
        self.head = Head {
            seq: Seq(1),
            hash: genesis.hash(),
        };
        Write::Register(Box::new(Register {
            account: Account {
                id: self.id,
                name: self.name.clone(),
                log_key: self.log_key(),
                log: LogId::first(self.id),
                epoch: 1,
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

    pub(super) fn put(&self, head: Head, secret: SecretId, version: u64, value: &[u8]) -> Verified {
        let op = Op::Put(Put {
            secret,
            version: Version(version),
            epoch: self.epoch,
            value_hash: Digest::of(value),
            metadata: ByteBuf::from(vec![0; 300]),
        });
        let new = NewEntry {
            entry: self.sign(head, op),
            value: Some(ByteBuf::from(value.to_vec())),
        };
        Verified::check(new, &self.id, &self.log_key()).unwrap()
    }

    /// An entry without a value.
    pub(super) fn bare(&self, head: Head, op: Op) -> Verified {
        let new = NewEntry {
            entry: self.sign(head, op),
            value: None,
        };
        Verified::check(new, &self.id, &self.log_key()).unwrap()
    }

    pub(super) fn append(&self, entries: Vec<Verified>) -> Write {
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
    let of = Which::Current;
    let read = ReadEntries { account, after, of };
    let (entries, stored) = engine.entries(&read).unwrap();
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
    let removed = owner.bare(top, remove(secret));
    let top = head(write(&engine, owner.append(vec![removed])));
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

/// An owner with so many secrets, and how many bytes they use.
fn filled(folder: &tempfile::TempDir) -> (Owner, Vec<SecretId>, u64) {
    let engine = open(config(folder));
    let mut owner = Owner::new("alice");
    write(&engine, owner.register()).unwrap();
    let secrets: Vec<_> = (0..20).map(|_| SecretId::random()).collect();
    for secret in &secrets {
        let put = owner.put(owner.head, *secret, 1, &[7; 1000]);
        owner.head = head(write(&engine, owner.append(vec![put])));
    }
    let usage = engine.snapshot(|txn| engine.tables.usage(txn, &LogId::first(owner.id)));
    let usage = usage.unwrap();
    (owner, secrets, usage)
}

#[test]
fn a_full_account_and_a_full_disk_refuse_what_needs_room_and_nothing_else() {
    for (disk, refused) in [(false, Refusal::Quota), (true, Refusal::DiskFull)] {
        let folder = tempfile::tempdir().unwrap();
        let (mut owner, secrets, usage) = filled(&folder);
        let engine = open(StorageConfig {
            quota_bytes: if disk { u64::MAX } else { usage },
            min_free_bytes: if disk { u64::MAX } else { 0 },
            ..config(&folder)
        });
        let put = owner.put(owner.head, SecretId::random(), 1, b"");
        assert_eq!(refusal(write(&engine, owner.append(vec![put]))), refused);
        // A device is shut out, and a loss accepted.
        for op in [
            Op::Credential(Credential {
                slot: Slot::Device(DeviceId::random()),
                generation: 1,
                wrapped: None,
                name: None,
            }),
            Op::Acknowledge(Acknowledge {
                lost_seq: Seq(9),
                lost_hash: Digest::of(b"lost"),
            }),
        ] {
            let entry = owner.bare(owner.head, op);
            owner.head = head(write(&engine, owner.append(vec![entry])));
        }
        // Everything in one go.
        let mut top = owner.head;
        let mut entries = Vec::new();
        for secret in &secrets {
            let entry = owner.bare(top, remove(*secret));
            top = entry.signed.verify_next(&entry.entry, &top).unwrap();
            entries.push(entry);
        }
        owner.head = head(write(&engine, owner.append(entries)));
        engine.check().unwrap();
        let put = owner.put(owner.head, SecretId::random(), 1, &[7; 100]);
        assert_eq!(write(&engine, owner.append(vec![put])).is_ok(), !disk);
        engine.check().unwrap();
    }
}

#[test]
fn short_entries_cannot_go_far_over_the_quota() {
    let folder = tempfile::tempdir().unwrap();
    let (mut owner, _, usage) = filled(&folder);
    let engine = open(StorageConfig {
        quota_bytes: usage,
        ..config(&folder)
    });
    let mut appended = 0;
    let refused = loop {
        let mut top = owner.head;
        let mut entries = Vec::new();
        for number in 0..200 {
            let entry = owner.bare(
                top,
                Op::Acknowledge(Acknowledge {
                    lost_seq: Seq(number),
                    lost_hash: Digest::of(b"lost"),
                }),
            );
            top = entry.signed.verify_next(&entry.entry, &top).unwrap();
            entries.push(entry);
        }
        match write(&engine, owner.append(entries)) {
            Ok(Written::Head(head)) => owner.head = head,
            other => break refusal(other),
        }
        appended += 200;
        assert!(appended < 10_000);
    };
    assert_eq!(refused, Refusal::Quota);
}

/// What a value takes is free again where it is removed by a later entry of the same append.
#[test]
fn a_value_that_comes_and_goes_is_not_billed() {
    let folder = tempfile::tempdir().unwrap();
    let (owner, ..) = filled(&folder);
    let engine = open(config(&folder));
    let secret = SecretId::random();
    let put = owner.put(owner.head, secret, 1, &[7; 5000]);
    let top = put.signed.verify_next(&put.entry, &owner.head).unwrap();
    let removed = owner.bare(top, remove(secret));
    head(write(&engine, owner.append(vec![put, removed])));
    engine.check().unwrap();
}

fn remove(secret: SecretId) -> Op {
    Op::Remove(Remove {
        secret,
        version: Version(1),
    })
}

/// A request of a session that makes so many records.
fn request(owner: &Owner, operation: Operation, count: u32) -> Write {
    let session = SessionId::random();
    let draft = |position| Draft {
        session: Some(session),
        counter: 1,
        position,
        ..Draft::without_session(operation, Outcome::NotFound, Some(HERE))
    };
    Write::Records(WriteRecords {
        account: owner.id,
        records: (0..count).map(draft).collect(),
    })
}

#[test]
fn an_account_pays_for_the_records_of_its_sessions_and_for_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(StorageConfig {
        record_quota: 800,
        ..config(&folder)
    });
    let (mut alice, mut bob) = (Owner::new("alice"), Owner::new("bob"));
    write(&engine, alice.register()).unwrap();
    write(&engine, bob.register()).unwrap();
    // Strangers.
    let starts: Vec<Write> = (0..20)
        .map(|number| {
            Write::StartLogin(StartLogin {
                name: alice.name.clone(),
                slot: Slot::Recovery,
                remote: IpAddr::V4(Ipv4Addr::from(0xc633_0000 + number)),
            })
        })
        .collect();
    for minute in 0..10 {
        engine.write(&starts, NOW + minute * 60_000);
        engine.write(&[Write::Tick], NOW + (minute + 1) * 60_000);
    }
    let size = engine.snapshot(|txn| engine.tables.tree(txn, &alice.id));
    assert!(size.unwrap().size > 100);
    // As many as there may be.
    for _ in 0..4 {
        write(&engine, request(&alice, Operation::Get, 200)).unwrap();
    }
    let over = |operation| refusal(write(&engine, request(&alice, operation, 1)));
    assert_eq!(over(Operation::Get), Refusal::Quota);
    let put = alice.put(alice.head, SecretId::random(), 1, b"value");
    let refused = refusal(write(&engine, alice.append(vec![put])));
    assert_eq!(refused, Refusal::Quota);
    // It can be looked at, up to a bound, and left in any case; and bob does not notice.
    for _ in 0..100 {
        write(&engine, request(&alice, Operation::Sync, 1)).unwrap();
    }
    assert_eq!(over(Operation::Audit), Refusal::Quota);
    write(&engine, request(&alice, Operation::Logout, 1)).unwrap();
    write(&engine, request(&bob, Operation::Get, 200)).unwrap();
    // Whoever is there in person goes on, to shut out whichever device it was: up to another bound.
    let in_person = |operation| match request(&alice, operation, 1) {
        Write::Records(mut message) => {
            message.records[0].is_person = true;
            write(&engine, Write::Records(message))
        }
        _ => unreachable!(),
    };
    for _ in 0..99 {
        in_person(Operation::Get).unwrap();
    }
    assert_eq!(refusal(in_person(Operation::Get)), Refusal::Quota);
    for _ in 0..100 {
        in_person(Operation::Slot).unwrap();
    }
    assert_eq!(refusal(in_person(Operation::Slot)), Refusal::Quota);
    engine.check().unwrap();
}

#[test]
fn the_last_half_of_the_reserve_is_for_those_who_made_few_records() {
    let folder = tempfile::tempdir().unwrap();
    let (mut alice, mut bob) = (Owner::new("alice"), Owner::new("bob"));
    {
        let engine = open(config(&folder));
        write(&engine, alice.register()).unwrap();
        write(&engine, bob.register()).unwrap();
        write(&engine, request(&alice, Operation::Get, 200)).unwrap();
    }
    let engine = open(StorageConfig {
        record_quota: 6400,
        min_free_bytes: u64::MAX,
        ..config(&folder)
    });
    let refused = refusal(write(&engine, request(&alice, Operation::Get, 1)));
    assert_eq!(refused, Refusal::DiskFull);
    for owner in [&alice, &bob] {
        write(&engine, owner.succeed(HERE)).unwrap();
    }
    write(&engine, request(&bob, Operation::Get, 50)).unwrap();
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
    let of = Which::Current;
    let read = ReadEntries { account, after, of };
    let (_, stored) = engine.entries(&read).unwrap();
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
