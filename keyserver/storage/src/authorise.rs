//! Authorises the requests of sessions inside the transaction, and records refusals.

use shared::audit_record::{AuditedOperation, Outcome};
use shared::ids::AccountId;
use shared::opaque::Slot;
use shared::wire::error::Refusal;

use crate::api::{Account, Draft};
use crate::context::WriteContext;
use crate::error::StorageError;

/// Share over the record budget (1/8) that is reserved for requests that neither read nor write values: listing,
/// removing and logging out.
const MANAGEMENT_SHARE: u64 = 8;
/// Share over the record budget (1/4) that is reserved for sessions opened with password or recovery code, so that a stolen
/// device cannot use up what its owner needs to revoke it.
const IN_PERSON_SHARE: u64 = 4;
/// With less than half of the reserve left, accounts that have made more than this share (1/64) of the record budget are
/// refused: the rest of the reserve is for the others.
const LOW_SPACE_SHARE: u64 = 64;

impl WriteContext<'_> {
    /// The account of the session that asks. Renews the lease of the credential that opened the session.
    ///
    /// # Errors
    /// [`Refusal::NoSession`] where the account was deleted, another key epoch began, or the session's credential was
    /// replaced or revoked, or its lease is over: the session may have asked before it was ended. [`Refusal::Quota`] and
    /// [`Refusal::DiskFull`] where it may make no more records.
    pub fn authorise(
        &mut self,
        id: &AccountId,
        records: &[Draft],
    ) -> Result<Account, StorageError> {
        let mut account = self.view().account(id)?;
        let now_ms = self.now_ms;
        let is_older = |draft: &Draft| {
            draft
                .epoch
                .is_some_and(|epoch| epoch != account.signer.epoch)
        };
        let is_valid = |by: (Slot, u64)| {
            let mut slots = account.slots.iter();
            slots.any(|stored| stored.named() == by && !stored.is_over(now_ms))
        };
        let is_revoked = |draft: &Draft| draft.by.is_some_and(|by| !is_valid(by));
        if records
            .iter()
            .any(|draft| is_older(draft) || is_revoked(draft))
        {
            return Err(StorageError::Refused(Refusal::NoSession));
        }
        self.check_record_budget(id, records)?;
        let by = records.iter().find_map(|draft| draft.by);
        let mut slots = account.slots.iter_mut();
        let opened_by = slots.find(|stored| Some(stored.named()) == by);
        if opened_by.is_some_and(|stored| stored.renew_lease(now_ms)) {
            self.put_account(&account)?;
        }
        Ok(account)
    }

    /// Refuses requests of an account that has used up its record budget. These refusals are not recorded. The budget
    /// refills with time.
    ///
    /// An owner who just proved password or recovery code can always shut out devices and destroy content.
    fn check_record_budget(
        &self,
        account: &AccountId,
        records: &[Draft],
    ) -> Result<(), StorageError> {
        let quota = self.rules.config.record_quota;
        let uses_values = |draft: &Draft| {
            matches!(
                draft.operation,
                AuditedOperation::Get
                    | AuditedOperation::Put
                    | AuditedOperation::Describe
                    | AuditedOperation::Restore
                    | AuditedOperation::Reseal
            )
        };
        let is_admitted = |draft: &Draft| {
            let is_logout = draft.operation == AuditedOperation::Logout;
            is_logout || (draft.is_proven && !uses_values(draft))
        };
        if records.iter().all(is_admitted) {
            return Ok(());
        }
        let mut most = quota;
        if !records.iter().any(uses_values) {
            most = most.saturating_add(quota / MANAGEMENT_SHARE);
        }
        if records.iter().all(|draft| draft.is_person) {
            most = most.saturating_add(quota / IN_PERSON_SHARE);
        }
        let tree = self.view().tree(account)?.refilled(quota, self.now_ms);
        let billed = tree.billed.saturating_add(records.len() as u64);
        if billed > most {
            Err(StorageError::Refused(Refusal::Quota))
        } else if !self.space.has_half && billed > quota / LOW_SPACE_SHARE {
            Err(StorageError::Refused(Refusal::DiskFull))
        } else {
            Ok(())
        }
    }

    /// Records that a request was refused, and returns the refusal; other errors are only returned.
    pub fn refuse<T>(
        &mut self,
        id: &AccountId,
        error: StorageError,
        records: &[Draft],
    ) -> Result<T, StorageError> {
        if let StorageError::Refused(refusal) = &error {
            let outcome = match refusal {
                Refusal::Conflict(_) => Outcome::Conflict,
                _ => Outcome::Refused,
            };
            let refused = records.iter().map(|draft| Draft {
                outcome,
                ..draft.clone()
            });
            self.record_all(id, &refused.collect::<Vec<_>>())?;
        }
        Err(error)
    }
}
