//! The seam between the rules and an engine: transactions over ordered tables of bytes.
//!
//! An engine stores the tables of [`Table::ALL`]; opening it makes all of them in a new database and fails where only
//! some exist. It knows nothing of what the rows mean. Every engine must pass the suite of `storage::conformance!`.

use std::borrow::Cow;
use std::ops::{Bound, ControlFlow};

use crate::error::StorageError;
use crate::tables::Table;

/// Bounds of a range of keys.
pub type KeyRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Called with the key and the value of a row; breaks to end the visit.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StorageError> + 'a;

/// The work of a read: called once.
pub type Read<'a> = dyn FnMut(&dyn Snapshot) -> Result<(), StorageError> + 'a;

/// The work of a write: called again from the start where the engine retries, so that it must not rely on what an
/// earlier call left in its captured variables.
pub type Work<'a> = dyn FnMut(&mut dyn Transaction) -> Result<(), StorageError> + 'a;

/// One consistent state of the database.
pub trait Snapshot {
    /// The value under `key`.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Cow<'_, [u8]>>, StorageError>;

    /// Visits the rows of a range in ascending order of their keys, compared bytewise. Errors of `visit` end the visit
    /// and are returned; `visit` must not use the snapshot.
    fn range(
        &self,
        table: Table,
        keys: KeyRange<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StorageError>;
}

/// A write transaction; its reads see its own writes. Once a call has failed the transaction is never committed,
/// whatever its work returns.
pub trait Transaction: Snapshot {
    /// Inserts a row, or replaces its value. Keys have 1 to 511 bytes.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StorageError>;

    /// Deletes a row; returns whether there was one.
    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StorageError>;

    /// Deletes all rows of a range.
    fn delete_range(&mut self, table: Table, keys: KeyRange<'_>) -> Result<(), StorageError>;
}

/// How a write transaction ended.
#[derive(Debug, Clone)]
#[must_use]
pub enum CommitOutcome {
    /// All of it is durable.
    Committed,
    /// Nothing of it was written: the work failed, or the engine did.
    NotCommitted(StorageError),
    /// The engine failed during the commit and cannot find out whether the transaction is durable. No answer would be
    /// right: the process has to end, and clients find out from their logs when it runs again.
    Unknown(String),
}

/// A database engine.
pub trait Engine: Send + Sync {
    /// Runs `read` on a snapshot. Reads run in parallel, and beside a write.
    fn read(&self, read: &mut Read<'_>) -> Result<(), StorageError>;

    /// Runs `work` in a transaction, and commits it durably where it returns `Ok`. Where the file must grow, or the
    /// transaction lost against another one, the engine runs `work` again from the start.
    fn write(&self, work: &mut Work<'_>) -> CommitOutcome;

    /// How many bytes the database can still grow by.
    fn free_bytes(&self) -> u64;
}

impl dyn Engine + '_ {
    /// Runs `read` on a snapshot and returns its result.
    pub fn snapshot<T>(
        &self,
        mut read: impl FnMut(&dyn Snapshot) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut result = None;
        self.read(&mut |snapshot| {
            result = Some(read(snapshot)?);
            Ok(())
        })?;
        result.ok_or_else(|| StorageError::failed("the engine did not run a read"))
    }
}

/// The range of all keys that begin with some bytes.
#[derive(Debug, Clone)]
pub struct Prefix {
    start: Vec<u8>,
    end: Bound<Vec<u8>>,
}

impl Prefix {
    /// The range of `prefix`.
    pub fn new(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        // The next key that does not begin with it: its last byte that can be counted up is, those behind it go.
        while end.pop_if(|byte| *byte == u8::MAX).is_some() {}
        let end = match end.last_mut() {
            Some(last) => {
                *last += 1;
                Bound::Excluded(end)
            }
            None => Bound::Unbounded,
        };
        Self {
            start: prefix.to_vec(),
            end,
        }
    }

    /// Its bounds.
    pub fn range(&self) -> KeyRange<'_> {
        let start = if self.start.is_empty() {
            Bound::Unbounded
        } else {
            Bound::Included(self.start.as_slice())
        };
        (start, self.end.as_ref().map(Vec::as_slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_key_that_lacks_it() {
        let end = |prefix: &[u8]| Prefix::new(prefix).end;
        assert_eq!(end(b"ab"), Bound::Excluded(b"ac".to_vec()));
        assert_eq!(end(&[1, 255, 255]), Bound::Excluded(vec![2]));
        assert_eq!(end(&[255, 255]), Bound::Unbounded);
        assert_eq!(
            Prefix::new(b"").range(),
            (Bound::Unbounded, Bound::Unbounded)
        );
    }
}
