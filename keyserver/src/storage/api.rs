//! What the storage actor promises: the messages it takes and what comes back. Nothing here knows LMDB.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use shared::audit_record::{Operation, Outcome};
use shared::checkpoint::TreeHead;
use shared::ids::{AccountId, DeviceId, Digest, PublicKey, RequestTag, SecretId, Seq, SessionId};
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::vault_log::{Head, SignedEntry};
use shared::wire::call::{NewEntry, ValueRef};
use shared::wire::error::Refusal;
use shared::wire::register::{SlotRecord, WrappedKey};
use shared::wire::rekey::{NewLog, Prepared};
use shared::wire::slots::SlotInfo;

use crate::storage::tables::LogId;

/// An account as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name.
    pub name: AccountName,
    /// The key that signs its vault log: from the genesis entry, or from the newest replacement of the account key.
    pub log_key: PublicKey,
    /// Where that log is.
    pub log: LogId,
    /// Key epoch of the account key.
    pub epoch: u32,
    /// Its credentials.
    pub slots: Vec<SlotRecord>,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub created_ms: u64,
}

/// An audit record before the server gives it index and time.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What was done.
    pub operation: Operation,
    /// With which secret.
    pub secret: Option<SecretId>,
    /// How it ended; storage itself changes this where a mutation is refused.
    pub outcome: Outcome,
    /// In which session.
    pub session: Option<SessionId>,
    /// Number of the request in that session.
    pub counter: u64,
    /// Position within the request.
    pub position: u32,
    /// Which device said it was asking.
    pub device: Option<DeviceId>,
    /// Where the request came from; `None` for requests from many places.
    pub remote: Option<IpAddr>,
    /// The owner's mark.
    pub tag: Option<RequestTag>,
    /// Key epoch of the account key that the session was opened with. Once that was replaced nothing is done for it: its
    /// marks prove nothing any more, and it could open nothing.
    pub epoch: Option<u32>,
    /// The credential that opened the session, and its generation. Once that was replaced or revoked nothing is done for
    /// it, however late the session hears of its end.
    pub by: Option<(Slot, u64)>,
    /// Whether that session was opened with password or recovery code.
    pub is_person: bool,
}

impl Draft {
    /// What happens outside sessions.
    pub fn without_session(operation: Operation, outcome: Outcome, remote: Option<IpAddr>) -> Self {
        Self {
            operation,
            secret: None,
            outcome,
            session: None,
            counter: 0,
            position: 0,
            device: None,
            remote,
            tag: None,
            epoch: None,
            by: None,
            is_person: false,
        }
    }
}

/// How much a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Accounts.
    pub accounts: u64,
    /// Entries of all vault logs.
    pub entries: u64,
    /// Secrets that were not removed.
    pub secrets: u64,
    /// Sealed values: all versions of these secrets.
    pub values: u64,
    /// Audit records of the accounts.
    pub records: u64,
    /// Vault logs that are not empty.
    pub heads: u64,
    /// Vault logs that were begun under new account keys.
    pub stages: u64,
}

/// Why storage did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// For the client: a conflict, a throttle, no room.
    #[error("{0}")]
    Refused(Refusal),
    /// The map must grow; never leaves storage.
    #[error("the map is full")]
    MapFull,
    /// For the operator's log; the client hears [`Refusal::Internal`].
    #[error("storage failed: {0}")]
    Failed(String),
}

impl StorageError {
    /// What the client is told.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::MapFull | Self::Failed(_) => Refusal::Internal,
        }
    }
}

/// A login is being started: throttle and count it durably, before KE2 leaves. Unknown names take the same path.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "Result<Option<Account>, StorageError>")]
pub struct StartLogin {
    /// The name that was asked for.
    pub name: AccountName,
    /// By which credential.
    pub slot: Slot,
    /// Where the request came from.
    pub remote: IpAddr,
}

/// A login was finished. A right proof takes the guesses back from the count.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "Result<Head, StorageError>")]
pub struct FinishLogin {
    /// The name that was asked for.
    pub name: AccountName,
    /// Where the proof was right.
    pub success: Option<Success>,
    /// Where the request came from.
    pub remote: IpAddr,
}

/// A login whose proof was right. Refused nevertheless where its credential was replaced meanwhile.
#[derive(Debug, Clone)]
pub struct Success {
    /// The account.
    pub account: AccountId,
    /// Its new session.
    pub session: SessionId,
    /// The slot that was used.
    pub slot: Slot,
    /// The account key under its export key, as it was when the login began.
    pub wrapped: WrappedKey,
}

/// A registration is being started: it uses up what its address may do, as starts of logins do.
#[derive(Debug, Clone, Copy, actix::Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct StartRegistration {
    /// Where the request came from.
    pub remote: IpAddr,
}

/// Whether a name can be registered: the invite, the name itself.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct CheckRegistration {
    /// The name.
    pub name: AccountName,
    /// SHA-256 of the invite code, where the server asks for one.
    pub invite: Option<Digest>,
}

/// Makes an account with its genesis entry and its first audit record, and uses the invite up.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct Register {
    /// The account; its id is the genesis entry's.
    pub account: Account,
    /// The genesis entry, already verified.
    pub genesis: SignedEntry,
    /// SHA-256 of the invite code to use up.
    pub invite: Option<Digest>,
    /// Where the request came from.
    pub remote: IpAddr,
}

