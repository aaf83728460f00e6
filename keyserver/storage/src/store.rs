//! A database: the rules over an engine.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use shared::ids::AccountId;
use shared::secret::Key;
use shared::wire::call::NewEntry;
use shared::wire::error::Refusal;

use crate::accounts::Decoy;
use crate::api::Summary;
use crate::at_rest::AtRest;
use crate::check;
use crate::config::Config;
use crate::context::{Rules, Space, WriteContext};
use crate::engine::{CommitOutcome, Engine, Transaction};
use crate::error::StorageError;
use crate::tables::{SCHEMA, Table};
use crate::verified::VerifiedEntries;
use crate::view::View;
use crate::write::{Write, Written};

/// The engine cannot find out whether the last writes are durable. No answer to them would be right: the process has to
/// end.
#[derive(Debug, Clone, thiserror::Error)]
#[error("whether the last writes are durable is unknown: {0}")]
pub struct OutcomeUnknown(pub String);

/// The result of one write.
pub type WriteResult = Result<Written, StorageError>;

/// A database.
pub struct Store {
    engine: Arc<dyn Engine>,
    rules: Rules,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database of an engine; `at_rest` is the key of sealed rows.
    ///
    /// # Errors
    /// [`StorageError::Failed`] for a database of another schema, and where the engine fails.
    pub fn open(
        engine: Arc<dyn Engine>,
        config: Config,
        at_rest: &Key,
    ) -> Result<Self, StorageError> {
        match engine.write(&mut check_schema) {
            CommitOutcome::Committed => {}
            CommitOutcome::NotCommitted(error) => return Err(error),
            CommitOutcome::Unknown(reason) => return Err(StorageError::Failed(reason)),
        }
        let at_rest = AtRest::new(at_rest);
        let rules = Rules {
            decoy: Decoy::new(&at_rest)?,
            at_rest,
            config,
        };
        Ok(Self { engine, rules })
    }

    /// Limits and options.
    pub fn config(&self) -> &Config {
        &self.rules.config
    }

    /// Checks everything; returns what there is.
    ///
    /// # Errors
    /// [`StorageError::Failed`], naming the table that is damaged.
    pub fn check(&self) -> Result<Summary, StorageError> {
        self.read(check::check)
    }

    /// Reads one snapshot.
    pub(crate) fn read<T>(
        &self,
        read: impl Fn(View<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.engine.snapshot(|snapshot| {
            read(View {
                snapshot,
                at_rest: &self.rules.at_rest,
            })
        })
    }

    /// Verifies entries of an account by the keys of one snapshot; see [`VerifiedEntries::new`]. `Ok(Err(_))` is a refusal
    /// that has to be recorded.
    pub(crate) fn verify(
        &self,
        account: AccountId,
        entries: Vec<NewEntry>,
    ) -> Result<Result<VerifiedEntries, Refusal>, StorageError> {
        let (account, head) =
            self.read(|view| Ok((view.account(&account)?, view.head(&account)?)))?;
        Ok(VerifiedEntries::new(entries, &account, head))
    }

    /// Carries out all writes in one transaction, which is durable when this returns. Each is refused or carried out by
    /// itself; where one fails the others are carried out nevertheless.
    pub(crate) fn write(
        &self,
        batch: &[Write],
        now_ms: u64,
    ) -> Result<Vec<WriteResult>, OutcomeUnknown> {
        let (free, reserve) = (self.engine.free_bytes(), self.rules.config.min_free_bytes);
        let space = Space {
            has_reserve: free >= reserve,
            has_half: free >= reserve / 2,
        };
        let mut results = Vec::new();
        let outcome = self.engine.write(&mut |transaction| {
            results.clear();
            for write in batch {
                let mut context = WriteContext {
                    transaction: &mut *transaction,
                    rules: &self.rules,
                    now_ms,
                    space,
                };
                match write.apply(&mut context) {
                    // Half of the write may have been written: the whole batch is rolled back.
                    Err(error @ StorageError::Failed(_)) => return Err(error),
                    refused_or_done => results.push(refused_or_done),
                }
            }
            Ok(())
        });
        let error = match outcome {
            CommitOutcome::Committed => return Ok(results),
            CommitOutcome::NotCommitted(error) => error,
            CommitOutcome::Unknown(reason) => return Err(OutcomeUnknown(reason)),
        };
        if batch.len() <= 1 {
            return Ok(batch.iter().map(|_| Err(error.clone())).collect());
        }
        tracing::warn!(%error, "a batch failed; its writes are retried one by one");
        let mut results = Vec::with_capacity(batch.len());
        for write in batch {
            results.append(&mut self.write(std::slice::from_ref(write), now_ms)?);
        }
        Ok(results)
    }
}

fn check_schema(transaction: &mut dyn Transaction) -> Result<(), StorageError> {
    let Some(stored) = transaction.get(Table::Meta, b"schema")? else {
        let mut has_accounts = false;
        let all = (Bound::Unbounded, Bound::Unbounded);
        transaction.range(Table::Accounts, all, &mut |_, _| {
            has_accounts = true;
            Ok(ControlFlow::Break(()))
        })?;
        if has_accounts {
            return Err(Table::Meta.damaged());
        }
        return transaction.put(Table::Meta, b"schema", &SCHEMA.to_be_bytes());
    };
    let stored = stored
        .as_ref()
        .try_into()
        .map_err(|_| Table::Meta.damaged())?;
    let stored = u32::from_be_bytes(stored);
    let advice = match stored.cmp(&SCHEMA) {
        Ordering::Equal => return Ok(()),
        Ordering::Greater => "use a newer keyserver",
        Ordering::Less => "no released keyserver wrote it: begin with an empty data folder",
    };
    Err(StorageError::Failed(format!(
        "the database has schema {stored}, and this keyserver knows {SCHEMA}: {advice}"
    )))
}
