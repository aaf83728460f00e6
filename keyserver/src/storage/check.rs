//! What a database holds, checked against itself: every row opens, every chain and tree leads to its head. Reads
//! everything and changes nothing.

use std::collections::BTreeMap;

use heed::{RoTxn, WithoutTls};
use shared::audit_record::Record;
use shared::codec;
use shared::ids::{AccountId, Digest, SecretId, Seq, Version};
use shared::merkle;
use shared::opaque::Slot;
use shared::vault_log::{self, Head, Op, SecretState, SignedEntry};

use crate::storage::api::{Account, StorageError, Summary};
use crate::storage::lmdb::Lmdb;
use crate::storage::reads::StoredNodes;
use crate::storage::records::Tree;
use crate::storage::tables::{self, LogId, NOBODY, Table};
use crate::storage::{floods, guesses};

/// Rows that are read at once.
const PAGE: usize = 1024;

type Txn<'a> = RoTxn<'a, WithoutTls>;

impl Lmdb {
    /// Checks everything; counts what there is.
    ///
    /// # Errors
    /// [`StorageError::Failed`], naming the table that is damaged.
    pub fn check(&self) -> Result<Summary, StorageError> {
        self.snapshot(|txn| {
            let mut summary = Summary::default();
            each(txn, &self.tables.accounts, |key, _| {
                let id =
                    AccountId::from_slice(key).ok_or_else(|| self.tables.accounts.damaged())?;
                self.check_account(txn, &id, &mut summary)
            })?;
            self.check_audit(txn, &NOBODY)?;
            let names = self.tables.names.count(txn)?;
            if names != summary.accounts {
                return Err(self.tables.names.damaged());
            }
            self.check_owners(txn, &summary)?;
            guesses::check(txn, &self.tables)?;
            floods::check(txn, &self.tables, &self.keys)?;
            each(txn, &self.tables.invites, |key, row| {
                let is_one = key.len() == Digest::LEN && row.len() == 8;
                is_one
                    .then_some(())
                    .ok_or_else(|| self.tables.invites.damaged())
            })?;
            Ok(summary)
        })
    }

    fn check_account(
        &self,
        txn: &Txn<'_>,
        id: &AccountId,
        summary: &mut Summary,
    ) -> Result<(), StorageError> {
        let accounts = &self.tables.accounts;
        let account: Account = self
            .tables
            .account(txn, &self.keys, id)?
            .ok_or_else(|| accounts.damaged())?;
        let name = self.keys.name(&account.name);
        if self.tables.names.get(txn, name.as_bytes())? != Some(id.as_bytes()) || account.id != *id
        {
            return Err(self.tables.names.damaged());
        }
        summary.accounts += 1;
        self.check_vault(txn, &account.log, summary)?;
        if let Some(stage) = self.tables.stage(txn, &self.keys, id)? {
            self.check_vault(txn, &stage.log, summary)?;
            summary.stages += 1;
        }
        summary.records += self.check_audit(txn, id)?;
        Ok(())
    }

    /// A vault log with all that belongs to it.
    fn check_vault(
        &self,
        txn: &Txn<'_>,
        id: &LogId,
        summary: &mut Summary,
    ) -> Result<(), StorageError> {
        let log = self.check_log(txn, id)?;
        self.check_secrets(txn, id, &log.states)?;
        self.check_generations(txn, id, &log.generations)?;
        summary.entries += log.head.seq.0;
        summary.secrets += log
            .states
            .values()
            .filter(|state| **state != SecretState::Removed)
            .count() as u64;
        let (values, bytes) = self.check_values(txn, id, &log)?;
        if self.tables.usage(txn, id)? != log.bytes + bytes {
            return Err(self.tables.usage.damaged());
        }
        summary.values += values;
        summary.heads += u64::from(log.head != Head::EMPTY);
        Ok(())
    }

    /// Follows the chain from the genesis entry to the stored head.
    fn check_log(&self, txn: &Txn<'_>, id: &LogId) -> Result<Log, StorageError> {
        let vault = &self.tables.vault;
        let stored = self.tables.head(txn, id)?;
        let mut log = Log {
            head: Head::EMPTY,
            states: BTreeMap::new(),
            generations: BTreeMap::new(),
            hashes: BTreeMap::new(),
            bytes: 0,
        };
        let mut seq = Seq(1);
        while seq <= stored.seq {
            let row = vault
                .get(txn, &tables::entry(id, seq))?
                .ok_or_else(|| vault.damaged())?;
            let signed: SignedEntry = codec::decode(row, row.len()).map_err(|_| vault.damaged())?;
            log.follow(&signed).map_err(|_| vault.damaged())?;
            // The genesis entry is not on the account's own bill.
            if seq > Seq(1) {
                log.bytes += row.len() as u64;
            }
            seq = seq.next();
        }
        if log.head != stored {
            return Err(self.tables.heads.damaged());
        }
        Ok(log)
    }

