//! Checks a database against itself: every row opens, every chain and every tree leads to its head, every counter is
//! right. Reads everything and changes nothing.

use std::collections::BTreeMap;

use shared::audit_record::Record;
use shared::ids::{AccountId, Digest, SecretId, Seq, Version};
use shared::merkle;
use shared::opaque::Slot;
use shared::vault_log::{
    self, Credential, FIRST_EPOCH, Head, LogError, Op, Purge, SecretState, SignedEntry, Signer,
};
use shared::wire::slots::SLOT_KEY_LEN;

use crate::accounts::SecretRow;
use crate::api::{Account, Summary};
use crate::audit_tree::Tree;
use crate::error::StorageError;
use crate::tables::{self, NOBODY, Table};
use crate::view::{View, decode};
use crate::{login_aggregates, login_throttle};

/// Checks everything; returns what there is.
///
/// # Errors
/// [`StorageError::Failed`], naming the table that is damaged.
pub fn check(view: View<'_>) -> Result<Summary, StorageError> {
    let mut summary = Summary::default();
    view.each(Table::Accounts, |key, _| {
        let id = AccountId::from_slice(key).ok_or_else(|| Table::Accounts.damaged())?;
        check_account(view, &id, &mut summary)
    })?;
    check_audit(view, &NOBODY)?;
    check_owners(view, &summary)?;
    login_throttle::check(view)?;
    login_aggregates::check(view)?;
    view.each(Table::Invites, |key, row| {
        let is_one = key.len() == Digest::LEN && row.len() == 8;
        is_one.then_some(()).ok_or_else(|| Table::Invites.damaged())
    })?;
    Ok(summary)
}

fn check_account(
    view: View<'_>,
    id: &AccountId,
    summary: &mut Summary,
) -> Result<(), StorageError> {
    let account = view.find_account(id)?;
    let account = account.ok_or_else(|| Table::Accounts.damaged())?;
    let name = view.at_rest.name(&account.name);
    if view.account_id(name.as_bytes())? != Some(*id) || account.id != *id {
        return Err(Table::Names.damaged());
    }
    summary.accounts += 1;
    check_vault(view, &account, summary)?;
    summary.records += check_audit(view, id)?;
    Ok(())
}

/// Checks a vault log with all that belongs to it.
fn check_vault(
    view: View<'_>,
    account: &Account,
    summary: &mut Summary,
) -> Result<(), StorageError> {
    let id = &account.id;
    let log = check_log(view, id)?;
    let bytes = check_content(view, id, &log, summary)?;
    check_secrets(view, id, &log, &bytes)?;
    check_credentials(view, account, &log, summary)?;
    summary.entries += log.head.seq.0;
    let is_live = |state: &&SecretState| matches!(state, SecretState::Live(_));
    summary.secrets += log.states.values().filter(is_live).count() as u64;
    summary.heads += u64::from(log.head != Head::EMPTY);
    Ok(())
}

/// Follows the chain from the genesis entry to the stored head.
fn check_log(view: View<'_>, id: &AccountId) -> Result<Log, StorageError> {
    let stored = view.head(id)?;
    let mut log = Log::default();
    let mut seq = Seq(1);
    while seq <= stored.seq {
        let row = view.get(Table::Vault, &tables::entry(id, seq))?;
        let row = row.ok_or_else(|| Table::Vault.damaged())?;
        let signed: SignedEntry = decode(Table::Vault, &row)?;
        log.follow(&signed).map_err(|_| Table::Vault.damaged())?;
        seq = seq.next();
    }
    if log.head != stored || !log.signer.is_none_or(Signer::is_whole) {
        return Err(Table::Heads.damaged());
    }
    Ok(log)
}

fn check_secrets(
    view: View<'_>,
    id: &AccountId,
    log: &Log,
    bytes: &BTreeMap<SecretId, u64>,
) -> Result<(), StorageError> {
    for (secret, state) in &log.states {
        let row = view.secret(id, secret)?;
        let row = row.ok_or_else(|| Table::Secrets.damaged())?;
        let expected = SecretRow {
            state: *state,
            bytes: bytes.get(secret).copied().unwrap_or_default(),
            removed_ms: row.removed_ms,
        };
        let is_removed = matches!(state, SecretState::Removed(_));
        if row != expected || row.removed_ms.is_some() != is_removed {
            return Err(Table::Secrets.damaged());
        }
    }
    if view.count(Table::Secrets, id.as_bytes())? != log.states.len() as u64 {
        return Err(Table::Secrets.damaged());
    }
    Ok(())
}

