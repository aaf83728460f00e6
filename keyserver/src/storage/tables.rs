//! The tables and their keys. Every key of an account's data begins with the account's id, or with the id of its log,
//! which its row names; [`own`] is the only place that makes such keys: another account's data is out of reach by
//! construction.

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, RoTxn, RwTxn, WithoutTls};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::codec;
use shared::ids::{AccountId, SecretId, Seq, Version};
use shared::opaque::Slot;

use crate::storage::api::StorageError;

/// Number of the schema; it only goes up.
pub const SCHEMA: u32 = 1;
/// How many tables there are.
pub const COUNT: u32 = 16;

/// Names of the tables, in the order of the fields of [`Tables`].
const NAMES: [&str; 16] = [
    "meta",
    "accounts",
    "names",
    "vault",
    "heads",
    "secrets",
    "generations",
    "values",
    "usage",
    "records",
    "nodes",
    "trees",
    "guesses",
    "floods",
    "invites",
    "stages",
];

/// The account that records about names which nobody has go to; it is none, and nobody reads them.
pub const NOBODY: AccountId = AccountId::new([0; 16]);

/// Where a vault log is kept, with the values and states that belong to it: only the row of its account says that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogId(AccountId);

impl LogId {
    /// That of an account whose key was never replaced.
    pub fn first(account: AccountId) -> Self {
        Self(account)
    }

    /// A fresh one.
    pub fn random() -> Self {
        Self(AccountId::random())
    }

    /// How its keys begin.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// A key of what belongs to it.
    pub fn own(&self, rest: &[&[u8]]) -> Vec<u8> {
        own(&self.0, rest)
    }
}

/// A table from bytes to bytes.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name; also part of the associated data of sealed rows.
    pub name: &'static str,
    rows: Database<'static, Bytes, Bytes>,
}

/// A key and what is under it.
pub type Row = (Vec<u8>, Vec<u8>);

/// All tables.
#[derive(Debug, Clone, Copy)]
pub struct Tables {
    /// `schema` → number, big-endian.
    pub meta: Table,
    /// account → account, sealed.
    pub accounts: Table,
    /// digest of a name → account.
    pub names: Table,
    /// log, sequence → signed entry.
    pub vault: Table,
    /// log → its head.
    pub heads: Table,
    /// log, secret → state.
    pub secrets: Table,
    /// log, label of a slot → the newest generation of its credential that the log names.
    pub generations: Table,
    /// log, secret, version → sealed value.
    pub values: Table,
    /// log → bytes in use, big-endian.
    pub usage: Table,
    /// account, index → audit record, sealed.
    pub records: Table,
    /// account, level, index → hash.
    pub nodes: Table,
    /// account → size of the audit tree and time of its newest record.
    pub trees: Table,
    /// digest → guesses.
    pub guesses: Table,
    /// account, digest of an address → a flood under way, sealed.
    pub floods: Table,
    /// SHA-256 of a code → when it expires; 0 for a used one.
    pub invites: Table,
    /// account → the log that is told again under a new account key, sealed.
    pub stages: Table,
}