    fn check_secrets(
        &self,
        txn: &Txn<'_>,
        id: &LogId,
        expected: &BTreeMap<SecretId, SecretState>,
    ) -> Result<(), StorageError> {
        let secrets = &self.tables.secrets;
        for (secret, state) in expected {
            let key = id.own(&[secret.as_bytes()]);
            if secrets.decode(txn, &key)? != Some(*state) {
                return Err(secrets.damaged());
            }
        }
        let rows = secrets.with_prefix(txn, id.as_bytes())?;
        if rows.len() != expected.len() {
            return Err(secrets.damaged());
        }
        Ok(())
    }

    fn check_generations(
        &self,
        txn: &Txn<'_>,
        id: &LogId,
        expected: &BTreeMap<Slot, u64>,
    ) -> Result<(), StorageError> {
        let table = &self.tables.generations;
        for (slot, generation) in expected {
            if table.decode(txn, &tables::generation(id, slot))? != Some(*generation) {
                return Err(table.damaged());
            }
        }
        if table.with_prefix(txn, id.as_bytes())?.len() != expected.len() {
            return Err(table.damaged());
        }
        Ok(())
    }

    /// Every version that the log names and did not remove is there, and nothing else is; returns how many, and how
    /// many bytes.
    fn check_values(
        &self,
        txn: &Txn<'_>,
        id: &LogId,
        log: &Log,
    ) -> Result<(u64, u64), StorageError> {
        let values = &self.tables.values;
        for ((secret, version), hash) in &log.hashes {
            let key = tables::value(id, secret, *version);
            if values.get(txn, &key)?.map(Digest::of) != Some(*hash) {
                return Err(values.damaged());
            }
        }
        let rows = values.with_prefix(txn, id.as_bytes())?;
        if rows.len() != log.hashes.len() {
            return Err(values.damaged());
        }
        let bytes = rows.iter().map(|(_, len)| *len as u64).sum();
        Ok((rows.len() as u64, bytes))
    }

    /// Builds the audit tree anew beside the stored one; returns its size.
    fn check_audit(&self, txn: &Txn<'_>, id: &AccountId) -> Result<u64, StorageError> {
        let (records, nodes) = (&self.tables.records, &self.tables.nodes);
        let Tree {
            size,
            newest_ms,
            billed,
        } = self.tables.tree(txn, id)?;
        let (mut time_ms, mut of_sessions) = (0, 0);
        let stored = StoredNodes {
            txn,
            tables: &self.tables,
            account: id,
        };
        for index in 0..size {
            let key = tables::record(id, index);
            let sealed = records.get(txn, &key)?.ok_or_else(|| records.damaged())?;
            let record: Record = self.keys.open(records.name, &key, sealed)?;
            if record.index != index || record.time_ms < time_ms {
                return Err(records.damaged());
            }
            time_ms = record.time_ms;
            of_sessions += u64::from(record.session.is_some());
            let encoded = record.encode().map_err(|_| records.damaged())?;
            for node in merkle::append(&stored, index, Record::leaf_hash(&encoded))? {
                let key = tables::node(id, node.level, node.index);
                if nodes.get(txn, &key)? != Some(node.hash.as_bytes()) {
                    return Err(nodes.damaged());
                }
            }
        }
        // Nobody's log starts over, and keeps its time.
        if size > 0 && (newest_ms, billed) != (time_ms, of_sessions) {
            return Err(self.tables.trees.damaged());
        }
        Ok(size)
    }

    /// No rows belong to accounts that there are not.
    fn check_owners(&self, txn: &Txn<'_>, summary: &Summary) -> Result<(), StorageError> {
        // Nobody's log starts over and leaves rows behind.
        let nobodys = self.tables.records.with_prefix(txn, NOBODY.as_bytes())?;
        let counts = [
            (&self.tables.vault, summary.entries),
            (&self.tables.values, summary.values),
            (&self.tables.records, summary.records + nobodys.len() as u64),
            (&self.tables.heads, summary.heads),
            (&self.tables.stages, summary.stages),
        ];
        for (table, expected) in counts {
            if table.count(txn)? != expected {
                return Err(table.damaged());
            }
        }
        Ok(())
    }
}

/// A vault log as far as it was followed.
struct Log {
    head: Head,
    states: BTreeMap<SecretId, SecretState>,
    /// The newest generation of each credential that is named.
    generations: BTreeMap<Slot, u64>,
    /// What the values of secrets that are not removed hash to.
    hashes: BTreeMap<(SecretId, Version), Digest>,
    /// How much the entries take.
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

/// Visits every row of a table.
pub fn each(
    txn: &Txn<'_>,
    table: &Table,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    // The smallest key: LMDB has no empty ones.
    let mut start = vec![0];
    loop {
        let rows = table.from(txn, &start, PAGE)?;
        let Some((last, _)) = rows.last() else {
            return Ok(());
        };
        // The next key after the last one.
        start.clone_from(last);
        start.push(0);
        for (key, row) in &rows {
            visit(key, row)?;
        }
    }
}
