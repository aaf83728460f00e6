//! An owner who writes one log, and helpers of the tests.

use std::net::{IpAddr, Ipv4Addr};

use ed25519_dalek::SigningKey;
use serde_bytes::ByteBuf;
use shared::audit_record::{AuditedOperation, Outcome, Record};
use shared::ids::{
    AccountId, DeviceId, Digest, PublicKey, SecretId, Seq, ServerId, SessionId, Version,
};
use shared::merkle::{self, Frontier};
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::vault_log::{
    Credential, CredentialKeys, Describe, ENTRY_FORMAT, Entry, Head, Identity, KEM_KEY_LEN,
    LAST_OF_REGISTRATION, Op, Sealed, SignedEntry, Signer,
};
use shared::wire::call::{LoggedEntry, NewEntry};
use shared::wire::error::Refusal;
use shared::wire::register::{Lease, SlotRecord, WrappedKey};

use crate::api::{
    Account, Draft, FinishLogin, LoggedIn, ReadAudit, ReadEntries, ReadValues, Register,
    StoredSlot, Success,
};
use crate::error::StorageError;
use crate::store::{Store, WriteResult};
use crate::write::{Write, Written};

pub(super) const NOW: u64 = 1_800_000_000_000;
pub(super) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// Bytes of the metadata of all secrets.
pub(super) const METADATA_LEN: usize = 300;

pub(super) fn public(key: &SigningKey) -> PublicKey {
    PublicKey::new(key.verifying_key().to_bytes())
}

/// The key of one of the owner's devices.
fn device_key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

/// The slot of one of the owner's devices.
pub(super) fn device(number: u8) -> Slot {
    Slot::Device(DeviceId::of(&public(&device_key(number))))
}

/// The signing key of a credential of the owner.
pub(super) fn signing(slot: Slot, generation: u64) -> SigningKey {
    let number = u8::try_from(generation % 100).unwrap();
    match slot {
        Slot::Password => SigningKey::from_bytes(&[100 + number; 32]),
        Slot::Recovery => SigningKey::from_bytes(&[200 + number % 50; 32]),
        Slot::Device(_) => device_key((0..99).find(|number| device(*number) == slot).unwrap()),
    }
}

/// A lease that use renews.
pub(super) const LEASE: Lease = Lease {
    seconds: 1000,
    renewed: true,
};

/// A credential of the owner, which wraps the account key of an epoch.
pub(super) fn record(slot: Slot, generation: u64, epoch: u32) -> SlotRecord {
    SlotRecord {
        slot,
        record: ByteBuf::from(vec![6; 192]),
        wrapped: WrappedKey {
            generation,
            epoch,
            blob: ByteBuf::from(vec![7; 92]),
        },
        lease: matches!(slot, Slot::Device(_)).then_some(LEASE),
    }
}

/// What the log says of a credential.
pub(super) fn credential(record: &SlotRecord) -> Credential {
    Credential {
        slot: record.slot,
        generation: record.wrapped.generation,
        keys: Some(CredentialKeys {
            wrapped: Digest::of(&record.wrapped.blob),
            kem: ByteBuf::from(vec![5; KEM_KEY_LEN]),
            signing: public(&signing(record.slot, record.wrapped.generation)),
        }),
        name: None,
    }
}

/// A draft of a session that was just opened with the password.
pub(super) fn proven() -> Draft {
    Draft {
        is_person: true,
        is_proven: true,
        ..Draft::without_session(AuditedOperation::Put, Outcome::Done, Some(HERE))
    }
}

/// A draft of a session that was opened long ago.
pub(super) fn unproven() -> Draft {
    Draft::without_session(AuditedOperation::Put, Outcome::Done, Some(HERE))
}

/// An owner who writes one log.
#[derive(Clone)]
pub(super) struct Owner {
    pub(super) id: AccountId,
    pub(super) name: AccountName,
    /// Signs the log.
    pub(super) key: SigningKey,
    pub(super) epoch: u32,
    /// Generation of the password.
    pub(super) password: u64,
    pub(super) head: Head,
}

impl Owner {
    pub(super) fn new(name: &str) -> Self {
        Self {
            id: AccountId::random(),
            name: AccountName::parse(name).unwrap(),
            key: SigningKey::from_bytes(&rand::random()),
            epoch: 1,
            password: 1,
            head: Head::EMPTY,
        }
    }

