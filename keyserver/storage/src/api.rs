//! The requests to storage and their answers, free of engines and rules.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use shared::audit_record::{AuditedOperation, Outcome};
use shared::checkpoint::TreeHead;
use shared::ids::{AccountId, DeviceId, Digest, PublicKey, RequestTag, SecretId, Seq, SessionId};
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::vault_log::SignedEntry;
use shared::wire::call::{NewEntry, ValueRef};
#[cfg(doc)]
use shared::wire::limits::ANSWER_BUDGET;
use shared::wire::register::{SlotRecord, WrappedKey};
use shared::wire::rekey::NewLog;

use crate::tables::LogId;

/// Length of a credential's OPAQUE record (RFC 9807, `RegistrationRecord`) in this suite, in bytes.
pub const RECORD_LEN: usize = 192;
/// Length of a wrapped account key, in bytes.
pub const WRAPPED_LEN: usize = 92;

/// An account as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// Id of the account.
    pub id: AccountId,
    /// Name of the account.
    pub name: AccountName,
    /// The key that signs the vault log: from the genesis entry, or from the newest replacement of the account key.
    pub log_key: PublicKey,
    /// Id under which the vault log is stored.
    pub log: LogId,
    /// Key epoch of the account key.
    pub epoch: u32,
    /// The credentials of the account.
    pub slots: Vec<SlotRecord>,
    /// Time of the registration, in milliseconds since 1970-01-01 UTC.
    pub created_ms: u64,
}

/// An audit record before the server gives it index and time.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The operation.
    pub operation: AuditedOperation,
    /// The secret that is read or changed.
    pub secret: Option<SecretId>,
    /// The outcome; storage replaces this where a mutation is refused.
    pub outcome: Outcome,
    /// The session of the request.
    pub session: Option<SessionId>,
    /// Number of the request in that session.
    pub counter: u64,
    /// Position within the request.
    pub position: u32,
    /// The device that the request names.
    pub device: Option<DeviceId>,
    /// Address of the sender; `None` for requests from many addresses.
    pub remote: Option<IpAddr>,
    /// The owner's tag.
    pub tag: Option<RequestTag>,
    /// Key epoch of the account key that the session was opened with. Once the key was replaced the session's requests
    /// are refused: its tags prove nothing any more, and it could decrypt nothing.
    pub epoch: Option<u32>,
    /// The credential that opened the session, and its generation. Once that was replaced or revoked the session's
    /// requests are refused, even before the session itself is ended.
    pub by: Option<(Slot, u64)>,
    /// Whether that session was opened with password or recovery code.
    pub is_person: bool,
}

