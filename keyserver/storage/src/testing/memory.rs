//! The engine in memory. It runs the work of every write twice and rolls the first run back, so that the suite shows
//! that the rules can be retried.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Mutex};

use crate::engine::{CommitOutcome, Engine, KeyRange, Read, Snapshot, Transaction, Visit, Work};
use crate::error::StorageError;
use crate::tables::Table;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// One state of the database. States share the tables in which they do not differ.
#[derive(Debug, Clone, Default)]
struct State(BTreeMap<Table, Arc<Rows>>);

/// A database in memory; clones are the same database.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    committed: Arc<Mutex<State>>,
    /// Held by the transaction under way.
    writer: Arc<Mutex<()>>,
}

impl Memory {
    fn committed(&self) -> State {
        self.committed.lock().unwrap().clone()
    }
}

impl Engine for Memory {
    fn read(&self, read: &mut Read<'_>) -> Result<(), StorageError> {
        read(&self.committed())
    }

    fn write(&self, work: &mut Work<'_>) -> CommitOutcome {
        let _alone = self.writer.lock().unwrap();
        // Whether it fails or not, the second run decides.
        let _ = work(&mut self.committed());
        let mut state = self.committed();
        match work(&mut state) {
            Ok(()) => {
                *self.committed.lock().unwrap() = state;
                CommitOutcome::Committed
            }
            Err(error) => CommitOutcome::NotCommitted(error),
        }
    }

    fn free_bytes(&self) -> u64 {
        1 << 40
    }
}

impl State {
    fn rows_mut(&mut self, table: Table) -> &mut Rows {
        Arc::make_mut(self.0.entry(table).or_default())
    }
}

impl Snapshot for State {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Cow<'_, [u8]>>, StorageError> {
        let value = self.0.get(&table).and_then(|rows| rows.get(key));
        Ok(value.map(|value| Cow::Borrowed(value.as_slice())))
    }

    fn range(
        &self,
        table: Table,
        keys: KeyRange<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StorageError> {
        let rows = self.0.get(&table).filter(|_| !is_empty(keys));
        for (key, value) in rows
            .into_iter()
            .flat_map(|rows| rows.range::<[u8], _>(keys))
        {
            if visit(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Transaction for State {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.rows_mut(table).insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StorageError> {
        Ok(self.rows_mut(table).remove(key).is_some())
    }

    fn delete_range(&mut self, table: Table, keys: KeyRange<'_>) -> Result<(), StorageError> {
        let mut found = Vec::new();
        self.range(table, keys, &mut |key, _| {
            found.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        let rows = self.rows_mut(table);
        for key in found {
            rows.remove(&key);
        }
        Ok(())
    }
}

/// Whether no key can be in the range; a [`BTreeMap`] panics for some of these.
fn is_empty((start, end): KeyRange<'_>) -> bool {
    match (start, end) {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (
            Bound::Included(start) | Bound::Excluded(start),
            Bound::Included(end) | Bound::Excluded(end),
        ) => start >= end,
        _ => false,
    }
}
