//! The engine on LMDB (through heed): one writer, snapshots for readers, a map that grows.

use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use heed::{Env, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls};
use rustix::process::Resource;
use serde_bytes::ByteBuf;
use shared::ids::{AccountId, PublicKey};
use shared::vault_log::{Head, SignedEntry};
use shared::wire::error::Refusal;
use shared::wire::rekey::Prepared;
use shared::wire::slots::SlotInfo;

use crate::files;
use crate::storage::StorageConfig;
use crate::storage::accounts::Decoy;
use crate::storage::api::{
    AuditPage, CheckRegistration, ReadAudit, ReadEntries, ReadValues, StorageError, Which,
};
use crate::storage::at_rest::AtRest;
use crate::storage::engine::{Engine, Write, Written};
use crate::storage::pages;
use crate::storage::tables::{self, Tables};

/// Where the database is in the data folder.
const FOLDER: &str = "db";
const MAX_READERS: u32 = 1024;
/// Maps grow by whole numbers of this, which every page size divides.
const GRAIN: usize = 1024 * 1024;

/// The database.
#[derive(Debug)]
pub struct Lmdb {
    env: Env<WithoutTls>,
    /// Read-held by every snapshot, write-held while the map grows: LMDB allows that only without transactions.
    map: RwLock<()>,
    pub(super) tables: Tables,
    pub(super) keys: AtRest,
    decoy: Decoy,
    pub(super) config: StorageConfig,
}

/// What one write works with.
pub struct Unit<'a, 'txn> {
    /// The transaction of the whole batch.
    pub txn: &'a mut RwTxn<'txn>,
    /// The tables.
    pub tables: &'a Tables,
    /// Sealing at rest.
    pub keys: &'a AtRest,
    /// What is opened for names that nobody has.
    pub decoy: &'a Decoy,
    /// The options.
    pub config: &'a StorageConfig,
    /// The clock, in milliseconds since 1970-01-01 UTC.
    pub now_ms: u64,
    /// What the disk has room for.
    pub space: Space,
}

/// What the disk has room for. Records of reads are written as long as anything can be.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// The reserve is there: mutations are accepted.
    pub has_room: bool,
    /// Half of the reserve is there; the other half is for logins, and for accounts that have made few records.
    pub has_half: bool,
}

impl From<heed::Error> for StorageError {
    fn from(error: heed::Error) -> Self {
        match error {
            heed::Error::Mdb(MdbError::MapFull) => Self::MapFull,
            heed::Error::Io(error) if is_full(error.kind()) => Self::Refused(Refusal::DiskFull),
            other => Self::Failed(other.to_string()),
        }
    }
}

fn is_full(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}

/// The database's file.
pub fn file(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER).join("data.mdb")
}