/// Checks that the slots are those that the log names, and that the account keys of former epochs go with the newest.
fn check_credentials(
    view: View<'_>,
    account: &Account,
    log: &Log,
    summary: &mut Summary,
) -> Result<(), StorageError> {
    let id = &account.id;
    if log.signer != Some(account.signer) {
        return Err(Table::Accounts.damaged());
    }
    for (slot, named) in &log.credentials {
        if view.generation(id, slot)? != Some(named.generation) {
            return Err(Table::Generations.damaged());
        }
        let mut slots = account.slots.iter();
        let stored = slots.find(|stored| stored.credential.slot == *slot);
        let is_same = match (&named.keys, stored) {
            (Some(keys), Some(stored)) => {
                let wrapped = Digest::of(&stored.credential.wrapped.blob) == keys.wrapped;
                // A device renews its credential without an entry.
                let is_wrapped = wrapped || matches!(slot, Slot::Device(_));
                stored.named().1 == named.generation && stored.signing == keys.signing && is_wrapped
            }
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            return Err(Table::Accounts.damaged());
        }
    }
    let is_named = |slot: &Slot| log.credentials.contains_key(slot);
    if !account
        .slots
        .iter()
        .all(|stored| is_named(&stored.credential.slot))
    {
        return Err(Table::Accounts.damaged());
    }
    if view.count(Table::Generations, id.as_bytes())? != log.credentials.len() as u64 {
        return Err(Table::Generations.damaged());
    }
    let mut slot_keys = 0;
    for stored in &account.slots {
        let (slot, generation) = stored.named();
        if let Some(key) = view.slot_key(id, &slot)? {
            let is_of = (key.slot, key.generation) == (slot, generation);
            let is_newest = key.epoch == account.signer.epoch && key.blob.len() == SLOT_KEY_LEN;
            if !is_of || !is_newest {
                return Err(Table::SlotKeys.damaged());
            }
            slot_keys += 1;
        }
    }
    if view.count(Table::SlotKeys, id.as_bytes())? != slot_keys {
        return Err(Table::SlotKeys.damaged());
    }
    summary.slot_keys += slot_keys;
    let histories = view.count(Table::KeyHistories, id.as_bytes())?;
    if histories != u64::from(account.signer.epoch > FIRST_EPOCH) {
        return Err(Table::KeyHistories.damaged());
    }
    summary.key_histories += histories;
    Ok(())
}

/// Checks that all content that the log names and did not destroy is there, and no other; returns its bytes per secret.
fn check_content(
    view: View<'_>,
    id: &AccountId,
    log: &Log,
    summary: &mut Summary,
) -> Result<BTreeMap<SecretId, u64>, StorageError> {
    let mut bytes: BTreeMap<SecretId, u64> = BTreeMap::new();
    for ((secret, version), hash) in &log.values {
        let key = tables::version(id, secret, *version);
        *bytes.entry(*secret).or_default() += stored_len(view, Table::Values, &key, hash)?;
    }
    for ((secret, version, seq), hash) in &log.metadata {
        let key = tables::metadata(id, secret, *version, *seq);
        *bytes.entry(*secret).or_default() += stored_len(view, Table::Metadata, &key, hash)?;
    }
    let mut usage = bytes.values().sum::<u64>();
    for (seq, hash) in &log.notes {
        usage += stored_len(view, Table::Notes, &tables::entry(id, *seq), hash)?;
    }
    if view.usage(id)? != usage {
        return Err(Table::Usage.damaged());
    }
    for (table, expected, sum) in [
        (Table::Values, log.values.len(), &mut summary.values),
        (Table::Metadata, log.metadata.len(), &mut summary.metadata),
        (Table::Notes, log.notes.len(), &mut summary.notes),
    ] {
        let rows = view.count(table, id.as_bytes())?;
        if rows != expected as u64 {
            return Err(table.damaged());
        }
        *sum += rows;
    }
    Ok(bytes)
}

/// Length of stored content with this hash.
fn stored_len(
    view: View<'_>,
    table: Table,
    key: &[u8],
    hash: &Digest,
) -> Result<u64, StorageError> {
    let content = view.get(table, key)?.ok_or_else(|| table.damaged())?;
    if Digest::of(&content) != *hash {
        return Err(table.damaged());
    }
    Ok(content.len() as u64)
}

/// Builds the audit tree anew beside the stored one; returns its size.
fn check_audit(view: View<'_>, id: &AccountId) -> Result<u64, StorageError> {
    let Tree {
        size,
        newest_ms,
        billed,
        ..
    } = view.tree(id)?;
    let (mut time_ms, mut of_sessions) = (0, 0);
    let nodes = view.nodes(id);
    for index in 0..size {
        let record: Option<Record> = view.open(Table::Records, &tables::record(id, index))?;
        let record = record.ok_or_else(|| Table::Records.damaged())?;
        if record.index != index || record.time_ms < time_ms {
            return Err(Table::Records.damaged());
        }
        time_ms = record.time_ms;
        of_sessions += u64::from(record.session.is_some());
        let encoded = record.encode().map_err(|_| Table::Records.damaged())?;
        for node in merkle::append(&nodes, index, Record::leaf_hash(&encoded))? {
            let stored = view.get(Table::Nodes, &tables::node(id, node.level, node.index))?;
            if stored.as_deref() != Some(node.hash.as_bytes()) {
                return Err(Table::Nodes.damaged());
            }
        }
    }
    // The log of names without an account is overwritten from its beginning, and keeps its time.
    if size > 0 && (newest_ms != time_ms || billed > of_sessions) {
        return Err(Table::Trees.damaged());
    }
    Ok(size)
}

