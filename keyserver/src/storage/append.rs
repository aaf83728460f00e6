//! Appending to a vault log: entries, values, states and audit records in one transaction, all or none.

use std::collections::BTreeMap;

use heed::RoTxn;
use shared::ids::{AccountId, SecretId, Seq};
use shared::merkle;
use shared::opaque::Slot;
use shared::vault_log::{self, Head, LogError, Op, SecretState};
use shared::wire::error::Refusal;

use crate::storage::api::{Account, Draft, StorageError};
use crate::storage::credentials::{BAD_ENTRY, revoke};
use crate::storage::engine::{Verified, Written};
use crate::storage::lmdb::Unit;
use crate::storage::reads::StoredNodes;
use crate::storage::tables::{self, LogId, Tables};

/// So many bytes over its quota an account may go with entries that are short and bring no value.
const OVER_QUOTA: u64 = 1024 * 1024;

/// What an append leads to, worked out before anything is written.
pub(super) struct Plan {
    head: Head,
    states: BTreeMap<SecretId, SecretState>,
    /// The newest generation of each credential that is set or revoked.
    generations: BTreeMap<Slot, u64>,
    /// Bytes in use afterwards.
    usage: u64,
}

impl Plan {
    /// Where the log will end.
    pub(super) fn head(&self) -> Head {
        self.head
    }
}

impl Unit<'_, '_> {
    pub(super) fn append(
        &mut self,
        account: &AccountId,
        entries: &[Verified],
        records: &[Draft],
    ) -> Result<Written, StorageError> {
        let mut row = self.asking(account, records)?;
        let made = self.check_made(&row, entries, records);
        let planned = made.and_then(|()| self.plan(&row.log, row.epoch, entries));
        let planned = planned.and_then(|plan| Ok((plan, revoke(&mut row, entries)?)));
        let (plan, revoked) = match planned {
            Ok(planned) => planned,
            Err(error) => return self.refuse(account, error, records),
        };
        self.carry_out(&row.log, entries, &plan)?;
        if revoked {
            self.put_account(&row)?;
        }
        self.record_all(account, records)?;
        Ok(Written::Head(plan.head))
    }

