//! Checks a database against itself: every row opens, every chain and every tree leads to its head, every counter is
//! right. Reads everything and changes nothing.

use std::collections::BTreeMap;

use shared::audit_record::Record;
use shared::ids::{AccountId, Digest, SecretId, Seq, Version};
use shared::merkle;
use shared::opaque::Slot;
use shared::vault_log::{self, Head, Op, SecretState, SignedEntry};

use crate::accounts::SecretRow;
use crate::api::Summary;
use crate::audit_tree::Tree;
use crate::error::StorageError;
use crate::tables::{self, LogId, NOBODY, Table};
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
        Table::Invites.check(key.len() == Digest::LEN && row.len() == 8)
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
    Table::Names.check(view.account_id(name.as_bytes())? == Some(*id) && account.id == *id)?;
    summary.accounts += 1;
    check_vault(view, &account.log, summary)?;
    if let Some(stage) = view.stage(id)? {
        check_vault(view, &stage.log, summary)?;
        summary.stages += 1;
    }
    summary.records += check_audit(view, id)?;
    Ok(())
}

/// Checks a vault log with all that belongs to it.
fn check_vault(view: View<'_>, id: &LogId, summary: &mut Summary) -> Result<(), StorageError> {
    let log = check_log(view, id)?;
    let (values, bytes) = check_values(view, id, &log)?;
    check_secrets(view, id, &log, &bytes)?;
    check_generations(view, id, &log.generations)?;
    summary.entries += log.head.seq.0;
    summary.secrets += log
        .states
        .values()
        .filter(|state| **state != SecretState::Removed)
        .count() as u64;
    Table::Usage.check(view.usage(id)? == log.bytes + bytes.values().sum::<u64>())?;
    summary.values += values;
    summary.heads += u64::from(log.head != Head::EMPTY);
    Ok(())
}

/// Follows the chain from the genesis entry to the stored head.
fn check_log(view: View<'_>, id: &LogId) -> Result<Log, StorageError> {
    let stored = view.head(id)?;
    let mut log = Log {
        head: Head::EMPTY,
        states: BTreeMap::new(),
        generations: BTreeMap::new(),
        hashes: BTreeMap::new(),
        bytes: 0,
    };
    let mut seq = Seq(1);
    while seq <= stored.seq {
        let row = view.get(Table::Vault, &tables::entry(id, seq))?;
        let row = row.ok_or_else(|| Table::Vault.damaged())?;
        let signed: SignedEntry = decode(Table::Vault, &row)?;
        log.follow(&signed).map_err(|_| Table::Vault.damaged())?;
        // The genesis entry does not count against the quota.
        if seq > Seq(1) {
            log.bytes += row.len() as u64;
        }
        seq = seq.next();
    }
    Table::Heads.check(log.head == stored)?;
    Ok(log)
}

fn check_secrets(
    view: View<'_>,
    id: &LogId,
    log: &Log,
    bytes: &BTreeMap<SecretId, u64>,
) -> Result<(), StorageError> {
    for (secret, state) in &log.states {
        let expected = SecretRow {
            state: *state,
            bytes: bytes.get(secret).copied().unwrap_or_default(),
        };
        Table::Secrets.check(view.secret(id, secret)? == Some(expected))?;
    }
    let rows = view.count(Table::Secrets, id.as_bytes())?;
    Table::Secrets.check(rows == log.states.len() as u64)
}

fn check_generations(
    view: View<'_>,
    id: &LogId,
    expected: &BTreeMap<Slot, u64>,
) -> Result<(), StorageError> {
    for (slot, generation) in expected {
        Table::Generations.check(view.generation(id, slot)? == Some(*generation))?;
    }
    let rows = view.count(Table::Generations, id.as_bytes())?;
    Table::Generations.check(rows == expected.len() as u64)
}