impl Tables {
    /// Opens the tables, or makes them in a new database, and checks the schema.
    pub fn open(env: &Env<WithoutTls>) -> Result<Self, StorageError> {
        let rows = env
            .create_databases_and_commit(env.write_txn()?, |opener, txn| {
                let mut opened = Vec::new();
                let mut missing = None;
                for name in NAMES {
                    match opener.open_database::<Bytes, Bytes>(txn, Some(name))? {
                        Some(table) => opened.push(table),
                        None => missing = Some(name),
                    }
                }
                // A new database has none, and only then they are made.
                match missing {
                    Some(_) if opened.is_empty() => {
                        for name in NAMES {
                            opened.push(opener.create_database(txn, Some(name))?);
                        }
                    }
                    Some(name) => {
                        let text = format!("the database is damaged: table {name} is missing");
                        return Err(StorageError::Failed(text));
                    }
                    None => {}
                }
                let opened: [Database<'_, Bytes, Bytes>; NAMES.len()] = opened
                    .try_into()
                    .map_err(|_| StorageError::Failed("tables are missing".into()))?;
                Ok::<_, StorageError>(CommitOrAbort::<_, ()>::Commit(opened))
            })?
            .commit()
            .ok_or_else(|| StorageError::Failed("the tables were not opened".into()))?;
        let mut opened = NAMES.into_iter().zip(rows);
        let mut table = || {
            opened
                .next()
                .map(|(name, rows)| Table { name, rows })
                .ok_or_else(|| StorageError::Failed("tables are missing".into()))
        };
        // In the order of `NAMES`.
        let tables = Self {
            meta: table()?,
            accounts: table()?,
            names: table()?,
            vault: table()?,
            heads: table()?,
            secrets: table()?,
            generations: table()?,
            values: table()?,
            usage: table()?,
            records: table()?,
            nodes: table()?,
            trees: table()?,
            guesses: table()?,
            floods: table()?,
            invites: table()?,
            stages: table()?,
        };
        let mut txn = env.write_txn()?;
        tables.check_schema(&mut txn)?;
        txn.commit()?;
        Ok(tables)
    }

    /// The tables whose keys begin with the id of the account that they belong to.
    pub fn of_accounts(&self) -> [&Table; 5] {
        [
            &self.accounts,
            &self.records,
            &self.nodes,
            &self.trees,
            &self.stages,
        ]
    }

    /// The tables whose keys begin with the id of the log that they belong to.
    pub fn of_logs(&self) -> [&Table; 6] {
        [
            &self.vault,
            &self.heads,
            &self.secrets,
            &self.generations,
            &self.values,
            &self.usage,
        ]
    }

    fn check_schema(&self, txn: &mut RwTxn) -> Result<(), StorageError> {
        let Some(stored) = self.meta.get(txn, b"schema")? else {
            if self.accounts.count(txn)? > 0 {
                return Err(self.meta.damaged());
            }
            return self.meta.put(txn, b"schema", &SCHEMA.to_be_bytes());
        };
        let stored: [u8; 4] = stored
            .try_into()
            .map_err(|_| StorageError::Failed("the schema number is damaged".into()))?;
        let stored = u32::from_be_bytes(stored);
        if stored == SCHEMA {
            return Ok(());
        }
        Err(StorageError::Failed(format!(
            "the database has schema {stored}, and this keyserver knows {SCHEMA}: use a newer keyserver"
        )))
    }
}

impl Table {
    /// The row under `key`.
    pub fn get<'t>(&self, txn: &'t RoTxn, key: &[u8]) -> Result<Option<&'t [u8]>, StorageError> {
        Ok(self.rows.get(txn, key)?)
    }

    /// Writes a row.
    pub fn put(&self, txn: &mut RwTxn, key: &[u8], row: &[u8]) -> Result<(), StorageError> {
        Ok(self.rows.put(txn, key, row)?)
    }

    /// Removes a row; says whether there was one.
    pub fn delete(&self, txn: &mut RwTxn, key: &[u8]) -> Result<bool, StorageError> {
        Ok(self.rows.delete(txn, key)?)
    }

    /// The row under `key`, decoded.
    pub fn decode<T: Serialize + DeserializeOwned>(
        &self,
        txn: &RoTxn,
        key: &[u8],
    ) -> Result<Option<T>, StorageError> {
        let decoded = self
            .get(txn, key)?
            .map(|row| codec::decode(row, row.len()).map_err(|_| self.damaged()));
        decoded.transpose()
    }

    /// Encodes and writes a row.
    pub fn encode(
        &self,
        txn: &mut RwTxn,
        key: &[u8],
        row: &impl Serialize,
    ) -> Result<(), StorageError> {
        let encoded = codec::encode(row).map_err(|_| self.damaged())?;
        self.put(txn, key, &encoded)
    }

    /// How many rows there are.
    pub fn count(&self, txn: &RoTxn) -> Result<u64, StorageError> {
        Ok(self.rows.len(txn)?)
    }

    /// Rows from `start` on, at most `limit`.
    pub fn from(&self, txn: &RoTxn, start: &[u8], limit: usize) -> Result<Vec<Row>, StorageError> {
        let from = std::ops::Bound::Included(start);
        let range = (from, std::ops::Bound::Unbounded);
        let mut rows = Vec::new();
        for row in self.rows.range(txn, &range)?.take(limit) {
            let (key, row) = row?;
            rows.push((key.to_vec(), row.to_vec()));
        }
        Ok(rows)
    }

    /// Keys that begin with `prefix`, with the length of their rows.
    pub fn with_prefix(
        &self,
        txn: &RoTxn,
        prefix: &[u8],
    ) -> Result<Vec<(Vec<u8>, usize)>, StorageError> {
        let mut keys = Vec::new();
        for row in self.rows.prefix_iter(txn, prefix)? {
            let (key, row) = row?;
            keys.push((key.to_vec(), row.len()));
        }
        Ok(keys)
    }

    /// The error for a row that is not what was written.
    pub fn damaged(&self) -> StorageError {
        StorageError::Failed(format!("a row of table {} is damaged", self.name))
    }
}

/// A key of an account's own data.
pub fn own(account: &AccountId, rest: &[&[u8]]) -> Vec<u8> {
    let mut key = account.as_bytes().to_vec();
    for part in rest {
        key.extend_from_slice(part);
    }
    key
}

/// Key of an entry.
pub fn entry(log: &LogId, seq: Seq) -> Vec<u8> {
    log.own(&[&seq.0.to_be_bytes()])
}

/// Key of a credential's newest generation.
pub fn generation(log: &LogId, slot: &Slot) -> Vec<u8> {
    log.own(&[&slot.label()])
}

/// Key of a value.
pub fn value(log: &LogId, secret: &SecretId, version: Version) -> Vec<u8> {
    log.own(&[secret.as_bytes(), &version.0.to_be_bytes()])
}

/// Key of an audit record.
pub fn record(account: &AccountId, index: u64) -> Vec<u8> {
    own(account, &[&index.to_be_bytes()])
}

/// Key of a tree node.
pub fn node(account: &AccountId, level: u8, index: u64) -> Vec<u8> {
    own(account, &[&[level], &index.to_be_bytes()])
}
