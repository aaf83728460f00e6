//! What storage promises, whatever engine keeps it.

use serde_bytes::ByteBuf;
use shared::ids::{AccountId, Digest, PublicKey};
use shared::vault_log::{Entry, Head, Op, SignedEntry};
use shared::wire::call::NewEntry;
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_SEALED_VALUE_LEN;
use shared::wire::register::SlotRecord;
use shared::wire::rekey::Prepared;
use shared::wire::slots::SlotInfo;

use crate::storage::api::{
    Account, AddInvite, AuditPage, CheckRegistration, Delete, Draft, FinishLogin, Prepare,
    ReadAudit, ReadEntries, ReadValues, Register, StartLogin, StartRegistration, StorageError,
    Which, WriteRecords,
};
use crate::storage::rekey::Told;

/// An entry whose signature and value were checked; whether it continues the log is for the writer to say.
#[derive(Debug, Clone)]
pub struct Verified {
    /// What is stored.
    pub signed: SignedEntry,
    /// The same, decoded.
    pub entry: Entry,
    /// The sealed value, exactly where the entry is a `put`.
    pub value: Option<ByteBuf>,
}

impl Verified {
    /// Checks one entry of an account.
    pub fn check(new: NewEntry, account: &AccountId, key: &PublicKey) -> Result<Self, Refusal> {
        let entry = new
            .entry
            .verify(account, key)
            .map_err(|_| Refusal::BadEntry)?;
        match (&entry.op, &new.value) {
            (Op::Put(put), Some(value)) => {
                if value.len() > MAX_SEALED_VALUE_LEN {
                    return Err(Refusal::TooLarge);
                }
                if Digest::of(value) != put.value_hash {
                    return Err(Refusal::BadEntry);
                }
            }
            (Op::Put(_), None) | (_, Some(_)) => return Err(Refusal::BadEntry),
            (_, None) => {}
        }
        Ok(Self {
            signed: new.entry,
            entry,
            value: new.value,
        })
    }
}

/// One write.
#[derive(Debug, Clone)]
pub enum Write {
    /// See [`StartLogin`].
    StartLogin(StartLogin),
    /// See [`FinishLogin`].
    FinishLogin(FinishLogin),
    /// See [`StartRegistration`].
    StartRegistration(StartRegistration),
    /// See [`Register`].
    Register(Box<Register>),
    /// See [`crate::storage::api::Append`].
    Append {
        /// Whose log.
        account: AccountId,
        /// All or none of these.
        entries: Vec<Verified>,
        /// One a entry.
        records: Vec<Draft>,
    },
    /// See [`crate::storage::api::Install`].
    Install {
        /// Whose.
        account: AccountId,
        /// The credentials.
        slots: Vec<SlotRecord>,
        /// One a credential, or none.
        entries: Vec<Verified>,
        /// Audit records.
        records: Vec<Draft>,
    },
    /// See [`Prepare`].
    Prepare(Prepare),
    /// See [`crate::storage::api::Rewrite`].
    Rewrite {
        /// Whose log.
        account: AccountId,
        /// What it gets.
        told: Told,
    },
    /// See [`crate::storage::api::Rekey`].
    Rekey {
        /// Whose.
        account: AccountId,
        /// The credentials.
        slots: Vec<SlotRecord>,
        /// The last that the new log gets.
        told: Told,
    },
    /// See [`Delete`].
    Delete(Delete),
    /// See [`WriteRecords`].
    Records(WriteRecords),
    /// See [`AddInvite`].
    AddInvite(AddInvite),
    /// Writes down floods that are over, forgets old guesses.
    Tick,
}

impl Write {
    /// Whether it takes no session to ask for it.
    pub fn is_anybodys(&self) -> bool {
        match self {
            Self::StartLogin(_)
            | Self::FinishLogin(_)
            | Self::StartRegistration(_)
            | Self::Register(_)
            | Self::AddInvite(_) => true,
            Self::Append { .. }
            | Self::Install { .. }
            | Self::Prepare(_)
            | Self::Rewrite { .. }
            | Self::Rekey { .. }
            | Self::Delete(_)
            | Self::Records(_)
            | Self::Tick => false,
        }
    }

    /// About how many bytes it will write.
    pub fn weight(&self) -> usize {
        const SMALL: usize = 1024;
        match self {
            Self::Append { entries, .. }
            | Self::Rewrite {
                told: Told { entries, .. },
                ..
            } => {
                let lens = entries.iter().map(|new| {
                    let value = new.value.as_ref().map_or(0, |value| value.len());
                    SMALL + metadata_len(&new.entry.op) + value
                });
                lens.sum()
            }
            _ => SMALL,
        }
    }
}

fn metadata_len(op: &Op) -> usize {
    match op {
        Op::Note(text) => text.len(),
        Op::Put(put) => put.metadata.len(),
        Op::Describe(describe) => describe.metadata.len(),
        Op::Genesis(_)
        | Op::Remove(_)
        | Op::Server(_)
        | Op::Acknowledge(_)
        | Op::Credential(_)
        | Op::Rekey(_) => 0,
    }
}

/// What a write that was done says.
#[derive(Debug, Clone)]
pub enum Written {
    /// To [`Write::StartLogin`].
    Account(Option<Box<Account>>),
    /// To [`Write::FinishLogin`], [`Write::Append`], [`Write::Install`], [`Write::Rewrite`] and [`Write::Rekey`].
    Head(Head),
    /// To [`Write::Delete`].
    Deleted(Box<AuditPage>),
    /// To all others.
    Done,
}

/// A store of accounts, vault logs, values and audit logs.
pub trait Engine: Send + Sync + 'static {
    /// Does all writes in one transaction that is durable when this returns. Each is refused or done by itself.
    fn write(&self, batch: &[Write], now_ms: u64) -> Vec<Result<Written, StorageError>>;

    /// The key that signs one of an account's vault logs; `None` where none was begun.
    fn log_key(&self, account: &AccountId, of: Which) -> Result<Option<PublicKey>, StorageError>;

    /// See [`crate::storage::api::ReadPrepared`].
    fn prepared(&self, account: &AccountId) -> Result<Option<Prepared>, StorageError>;

    /// See [`CheckRegistration`].
    fn check_registration(&self, check: &CheckRegistration) -> Result<(), StorageError>;

    /// See [`crate::storage::api::ReadSlots`].
    fn slots(&self, account: &AccountId) -> Result<Vec<SlotInfo>, StorageError>;

    /// See [`ReadValues`].
    fn values(&self, read: &ReadValues) -> Result<Vec<Option<ByteBuf>>, StorageError>;

    /// See [`ReadEntries`].
    fn entries(&self, read: &ReadEntries) -> Result<(Vec<SignedEntry>, Head), StorageError>;

    /// See [`ReadAudit`].
    fn audit(&self, read: &ReadAudit) -> Result<AuditPage, StorageError>;
}
