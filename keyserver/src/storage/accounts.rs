//! Accounts, names and invites.

use heed::RoTxn;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use shared::audit_record::{Operation, Outcome};
use shared::ids::{AccountId, DeviceId, Digest, PublicKey, Seq};
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::vault_log::Head;
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_SLOTS;
use shared::wire::register::{SlotRecord, WrappedKey};

use crate::sessions::registration::{RECORD_LEN, WRAPPED_LEN};
use crate::storage::api::{Account, AddInvite, Draft, Register, StorageError};
use crate::storage::at_rest::AtRest;
use crate::storage::engine::Written;
use crate::storage::lmdb::Unit;
use crate::storage::tables::{self, LogId, NOBODY, Tables};

/// The row of an account. It has room for as many slots as an account may have, so that opening it takes as long
/// whoever's it is.
#[derive(Serialize, Deserialize)]
struct Stored(Account);

impl Stored {
    fn new(account: &Account) -> Self {
        let mut account = account.clone();
        account.slots.resize(MAX_SLOTS, empty_slot());
        Self(account)
    }

    fn into_account(self) -> Account {
        let mut account = self.0;
        account.slots.retain(is_in_use);
        account
    }
}

/// As long as one in use.
fn empty_slot() -> SlotRecord {
    SlotRecord {
        slot: Slot::Device(DeviceId::new([0; DeviceId::LEN])),
        record: ByteBuf::from(vec![0; RECORD_LEN]),
        wrapped: WrappedKey {
            generation: 0,
            epoch: 0,
            blob: ByteBuf::from(vec![0; WRAPPED_LEN]),
        },
    }
}

/// Generations count from 1.
fn is_in_use(slot: &SlotRecord) -> bool {
    slot.wrapped.generation > 0
}

/// The row of an account that nobody has.
#[derive(Debug)]
pub struct Decoy(Vec<u8>);

impl Decoy {
    /// As long as any account's.
    pub fn new(tables: &Tables, keys: &AtRest) -> Result<Self, StorageError> {
        let account = Account {
            id: NOBODY,
            name: AccountName::parse("nobody")
                .map_err(|error| StorageError::Failed(error.to_string()))?,
            log_key: PublicKey::new([0; PublicKey::LEN]),
            log: LogId::first(NOBODY),
            epoch: 0,
            slots: Vec::new(),
            created_ms: 0,
        };
        let key = tables::own(&NOBODY, &[]);
        keys.seal(tables.accounts.name, &key, &Stored::new(&account))
            .map(Self)
    }
}

impl Tables {
    /// The account with this id.
    pub fn account(
        &self,
        txn: &RoTxn,
        keys: &AtRest,
        id: &AccountId,
    ) -> Result<Option<Account>, StorageError> {
        let key = tables::own(id, &[]);
        let sealed = self.accounts.get(txn, &key)?;
        sealed
            .map(|sealed| keys.open(self.accounts.name, &key, sealed))
            .transpose()
            .map(|stored| stored.map(Stored::into_account))
    }

    /// The account of this name. Where nobody has it the decoy is opened, so that this takes as long.
    pub fn named(
        &self,
        txn: &RoTxn,
        keys: &AtRest,
        decoy: &Decoy,
        name: &AccountName,
    ) -> Result<Option<Account>, StorageError> {
        let id = self.names.get(txn, keys.name(name).as_bytes())?;
        let account = match id {
            Some(id) => AccountId::from_slice(id).ok_or_else(|| self.names.damaged())?,
            None => NOBODY,
        };
        let key = tables::own(&account, &[]);
        let sealed = self.accounts.get(txn, &key)?.unwrap_or(&decoy.0);
        let stored: Stored = keys.open(self.accounts.name, &key, sealed)?;
        let account = stored.into_account();
        Ok(id.is_some().then_some(account))
    }

    /// Whether an account of this name can be made now.
    pub fn check_registration(
        &self,
        txn: &RoTxn,
        keys: &AtRest,
        name: &AccountName,
        invite: Option<&Digest>,
        now_ms: u64,
    ) -> Result<(), StorageError> {
        if let Some(code) = invite {
            let row = self.invites.get(txn, code.as_bytes())?.unwrap_or(&[0; 8]);
            let row = row.try_into().map_err(|_| self.invites.damaged())?;
            if u64::from_be_bytes(row) <= now_ms {
                return Err(StorageError::Refused(Refusal::InviteRequired));
            }
        }
        if self.names.get(txn, keys.name(name).as_bytes())?.is_some() {
            return Err(StorageError::Refused(Refusal::Exists));
        }
        Ok(())
    }
}

impl Unit<'_, '_> {
    pub(super) fn register(&mut self, message: &Register) -> Result<Written, StorageError> {
        let Register {
            account,
            genesis,
            invite,
            remote,
        } = message;
        if !self.space.has_room {
            return Err(StorageError::Refused(Refusal::DiskFull));
        }
        let tables = self.tables;
        tables.check_registration(
            self.txn,
            self.keys,
            &account.name,
            invite.as_ref(),
            self.now_ms,
        )?;
        let own = tables::own(&account.id, &[]);
        if tables.accounts.get(self.txn, &own)?.is_some() {
            return Err(StorageError::Refused(Refusal::Exists));
        }
        if let Some(code) = invite {
            tables.invites.put(self.txn, code.as_bytes(), &[0; 8])?;
        }
        self.put_account(account)?;
        let name = self.keys.name(&account.name);
        tables
            .names
            .put(self.txn, name.as_bytes(), account.id.as_bytes())?;
        let first = tables::entry(&account.log, Seq(1));
        tables.vault.encode(self.txn, &first, genesis)?;
        let head = Head {
            seq: Seq(1),
            hash: genesis.hash(),
        };
        tables
            .heads
            .encode(self.txn, &account.log.own(&[]), &head)?;
        let draft = Draft::without_session(Operation::Register, Outcome::Done, Some(*remote));
        self.record(&account.id, &draft, 1)?;
        Ok(Written::Done)
    }

    pub(super) fn seal_account(
        &self,
        account: &Account,
        key: &[u8],
    ) -> Result<Vec<u8>, StorageError> {
        self.keys
            .seal(self.tables.accounts.name, key, &Stored::new(account))
    }

    /// A code that was used or is known already stays as it is.
    pub(super) fn add_invite(&mut self, message: &AddInvite) -> Result<Written, StorageError> {
        let code = message.code.as_bytes();
        if self.tables.invites.get(self.txn, code)?.is_none() {
            let expires = message.expires_ms.to_be_bytes();
            self.tables.invites.put(self.txn, code, &expires)?;
        }
        Ok(Written::Done)
    }
}
