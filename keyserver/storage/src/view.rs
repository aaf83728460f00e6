//! Rows of one snapshot or transaction, decoded.

use std::borrow::Cow;
use std::ops::{Bound, ControlFlow};

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::codec;

use crate::at_rest::AtRest;
use crate::engine::{KeyRange, Prefix, Snapshot};
use crate::error::StorageError;
use crate::tables::Table;

/// Rows that [`View::each`] reads at once.
const PAGE: usize = 1024;

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Typed reads of one snapshot or transaction.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The snapshot or transaction.
    pub snapshot: &'a dyn Snapshot,
    /// The keys of sealed rows.
    pub at_rest: &'a AtRest,
}

impl<'a> View<'a> {
    /// The value under `key`.
    pub fn get(self, table: Table, key: &[u8]) -> Result<Option<Cow<'a, [u8]>>, StorageError> {
        self.snapshot.get(table, key)
    }

    /// The value under `key`, decoded.
    pub fn decode<T: Serialize + DeserializeOwned>(
        self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<T>, StorageError> {
        let value = self.get(table, key)?;
        value.map(|value| decode(table, &value)).transpose()
    }

    /// The value under `key`, opened and decoded.
    pub fn open<T: Serialize + DeserializeOwned>(
        self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<T>, StorageError> {
        let sealed = self.get(table, key)?;
        sealed
            .map(|sealed| self.at_rest.open(table, key, &sealed))
            .transpose()
    }

    /// The number under `key`.
    pub fn number(self, table: Table, key: &[u8]) -> Result<Option<u64>, StorageError> {
        let Some(value) = self.get(table, key)? else {
            return Ok(None);
        };
        let bytes = value.as_ref().try_into().map_err(|_| table.damaged())?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    /// How many rows a table with a counter has.
    pub fn counted(self, table: Table) -> Result<u64, StorageError> {
        let counted = self.number(Table::Counters, table.name().as_bytes())?;
        Ok(counted.unwrap_or_default())
    }

    /// Checks the counter of a table that has so many rows.
    pub fn check_counter(self, table: Table, rows: u64) -> Result<(), StorageError> {
        if self.counted(table)? == rows {
            Ok(())
        } else {
            Err(Table::Counters.damaged())
        }
    }

    /// The first rows of a range, at most `limit`.
    pub fn rows(
        self,
        table: Table,
        keys: KeyRange<'_>,
        limit: usize,
    ) -> Result<Vec<Row>, StorageError> {
        let mut rows = Vec::new();
        self.snapshot.range(table, keys, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            Ok(if rows.len() < limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        })?;
        Ok(rows)
    }

    /// How many rows there are whose keys begin with `prefix`: reads all of them.
    pub fn count(self, table: Table, prefix: &[u8]) -> Result<u64, StorageError> {
        let mut count = 0;
        self.snapshot
            .range(table, Prefix::new(prefix).range(), &mut |_, _| {
                count += 1;
                Ok(ControlFlow::Continue(()))
            })?;
        Ok(count)
    }

    /// Visits every row of a table; `visit` may read other rows.
    pub fn each(
        self,
        table: Table,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut last = None;
        loop {
            let start = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let rows = self.rows(table, (start, Bound::Unbounded), PAGE)?;
            for (key, value) in &rows {
                visit(key, value)?;
            }
            match rows.into_iter().next_back() {
                Some((key, _)) => last = Some(key),
                None => return Ok(()),
            }
        }
    }
}

/// Decodes a value of a table.
pub fn decode<T: Serialize + DeserializeOwned>(
    table: Table,
    value: &[u8],
) -> Result<T, StorageError> {
    codec::decode(value, value.len()).map_err(|_| table.damaged())
}