impl Draft {
    /// A record of an operation outside sessions.
    pub fn without_session(
        operation: AuditedOperation,
        outcome: Outcome,
        remote: Option<IpAddr>,
    ) -> Self {
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

/// Numbers of rows in a database.
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
    /// Vault logs that are being re-encrypted under new account keys.
    pub stages: u64,
}

/// Starts a login: throttles and counts it durably, before KE2 is sent. Unknown names take the same path. Answered with
/// the account of this name.
#[derive(Debug, Clone)]
pub struct StartLogin {
    /// The name of the account.
    pub name: AccountName,
    /// The credential that is used.
    pub slot: Slot,
    /// Address of the sender.
    pub remote: IpAddr,
}

/// Finishes a login. A right proof subtracts its starts from the counts. Answered with the head of the vault log.
#[derive(Debug, Clone)]
pub struct FinishLogin {
    /// The name of the account.
    pub name: AccountName,
    /// `None` for a wrong proof.
    pub success: Option<Success>,
    /// Address of the sender.
    pub remote: IpAddr,
}

/// A login whose proof was right. It is refused nevertheless where its credential was replaced meanwhile.
#[derive(Debug, Clone)]
pub struct Success {
    /// The account.
    pub account: AccountId,
    /// The new session.
    pub session: SessionId,
    /// The slot that was used.
    pub slot: Slot,
    /// The account key wrapped under the slot's export key, as it was when the login began.
    pub wrapped: WrappedKey,
}

/// Starts a registration: throttled and counted for its address, as starts of logins are.
#[derive(Debug, Clone, Copy)]
pub struct StartRegistration {
    /// Address of the sender.
    pub remote: IpAddr,
}

/// Checks whether a name can be registered: that it is free, and the invite valid.
#[derive(Debug, Clone)]
pub struct CheckRegistration {
    /// The name.
    pub name: AccountName,
    /// SHA-256 of the invite code, where the server requires one.
    pub invite: Option<Digest>,
}

/// Creates an account with its genesis entry and its first audit record, and uses the invite up.
#[derive(Debug, Clone)]
pub struct Register {
    /// The account; the genesis entry names the same id.
    pub account: Account,
    /// The genesis entry, already verified.
    pub genesis: SignedEntry,
    /// SHA-256 of the invite code to use up.
    pub invite: Option<Digest>,
    /// Address of the sender.
    pub remote: IpAddr,
}

/// Appends entries (with their values) and audit records in one transaction; refusals are recorded as well.
#[derive(Debug, Clone)]
pub struct Append<E = NewEntry> {
    /// The account.
    pub account: AccountId,
    /// The entries, appended all or none.
    pub entries: Vec<E>,
    /// Audit records: one per entry of the account's log.
    pub records: Vec<Draft>,
}

/// Replaces credentials by proven ones, in one transaction with the entries that name them. Without entries: renews the
/// credential of a device that has one.
#[derive(Debug, Clone)]
pub struct Install<E = SignedEntry> {
    /// The account.
    pub account: AccountId,
    /// The credentials.
    pub slots: Vec<SlotRecord>,
    /// One per credential, in the same order, then one per credential that is revoked; or none.
    pub entries: Vec<E>,
    /// Audit records.
    pub records: Vec<Draft>,
}

/// Begins to re-encrypt the log of an account under a new account key; a re-encryption begun before is dropped.
#[derive(Debug, Clone)]
pub struct Prepare {
    /// The account.
    pub account: AccountId,
    /// The new log's key, and the new account key wrapped.
    pub log: NewLog,
    /// Audit records.
    pub records: Vec<Draft>,
}

/// Appends to the re-encrypted log, in one transaction with the audit records.
#[derive(Debug, Clone)]
pub struct Rewrite(pub Append);

/// Replaces the log by the re-encrypted one, and all credentials by proven ones. The entries are the last ones of the new
/// log: `rekey`, one per credential in the same order, one per credential that is revoked.
#[derive(Debug, Clone)]
pub struct Rekey(pub Install);

/// Reads the state of the re-encrypted log; `None` where none was begun.
#[derive(Debug, Clone, Copy)]
pub struct ReadPrepared {
    /// The account.
    pub account: AccountId,
}

/// Lists credentials.
#[derive(Debug, Clone, Copy)]
pub struct ReadSlots {
    /// The account.
    pub account: AccountId,
}

/// Deletes an account with all of its data. Answered with the last state of its audit log, the record of the deletion
/// included.
#[derive(Debug, Clone)]
pub struct Delete {
    /// The account.
    pub account: AccountId,
    /// Tree size to prove consistency from; 0 for none.
    pub verified_size: u64,
    /// Audit records.
    pub records: Vec<Draft>,
}

/// Writes audit records: of reads, logouts, and requests that were refused before they reached storage.
#[derive(Debug, Clone)]
pub struct WriteRecords {
    /// The account.
    pub account: AccountId,
    /// At least one.
    pub records: Vec<Draft>,
}

/// Reads sealed values from one snapshot: as many as fit into [`ANSWER_BUDGET`], at least one.
#[derive(Debug, Clone)]
pub struct ReadValues {
    /// The account.
    pub account: AccountId,
    /// Secrets and versions.
    pub items: Vec<ValueRef>,
}

/// Reads entries and the head of a log from one snapshot: as many as fit into [`ANSWER_BUDGET`].
#[derive(Debug, Clone)]
pub struct ReadEntries {
    /// The account.
    pub account: AccountId,
    /// Newest sequence number that the client has.
    pub after: Seq,
    /// The log.
    pub of: Which,
}

/// One of an account's logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The log in force.
    Current,
    /// The log that is re-encrypted under a new account key; empty where there is none.
    Prepared,
}

/// Reads audit records and proofs from one snapshot.
#[derive(Debug, Clone)]
pub struct ReadAudit {
    /// The account.
    pub account: AccountId,
    /// First index.
    pub from: u64,
    /// Most records; also bounded by [`ANSWER_BUDGET`].
    pub limit: u32,
    /// Tree size to prove against; `None` for the newest. A larger size than the tree's is refused as malformed.
    pub size: Option<u64>,
    /// Tree size to prove consistency from; 0 for none. For a size larger than the tree's there is no proof, which the
    /// client notices.
    pub verified_size: u64,
    /// Whether inclusion proofs are wanted.
    pub proofs: bool,
}

/// Audit records with their proofs, before the checkpoint is signed.
#[derive(Debug, Clone)]
pub struct AuditPage {
    /// Encoded records, as hashed.
    pub records: Vec<ByteBuf>,
    /// Head of the tree that all proofs are against.
    pub head: TreeHead,
    /// Consistency proof from `verified_size`.
    pub consistency: Vec<Digest>,
    /// Inclusion proofs, one per record where wanted.
    pub inclusion: Vec<Vec<Digest>>,
}

/// Stores a new invite.
#[derive(Debug, Clone)]
pub struct AddInvite {
    /// SHA-256 of the code.
    pub code: Digest,
    /// Time at which it expires, in milliseconds since 1970-01-01 UTC.
    pub expires_ms: u64,
}
