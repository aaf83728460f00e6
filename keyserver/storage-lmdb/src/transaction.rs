//! Tables and transactions of an environment.

use std::borrow::Cow;
use std::io::ErrorKind;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, RoTxn, RwTxn, WithoutTls};
use storage::engine::{KeyRange, Snapshot, Transaction, Visit};
use storage::tables::Table;
use storage::{DISK_FULL, StorageError};

type Rows = Database<'static, Bytes, Bytes>;

/// The tables, in the order of [`Table::ALL`].
#[derive(Debug)]
pub struct Tables([Rows; Table::ALL.len()]);

impl Tables {
    /// Opens all tables, or makes them in a new database.
    pub fn open(env: &Env<WithoutTls>) -> Result<Self, StorageError> {
        let txn = env.write_txn().map_err(failed)?;
        let opened = env.create_databases_and_commit(txn, |opener, txn| {
            let mut opened = Vec::new();
            let mut missing = None;
            for table in Table::ALL {
                match opener.open_database::<Bytes, Bytes>(txn, Some(table.name()))? {
                    Some(rows) => opened.push(rows),
                    None => missing = Some(table.name()),
                }
            }
            // A new database has none, and only then they are made.
            match missing {
                Some(_) if opened.is_empty() => {
                    for table in Table::ALL {
                        opened.push(opener.create_database(txn, Some(table.name()))?);
                    }
                }
                Some(name) => return Err(Error::Missing(name)),
                None => {}
            }
            let opened: [_; Table::ALL.len()] = opened.try_into().map_err(|_| Error::NotOpened)?;
            Ok(CommitOrAbort::<_, ()>::Commit(opened))
        });
        let opened = opened.map(CommitOrAbort::commit);
        match opened.and_then(|opened| opened.ok_or(Error::NotOpened)) {
            Ok(opened) => Ok(Self(opened)),
            Err(Error::Missing(name)) => Err(StorageError::Failed(format!(
                "the database is damaged: table {name} is missing"
            ))),
            Err(Error::NotOpened) => Err(StorageError::failed("the tables were not opened")),
            Err(Error::Lmdb(error)) => Err(failed(error)),
        }
    }

    fn rows(&self, table: Table) -> Result<&Rows, StorageError> {
        self.0.get(table.index()).ok_or_else(|| table.damaged())
    }
}

enum Error {
    Missing(&'static str),
    NotOpened,
    Lmdb(heed::Error),
}

impl From<heed::Error> for Error {
    fn from(error: heed::Error) -> Self {
        Self::Lmdb(error)
    }
}

/// The error of storage that stands for one of LMDB.
pub fn failed(error: heed::Error) -> StorageError {
    match error {
        heed::Error::Io(error) if is_full(error.kind()) => DISK_FULL,
        other => StorageError::failed(other),
    }
}

fn is_full(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}

/// A transaction of LMDB with the tables.
pub struct Txn<'a, T> {
    inner: T,
    tables: &'a Tables,
    /// Bytes of all keys and values that were put.
    written: usize,
    /// The first error of a write: the transaction must not be committed any more.
    failure: Option<heed::Error>,
}

impl<'a, T> Txn<'a, T> {
    /// A transaction that just began.
    pub fn new(inner: T, tables: &'a Tables) -> Self {
        Self {
            inner,
            tables,
            written: 0,
            failure: None,
        }
    }

    /// Bytes that were put.
    pub fn written(&self) -> usize {
        self.written
    }

    /// The transaction, and the error that keeps it from being committed.
    pub fn finish(self) -> (T, Option<heed::Error>) {
        (self.inner, self.failure)
    }
}

/// A transaction that can read.
pub trait AsRead {
    /// The transaction, as one that only reads.
    fn as_read(&self) -> &RoTxn<'_, WithoutTls>;
}

impl AsRead for RoTxn<'_, WithoutTls> {
    fn as_read(&self) -> &RoTxn<'_, WithoutTls> {
        self
    }
}

impl AsRead for RwTxn<'_> {
    fn as_read(&self) -> &RoTxn<'_, WithoutTls> {
        self
    }
}

impl<T: AsRead> Snapshot for Txn<'_, T> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Cow<'_, [u8]>>, StorageError> {
        let value = self.tables.rows(table)?.get(self.inner.as_read(), key);
        value.map(|value| value.map(Cow::Borrowed)).map_err(failed)
    }

    fn range(
        &self,
        table: Table,
        keys: KeyRange<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StorageError> {
        let rows = self.tables.rows(table)?.range(self.inner.as_read(), &keys);
        for row in rows.map_err(failed)? {
            let (key, value) = row.map_err(failed)?;
            if visit(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Txn<'_, RwTxn<'_>> {
    fn write<R>(
        &mut self,
        table: Table,
        write: impl FnOnce(&Rows, &mut RwTxn<'_>) -> Result<R, heed::Error>,
    ) -> Result<R, StorageError> {
        let rows = self.tables.rows(table)?;
        write(rows, &mut self.inner).map_err(|error| {
            let reported = StorageError::failed(&error);
            self.failure.get_or_insert(error);
            reported
        })
    }
}

impl Transaction for Txn<'_, RwTxn<'_>> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.written += key.len() + value.len();
        self.write(table, |rows, txn| rows.put(txn, key, value))
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StorageError> {
        self.write(table, |rows, txn| rows.delete(txn, key))
    }

    fn delete_range(&mut self, table: Table, keys: KeyRange<'_>) -> Result<(), StorageError> {
        self.write(table, |rows, txn| rows.delete_range(txn, &keys).map(drop))
    }
}
