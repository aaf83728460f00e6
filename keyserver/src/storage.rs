//! The storage actor: the only one that touches the database. Writes go to one thread that commits them in groups;
//! reads run beside it on snapshots.

mod accounts;
pub mod api;
mod append;
mod at_rest;
mod check;
#[cfg(test)]
mod credential_tests;
mod credentials;
mod engine;
#[cfg(test)]
mod flood_tests;
mod floods;
#[cfg(test)]
mod guess_tests;
mod guesses;
mod line;
mod lmdb;
mod pages;
mod reads;
mod records;
mod rekey;
#[cfg(test)]
mod rekey_tests;
pub mod tables;
#[cfg(test)]
mod tests;
pub mod throttle;
mod writer;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, AsyncContext as _, Context, Handler, Message, ResponseFuture};
use serde_bytes::ByteBuf;
use shared::audit_record::Outcome;
use shared::ids::AccountId;
use shared::secret::Key;
use shared::vault_log::{Head, SignedEntry};
use shared::wire::call::NewEntry;
use shared::wire::error::Refusal;
use shared::wire::rekey::Prepared;
use shared::wire::slots::SlotInfo;

use api::{
    Account, AddInvite, Append, AuditPage, CheckRegistration, Delete, Draft, FinishLogin, Install,
    Prepare, ReadAudit, ReadEntries, ReadPrepared, ReadSlots, ReadValues, Register, Rekey, Rewrite,
    StartLogin, StartRegistration, StorageError, Summary, Which, WriteRecords,
};
use at_rest::AtRest;
use engine::{Engine, Verified, Write, Written};
use lmdb::Lmdb;
use rekey::Told;
use writer::Writer;

/// How often floods that are over are written down, and old guesses forgotten.
const TICK: Duration = Duration::from_secs(5);

/// What storage needs to know.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// Where the database is.
    pub data_dir: PathBuf,
    /// Size of a new database's map, in bytes.
    pub map_size_initial: usize,
    /// Largest map, in bytes.
    pub map_size_max: usize,
    /// Below so many free bytes on the disk no mutation is accepted.
    pub min_free_bytes: u64,
    /// Most bytes of one account: entries and sealed values.
    pub quota_bytes: u64,
    /// Most audit records that the sessions of one account make.
    pub record_quota: u64,
    /// Most writes that wait.
    pub max_queue: usize,
    /// Most bytes in writes that wait.
    pub max_queue_bytes: usize,
    /// Most rows of guesses: one a name, an address, and a pair of both.
    pub guess_rows: u64,
    /// Whether everything in the database is checked when it is opened, and not only its structure.
    pub check_at_start: bool,
    /// Whether what entries say of the audit log is compared with it.
    pub check_seen: bool,
    /// How guesses are slowed down.
    pub throttle: throttle::Policies,
}

impl Default for StorageConfig {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            data_dir: PathBuf::new(),
            map_size_initial: 64 * MIB,
            map_size_max: 64 * 1024 * MIB,
            min_free_bytes: 64 * 1024 * 1024,
            quota_bytes: 1024 * 1024 * 1024,
            record_quota: 2_000_000,
            max_queue: 1024,
            max_queue_bytes: 64 * MIB,
            guess_rows: 1_000_000,
            check_at_start: true,
            check_seen: true,
            throttle: throttle::Policies::default(),
        }
    }
}

/// The actor.
#[derive(Debug)]
pub struct Storage {
    engine: Arc<Lmdb>,
    writer: Option<Writer>,
    /// Held as long as the database is in use, so that a second server fails with a clear error.
    _lock: File,
}

/// Finishes all writes that wait, then stops accepting any.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Stop;

