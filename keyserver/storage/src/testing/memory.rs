//! The engine in memory. It runs the work of every third write twice and rolls the first run back, so that the suite
//! shows that the rules can be retried.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Mutex};

use crate::engine::{CommitOutcome, Engine, KeyRange, Read, Snapshot, Transaction, Visit, Work};
use crate::error::StorageError;
use crate::tables::Table;

/// One committed state.
type State = BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>;
/// Rows that a transaction has written; `None` for deleted ones.
type Changes = BTreeMap<Table, BTreeMap<Vec<u8>, Option<Vec<u8>>>>;

/// A database in memory; clones are the same database.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    committed: Arc<Mutex<Arc<State>>>,
    /// The number of writes; held by the transaction under way.
    writes: Arc<Mutex<u64>>,
}

/// A snapshot or a transaction.
struct Changed {
    state: Arc<State>,
    changes: Changes,
}

impl Memory {
    fn begin(&self) -> Changed {
        Changed {
            state: Arc::clone(&self.committed.lock().unwrap()),
            changes: Changes::new(),
        }
    }

    fn commit(&self, changed: Changed) {
        drop(changed.state);
        let mut committed = self.committed.lock().unwrap();
        // Copied only where a snapshot needs the former state.
        let state = Arc::make_mut(&mut committed);
        for (table, changes) in changed.changes {
            let rows = state.entry(table).or_default();
            for (key, value) in changes {
                match value {
                    Some(value) => rows.insert(key, value),
                    None => rows.remove(&key),
                };
            }
        }
    }
}

impl Engine for Memory {
    fn read(&self, read: &mut Read<'_>) -> Result<(), StorageError> {
        read(&self.begin())
    }

    fn write(&self, work: &mut Work<'_>) -> CommitOutcome {
        let mut writes = self.writes.lock().unwrap();
        *writes += 1;
        if writes.is_multiple_of(3) {
            // Whether it fails or not, the second run decides.
            let _ = work(&mut self.begin());
        }
        let mut changed = self.begin();
        match work(&mut changed) {
            Ok(()) => {
                self.commit(changed);
                CommitOutcome::Committed
            }
            Err(error) => CommitOutcome::NotCommitted(error),
        }
    }

    fn free_bytes(&self) -> u64 {
        1 << 40
    }
}

impl Snapshot for Changed {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Cow<'_, [u8]>>, StorageError> {
        let changed = self.changes.get(&table).and_then(|rows| rows.get(key));
        let value = match changed {
            Some(value) => value.as_ref(),
            None => self.state.get(&table).and_then(|rows| rows.get(key)),
        };
        Ok(value.map(|value| Cow::Borrowed(value.as_slice())))
    }

    fn range(
        &self,
        table: Table,
        keys: KeyRange<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StorageError> {
        if is_empty(keys) {
            return Ok(());
        }
        let rows = self.state.get(&table).into_iter();
        let mut rows = rows.flat_map(|rows| rows.range::<[u8], _>(keys)).peekable();
        let changes = self.changes.get(&table).into_iter();
        let mut changes = changes
            .flat_map(|rows| rows.range::<[u8], _>(keys))
            .peekable();
        loop {
            // A changed row replaces the committed one.
            let next = match (rows.peek(), changes.peek()) {
                (Some((key, _)), Some((newer, _))) if key < newer => None,
                (_, Some((newer, value))) => {
                    rows.next_if(|(key, _)| key == newer);
                    Some((*newer, value.as_ref()))
                }
                (Some(_), None) => None,
                (None, None) => return Ok(()),
            };
            let (key, value) = match next {
                Some(newer) => {
                    changes.next();
                    newer
                }
                None => match rows.next() {
                    Some((key, value)) => (key, Some(value)),
                    None => return Ok(()),
                },
            };
            if let Some(value) = value
                && visit(key, value)?.is_break()
            {
                return Ok(());
            }
        }
    }
}

impl Transaction for Changed {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        let changes = self.changes.entry(table).or_default();
        changes.insert(key.to_vec(), Some(value.to_vec()));
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<bool, StorageError> {
        let was_there = self.get(table, key)?.is_some();
        let changes = self.changes.entry(table).or_default();
        changes.insert(key.to_vec(), None);
        Ok(was_there)
    }

    fn delete_range(&mut self, table: Table, keys: KeyRange<'_>) -> Result<(), StorageError> {
        let mut found = Vec::new();
        self.range(table, keys, &mut |key, _| {
            found.push((key.to_vec(), None));
            Ok(ControlFlow::Continue(()))
        })?;
        self.changes.entry(table).or_default().extend(found);
        Ok(())
    }
}

/// Whether no key can be in the range; a [`BTreeMap`] panics for some of these.
fn is_empty(keys: KeyRange<'_>) -> bool {
    match keys {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (
            Bound::Included(start) | Bound::Excluded(start),
            Bound::Included(end) | Bound::Excluded(end),
        ) => start >= end,
        _ => false,
    }
}
