//! Appends to a vault log: entries, content, states and audit records in one transaction, all or none.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};

use shared::ids::{AccountId, SecretId, Seq, Version};
use shared::merkle;
use shared::opaque::Slot;
use shared::vault_log::{self, Head, LogError, Op, Purge, SecretState};
use shared::wire::error::Refusal;
use shared::wire::limits::REMOVED_KEPT_MS;

use crate::accounts::SecretRow;
use crate::api::{Account, Draft};
use crate::context::WriteContext;
use crate::error::{BAD_ENTRY, StorageError};
use crate::tables::{self, Table};
use crate::verified::{VerifiedEntries, VerifiedEntry};
use crate::view::View;

const NEEDS_PASSWORD: StorageError = StorageError::Refused(Refusal::NeedsPassword);

/// The result of an append, computed before anything is written.
pub struct Plan {
    /// Head of the log afterwards.
    pub head: Head,
    secrets: BTreeMap<SecretId, PlannedSecret>,
    /// The newest generation of each credential that is set or revoked.
    generations: BTreeMap<Slot, u64>,
    /// Bytes of notes: of those that are written, 0 for those that are destroyed.
    notes: BTreeMap<Seq, u64>,
    /// Bytes of content afterwards.
    usage: u64,
}

/// A secret that entries change.
#[derive(Default)]
struct PlannedSecret {
    state: Option<SecretState>,
    bytes: u64,
    removed_ms: Option<u64>,
    /// Bytes of the content that the entries add, by version.
    added: BTreeMap<Version, u64>,
    /// The entries destroy the stored content of all versions before this one.
    kept: Version,
    /// Versions whose stored content they replace.
    replaced: BTreeSet<Version>,
}