impl Storage {
    /// Opens or makes the database; `at_rest` (from the key file) seals what tells who somebody is.
    pub fn open(config: StorageConfig, at_rest: &Key) -> Result<Self, StorageError> {
        let lock = lock(&config)?;
        let (max_queue, max_bytes) = (config.max_queue, config.max_queue_bytes);
        let check = config.check_at_start;
        let engine = Arc::new(Lmdb::open(config, AtRest::new(at_rest))?);
        if check {
            let started = Instant::now();
            let found = engine.check()?;
            let seconds = started.elapsed().as_secs_f32();
            tracing::info!(?found, seconds, "the database was checked");
        }
        let writer = Writer::start(Arc::clone(&engine), max_queue, max_bytes)?;
        Ok(Self {
            engine,
            writer: Some(writer),
            _lock: lock,
        })
    }

    /// Checks a database that no server is using; counts what it holds.
    pub fn check(config: StorageConfig, at_rest: &Key) -> Result<Summary, StorageError> {
        let _lock = lock(&config)?;
        Lmdb::open(config, AtRest::new(at_rest))?.check()
    }

    fn write<T: 'static>(
        &self,
        write: Write,
        take: impl FnOnce(Written) -> Option<T> + 'static,
    ) -> ResponseFuture<Result<T, StorageError>> {
        let queued = self
            .writer
            .as_ref()
            .ok_or(StorageError::Refused(Refusal::Unavailable))
            .and_then(|writer| writer.queue(write));
        Box::pin(async move {
            let written = queued?
                .await
                .map_err(|_| StorageError::Failed("the writer is gone".into()))??;
            take(written).ok_or_else(|| StorageError::Failed("the writer mixed up answers".into()))
        })
    }

    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Lmdb) -> Result<T, StorageError> + Send + 'static,
    ) -> ResponseFuture<Result<T, StorageError>> {
        let engine = Arc::clone(&self.engine);
        Box::pin(async move {
            actix_web::rt::task::spawn_blocking(move || read(&engine))
                .await
                .map_err(|_| StorageError::Failed("a read panicked".into()))?
        })
    }
}

/// Takes the folder for this process. A folder that was taken before holds a database, or has lost it.
fn lock(config: &StorageConfig) -> Result<File, StorageError> {
    let path = config.data_dir.join("lock");
    let database = lmdb::file(&config.data_dir);
    if path.exists() && !database.exists() {
        return Err(StorageError::Failed(format!(
            "{} is gone: restore it from a backup, or remove {} to begin with an empty database",
            database.display(),
            path.display()
        )));
    }
    let failed = |error: &dyn std::fmt::Display| {
        StorageError::Failed(format!("{}: {error}", path.display()))
    };
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let folder = config.data_dir.display();
            let text = format!("another keyserver is running on {folder}");
            Err(StorageError::Failed(text))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(failed(&error)),
    }
}

impl Actor for Storage {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(TICK, |storage, _| {
            if let Some(writer) = &storage.writer {
                // A full queue has other work; the next tick comes soon.
                let _ = writer.queue(Write::Tick);
            }
        });
    }
}

impl Handler<Stop> for Storage {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Self::Result {
        let writer = self.writer.take();
        Box::pin(async move {
            if let Some(writer) = writer
                && actix_web::rt::task::spawn_blocking(|| writer.finish())
                    .await
                    .is_err()
            {
                tracing::error!("the writer panicked");
            }
        })
    }
}

impl Handler<StartLogin> for Storage {
    type Result = ResponseFuture<Result<Option<Account>, StorageError>>;

    fn handle(&mut self, message: StartLogin, _: &mut Self::Context) -> Self::Result {
        self.write(Write::StartLogin(message), |written| match written {
            Written::Account(account) => Some(account.map(|account| *account)),
            Written::Head(_) | Written::Deleted(_) | Written::Done => None,
        })
    }
}

impl Handler<FinishLogin> for Storage {
    type Result = ResponseFuture<Result<Head, StorageError>>;

    fn handle(&mut self, message: FinishLogin, _: &mut Self::Context) -> Self::Result {
        self.write(Write::FinishLogin(message), head)
    }
}

impl Handler<StartRegistration> for Storage {
    type Result = ResponseFuture<Result<(), StorageError>>;

