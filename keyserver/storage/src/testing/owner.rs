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
use shared::vault_log::{ENTRY_FORMAT, Entry, Head, Identity, Op, Put, SignedEntry};
use shared::wire::call::NewEntry;
use shared::wire::error::Refusal;
use shared::wire::register::{SlotRecord, WrappedKey};
use shared::wire::rekey::Prepared;

use crate::api::{
    Account, Append, Draft, FinishLogin, ReadAudit, ReadEntries, ReadValues, Register, Success,
};
use crate::error::StorageError;
use crate::store::{Store, WriteResult};
use crate::tables::LogId;
use crate::verified::VerifiedEntry;
use crate::write::{Write, Written};

pub(super) const NOW: u64 = 1_800_000_000_000;
pub(super) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// The account key as the owner's password wraps it.
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

    /// A login of this owner with a right proof.
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

    pub(super) fn put(
        &self,
        head: Head,
        secret: SecretId,
        version: u64,
        value: &[u8],
    ) -> VerifiedEntry {
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
        VerifiedEntry::new(new, &self.id, &self.log_key()).unwrap()
    }

    /// An entry without a value.
    pub(super) fn bare(&self, head: Head, op: Op) -> VerifiedEntry {
        let new = NewEntry {
            entry: self.sign(head, op),
            value: None,
        };
        VerifiedEntry::new(new, &self.id, &self.log_key()).unwrap()
    }

    pub(super) fn append(&self, entries: Vec<VerifiedEntry>) -> Write {
        let records = entries
            .iter()
            .map(|_| Draft::without_session(AuditedOperation::Put, Outcome::Done, Some(HERE)))
            .collect();
        Write::Append(Append {
            account: self.id,
            entries,
            records,
        })
    }
}

impl Store {
    /// Carries out all writes at this time.
    pub(super) fn write_all(&self, batch: &[Write], now_ms: u64) -> Vec<WriteResult> {
        self.write(batch, now_ms).unwrap()
    }

    pub(super) fn entries(
        &self,
        read: &ReadEntries,
    ) -> Result<(Vec<SignedEntry>, Head), StorageError> {
        self.read(|view| view.entries(read))
    }

    pub(super) fn values(&self, read: &ReadValues) -> Result<Vec<Option<ByteBuf>>, StorageError> {
        self.read(|view| view.values(read))
    }

    pub(super) fn prepared(&self, account: &AccountId) -> Result<Option<Prepared>, StorageError> {
        self.read(|view| view.prepared(account))
    }
}

/// Carries out one write.
pub(super) fn write(engine: &Store, write: Write) -> WriteResult {
    engine.write_all(&[write], NOW).pop().unwrap()
}

pub(super) fn head(written: WriteResult) -> Head {
    match written {
        Ok(Written::Head(head)) => head,
        other => panic!("no head: {other:?}"),
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
