//! Appends to a vault log: entries, values, states and audit records in one transaction, all or none.

use std::collections::BTreeMap;

use shared::codec;
use shared::ids::{SecretId, Seq};
use shared::merkle;
use shared::opaque::Slot;
use shared::vault_log::{self, Head, LogError, Op};
use shared::wire::error::Refusal;

use crate::accounts::SecretRow;
use crate::api::{Account, Append, Draft};
use crate::context::WriteContext;
use crate::error::{BAD_ENTRY, StorageError};
use crate::slots;
use crate::tables::{self, LogId, Table};
use crate::verified::VerifiedEntry;

/// Bytes over its quota that an account may use for short entries without a value: removals, revocations and
/// acknowledgements.
const OVER_QUOTA: u64 = 1024 * 1024;

/// The result of an append, computed before anything is written.
pub struct Plan {
    /// Head of the log afterwards.
    pub head: Head,
    secrets: BTreeMap<SecretId, SecretRow>,
    /// The newest generation of each credential that is set or revoked.
    generations: BTreeMap<Slot, u64>,
    /// Bytes in use afterwards.
    usage: u64,
}

impl WriteContext<'_> {
    /// Appends entries to the log of an account; revokes the credentials that they revoke.
    pub fn append(&mut self, new: &Append<VerifiedEntry>) -> Result<Head, StorageError> {
        let (account, entries, records) = (&new.account, &new.entries, &new.records);
        let mut row = self.authorise(account, records)?;
        let checked = self.check_new(&row, entries, records);
        let planned = checked.and_then(|()| self.plan(&row.log, row.epoch, entries));
        let planned = planned.and_then(|plan| Ok((plan, slots::revoke(&mut row, entries)?)));
        let (plan, has_revoked) = match planned {
            Ok(planned) => planned,
            Err(error) => return self.refuse(account, error, records),
        };
        self.apply(&row.log, entries, &plan)?;
        if has_revoked {
            self.put_account(&row)?;
        }
        self.record_all(account, records)?;
        Ok(plan.head)
    }

    /// Checks that new entries claim only what a device of the owner can claim: its own id, a checkpoint that it was
    /// shown, no former entries. Devices refuse a log with any other entry, so that one stolen device could lock the
    /// vault for all of them.
    pub fn check_new(
        &self,
        account: &Account,
        entries: &[VerifiedEntry],
        records: &[Draft],
    ) -> Result<(), StorageError> {
        let size = self.view().tree(&account.id)?.size;
        let nodes = self.view().nodes(&account.id);
        for (new, record) in entries.iter().zip(records) {
            let is_own = record.device.is_none_or(|own| own == new.entry.device);
            let was_shown = match new.entry.seen {
                Some(seen) if self.rules.config.check_seen => {
                    seen.size <= size && merkle::root(&nodes, seen.size)? == seen.root
                }
                _ => true,
            };
            if !is_own || !was_shown || !new.entry.former.is_empty() {
                return Err(BAD_ENTRY);
            }
        }
        Ok(())
    }

    /// Checks entries against the log, its rules and the quota. `epoch` is that of the account key whose log this is.
    pub fn plan(
        &self,
        log: &LogId,
        epoch: u32,
        entries: &[VerifiedEntry],
    ) -> Result<Plan, StorageError> {
        let view = self.view();
        let start = view.head(log)?;
        let mut plan = Plan {
            head: start,
            secrets: BTreeMap::new(),
            generations: BTreeMap::new(),
            usage: view.usage(log)?,
        };
        for new in entries {
            plan.head = match new.signed.verify_next(&new.entry, &plan.head) {
                Ok(head) => head,
                Err(LogError::NotNext { .. }) => {
                    return Err(StorageError::Refused(Refusal::Conflict(start)));
                }
                Err(_) => return Err(BAD_ENTRY),
            };
            if new.entry.op.epoch().is_some_and(|sealed| sealed != epoch) {
                return Err(BAD_ENTRY);
            }
            plan.usage = plan.usage.saturating_add(billed_len(new));
            let secret = new.entry.op.secret();
            let before = match secret.map(|id| (id, plan.secrets.get(&id))) {
                Some((_, Some(planned))) => Some(*planned),
                Some((id, None)) => view.secret(log, &id)?,
                None => None,
            };
            let state = vault_log::apply(before.map(|before| before.state), &new.entry);
            if let (Some(id), Some(state)) = (secret, state.map_err(|_| BAD_ENTRY)?) {
                let stored = before.map_or(0, |before| before.bytes);
                let bytes = if matches!(new.entry.op, Op::Remove(_)) {
                    plan.usage = plan.usage.saturating_sub(stored);
                    0
                } else {
                    stored + new.value_len() as u64
                };
                plan.secrets.insert(id, SecretRow { state, bytes });
            }
            if let Op::Credential(credential) = &new.entry.op {
                let before = match plan.generations.get(&credential.slot) {
                    Some(planned) => Some(*planned),
                    None => view.generation(log, &credential.slot)?,
                };
                let next = vault_log::next_generation(before, credential);
                plan.generations
                    .insert(credential.slot, next.map_err(|_| BAD_ENTRY)?);
            }
        }
        self.check_room(entries, plan.usage)?;
        Ok(plan)
    }

    /// Checks the quota and the reserve. Removing secrets and revoking devices must be possible on a full disk. A
    /// secret is removed once, so that removals are bounded by the entries that were billed before; the other entries that need no
    /// room are bounded by [`OVER_QUOTA`].
    fn check_room(&self, entries: &[VerifiedEntry], usage: u64) -> Result<(), StorageError> {
        let all = |is: fn(&Op) -> bool| entries.iter().all(|new| is(&new.entry.op));
        if all(|op| matches!(op, Op::Remove(_))) {
            return Ok(());
        }
        let is_small =
            all(|op| matches!(op, Op::Remove(_) | Op::Acknowledge(_) | Op::Credential(_)));
        let quota = self.rules.config.quota_bytes;
        let (has_room, quota) = if is_small {
            (true, quota.saturating_add(OVER_QUOTA))
        } else {
            (self.space.has_reserve, quota)
        };
        match (has_room, usage <= quota) {
            (false, _) => Err(StorageError::Refused(Refusal::DiskFull)),
            (true, false) => Err(StorageError::Refused(Refusal::Quota)),
            (true, true) => Ok(()),
        }
    }

    /// Writes entries, values and states as planned.
    pub fn apply(
        &mut self,
        log: &LogId,
        entries: &[VerifiedEntry],
        plan: &Plan,
    ) -> Result<(), StorageError> {
        for new in entries {
            let key = tables::entry(log, new.entry.seq);
            self.encode(Table::Vault, &key, &new.signed)?;
            match (&new.entry.op, &new.value) {
                (Op::Put(put), Some(value)) => {
                    let key = tables::value(log, &put.secret, put.version);
                    self.put(Table::Values, &key, value)?;
                }
                (Op::Remove(remove), _) => {
                    self.delete_prefix(Table::Values, &tables::secret(log, &remove.secret))?;
                }
                _ => {}
            }
        }
        for (secret, row) in &plan.secrets {
            self.encode(Table::Secrets, &tables::secret(log, secret), row)?;
        }
        for (slot, generation) in &plan.generations {
            let key = tables::generation(log, slot);
            self.encode(Table::Generations, &key, generation)?;
        }
        let own = log.own(&[]);
        self.put(Table::Usage, &own, &plan.usage.to_be_bytes())?;
        self.encode(Table::Heads, &own, &plan.head)
    }
}

/// Bytes of an entry and its value that count against the quota: those of the genesis entry do not.
fn billed_len(new: &VerifiedEntry) -> u64 {
    if new.entry.seq == Seq(1) {
        return 0;
    }
    let entry = codec::encoded_len(&new.signed).unwrap_or_default();
    (entry + new.value_len()) as u64
}
