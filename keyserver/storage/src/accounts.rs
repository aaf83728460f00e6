//! Rows of accounts, their logs and their secrets.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use shared::ids::{AccountId, DeviceId, PublicKey, SecretId};
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::vault_log::{Due, Head, SecretState, Signer};
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_SLOTS;
use shared::wire::register::{Lease, SlotRecord, WrappedKey};
use shared::wire::slots::SlotKey;

use crate::api::{Account, RECORD_LEN, StoredSlot, WRAPPED_LEN};
use crate::at_rest::AtRest;
use crate::error::StorageError;
use crate::tables::{self, NOBODY, Table};
use crate::view::View;

/// The row of an account, padded to the most slots that an account may have: opening it takes the same time for every
/// account.
#[derive(Serialize, Deserialize)]
pub struct PaddedAccount(Account);

impl PaddedAccount {
    /// Pads an account.
    pub fn new(account: &Account) -> Self {
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

/// As long as a slot in use.
fn empty_slot() -> StoredSlot {
    StoredSlot {
        credential: SlotRecord {
            slot: Slot::Device(DeviceId::new([0; DeviceId::LEN])),
            record: ByteBuf::from(vec![0; RECORD_LEN]),
            wrapped: WrappedKey {
                generation: 0,
                epoch: 0,
                blob: ByteBuf::from(vec![0; WRAPPED_LEN]),
            },
            lease: Some(Lease {
                seconds: u32::MAX,
                renewed: false,
            }),
        },
        signing: PublicKey::new([0; PublicKey::LEN]),
        ends_ms: Some(u64::MAX),
    }
}

/// Generations count from 1.
fn is_in_use(slot: &StoredSlot) -> bool {
    slot.credential.wrapped.generation > 0
}

/// The sealed row that is opened for names without an account, so that such a lookup takes as long as any other.
#[derive(Debug)]
pub struct Decoy(Vec<u8>);

impl Decoy {
    /// A row as long as that of any account.
    pub fn new(at_rest: &AtRest) -> Result<Self, StorageError> {
        let account = Account {
            id: NOBODY,
            name: AccountName::parse("nobody").map_err(StorageError::failed)?,
            signer: Signer {
                epoch: 0,
                log_key: PublicKey::new([0; PublicKey::LEN]),
                due: Due::Nothing,
            },
            slots: Vec::new(),
            created_ms: 0,
        };
        let key = tables::own(&NOBODY, &[]);
        at_rest
            .seal(Table::Accounts, &key, &PaddedAccount::new(&account))
            .map(Self)
    }
}

/// The row of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRow {
    /// Its state.
    pub state: SecretState,
    /// Bytes of its stored content: values and metadata of all versions.
    pub bytes: u64,
    /// When the server accepted its removal, in milliseconds since 1970-01-01 UTC; `None` unless it is removed.
    pub removed_ms: Option<u64>,
}

impl View<'_> {
    /// The account with this id.
    pub fn find_account(self, id: &AccountId) -> Result<Option<Account>, StorageError> {
        let row: Option<PaddedAccount> = self.open(Table::Accounts, &tables::own(id, &[]))?;
        Ok(row.map(PaddedAccount::into_account))
    }

    /// The account of a session.
    ///
    /// # Errors
    /// [`Refusal::NoSession`] where it was deleted: deleted accounts have no sessions.
    pub fn account(self, id: &AccountId) -> Result<Account, StorageError> {
        let account = self.find_account(id)?;
        account.ok_or(StorageError::Refused(Refusal::NoSession))
    }

    /// The id of the account with this name; takes the key of the name.
    pub fn account_id(self, name: &[u8]) -> Result<Option<AccountId>, StorageError> {
        let id = self.get(Table::Names, name)?;
        id.map(|id| AccountId::from_slice(&id).ok_or_else(|| Table::Names.damaged()))
            .transpose()
    }

    /// The account with this name. Where there is none the decoy is opened, so that this takes as long.
    pub fn named(self, decoy: &Decoy, name: &AccountName) -> Result<Option<Account>, StorageError> {
        let id = self.account_id(self.at_rest.name(name).as_bytes())?;
        let key = tables::own(&id.unwrap_or(NOBODY), &[]);
        let sealed = self.get(Table::Accounts, &key)?;
        let sealed = sealed.as_deref().unwrap_or(&decoy.0);
        let row: PaddedAccount = self.at_rest.open(Table::Accounts, &key, sealed)?;
        let account = row.into_account();
        Ok(id.is_some().then_some(account))
    }

    /// Head of an account's vault log; that of the empty log if there is none.
    pub fn head(self, account: &AccountId) -> Result<Head, StorageError> {
        let head = self.decode(Table::Heads, &tables::own(account, &[]))?;
        Ok(head.unwrap_or(Head::EMPTY))
    }

    /// Bytes of an account's content: values, metadata and notes.
    pub fn usage(self, account: &AccountId) -> Result<u64, StorageError> {
        let usage = self.number(Table::Usage, &tables::own(account, &[]))?;
        Ok(usage.unwrap_or_default())
    }

    /// The row of a secret.
    pub fn secret(
        self,
        account: &AccountId,
        id: &SecretId,
    ) -> Result<Option<SecretRow>, StorageError> {
        self.decode(Table::Secrets, &tables::secret(account, id))
    }

    /// The newest generation that the log names of a slot's credential.
    pub fn generation(self, account: &AccountId, slot: &Slot) -> Result<Option<u64>, StorageError> {
        self.decode(Table::Generations, &tables::slot(account, slot))
    }

    /// The account key of the newest epoch, encapsulated to the credential of a slot.
    pub fn slot_key(
        self,
        account: &AccountId,
        slot: &Slot,
    ) -> Result<Option<SlotKey>, StorageError> {
        self.decode(Table::SlotKeys, &tables::slot(account, slot))
    }
}
