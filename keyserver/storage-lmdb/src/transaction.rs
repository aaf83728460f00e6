//! Tables and transactions of an environment.

use std::borrow::Cow;
use std::convert::Infallible;
use std::io::ErrorKind;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, RoTxn, RwTxn, WithoutTls};
use storage::engine::{KeyRange, Snapshot, Transaction, Visit};
use storage::tables::{SCHEMA_KEY, Table, check_schema};
use storage::{DISK_FULL, StorageError};

type Rows = Database<'static, Bytes, Bytes>;

/// The tables, in the order of [`Table::ALL`].
#[derive(Debug)]
pub struct Tables([Rows; Table::ALL.len()]);

impl Tables {
    /// Opens all tables, or makes them in a new database.
    ///
    /// # Errors
    /// [`StorageError::Failed`] for a database of another schema, and for one without some of the tables.
    pub fn open(env: &Env<WithoutTls>) -> Result<Self, StorageError> {
        let txn = env.write_txn().map_err(failed)?;
        let opened = env.create_databases_and_commit(txn, |opener, txn| {
            let mut opened = Vec::new();
            let mut missing = None;
            for table in Table::ALL {
                let rows = opener.open_database::<Bytes, Bytes>(txn, Some(table.name()))?;
                // Tables differ between schemas: the schema explains a missing table.
                if let (Table::Meta, Some(meta)) = (table, rows)
                    && let Some(schema) = meta.get(txn, SCHEMA_KEY)?
                {
                    check_schema(schema).map_err(Failure)?;
                }
                match rows {
                    Some(rows) => opened.push(rows),
                    None => missing = Some(table.name()),
                }
            }
            // A new database has none, and only then they are made.
            if opened.is_empty() {
                for table in Table::ALL {
                    opened.push(opener.create_database(txn, Some(table.name()))?);
                }
            } else if let Some(name) = missing {
                let text = format!("the database is damaged: table {name} is missing");
                return Err(Failure(StorageError::Failed(text)));
            }
            let opened: Result<[_; Table::ALL.len()], _> = opened.try_into();
            let not_opened = |_| Failure(StorageError::failed("the tables were not opened"));
            Ok(CommitOrAbort::<_, Infallible>::Commit(
                opened.map_err(not_opened)?,
            ))
        });
        match opened.map_err(|Failure(error)| error)? {
            CommitOrAbort::Commit(opened) => Ok(Self(opened)),
        }
    }

    fn rows(&self, table: Table) -> Result<&Rows, StorageError> {
        self.0.get(table.index()).ok_or_else(|| table.damaged())
    }
}

/// Why the tables were not opened; heed needs a type that its own errors become.
struct Failure(StorageError);

impl From<heed::Error> for Failure {
    fn from(error: heed::Error) -> Self {
        Self(failed(error))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{GRAIN, open_env};
    use storage::tables::SCHEMA;

    /// The error for a database that has no other tables than these.
    fn refused(tables: &[&str], schema: u32) -> String {
        let folder = tempfile::tempdir().unwrap();
        let env = open_env(folder.path(), GRAIN).unwrap();
        let txn = env.write_txn().unwrap();
        env.create_databases_and_commit(txn, |opener, txn| {
            for name in tables {
                let rows = opener.create_database::<Bytes, Bytes>(txn, Some(name))?;
                if *name == Table::Meta.name() {
                    rows.put(txn, SCHEMA_KEY, &schema.to_be_bytes())?;
                }
            }
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(()))
        })
        .unwrap();
        Tables::open(&env).unwrap_err().to_string()
    }

    #[test]
    fn an_older_or_newer_schema_explains_missing_tables() {
        for (schema, age) in [(SCHEMA - 1, "older"), (SCHEMA + 1, "newer")] {
            let error = refused(&["accounts", "guesses", "meta"], schema);
            let expected = format!("has schema {schema}, which is {age} than schema {SCHEMA}");
            assert!(error.contains(&expected), "{error}");
        }
    }

    #[test]
    fn a_missing_table_is_damage_in_a_database_of_this_schema() {
        let error = refused(&["accounts", "meta"], SCHEMA);
        assert!(error.contains("is damaged: table"), "{error}");
    }
}