/// Appends entries (with their values) and audit records in one transaction; refusals are recorded as well.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "Result<Head, StorageError>")]
pub struct Append {
    /// Whose log.
    pub account: AccountId,
    /// All or none of these.
    pub entries: Vec<NewEntry>,
    /// One a entry.
    pub records: Vec<Draft>,
}

/// Puts proven credentials in the place of the old ones, in one transaction with the entries that say so. Without
/// entries: that of a device which has one.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "Result<Head, StorageError>")]
pub struct Install {
    /// Whose.
    pub account: AccountId,
    /// The credentials.
    pub slots: Vec<SlotRecord>,
    /// One a credential, in the same order; or none.
    pub entries: Vec<SignedEntry>,
    /// Audit records.
    pub records: Vec<Draft>,
}

/// Begins the log of an account anew, under a new account key; what was begun before is dropped.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct Prepare {
    /// Whose.
    pub account: AccountId,
    /// How it is begun.
    pub log: NewLog,
    /// Audit records.
    pub records: Vec<Draft>,
}

/// Appends to the log that was begun, in one transaction with the audit records.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "Result<Head, StorageError>")]
pub struct Rewrite {
    /// Whose log.
    pub account: AccountId,
    /// All or none of these.
    pub entries: Vec<NewEntry>,
    /// Audit records.
    pub records: Vec<Draft>,
}

/// Puts the log that was begun in the place of the old one, with proven credentials in the place of all old ones.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "Result<Head, StorageError>")]
pub struct Rekey {
    /// Whose.
    pub account: AccountId,
    /// The credentials.
    pub slots: Vec<SlotRecord>,
    /// The last entries of the new log: `rekey`, one a credential in the same order, one for each that goes.
    pub entries: Vec<SignedEntry>,
    /// One a entry.
    pub records: Vec<Draft>,
}

/// Reads how far the log that was begun has come.
#[derive(Debug, Clone, Copy, actix::Message)]
#[rtype(result = "Result<Option<Prepared>, StorageError>")]
pub struct ReadPrepared {
    /// Whose.
    pub account: AccountId,
}

/// Lists credentials.
#[derive(Debug, Clone, Copy, actix::Message)]
#[rtype(result = "Result<Vec<SlotInfo>, StorageError>")]
pub struct ReadSlots {
    /// Whose.
    pub account: AccountId,
}

/// Deletes an account with all that belongs to it. The page is of its audit log as it was last, record of the deletion
/// included.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "Result<AuditPage, StorageError>")]
pub struct Delete {
    /// Which.
    pub account: AccountId,
    /// Size to prove consistency from; 0 for none.
    pub verified_size: u64,
    /// Audit records.
    pub records: Vec<Draft>,
}

/// Makes audit records durable: for reads, logouts, and whatever was refused before it came to storage.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct WriteRecords {
    /// Whose log.
    pub account: AccountId,
    /// At least one.
    pub records: Vec<Draft>,
}

/// Reads sealed values from one snapshot: as many as fit into the answer budget, at least one.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "Result<Vec<Option<ByteBuf>>, StorageError>")]
pub struct ReadValues {
    /// Whose.
    pub account: AccountId,
    /// Which.
    pub items: Vec<ValueRef>,
}

/// Reads entries after a position from one snapshot, as many as fit.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "Result<(Vec<SignedEntry>, Head), StorageError>")]
pub struct ReadEntries {
    /// Whose log.
    pub account: AccountId,
    /// Newest position that the client has.
    pub after: Seq,
    /// Of which log.
    pub of: Which,
}

/// Of an account's logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one that holds.
    Current,
    /// The one that was begun under a new account key; empty where there is none.
    Prepared,
}

/// Reads audit records and proofs from one snapshot.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "Result<AuditPage, StorageError>")]
pub struct ReadAudit {
    /// Whose log.
    pub account: AccountId,
    /// First index.
    pub from: u64,
    /// At most so many; also bounded by the answer budget.
    pub limit: u32,
    /// Tree size to prove against; `None`: the newest. Larger than the tree: refused as malformed.
    pub size: Option<u64>,
    /// Size to prove consistency from; 0 for none. Larger than the tree: no proof, the client will notice.
    pub verified_size: u64,
    /// Whether inclusion proofs are wanted.
    pub proofs: bool,
}

/// Audit records with their proofs, before the checkpoint is signed.
#[derive(Debug, Clone)]
pub struct AuditPage {
    /// Encoded records, as hashed.
    pub records: Vec<ByteBuf>,
    /// The tree that everything is proven against.
    pub head: TreeHead,
    /// Consistency proof from `verified_size`.
    pub consistency: Vec<Digest>,
    /// Inclusion proofs, one a record where wanted.
    pub inclusion: Vec<Vec<Digest>>,
}

/// Stores the SHA-256 of a new invite code.
#[derive(Debug, Clone, actix::Message)]
#[rtype(result = "Result<(), StorageError>")]
pub struct AddInvite {
    /// SHA-256 of the code.
    pub code: Digest,
    /// When it stops being good, in milliseconds since 1970-01-01 UTC.
    pub expires_ms: u64,
}
