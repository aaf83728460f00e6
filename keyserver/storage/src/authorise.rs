//! Authorises the requests of sessions inside the transaction, and records refusals.

use shared::audit_record::{AuditedOperation, Outcome};
use shared::ids::AccountId;
use shared::wire::error::Refusal;

use crate::api::{Account, Draft};
use crate::context::WriteContext;
use crate::error::StorageError;

/// Share over the record quota (1/8) that is reserved for requests that neither read nor write values: listing, revoking
/// and deleting.
const MANAGEMENT_SHARE: u64 = 8;
/// Share over the record quota (1/4) that is reserved for sessions opened with password or recovery code, so that a stolen
/// device cannot use up what its owner needs to revoke it.
const IN_PERSON_SHARE: u64 = 4;
/// With less than half of the reserve left, accounts that have made more than this share (1/64) of the record quota are
/// refused: the rest of the reserve is for the others.
const LOW_SPACE_SHARE: u64 = 64;

impl WriteContext<'_> {
    /// Authorises a request of a session; returns the account.
    ///
    /// # Errors
    /// [`Refusal::NoSession`] where the account was deleted, or its account key or the session's credential replaced or
    /// revoked: the request may have come before the session was ended. [`Refusal::Quota`] and [`Refusal::DiskFull`] where it
    /// has no quota left for more records.
    pub fn authorise(&self, id: &AccountId, records: &[Draft]) -> Result<Account, StorageError> {
        let account = self.view().account(id)?;
        let is_older = |draft: &Draft| draft.epoch.is_some_and(|epoch| epoch != account.epoch);
        let is_valid = |(slot, generation)| {
            let mut slots = account.slots.iter();
            slots.any(|stored| stored.slot == slot && stored.wrapped.generation == generation)
        };
        let is_revoked = |draft: &Draft| draft.by.is_some_and(|by| !is_valid(by));
        if records
            .iter()
            .any(|draft| is_older(draft) || is_revoked(draft))
        {
            return Err(StorageError::Refused(Refusal::NoSession));
        }
        self.check_record_quota(id, records)?;
        Ok(account)
    }

    /// Refuses requests of an account that has used up its record quota. Such refusals are not recorded.
    fn check_record_quota(
        &self,
        account: &AccountId,
        records: &[Draft],
    ) -> Result<(), StorageError> {
        let is_logout = |draft: &Draft| draft.operation == AuditedOperation::Logout;
        if records.iter().all(is_logout) {
            return Ok(());
        }
        let quota = self.rules.config.record_quota;
        let uses_values = |draft: &Draft| {
            matches!(
                draft.operation,
                AuditedOperation::Get | AuditedOperation::Put | AuditedOperation::Describe
            )
        };
        let mut most = quota;
        if !records.iter().any(uses_values) {
            most = most.saturating_add(quota / MANAGEMENT_SHARE);
        }
        if records.iter().all(|draft| draft.is_person) {
            most = most.saturating_add(quota / IN_PERSON_SHARE);
        }
        let billed = self.view().tree(account)?.billed;
        let billed = billed.saturating_add(records.len() as u64);
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