/// Checks that there are no rows of accounts that do not exist.
fn check_owners(view: View<'_>, summary: &Summary) -> Result<(), StorageError> {
    // Overwriting the log of names without an account leaves records behind its end.
    let nobodys = view.count(Table::Records, NOBODY.as_bytes())?;
    let counts = [
        (Table::Names, summary.accounts),
        (Table::Vault, summary.entries),
        (Table::Values, summary.values),
        (Table::Records, summary.records + nobodys),
        (Table::Heads, summary.heads),
        (Table::Metadata, summary.metadata),
        (Table::Notes, summary.notes),
        (Table::SlotKeys, summary.slot_keys),
        (Table::KeyHistories, summary.key_histories),
    ];
    for (table, expected) in counts {
        if view.count(table, &[])? != expected {
            return Err(table.damaged());
        }
    }
    Ok(())
}

/// The state of a vault log after the entries that were followed.
struct Log {
    head: Head,
    /// The signer of the next entry.
    signer: Option<Signer>,
    states: BTreeMap<SecretId, SecretState>,
    /// The newest credential of each slot that entries name.
    credentials: BTreeMap<Slot, Credential>,
    /// Hashes of the values that were not destroyed.
    values: BTreeMap<(SecretId, Version), Digest>,
    /// Hashes of the metadata that was not destroyed.
    metadata: BTreeMap<(SecretId, Version, Seq), Digest>,
    /// Hashes of the notes that were not destroyed.
    notes: BTreeMap<Seq, Digest>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            head: Head::EMPTY,
            signer: None,
            states: BTreeMap::new(),
            credentials: BTreeMap::new(),
            values: BTreeMap::new(),
            metadata: BTreeMap::new(),
            notes: BTreeMap::new(),
        }
    }
}

impl Log {
    fn follow(&mut self, signed: &SignedEntry) -> Result<(), LogError> {
        let entry = signed.decode_unverified()?;
        self.head = signed.verify_next(&entry, &self.head)?;
        let by = match (self.signer, &entry.op) {
            (None, Op::Genesis(identity)) => Signer::of_genesis(identity),
            (known, _) => known.ok_or(LogError::Contradiction)?,
        };
        signed.verify(&entry.account, &by.log_key)?;
        self.signer = Some(by.after(&entry.op)?);
        let before = entry
            .op
            .secret()
            .and_then(|id| self.states.get(&id).copied());
        let state = vault_log::apply(before, &entry)?;
        if let (Some(id), Some(state)) = (entry.op.secret(), state) {
            self.states.insert(id, state);
        }
        match entry.op {
            Op::Put(new) | Op::Reseal(new) => {
                let from = (new.secret, new.version);
                self.forget(from, (new.secret, new.version.next()));
                self.values.insert((new.secret, new.version), new.value);
                let key = (new.secret, new.version, entry.seq);
                self.metadata.insert(key, new.metadata);
            }
            Op::Describe(new) => {
                let key = (new.secret, new.version, entry.seq);
                self.metadata.insert(key, new.metadata);
            }
            Op::Note(note) => drop(self.notes.insert(entry.seq, note)),
            Op::Purge(Purge::Note(seq)) => drop(self.notes.remove(&seq)),
            Op::Purge(Purge::Secret(id)) => self.forget((id, Version(0)), (id, Version(u64::MAX))),
            Op::Purge(Purge::Versions(kept)) => {
                self.forget((kept.secret, Version(0)), (kept.secret, kept.version));
            }
            Op::Credential(credential) => {
                let before = self.credentials.get(&credential.slot);
                vault_log::next_generation(before.map(|before| before.generation), &credential)?;
                self.credentials.insert(credential.slot, credential);
            }
            Op::Genesis(_) | Op::Remove(_) | Op::Restore(_) | Op::Acknowledge(_) | Op::Rekey(_) => {
            }
        }
        Ok(())
    }

    /// Forgets the content of versions from `from` up to and without `to`.
    fn forget(&mut self, from: (SecretId, Version), to: (SecretId, Version)) {
        let values = self.values.range(from..to).map(|(key, _)| *key);
        for key in values.collect::<Vec<_>>() {
            self.values.remove(&key);
        }
        let (from, to) = ((from.0, from.1, Seq(0)), (to.0, to.1, Seq(0)));
        let metadata = self.metadata.range(from..to).map(|(key, _)| *key);
        for key in metadata.collect::<Vec<_>>() {
            self.metadata.remove(&key);
        }
    }
}