impl WriteContext<'_> {
    /// Appends entries to the log of an account.
    pub fn append(
        &mut self,
        account: &AccountId,
        new: &VerifiedEntries,
        records: &[Draft],
    ) -> Result<Head, StorageError> {
        let row = self.authorise(account, records)?;
        // These take a proof of each credential, or account keys for them: see `install`.
        let is_installed = |new: &VerifiedEntry| {
            matches!(
                new.entry.op,
                Op::Credential(_) | Op::Rekey(_) | Op::Acknowledge(_)
            )
        };
        let planned = if new.entries.iter().any(is_installed) {
            Err(BAD_ENTRY)
        } else {
            self.plan(&row, new, records)
        };
        let plan = match planned {
            Ok(plan) => plan,
            Err(error) => return self.refuse(account, error, records),
        };
        self.apply(account, &new.entries, &plan)?;
        self.record_all(account, records)?;
        Ok(plan.head)
    }

    /// Checks that new entries claim only what a device of the owner can claim: its own id, and a checkpoint that it was
    /// shown. Devices refuse a log with any other entry, so that one stolen device could lock the vault for all of them.
    fn check_claims(
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
            if !is_own || !was_shown {
                return Err(BAD_ENTRY);
            }
        }
        Ok(())
    }

    /// Checks entries against the log, its rules, what the session may destroy, and the quota.
    pub fn plan(
        &self,
        account: &Account,
        new: &VerifiedEntries,
        records: &[Draft],
    ) -> Result<Plan, StorageError> {
        let view = self.view();
        let start = view.head(&account.id)?;
        let before = view.usage(&account.id)?;
        let mut plan = Plan {
            head: start,
            secrets: BTreeMap::new(),
            generations: BTreeMap::new(),
            notes: BTreeMap::new(),
            usage: before,
        };
        // The keys that the entries were verified by are those of the log up to this head.
        if start != new.head && !new.entries.is_empty() {
            return Err(StorageError::Refused(Refusal::Conflict(start)));
        }
        self.check_claims(account, &new.entries, records)?;
        let is_proven = records.iter().all(|record| record.is_proven);
        for new in &new.entries {
            plan.head = match new.signed.verify_next(&new.entry, &plan.head) {
                Ok(head) => head,
                Err(LogError::NotNext { .. }) => {
                    return Err(StorageError::Refused(Refusal::Conflict(start)));
                }
                Err(_) => return Err(BAD_ENTRY),
            };
            if takes_proof(&new.entry.op) && !is_proven {
                return Err(NEEDS_PASSWORD);
            }
            if let Op::Credential(credential) = &new.entry.op {
                let before = match plan.generations.get(&credential.slot) {
                    Some(planned) => Some(*planned),
                    None => view.generation(&account.id, &credential.slot)?,
                };
                let next = vault_log::next_generation(before, credential);
                plan.generations
                    .insert(credential.slot, next.map_err(|_| BAD_ENTRY)?);
            }
            match new.entry.op.secret() {
                Some(id) => self.plan_secret(&account.id, &mut plan, id, new, is_proven)?,
                None => self.plan_note(&account.id, &mut plan, new)?,
            }
        }
        self.check_room(&new.entries, before, plan.usage)?;
        Ok(plan)
    }

    /// Plans an entry that concerns a secret.
    fn plan_secret(
        &self,
        account: &AccountId,
        plan: &mut Plan,
        id: SecretId,
        new: &VerifiedEntry,
        is_proven: bool,
    ) -> Result<(), StorageError> {
        let mut secret = match plan.secrets.remove(&id) {
            Some(planned) => planned,
            None => match self.view().secret(account, &id)? {
                Some(row) => PlannedSecret {
                    state: Some(row.state),
                    bytes: row.bytes,
                    removed_ms: row.removed_ms,
                    ..PlannedSecret::default()
                },
                None => PlannedSecret::default(),
            },
        };
        secret.state = vault_log::apply(secret.state, &new.entry).map_err(|_| BAD_ENTRY)?;
        let stored = |from, to| self.view().content_len(account, &id, from, to);
        let freed = match &new.entry.op {
            Op::Remove(_) => {
                secret.removed_ms = Some(self.now_ms);
                0
            }
            Op::Restore(_) => {
                secret.removed_ms = None;
                0
            }
            Op::Reseal(sealed) => {
                let freed = secret.free(sealed.version, sealed.version.next(), stored)?;
                secret.replaced.insert(sealed.version);
                freed
            }
            Op::Purge(Purge::Versions(kept)) => {
                let freed = secret.free(Version(0), kept.version, stored)?;
                secret.kept = kept.version;
                freed
            }
            Op::Purge(_) => {
                let removed_ms = secret.removed_ms.take().unwrap_or(u64::MAX);
                if !is_proven && self.now_ms.saturating_sub(removed_ms) <= REMOVED_KEPT_MS {
                    return Err(NEEDS_PASSWORD);
                }
                secret.bytes
            }
            _ => 0,
        };
        let len = new.content_len();
        if let Op::Put(vault_log::Sealed { version, .. })
        | Op::Reseal(vault_log::Sealed { version, .. })
        | Op::Describe(vault_log::Describe { version, .. }) = &new.entry.op
        {
            *secret.added.entry(*version).or_default() += len;
        }
        secret.bytes = (secret.bytes + len).saturating_sub(freed);
        plan.usage = (plan.usage + len).saturating_sub(freed);
        plan.secrets.insert(id, secret);
        Ok(())
    }

    /// Plans an entry that concerns no secret.
    fn plan_note(
        &self,
        account: &AccountId,
        plan: &mut Plan,
        new: &VerifiedEntry,
    ) -> Result<(), StorageError> {
        vault_log::apply(None, &new.entry).map_err(|_| BAD_ENTRY)?;
        match &new.entry.op {
            Op::Note(_) => {
                plan.notes.insert(new.entry.seq, new.content_len());
                plan.usage += new.content_len();
            }
            Op::Purge(Purge::Note(seq)) => {
                let stored = self
                    .view()
                    .get(Table::Notes, &tables::entry(account, *seq))?;
                let len = match plan.notes.insert(*seq, 0) {
                    Some(planned) => planned,
                    None => stored.ok_or(BAD_ENTRY)?.len() as u64,
                };
                plan.usage = plan.usage.saturating_sub(len);
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks quota and reserve. Entries without content are always accepted: the quota of audit records bounds their
    /// number.
    fn check_room(
        &self,
        entries: &[VerifiedEntry],
        before: u64,
        usage: u64,
    ) -> Result<(), StorageError> {
        let has_content = |new: &VerifiedEntry| {
            new.entry.op.value().is_some() || new.entry.op.metadata().is_some()
        };
        if !entries.iter().any(has_content) {
            return Ok(());
        }
        if !self.space.has_reserve {
            return Err(StorageError::Refused(Refusal::DiskFull));
        }
        if usage > before && usage > self.rules.config.quota_bytes {
            return Err(StorageError::Refused(Refusal::Quota));
        }
        Ok(())
    }

    /// Writes entries, content and states as planned.
    pub fn apply(
        &mut self,
        account: &AccountId,
        entries: &[VerifiedEntry],
        plan: &Plan,
    ) -> Result<(), StorageError> {
        for new in entries {
            let key = tables::entry(account, new.entry.seq);
            self.encode(Table::Vault, &key, &new.signed)?;
            self.apply_content(account, new)?;
        }
        for (id, secret) in &plan.secrets {
            if let Some(state) = secret.state {
                let row = SecretRow {
                    state,
                    bytes: secret.bytes,
                    removed_ms: secret.removed_ms,
                };
                self.encode(Table::Secrets, &tables::secret(account, id), &row)?;
            }
        }
        for (slot, generation) in &plan.generations {
            let key = tables::slot(account, slot);
            self.encode(Table::Generations, &key, generation)?;
        }
        let own = tables::own(account, &[]);
        self.put(Table::Usage, &own, &plan.usage.to_be_bytes())?;
        self.encode(Table::Heads, &own, &plan.head)
    }

    fn apply_content(
        &mut self,
        account: &AccountId,
        new: &VerifiedEntry,
    ) -> Result<(), StorageError> {
        let seq = new.entry.seq;
        let (id, version) = match &new.entry.op {
            Op::Put(put) => (put.secret, put.version),
            Op::Describe(describe) => (describe.secret, describe.version),
            Op::Reseal(sealed) => {
                let all = tables::version(account, &sealed.secret, sealed.version);
                self.delete_prefix(Table::Metadata, &all)?;
                (sealed.secret, sealed.version)
            }
            Op::Note(_) => {
                let note = new.metadata.as_ref().ok_or(BAD_ENTRY)?;
                return self.put(Table::Notes, &tables::entry(account, seq), note);
            }
            Op::Purge(Purge::Note(seq)) => {
                return self.delete(Table::Notes, &tables::entry(account, *seq));
            }
            Op::Purge(Purge::Secret(id)) => {
                let all = tables::secret(account, id);
                return CONTENT
                    .into_iter()
                    .try_for_each(|table| self.delete_prefix(table, &all));
            }
            Op::Purge(Purge::Versions(kept)) => {
                let from = tables::version(account, &kept.secret, Version(0));
                let to = tables::version(account, &kept.secret, kept.version);
                for table in CONTENT {
                    let range = (
                        Bound::Included(from.as_slice()),
                        Bound::Excluded(to.as_slice()),
                    );
                    self.transaction.delete_range(table, range)?;
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        if let Some(value) = &new.value {
            self.put(
                Table::Values,
                &tables::version(account, &id, version),
                value,
            )?;
        }
        if let Some(metadata) = &new.metadata {
            let key = tables::metadata(account, &id, version, seq);
            self.put(Table::Metadata, &key, metadata)?;
        }
        Ok(())
    }
}

/// The tables with the content of secrets, by version.
const CONTENT: [Table; 2] = [Table::Values, Table::Metadata];

/// Whether the operation takes a session that was just opened with password or recovery code: what outlives sessions,
/// but for the next generation of a device's own credential, which the session proves before it is installed.
fn takes_proof(op: &Op) -> bool {
    let sets_credential = matches!(op, Op::Credential(credential) if credential.keys.is_some());
    op.needs_authorisation() && !sets_credential
}

impl PlannedSecret {
    /// Bytes of the content of the versions from `from` up to and without `to`, which the entries add no longer. `stored`
    /// measures what is stored of such versions.
    fn free(
        &mut self,
        from: Version,
        to: Version,
        stored: impl Fn(Version, Version) -> Result<u64, StorageError>,
    ) -> Result<u64, StorageError> {
        let start = from.max(self.kept);
        let mut freed = 0;
        if start < to {
            freed = stored(start, to)?;
            for replaced in self.replaced.range(start..to) {
                freed -= stored(*replaced, replaced.next())?;
            }
        }
        let added: Vec<Version> = self
            .added
            .range(from..to)
            .map(|(version, _)| *version)
            .collect();
        for version in added {
            freed += self.added.remove(&version).unwrap_or_default();
        }
        Ok(freed)
    }
}

impl View<'_> {
    /// Bytes of the stored content of a secret's versions from `from` up to and without `to`.
    fn content_len(
        self,
        account: &AccountId,
        secret: &SecretId,
        from: Version,
        to: Version,
    ) -> Result<u64, StorageError> {
        let [from, to] = [from, to].map(|version| tables::version(account, secret, version));
        let mut len = 0;
        for table in CONTENT {
            let range = (
                Bound::Included(from.as_slice()),
                Bound::Excluded(to.as_slice()),
            );
            self.snapshot.range(table, range, &mut |_, content| {
                len += content.len() as u64;
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(len)
    }
}