    pub(super) fn identity(&self) -> Identity {
        Identity {
            server: ServerId::new([2; 16]),
            opaque_key: PublicKey::new([3; 32]),
            checkpoint_key: PublicKey::new([4; 32]),
            log_key: public(&self.key),
            suite: 1,
        }
    }

    /// An entry, authorised by the password where that is needed.
    pub(super) fn sign(&self, head: Head, op: Op) -> SignedEntry {
        let key = signing(Slot::Password, self.password);
        self.sign_by(head, op, Some((Slot::Password, &key)))
    }

    /// An entry, authorised by a credential where that is needed.
    pub(super) fn sign_by(
        &self,
        head: Head,
        op: Op,
        by: Option<(Slot, &SigningKey)>,
    ) -> SignedEntry {
        let needs = op.needs_authorisation() && head.seq >= LAST_OF_REGISTRATION;
        let mut entry = Entry {
            format: ENTRY_FORMAT,
            account: self.id,
            seq: head.seq.next(),
            previous: head.hash,
            device: DeviceId::new([1; 16]),
            time_ms: NOW,
            seen: None,
            op,
            authorisation: None,
        };
        if let Some((slot, key)) = by.filter(|_| needs) {
            entry.authorise(slot, key).unwrap();
        }
        SignedEntry::sign(&entry, &self.key).unwrap()
    }

    /// A login of this owner with a right proof.
    pub(super) fn succeed(&self, remote: IpAddr) -> Write {
        self.succeed_with(record(Slot::Password, self.password, 1), remote)
    }

    /// A login by a credential, with a right proof.
    pub(super) fn succeed_with(&self, credential: SlotRecord, remote: IpAddr) -> Write {
        Write::FinishLogin(FinishLogin {
            name: self.name.clone(),
            success: Some(Success {
                account: self.id,
                session: SessionId::random(),
                slot: credential.slot,
                wrapped: credential.wrapped,
            }),
            remote,
        })
    }

    pub(super) fn register(&mut self) -> Write {
        self.register_with(&[])
    }

    /// Registers password, recovery code, and devices.
    pub(super) fn register_with(&mut self, devices: &[Slot]) -> Write {
        let slots = [&[Slot::Password, Slot::Recovery], devices].concat();
        let slots: Vec<SlotRecord> = slots.into_iter().map(|slot| record(slot, 1, 1)).collect();
        let credentials = slots.iter().map(|slot| Op::Credential(credential(slot)));
        let ops = [Op::Genesis(self.identity())]
            .into_iter()
            .chain(credentials);
        let mut entries = Vec::new();
        for op in ops {
            let entry = self.sign(self.head, op);
            self.head = self.head.with(&entry);
            entries.push(entry);
        }
        let stored = slots.into_iter().map(|slot| {
            let signing = public(&signing(slot.slot, 1));
            StoredSlot::new(slot, signing)
        });
        Write::Register(Box::new(Register {
            account: Account {
                id: self.id,
                name: self.name.clone(),
                signer: Signer::of_genesis(&self.identity()),
                slots: stored.collect(),
                created_ms: NOW,
            },
            entries,
            invite: None,
            remote: HERE,
        }))
    }

    pub(super) fn put(&self, head: Head, secret: SecretId, version: u64, value: &[u8]) -> NewEntry {
        self.sealed(head, Op::Put, secret, version, value)
    }

    pub(super) fn reseal(
        &self,
        head: Head,
        secret: SecretId,
        version: u64,
        value: &[u8],
    ) -> NewEntry {
        self.sealed(head, Op::Reseal, secret, version, value)
    }

    fn sealed(
        &self,
        head: Head,
        op: fn(Sealed) -> Op,
        secret: SecretId,
        version: u64,
        value: &[u8],
    ) -> NewEntry {
        let metadata = metadata(head);
        let op = op(Sealed {
            secret,
            version: Version(version),
            epoch: self.epoch,
            value: Digest::of(value),
            metadata: Digest::of(&metadata),
        });
        NewEntry {
            entry: self.sign(head, op),
            value: Some(ByteBuf::from(value.to_vec())),
            metadata: Some(metadata),
        }
    }

    pub(super) fn describe(&self, head: Head, secret: SecretId, version: u64) -> NewEntry {
        let metadata = metadata(head);
        let op = Op::Describe(Describe {
            secret,
            version: Version(version),
            epoch: self.epoch,
            metadata: Digest::of(&metadata),
        });
        NewEntry {
            entry: self.sign(head, op),
            value: None,
            metadata: Some(metadata),
        }
    }