/// Checks that every version that the log names and did not remove is there, and no other; returns how many there are,
/// and their bytes per secret.
fn check_values(
    view: View<'_>,
    id: &LogId,
    log: &Log,
) -> Result<(u64, BTreeMap<SecretId, u64>), StorageError> {
    let mut bytes = BTreeMap::new();
    for ((secret, version), hash) in &log.hashes {
        let value = view.get(Table::Values, &tables::value(id, secret, *version))?;
        let value = value.ok_or_else(|| Table::Values.damaged())?;
        Table::Values.check(Digest::of(&value) == *hash)?;
        *bytes.entry(*secret).or_default() += value.len() as u64;
    }
    let values = view.count(Table::Values, id.as_bytes())?;
    Table::Values.check(values == log.hashes.len() as u64)?;
    Ok((values, bytes))
}

/// Builds the audit tree anew beside the stored one; returns its size.
fn check_audit(view: View<'_>, id: &AccountId) -> Result<u64, StorageError> {
    let Tree {
        size,
        newest_ms,
        billed,
    } = view.tree(id)?;
    let (mut time_ms, mut of_sessions) = (0, 0);
    let nodes = view.nodes(id);
    for index in 0..size {
        let record: Option<Record> = view.open(Table::Records, &tables::record(id, index))?;
        let record = record.ok_or_else(|| Table::Records.damaged())?;
        Table::Records.check(record.index == index && record.time_ms >= time_ms)?;
        time_ms = record.time_ms;
        of_sessions += u64::from(record.session.is_some());
        let encoded = record.encode().map_err(|_| Table::Records.damaged())?;
        for node in merkle::append(&nodes, index, Record::leaf_hash(&encoded))? {
            let stored = view.get(Table::Nodes, &tables::node(id, node.level, node.index))?;
            Table::Nodes.check(stored.as_deref() == Some(node.hash.as_bytes()))?;
        }
    }
    // The log of names without an account is overwritten from its beginning, and keeps its time.
    Table::Trees.check(size == 0 || (newest_ms, billed) == (time_ms, of_sessions))?;
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
        (Table::Stages, summary.stages),
    ];
    for (table, expected) in counts {
        table.check(view.count(table, &[])? == expected)?;
    }
    Ok(())
}

/// The state of a vault log after the entries that were followed.
struct Log {
    head: Head,
    states: BTreeMap<SecretId, SecretState>,
    /// The newest generation of each credential that entries name.
    generations: BTreeMap<Slot, u64>,
    /// Hashes of the values of secrets that are not removed.
    hashes: BTreeMap<(SecretId, Version), Digest>,
    /// Bytes of the entries that count against the quota.
    bytes: u64,
}

impl Log {
    fn follow(&mut self, signed: &SignedEntry) -> Result<(), vault_log::LogError> {
        let entry = signed.decode_unverified()?;
        self.head = signed.verify_next(&entry, &self.head)?;
        if let Op::Credential(credential) = &entry.op {
            let before = self.generations.get(&credential.slot).copied();
            let generation = vault_log::next_generation(before, credential)?;
            self.generations.insert(credential.slot, generation);
        }
        let Some(secret) = entry.op.secret() else {
            return Ok(());
        };
        let before = self.states.get(&secret).copied();
        if let Some(state) = vault_log::apply(before, &entry)? {
            self.states.insert(secret, state);
        }
        match entry.op {
            Op::Put(put) => drop(self.hashes.insert((secret, put.version), put.value_hash)),
            Op::Remove(_) => self.forget_values(secret),
            Op::Genesis(_)
            | Op::Describe(_)
            | Op::Server(_)
            | Op::Acknowledge(_)
            | Op::Credential(_)
            | Op::Note(_)
            | Op::Rekey(_) => {}
        }
        Ok(())
    }

    fn forget_values(&mut self, secret: SecretId) {
        let all = (secret, Version(0))..=(secret, Version(u64::MAX));
        let versions: Vec<_> = self.hashes.range(all).map(|(key, _)| *key).collect();
        for version in versions {
            self.hashes.remove(&version);
        }
    }
}
