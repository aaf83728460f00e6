//! The storage engine on LMDB, through heed: one writer, snapshots for readers, a map that grows.
//!
//! A data folder holds `lock`, which the process in use holds locked, and `db/data.mdb`.

mod folder;
mod pages;
mod transaction;

pub use folder::{holds_database, was_used};

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use heed::{Env, EnvOpenOptions, MdbError, WithoutTls};
use rustix::process::Resource;
use storage::engine::{CommitOutcome, Engine, Read, Work};
use storage::{DISK_FULL, StorageError};

use transaction::{Tables, Txn, failed};

/// Most tables of an environment; LMDB reserves a few bytes for each.
const MAX_TABLES: u32 = 32;
const MAX_READERS: u32 = 1024;
/// Maps grow by multiples of this, which every page size divides.
const GRAIN: usize = 1024 * 1024;

/// Where the database is, and how far it may grow.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder, which exists.
    pub data_dir: PathBuf,
    /// Size of a new database's map, in bytes.
    pub map_size_initial: usize,
    /// Largest size of the map, in bytes.
    pub map_size_max: usize,
}

/// A database in an LMDB environment.
#[derive(Debug)]
pub struct Lmdb {
    env: Env<WithoutTls>,
    /// Read-held by every snapshot, write-held while the map grows: LMDB allows that only without transactions.
    map: RwLock<()>,
    tables: Tables,
    options: Options,
    /// Held locked as long as the database is in use, so that a second server fails with a clear error.
    _lock: File,
}

impl Lmdb {
    /// Opens the database, or makes it in a folder that never had one. The structure of an existing file is checked
    /// before LMDB maps it.
    ///
    /// # Errors
    /// [`StorageError::Failed`] where the folder is in use by another server, the database is damaged, or gone from a
    /// folder that had one.
    pub fn open(options: Options) -> Result<Self, StorageError> {
        let lock = folder::lock(&options.data_dir)?;
        let file = folder::database(&options.data_dir);
        if file.exists() {
            pages::check(&file).map_err(|error| {
                let file = file.display();
                StorageError::Failed(format!(
                    "{file}: {error}; nothing was changed: restore the database from a backup"
                ))
            })?;
        }
        let folder = folder::make(&options.data_dir)?;
        let map_size = options.map_size_initial.next_multiple_of(GRAIN);
        let env = open_env(&folder, map_size).map_err(failed)?;
        // LMDB syncs its files, but not the folders that name them.
        folder::sync(&folder)?;
        folder::sync(&options.data_dir)?;
        let stale = env.clear_stale_readers().map_err(failed)?;
        if stale > 0 {
            tracing::info!(stale, "cleared the readers of a server that died");
        }
        Ok(Self {
            tables: Tables::open(&env)?,
            map: RwLock::new(()),
            env,
            options,
            _lock: lock,
        })
    }

    fn grow(&self) -> Result<(), StorageError> {
        let size = self.env.info().map_size;
        let bigger = size.saturating_mul(2).min(self.options.map_size_max) / GRAIN * GRAIN;
        if bigger <= size {
            return Err(DISK_FULL);
        }
        let _alone = self.map.write().unwrap_or_else(PoisonError::into_inner);
        resize_env(&self.env, bigger).map_err(failed)?;
        tracing::info!(bytes = bigger, "the map has grown");
        Ok(())
    }

    /// Runs the work once; fails where the map was full, in any of its calls or in the commit.
    fn try_write(&self, work: &mut Work<'_>) -> Result<CommitOutcome, MapFull> {
        let txn = match self.env.write_txn() {
            Ok(txn) => txn,
            Err(error) => return Ok(CommitOutcome::NotCommitted(failed(error))),
        };
        let mut transaction = Txn::new(txn, &self.tables);
        let worked = work(&mut transaction);
        let written = transaction.written();
        let failure = match transaction.finish() {
            (_, Some(error)) => error,
            (txn, None) => match worked {
                Err(error) => return Ok(CommitOutcome::NotCommitted(error)),
                Ok(()) => match txn.commit() {
                    Ok(()) => return Ok(CommitOutcome::Committed),
                    Err(error) if self.is_outcome_unknown() => {
                        return Ok(CommitOutcome::Unknown(error.to_string()));
                    }
                    Err(error) => error,
                },
            },
        };
        match failure {
            heed::Error::Mdb(MdbError::MapFull) => Err(MapFull),
            error => Ok(CommitOutcome::NotCommitted(self.explain(error, written))),
        }
    }

    /// LMDB begins no transaction any more after a commit of which it cannot tell whether it is on the disk.
    fn is_outcome_unknown(&self) -> bool {
        self.env.write_txn().is_err()
    }

    /// LMDB reports a write that was cut short by a full disk only as a failure.
    fn explain(&self, error: heed::Error, written: usize) -> StorageError {
        let wanted = u64::try_from(written + GRAIN).unwrap_or(u64::MAX);
        match failed(error) {
            StorageError::Failed(reason) if self.free_bytes() < wanted => {
                tracing::warn!(%reason, "no room is left");
                DISK_FULL
            }
            other => other,
        }
    }
}

/// The map must grow before the transaction can be committed.
struct MapFull;

impl Engine for Lmdb {
    fn read(&self, read: &mut Read<'_>) -> Result<(), StorageError> {
        let _open = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let txn = self.env.read_txn().map_err(failed)?;
        read(&Txn::new(txn, &self.tables))
    }

    fn write(&self, work: &mut Work<'_>) -> CommitOutcome {
        loop {
            match self.try_write(work) {
                Ok(outcome) => return outcome,
                Err(MapFull) => {
                    if let Err(error) = self.grow() {
                        return CommitOutcome::NotCommitted(error);
                    }
                }
            }
        }
    }

    /// The smaller of what the disk has free and what the limit on the size of files leaves.
    fn free_bytes(&self) -> u64 {
        let on_disk = match rustix::fs::statvfs(&self.options.data_dir) {
            Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
            Err(error) => {
                tracing::warn!(%error, "cannot tell how full the disk is");
                u64::MAX
            }
        };
        let Some(longest) = rustix::process::getrlimit(Resource::Fsize).current else {
            return on_disk;
        };
        let len = self.env.real_disk_size().unwrap_or_default();
        on_disk.min(longest.saturating_sub(len))
    }
}

#[allow(unsafe_code)]
fn open_env(folder: &Path, map_size: usize) -> Result<Env<WithoutTls>, heed::Error> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options
        .map_size(map_size)
        .max_dbs(MAX_TABLES)
        .max_readers(MAX_READERS);
    // SAFETY: the file is mapped into memory, so nothing else may change it: the folder is the server's own, and
    // the lock file beside it keeps a second server out.
    unsafe { options.open(folder) }
}

#[allow(unsafe_code)]
fn resize_env(env: &Env<WithoutTls>, size: usize) -> Result<(), heed::Error> {
    // SAFETY: no transaction may be open in this process. Snapshots hold the lock that the caller holds alone, and the
    // caller is the only writer, between two transactions.
    unsafe { env.resize(size) }
}