    pub(super) fn note(&self, head: Head, len: usize) -> NewEntry {
        let note = ByteBuf::from(vec![8; len]);
        NewEntry {
            entry: self.sign(head, Op::Note(Digest::of(&note))),
            value: None,
            metadata: Some(note),
        }
    }

    /// An entry without content.
    pub(super) fn bare(&self, head: Head, op: Op) -> NewEntry {
        without_content(self.sign(head, op))
    }

    /// An append by a session that was opened long ago.
    pub(super) fn append(&self, engine: &Store, entries: Vec<NewEntry>) -> Write {
        self.append_by(engine, entries, &unproven())
    }

    pub(super) fn append_by(&self, engine: &Store, entries: Vec<NewEntry>, by: &Draft) -> Write {
        let account = self.id;
        let records = vec![by.clone(); entries.len()];
        match engine.verify(account, entries).unwrap() {
            Ok(new) => Write::Append {
                account,
                new,
                records,
            },
            Err(refusal) => Write::Refuse {
                account,
                refusal,
                records,
            },
        }
    }

    /// Appends an entry, which must be accepted.
    pub(super) fn done(&mut self, engine: &Store, new: NewEntry) {
        self.done_by(engine, new, &unproven());
    }

    pub(super) fn done_by(&mut self, engine: &Store, new: NewEntry, by: &Draft) {
        self.head = head(write(engine, self.append_by(engine, vec![new], by)));
    }

    /// The refusal of an entry.
    pub(super) fn refused_by(&self, engine: &Store, new: NewEntry, by: &Draft) -> Refusal {
        refusal(write(engine, self.append_by(engine, vec![new], by)))
    }

    pub(super) fn usage(&self, engine: &Store) -> u64 {
        engine.read(|view| view.usage(&self.id)).unwrap()
    }
}

pub(super) fn without_content(entry: SignedEntry) -> NewEntry {
    NewEntry {
        entry,
        value: None,
        metadata: None,
    }
}

/// Metadata that differs from entry to entry.
pub(super) fn metadata(head: Head) -> ByteBuf {
    let mut metadata = vec![0; METADATA_LEN];
    metadata[..8].copy_from_slice(&head.seq.0.to_be_bytes());
    ByteBuf::from(metadata)
}

impl Store {
    /// Carries out all writes at this time.
    pub(super) fn write_all(&self, batch: &[Write], now_ms: u64) -> Vec<WriteResult> {
        self.write(batch, now_ms).unwrap()
    }

    /// Carries out one write at this time.
    pub(super) fn write_at(&self, write: Write, now_ms: u64) -> WriteResult {
        self.write_all(&[write], now_ms).pop().unwrap()
    }

    /// All entries of a log, and its head.
    pub(super) fn entries(
        &self,
        account: AccountId,
    ) -> Result<(Vec<LoggedEntry>, Head), StorageError> {
        let after = Seq(0);
        let page = self.read(|view| view.entries(&ReadEntries { account, after }))?;
        Ok((page.entries, page.head))
    }

    pub(super) fn values(&self, read: &ReadValues) -> Result<Vec<Option<ByteBuf>>, StorageError> {
        self.read(|view| view.values(read))
    }
}

/// Carries out one write.
pub(super) fn write(engine: &Store, write: Write) -> WriteResult {
    engine.write_at(write, NOW)
}

pub(super) fn head(written: WriteResult) -> Head {
    match written {
        Ok(Written::Head(head)) => head,
        other => panic!("no head: {other:?}"),
    }
}

pub(super) fn login(written: WriteResult) -> LoggedIn {
    match written {
        Ok(Written::Login(Some(login))) => *login,
        other => panic!("no login: {other:?}"),
    }
}

pub(super) fn refusal(written: WriteResult) -> Refusal {
    match written {
        Err(StorageError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// The audit log of an account, with its proofs verified.
pub(super) fn audit(engine: &Store, account: AccountId) -> Vec<Record> {
    let read = ReadAudit {
        account,
        from: 0,
        limit: 1000,
        size: None,
        verified_size: 0,
        proofs: true,
        seen: Vec::new(),
    };
    let page = engine.read(|view| view.audit(&read)).unwrap();
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
