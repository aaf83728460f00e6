//! Registration of accounts, and invites.

use shared::audit_record::{AuditedOperation, Outcome};
use shared::ids::Digest;
use shared::names::AccountName;
use shared::vault_log::Head;
use shared::wire::error::Refusal;

use crate::api::{AddInvite, Draft, Register};
use crate::context::WriteContext;
use crate::error::{DISK_FULL, StorageError};
use crate::tables::{self, Table};
use crate::view::View;

impl View<'_> {
    /// Checks that an account with this name can be registered now.
    pub fn check_registration(
        self,
        name: &AccountName,
        invite: Option<&Digest>,
        now_ms: u64,
    ) -> Result<(), StorageError> {
        if let Some(code) = invite {
            let expires_ms = self.number(Table::Invites, code.as_bytes())?;
            if expires_ms.unwrap_or_default() <= now_ms {
                return Err(StorageError::Refused(Refusal::InviteRequired));
            }
        }
        if self
            .account_id(self.at_rest.name(name).as_bytes())?
            .is_some()
        {
            return Err(StorageError::Refused(Refusal::Exists));
        }
        Ok(())
    }
}

impl WriteContext<'_> {
    /// Creates an account.
    pub fn register(&mut self, message: &Register) -> Result<(), StorageError> {
        let Register {
            account,
            entries,
            invite,
            remote,
        } = message;
        if !self.space.has_reserve {
            return Err(DISK_FULL);
        }
        self.view()
            .check_registration(&account.name, invite.as_ref(), self.now_ms)?;
        if self.view().find_account(&account.id)?.is_some() {
            return Err(StorageError::Refused(Refusal::Exists));
        }
        if let Some(code) = invite {
            self.put(Table::Invites, code.as_bytes(), &[0; 8])?;
        }
        let mut account = account.clone();
        for stored in &mut account.slots {
            stored.begin_lease(self.now_ms, self.rules.config.device_lease_seconds);
            let (slot, generation) = stored.named();
            let key = tables::slot(&account.id, &slot);
            self.encode(Table::Generations, &key, &generation)?;
        }
        self.put_account(&account)?;
        let name = self.rules.at_rest.name(&account.name);
        self.put(Table::Names, name.as_bytes(), account.id.as_bytes())?;
        let mut head = Head::EMPTY;
        for entry in entries {
            head = head.with(entry);
            self.encode(Table::Vault, &tables::entry(&account.id, head.seq), entry)?;
        }
        self.encode(Table::Heads, &tables::own(&account.id, &[]), &head)?;
        let draft =
            Draft::without_session(AuditedOperation::Register, Outcome::Done, Some(*remote));
        self.record(&account.id, &draft, 1)
    }

    /// Stores an invite; one that is known already, or was used, stays as it is.
    pub fn add_invite(&mut self, message: &AddInvite) -> Result<(), StorageError> {
        let code = message.code.as_bytes();
        if self.view().get(Table::Invites, code)?.is_none() {
            self.put(Table::Invites, code, &message.expires_ms.to_be_bytes())?;
        }
        Ok(())
    }
}