    /// Whether entries that were just made say what an owner's device can say. Devices refuse a log with anything else,
    /// and whoever has the keys of one could lock the vault for all of them.
    pub(super) fn check_made(
        &self,
        account: &Account,
        entries: &[Verified],
        records: &[Draft],
    ) -> Result<(), StorageError> {
        let size = self.tables.tree(self.txn, &account.id)?.size;
        let nodes = StoredNodes {
            txn: self.txn,
            tables: self.tables,
            account: &account.id,
        };
        for (new, record) in entries.iter().zip(records) {
            let is_own = record.device.is_none_or(|own| own == new.entry.device);
            let was_shown = match new.entry.seen {
                Some(seen) if self.config.check_seen => {
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

    /// `epoch` is that of the account key which signs the log.
    pub(super) fn plan(
        &self,
        log: &LogId,
        epoch: u32,
        entries: &[Verified],
    ) -> Result<Plan, StorageError> {
        let refuse = |refusal| Err(StorageError::Refused(refusal));
        let start = self.tables.head(self.txn, log)?;
        let mut plan = Plan {
            head: start,
            states: BTreeMap::new(),
            generations: BTreeMap::new(),
            usage: self.tables.usage(self.txn, log)?,
        };
        // Bytes of values that these entries bring, by secret: a later one of them may remove them again.
        let mut brought: BTreeMap<SecretId, u64> = BTreeMap::new();
        for new in entries {
            match new.signed.verify_next(&new.entry, &plan.head) {
                Ok(head) => plan.head = head,
                Err(LogError::NotNext { .. }) => return refuse(Refusal::Conflict(start)),
                Err(_) => return refuse(Refusal::BadEntry),
            }
            if new.entry.op.epoch().is_some_and(|sealed| sealed != epoch) {
                return refuse(Refusal::BadEntry);
            }
            let secret = new.entry.op.secret();
            let before = match secret {
                Some(id) => self.state(log, &id, &plan)?,
                None => None,
            };
            match (secret, vault_log::apply(before, &new.entry)) {
                (Some(id), Ok(Some(state))) => drop(plan.states.insert(id, state)),
                (_, Ok(_)) => {}
                (_, Err(_)) => return refuse(Refusal::BadEntry),
            }
            if let Op::Credential(credential) = &new.entry.op {
                let before = self.generation(log, &credential.slot, &plan)?;
                match vault_log::next_generation(before, credential) {
                    Ok(generation) => drop(plan.generations.insert(credential.slot, generation)),
                    Err(_) => return refuse(Refusal::BadEntry),
                }
            }
            plan.usage = plan.usage.saturating_add(bill(new));
            match &new.entry.op {
                Op::Put(put) => *brought.entry(put.secret).or_default() += value_len(new),
                Op::Remove(remove) => {
                    let stored = self.stored_len(log, &remove.secret)?;
                    let own = brought.remove(&remove.secret).unwrap_or_default();
                    plan.usage = plan.usage.saturating_sub(stored + own);
                }
                _ => {}
            }
        }
        match self.check_room(entries, plan.usage) {
            Ok(()) => Ok(plan),
            Err(refusal) => refuse(refusal),
        }
    }

    /// Whatever the account or the disk is full of must be possible to remove, and a device to be shut out. A secret is
    /// removed once, so that removals are bounded by what was paid for; other entries that need no room are bounded here.
    fn check_room(&self, entries: &[Verified], usage: u64) -> Result<(), Refusal> {
        let all = |is: fn(&Op) -> bool| entries.iter().all(|new| is(&new.entry.op));
        if all(|op| matches!(op, Op::Remove(_))) {
            return Ok(());
        }
        let is_small =
            all(|op| matches!(op, Op::Remove(_) | Op::Acknowledge(_) | Op::Credential(_)));
        let (has_room, quota) = if is_small {
            (true, self.config.quota_bytes.saturating_add(OVER_QUOTA))
        } else {
            (self.space.has_room, self.config.quota_bytes)
        };
        match (has_room, usage <= quota) {
            (false, _) => Err(Refusal::DiskFull),
            (true, false) => Err(Refusal::Quota),
            (true, true) => Ok(()),
        }
    }

    /// Bytes of a secret's values that are stored.
    fn stored_len(&self, log: &LogId, secret: &SecretId) -> Result<u64, StorageError> {
        let prefix = log.own(&[secret.as_bytes()]);
        let rows = self.tables.values.with_prefix(self.txn, &prefix)?;
        Ok(rows.iter().map(|(_, len)| bytes(*len)).sum())
    }

    fn state(
        &self,
        log: &LogId,
        secret: &SecretId,
        plan: &Plan,
    ) -> Result<Option<SecretState>, StorageError> {
        if let Some(state) = plan.states.get(secret) {
            return Ok(Some(*state));
        }
        let key = log.own(&[secret.as_bytes()]);
        self.tables.secrets.decode(self.txn, &key)
    }

    fn generation(
        &self,
        log: &LogId,
        slot: &Slot,
        plan: &Plan,
    ) -> Result<Option<u64>, StorageError> {
        if let Some(generation) = plan.generations.get(slot) {
            return Ok(Some(*generation));
        }
        let key = tables::generation(log, slot);
        self.tables.generations.decode(self.txn, &key)
    }

    pub(super) fn carry_out(
        &mut self,
        log: &LogId,
        entries: &[Verified],
        plan: &Plan,
    ) -> Result<(), StorageError> {
        for new in entries {
            let key = tables::entry(log, new.entry.seq);
            self.tables.vault.encode(self.txn, &key, &new.signed)?;
            match (&new.entry.op, &new.value) {
                (Op::Put(put), Some(value)) => {
                    let key = tables::value(log, &put.secret, put.version);
                    self.tables.values.put(self.txn, &key, value)?;
                }
                (Op::Remove(remove), _) => self.remove_values(log, &remove.secret)?,
                _ => {}
            }
        }
        for (secret, state) in &plan.states {
            let key = log.own(&[secret.as_bytes()]);
            self.tables.secrets.encode(self.txn, &key, state)?;
        }
        for (slot, generation) in &plan.generations {
            let key = tables::generation(log, slot);
            let table = &self.tables.generations;
            table.encode(self.txn, &key, generation)?;
        }
        let own = log.own(&[]);
        self.tables
            .usage
            .put(self.txn, &own, &plan.usage.to_be_bytes())?;
        self.tables.heads.encode(self.txn, &own, &plan.head)
    }

    fn remove_values(&mut self, log: &LogId, secret: &SecretId) -> Result<(), StorageError> {
        let prefix = log.own(&[secret.as_bytes()]);
        for (key, _) in self.tables.values.with_prefix(self.txn, &prefix)? {
            self.tables.values.delete(self.txn, &key)?;
        }
        Ok(())
    }
}

impl Tables {
    /// Bytes that a log has in use.
    pub fn usage(&self, txn: &RoTxn, log: &LogId) -> Result<u64, StorageError> {
        let table = &self.usage;
        let Some(row) = table.get(txn, &log.own(&[]))? else {
            return Ok(0);
        };
        let row = row.try_into().map_err(|_| table.damaged())?;
        Ok(u64::from_be_bytes(row))
    }
}

/// Bytes that are on the account's bill: the genesis entry is not.
fn bill(new: &Verified) -> u64 {
    if new.entry.seq == Seq(1) {
        return 0;
    }
    entry_len(new) + value_len(new)
}

/// Bytes that an entry takes.
fn entry_len(new: &Verified) -> u64 {
    shared::codec::encode(&new.signed).map_or(0, |encoded| bytes(encoded.len()))
}

/// Bytes that its value takes.
fn value_len(new: &Verified) -> u64 {
    new.value.as_ref().map_or(0, |value| bytes(value.len()))
}

fn bytes(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
