//! Rows of login attempts: limited in number, expired with time.

use std::ops::Bound;

use shared::ids::Digest;

use crate::context::WriteContext;
use crate::error::StorageError;
use crate::tables::Table;
use crate::throttle::Attempts;
use crate::view::{Row, View, decode};

/// Rows that one tick looks at.
const TICK_ROWS: usize = 4096;
/// Rows of which one is evicted.
const SAMPLE: usize = 16;

const TABLE: Table = Table::LoginThrottle;

impl WriteContext<'_> {
    /// The attempts under a key.
    pub fn attempts(&self, key: &Digest) -> Result<Attempts, StorageError> {
        let row = self.view().decode(TABLE, key.as_bytes())?;
        Ok(row.unwrap_or_default())
    }

    /// Writes the attempts under a key; a new row evicts another one where the table is full.
    pub fn put_attempts(&mut self, key: &Digest, attempts: &Attempts) -> Result<(), StorageError> {
        let key = key.as_bytes();
        if self.view().get(TABLE, key)?.is_none() {
            if self.view().counted(TABLE)? >= self.rules.config.throttle_rows {
                self.evict_attempts()?;
            }
            self.count_inserted(TABLE)?;
        }
        self.encode(TABLE, key, attempts)
    }

    /// Evicts one row of a sample: not from a familiar address, with the fewest attempts, the oldest. The sample is a
    /// random one, since keys are digests.
    fn evict_attempts(&mut self) -> Result<(), StorageError> {
        let start: [u8; 4] = rand::random();
        let mut rows = self.attempts_from(&start, SAMPLE)?;
        if rows.is_empty() {
            rows = self.attempts_from(&[0], SAMPLE)?;
        }
        let mut least = None;
        for (key, row) in rows {
            let attempts: Attempts = decode(TABLE, &row)?;
            let rank = (
                attempts.is_familiar(self.now_ms),
                attempts.count,
                attempts.counted_ms,
            );
            if least.as_ref().is_none_or(|(least, _)| rank < *least) {
                least = Some((rank, key));
            }
        }
        match least {
            Some((_, key)) => self.delete_counted(TABLE, &key),
            None => Ok(()),
        }
    }

    /// Deletes expired rows of a part of the table. Random parts cover all of it in the long run, without remembering
    /// where the last tick ended.
    pub fn expire_attempts(&mut self) -> Result<(), StorageError> {
        let start: [u8; 1] = rand::random();
        for (key, row) in self.attempts_from(&start, TICK_ROWS)? {
            if decode::<Attempts>(TABLE, &row)?.is_expired(self.now_ms) {
                self.delete_counted(TABLE, &key)?;
            }
        }
        Ok(())
    }

    fn attempts_from(&self, start: &[u8], limit: usize) -> Result<Vec<Row>, StorageError> {
        let keys = (Bound::Included(start), Bound::Unbounded);
        self.view().rows(TABLE, keys, limit)
    }
}

/// Checks that every row is one, and the table's counter.
pub fn check(view: View<'_>) -> Result<(), StorageError> {
    let mut rows = 0;
    view.each(TABLE, |_, row| {
        rows += 1;
        decode::<Attempts>(TABLE, row).map(drop)
    })?;
    view.check_counter(TABLE, rows)
}
