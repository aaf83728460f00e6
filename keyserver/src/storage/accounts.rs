//! Accounts, names and invites.

use heed::RoTxn;
use shared::audit_record::{Operation, Outcome};
use shared::ids::{AccountId, Digest, Seq};
use shared::names::AccountName;
use shared::vault_log::Head;
use shared::wire::error::Refusal;

use crate::storage::api::{Account, AddInvite, Draft, Register, StorageError};
use crate::storage::at_rest::AtRest;
use crate::storage::engine::Written;
use crate::storage::lmdb::Unit;
use crate::storage::tables::{self, Tables};

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
    }

    /// The account of this name.
    pub fn named(
        &self,
        txn: &RoTxn,
        keys: &AtRest,
        name: &AccountName,
    ) -> Result<Option<Account>, StorageError> {
        let Some(id) = self.names.get(txn, keys.name(name).as_bytes())? else {
            return Ok(None);
        };
        let id = AccountId::from_slice(id).ok_or_else(|| self.names.damaged())?;
        self.account(txn, keys, &id)
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
        if !self.has_room {
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
        let sealed = self.keys.seal(tables.accounts.name, &own, account)?;
        tables.accounts.put(self.txn, &own, &sealed)?;
        let name = self.keys.name(&account.name);
        tables
            .names
            .put(self.txn, name.as_bytes(), account.id.as_bytes())?;
        let first = tables::entry(&account.id, Seq(1));
        tables.vault.encode(self.txn, &first, genesis)?;
        let head = Head {
            seq: Seq(1),
            hash: genesis.hash(),
        };
        tables.heads.encode(self.txn, &own, &head)?;
        let draft = Draft {
            operation: Operation::Register,
            secret: None,
            outcome: Outcome::Done,
            session: None,
            counter: 0,
            position: 0,
            device: None,
            remote: *remote,
            tag: None,
        };
        self.record(&account.id, &draft, 1)?;
        Ok(Written::Done)
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