    fn handle(&mut self, message: StartRegistration, _: &mut Self::Context) -> Self::Result {
        self.write(Write::StartRegistration(message), done)
    }
}

impl Handler<CheckRegistration> for Storage {
    type Result = ResponseFuture<Result<(), StorageError>>;

    fn handle(&mut self, message: CheckRegistration, _: &mut Self::Context) -> Self::Result {
        self.read(move |engine| engine.check_registration(&message))
    }
}

impl Handler<Register> for Storage {
    type Result = ResponseFuture<Result<(), StorageError>>;

    fn handle(&mut self, message: Register, _: &mut Self::Context) -> Self::Result {
        self.write(Write::Register(Box::new(message)), done)
    }
}

impl Handler<AddInvite> for Storage {
    type Result = ResponseFuture<Result<(), StorageError>>;

    fn handle(&mut self, message: AddInvite, _: &mut Self::Context) -> Self::Result {
        self.write(Write::AddInvite(message), done)
    }
}

impl Handler<WriteRecords> for Storage {
    type Result = ResponseFuture<Result<(), StorageError>>;

    fn handle(&mut self, message: WriteRecords, _: &mut Self::Context) -> Self::Result {
        self.write(Write::Records(message), done)
    }
}

impl Handler<Append> for Storage {
    type Result = ResponseFuture<Result<Head, StorageError>>;

    /// Signatures are checked here, beside the writer: whenever the account's key changes, the log does not go on from
    /// where these entries do.
    fn handle(&mut self, message: Append, context: &mut Self::Context) -> Self::Result {
        let Append {
            account,
            entries,
            records,
        } = message;
        let signed = Signed {
            account,
            of: Which::Current,
            entries,
            records,
        };
        self.write_signed(context.address(), signed, move |told| Write::Append {
            account,
            entries: told.entries,
            records: told.records,
        })
    }
}

impl Handler<Install> for Storage {
    type Result = ResponseFuture<Result<Head, StorageError>>;

    fn handle(&mut self, message: Install, context: &mut Self::Context) -> Self::Result {
        let Install {
            account,
            slots,
            entries,
            records,
        } = message;
        let signed = Signed {
            account,
            of: Which::Current,
            entries: without_values(entries),
            records,
        };
        self.write_signed(context.address(), signed, move |told| Write::Install {
            account,
            slots,
            entries: told.entries,
            records: told.records,
        })
    }
}

impl Handler<Prepare> for Storage {
    type Result = ResponseFuture<Result<(), StorageError>>;

    fn handle(&mut self, message: Prepare, _: &mut Self::Context) -> Self::Result {
        self.write(Write::Prepare(message), done)
    }
}

impl Handler<Rewrite> for Storage {
    type Result = ResponseFuture<Result<Head, StorageError>>;

    fn handle(&mut self, message: Rewrite, context: &mut Self::Context) -> Self::Result {
        let account = message.account;
        let signed = Signed {
            account,
            of: Which::Prepared,
            entries: message.entries,
            records: message.records,
        };
        self.write_signed(context.address(), signed, move |told| Write::Rewrite {
            account,
            told,
        })
    }
}

impl Handler<Rekey> for Storage {
    type Result = ResponseFuture<Result<Head, StorageError>>;

    fn handle(&mut self, message: Rekey, context: &mut Self::Context) -> Self::Result {
        let (account, slots) = (message.account, message.slots);
        let signed = Signed {
            account,
            of: Which::Prepared,
            entries: without_values(message.entries),
            records: message.records,
        };
        self.write_signed(context.address(), signed, move |told| Write::Rekey {
            account,
            slots,
            told,
        })
    }
}

impl Handler<ReadPrepared> for Storage {
    type Result = ResponseFuture<Result<Option<Prepared>, StorageError>>;

    fn handle(&mut self, message: ReadPrepared, _: &mut Self::Context) -> Self::Result {
        self.read(move |engine| engine.prepared(&message.account))
    }
}

fn without_values(entries: Vec<SignedEntry>) -> Vec<NewEntry> {
    let new = entries
        .into_iter()
        .map(|entry| NewEntry { entry, value: None });
    new.collect()
}