impl Lmdb {
    /// Opens or makes the database.
    pub fn open(config: StorageConfig, keys: AtRest) -> Result<Self, StorageError> {
        let folder = config.data_dir.join(FOLDER);
        let file = file(&config.data_dir);
        if file.exists() {
            pages::check(&file).map_err(|error| {
                let file = file.display();
                StorageError::Failed(format!(
                    "{file}: {error}; nothing was changed: restore the database from a backup"
                ))
            })?;
        }
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|error| StorageError::Failed(format!("{}: {error}", folder.display())))?;
        let env = open_env(&folder, config.map_size_initial.next_multiple_of(GRAIN))?;
        // LMDB syncs what is in its files, but not that they are there.
        for folder in [&folder, &config.data_dir] {
            files::sync_folder(folder)
                .map_err(|error| StorageError::Failed(format!("{}: {error}", folder.display())))?;
        }
        let stale = env.clear_stale_readers()?;
        if stale > 0 {
            tracing::info!(stale, "cleared readers of a server that died");
        }
        let tables = Tables::open(&env)?;
        Ok(Self {
            env,
            map: RwLock::new(()),
            decoy: Decoy::new(&tables, &keys)?,
            tables,
            keys,
            config,
        })
    }

    /// Runs `read` on a snapshot.
    pub(super) fn snapshot<T>(
        &self,
        read: impl FnOnce(&RoTxn<WithoutTls>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let _open = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let txn = self.env.read_txn()?;
        read(&txn)
    }

    #[cfg(test)]
    pub(super) fn write_txn(&self) -> Result<RwTxn<'_>, heed::Error> {
        self.env.write_txn()
    }

    fn try_write(
        &self,
        batch: &[Write],
        now_ms: u64,
        space: Space,
    ) -> Result<Vec<Result<Written, StorageError>>, StorageError> {
        let mut txn = self.env.write_txn()?;
        let mut results = Vec::with_capacity(batch.len());
        for write in batch {
            let mut unit = Unit {
                txn: &mut txn,
                tables: &self.tables,
                keys: &self.keys,
                decoy: &self.decoy,
                config: &self.config,
                now_ms,
                space,
            };
            let result = match write {
                Write::StartLogin(message) => unit.start_login(message),
                Write::FinishLogin(message) => unit.finish_login(message),
                Write::StartRegistration(message) => unit.start_registration(message),
                Write::Register(message) => unit.register(message),
                Write::Append {
                    account,
                    entries,
                    records,
                } => unit.append(account, entries, records),
                Write::Install {
                    account,
                    slots,
                    entries,
                    records,
                } => unit.install(account, slots, entries, records),
                Write::Prepare(message) => unit.prepare(message),
                Write::Rewrite { account, told } => unit.rewrite(account, told),
                Write::Rekey {
                    account,
                    slots,
                    told,
                } => unit.rekey(account, slots, told),
                Write::Delete(message) => unit.delete(message),
                Write::Records(message) => unit.write_records(message),
                Write::AddInvite(message) => unit.add_invite(message),
                Write::Tick => unit.tick(),
            };
            match result {
                // Whatever else goes wrong may have left half of a write behind: the whole batch is undone.
                Err(error @ (StorageError::MapFull | StorageError::Failed(_))) => {
                    return Err(error);
                }
                refused_or_done => results.push(refused_or_done),
            }
        }
        if let Err(error) = txn.commit() {
            self.check_outcome(&error);
            return Err(error.into());
        }
        Ok(results)
    }

    /// LMDB begins no transaction any more after one of which it cannot tell whether it is on the disk. Then no answer is
    /// right: clients find out from their logs, once the server is started again.
    fn check_outcome(&self, error: &heed::Error) {
        if self.env.write_txn().is_err() {
            tracing::error!(%error, "whether the last writes are on the disk is not known: stopping");
            std::process::exit(1);
        }
    }

    fn grow(&self) -> Result<(), StorageError> {
        let size = self.env.info().map_size;
        let bigger = size.saturating_mul(2).min(self.config.map_size_max) / GRAIN * GRAIN;
        if bigger <= size {
            return Err(StorageError::Refused(Refusal::DiskFull));
        }
        let _alone = self.map.write().unwrap_or_else(PoisonError::into_inner);
        resize_env(&self.env, bigger)?;
        tracing::info!(bytes = bigger, "the map has grown");
        Ok(())
    }

    /// LMDB says of a write that was cut short for want of room only that it failed.
    fn explained(&self, error: StorageError, batch: &[Write]) -> StorageError {
        let weight: usize = batch.iter().map(Write::weight).sum();
        let wanted = u64::try_from(weight + GRAIN).unwrap_or(u64::MAX);
        match error {
            StorageError::Failed(reason) if self.room() < wanted => {
                tracing::warn!(%reason, "no room is left");
                StorageError::Refused(Refusal::DiskFull)
            }
            other => other,
        }
    }

    fn space(&self) -> Space {
        let (room, reserve) = (self.room(), self.config.min_free_bytes);
        Space {
            has_room: room >= reserve,
            has_half: room >= reserve / 2,
        }
    }

    /// How many bytes the database can still grow by.
    fn room(&self) -> u64 {
        let on_disk = match rustix::fs::statvfs(&self.config.data_dir) {
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
fn open_env(folder: &Path, map_size: usize) -> Result<Env<WithoutTls>, StorageError> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options
        .map_size(map_size)
        .max_dbs(tables::COUNT)
        .max_readers(MAX_READERS);
    // SAFETY: the file is mapped into memory, so nothing else may change it: the folder is the server's own, and the
    // lock file beside it keeps a second server out.
    Ok(unsafe { options.open(folder) }?)
}

#[allow(unsafe_code)]
fn resize_env(env: &Env<WithoutTls>, size: usize) -> Result<(), StorageError> {
    // SAFETY: no transaction may be open in this process. Snapshots hold the lock that the caller holds alone, and the
    // caller is the only writer, between two transactions.
    Ok(unsafe { env.resize(size) }?)
}

impl Engine for Lmdb {
    fn write(&self, batch: &[Write], now_ms: u64) -> Vec<Result<Written, StorageError>> {
        let space = self.space();
        let error = loop {
            match self.try_write(batch, now_ms, space) {
                Ok(results) => return results,
                Err(StorageError::MapFull) => {
                    if let Err(error) = self.grow() {
                        break error;
                    }
                }
                Err(error) => break self.explained(error, batch),
            }
        };
        if let [_] = batch {
            return vec![Err(error)];
        }
        // One write that cannot be done must not take the others with it.
        tracing::warn!(%error, "a batch failed; doing its writes one by one");
        batch
            .iter()
            .flat_map(|write| self.write(std::slice::from_ref(write), now_ms))
            .collect()
    }

    fn log_key(&self, account: &AccountId, of: Which) -> Result<Option<PublicKey>, StorageError> {
        self.snapshot(|txn| match of {
            Which::Current => Ok(Some(self.account(txn, account)?.log_key)),
            Which::Prepared => {
                let stage = self.tables.stage(txn, &self.keys, account)?;
                Ok(stage.map(|stage| stage.new.log_key))
            }
        })
    }

    fn prepared(&self, account: &AccountId) -> Result<Option<Prepared>, StorageError> {
        self.read_prepared(account)
    }

    fn check_registration(&self, check: &CheckRegistration) -> Result<(), StorageError> {
        let now_ms = crate::clock::now_ms();
        self.snapshot(|txn| {
            self.tables.check_registration(
                txn,
                &self.keys,
                &check.name,
                check.invite.as_ref(),
                now_ms,
            )
        })
    }

    fn slots(&self, account: &AccountId) -> Result<Vec<SlotInfo>, StorageError> {
        self.read_slots(account)
    }

    fn values(&self, read: &ReadValues) -> Result<Vec<Option<ByteBuf>>, StorageError> {
        self.read_values(read)
    }

    fn entries(&self, read: &ReadEntries) -> Result<(Vec<SignedEntry>, Head), StorageError> {
        self.read_entries(read)
    }

    fn audit(&self, read: &ReadAudit) -> Result<AuditPage, StorageError> {
        self.read_audit(read)
    }
}
