//! The context of one write: its transaction, the rules' constants, the clock.

use serde::Serialize;
use shared::codec;

use crate::accounts::{Decoy, PaddedAccount};
use crate::api::Account;
use crate::at_rest::AtRest;
use crate::config::Config;
use crate::engine::{Prefix, Transaction};
use crate::error::StorageError;
use crate::tables::{self, Table};
use crate::view::View;

/// Configuration, keys and decoy row that all writes of a database share.
#[derive(Debug)]
pub struct Rules {
    /// Limits and options.
    pub config: Config,
    /// The keys of sealed rows.
    pub at_rest: AtRest,
    /// The row that is opened for names without an account.
    pub decoy: Decoy,
}

/// How much of the reserve of free bytes is left. Audit records of reads are written as long as anything can be.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// All of the reserve: mutations are accepted.
    pub has_reserve: bool,
    /// Half of the reserve: the other half is for logins, and for accounts that have made few records.
    pub has_half: bool,
}

/// The context of one write.
pub struct WriteContext<'a> {
    /// The transaction, which other writes may share.
    pub transaction: &'a mut dyn Transaction,
    /// Configuration, keys and decoy row.
    pub rules: &'a Rules,
    /// The clock, in milliseconds since 1970-01-01 UTC.
    pub now_ms: u64,
    /// How much of the reserve of free disk space is left.
    pub space: Space,
}

impl WriteContext<'_> {
    /// Reads, which see what was written.
    pub fn view(&self) -> View<'_> {
        View {
            snapshot: &*self.transaction,
            at_rest: &self.rules.at_rest,
        }
    }

    /// Writes a row.
    pub fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.transaction.put(table, key, value)
    }

    /// Encodes and writes a row.
    pub fn encode(
        &mut self,
        table: Table,
        key: &[u8],
        value: &impl Serialize,
    ) -> Result<(), StorageError> {
        let encoded = codec::encode(value).map_err(|_| table.damaged())?;
        self.put(table, key, &encoded)
    }

    /// Encodes, seals and writes a row.
    pub fn seal(
        &mut self,
        table: Table,
        key: &[u8],
        value: &impl Serialize,
    ) -> Result<(), StorageError> {
        let sealed = self.rules.at_rest.seal(table, key, value)?;
        self.put(table, key, &sealed)
    }

    /// Deletes a row.
    pub fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StorageError> {
        self.transaction.delete(table, key).map(drop)
    }

    /// Deletes all rows whose keys begin with `prefix`.
    pub fn delete_prefix(&mut self, table: Table, prefix: &[u8]) -> Result<(), StorageError> {
        self.transaction
            .delete_range(table, Prefix::new(prefix).range())
    }

    /// Counts a new row of a table with a counter.
    pub fn count_inserted(&mut self, table: Table) -> Result<(), StorageError> {
        let count = self.view().counted(table)?.saturating_add(1);
        self.set_counter(table, count)
    }

    /// Deletes a row of a table with a counter.
    pub fn delete_counted(&mut self, table: Table, key: &[u8]) -> Result<(), StorageError> {
        if self.transaction.delete(table, key)? {
            let count = self.view().counted(table)?.saturating_sub(1);
            self.set_counter(table, count)?;
        }
        Ok(())
    }

    fn set_counter(&mut self, table: Table, count: u64) -> Result<(), StorageError> {
        let key = table.name().as_bytes();
        self.put(Table::Counters, key, &count.to_be_bytes())
    }

    /// Writes an account's row.
    pub fn put_account(&mut self, account: &Account) -> Result<(), StorageError> {
        let key = tables::own(&account.id, &[]);
        self.seal(Table::Accounts, &key, &PaddedAccount::new(account))
    }
}