impl Handler<Delete> for Storage {
    type Result = ResponseFuture<Result<AuditPage, StorageError>>;

    fn handle(&mut self, message: Delete, _: &mut Self::Context) -> Self::Result {
        self.write(Write::Delete(message), |written| match written {
            Written::Deleted(page) => Some(*page),
            Written::Account(_) | Written::Head(_) | Written::Done => None,
        })
    }
}

impl Handler<ReadSlots> for Storage {
    type Result = ResponseFuture<Result<Vec<SlotInfo>, StorageError>>;

    fn handle(&mut self, message: ReadSlots, _: &mut Self::Context) -> Self::Result {
        self.read(move |engine| engine.slots(&message.account))
    }
}

/// Entries whose signatures are to be checked before they are written.
struct Signed {
    account: AccountId,
    of: Which,
    entries: Vec<NewEntry>,
    records: Vec<Draft>,
}

impl Storage {
    fn write_signed(
        &self,
        own: Addr<Self>,
        signed: Signed,
        write: impl FnOnce(Told) -> Write + 'static,
    ) -> ResponseFuture<Result<Head, StorageError>> {
        let Signed {
            account,
            of,
            entries,
            mut records,
        } = signed;
        let verified = self.read(move |engine| {
            let Some(key) = engine.log_key(&account, of)? else {
                return Ok(Err(Refusal::BadEntry));
            };
            let entries = entries.into_iter();
            let checked = entries.map(|new| Verified::check(new, &account, &key));
            let checked = checked.collect::<Result<Vec<_>, _>>();
            Ok(checked.map(|entries| (key, entries)))
        });
        Box::pin(async move {
            let stopped = |_| StorageError::Refused(Refusal::Unavailable);
            let (key, entries) = match verified.await? {
                Ok(verified) => verified,
                Err(refusal) => {
                    for record in &mut records {
                        record.outcome = Outcome::Refused;
                    }
                    let refused = WriteRecords { account, records };
                    own.send(refused).await.map_err(stopped)??;
                    return Err(StorageError::Refused(refusal));
                }
            };
            let told = Told {
                key,
                entries,
                records,
            };
            let queued = own.send(Queue(write(told))).await;
            head(queued.map_err(stopped)??)
                .ok_or_else(|| StorageError::Failed("the writer mixed up answers".into()))
        })
    }
}

/// The second half of an append.
#[derive(Debug, Message)]
#[rtype(result = "Result<Written, StorageError>")]
struct Queue(Write);

impl Handler<Queue> for Storage {
    type Result = ResponseFuture<Result<Written, StorageError>>;

    fn handle(&mut self, message: Queue, _: &mut Self::Context) -> Self::Result {
        self.write(message.0, Some)
    }
}

impl Handler<ReadValues> for Storage {
    type Result = ResponseFuture<Result<Vec<Option<ByteBuf>>, StorageError>>;

    fn handle(&mut self, message: ReadValues, _: &mut Self::Context) -> Self::Result {
        self.read(move |engine| engine.values(&message))
    }
}

impl Handler<ReadEntries> for Storage {
    type Result = ResponseFuture<Result<(Vec<SignedEntry>, Head), StorageError>>;

    fn handle(&mut self, message: ReadEntries, _: &mut Self::Context) -> Self::Result {
        self.read(move |engine| engine.entries(&message))
    }
}

impl Handler<ReadAudit> for Storage {
    type Result = ResponseFuture<Result<AuditPage, StorageError>>;

    fn handle(&mut self, message: ReadAudit, _: &mut Self::Context) -> Self::Result {
        self.read(move |engine| engine.audit(&message))
    }
}

fn head(written: Written) -> Option<Head> {
    match written {
        Written::Head(head) => Some(head),
        Written::Account(_) | Written::Deleted(_) | Written::Done => None,
    }
}

fn done(written: Written) -> Option<()> {
    matches!(written, Written::Done).then_some(())
}
