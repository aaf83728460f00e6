//! The requests to storage and their answers, free of engines and rules.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use shared::audit_record::{AuditedOperation, Outcome};
use shared::checkpoint::TreeHead;
use shared::ids::{AccountId, DeviceId, Digest, PublicKey, SecretId, Seq, SessionId, Signature};
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::request::Opening;
use shared::vault_log::{Head, SignedEntry, Signer};
use shared::wire::call::{LoggedEntry, NewEntry, ValueRef};
#[cfg(doc)]
use shared::wire::limits::ANSWER_BUDGET;
use shared::wire::register::{SlotRecord, WrappedKey};
use shared::wire::slots::{NewEpoch, SlotKey};

/// Length of a credential's OPAQUE record (RFC 9807, `RegistrationRecord`) in this suite, in bytes.
pub const RECORD_LEN: usize = 192;
/// Length of a wrapped account key, in bytes.
pub const WRAPPED_LEN: usize = 92;

/// An account as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name.
    pub name: AccountName,
    /// The key that signs the next entry of its vault log, and the key epoch.
    pub signer: Signer,
    /// Its credentials.
    pub slots: Vec<StoredSlot>,
    /// When it was registered, in milliseconds since 1970-01-01 UTC.
    pub created_ms: u64,
}

/// A credential as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSlot {
    /// The credential, with the lease as the server accepted it.
    pub credential: SlotRecord,
    /// Its signing key (Ed25519), from its `credential` entry.
    pub signing: PublicKey,
    /// When its lease is over, in milliseconds since 1970-01-01 UTC; `None` without a lease.
    pub ends_ms: Option<u64>,
}

/// An audit record before the server gives it index and time.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The operation.
    pub operation: AuditedOperation,
    /// The secret it concerns.
    pub secret: Option<SecretId>,
    /// Its outcome; storage replaces this where a mutation is refused.
    pub outcome: Outcome,
    /// The session that asked.
    pub session: Option<SessionId>,
    /// Number of the request in that session.
    pub counter: u64,
    /// Position within the request.
    pub position: u32,
    /// The device that the request names.
    pub device: Option<DeviceId>,
    /// Where the request came from; `None` for requests from many addresses.
    pub remote: Option<IpAddr>,
    /// The device's signature over the operation.
    pub signature: Option<Signature>,
    /// Hash of the entry that the operation appends.
    pub entry: Option<Digest>,
    /// Authorisation of the device's key, where the request carries it.
    pub opening: Option<Opening>,
    /// Key epoch that the session knows. Once another one began the session's requests are refused: it could neither
    /// sign entries nor decrypt what is written.
    pub epoch: Option<u32>,
    /// The credential that opened the session, and its generation. Once that was replaced or revoked, or its lease is
    /// over, the session's requests are refused, even before the session itself is ended.
    pub by: Option<(Slot, u64)>,
    /// Whether that session was opened with password or recovery code.
    pub is_person: bool,
    /// Whether that was within the proof time.
    pub is_proven: bool,
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
            signature: None,
            entry: None,
            opening: None,
            epoch: None,
            by: None,
            is_person: false,
            is_proven: false,
        }
    }
}

/// Counts of what a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Accounts.
    pub accounts: u64,
    /// Entries of all vault logs.
    pub entries: u64,
    /// Secrets that were not removed.
    pub secrets: u64,
    /// Sealed values.
    pub values: u64,
    /// Sealed metadata of secrets: one form per entry that set it.
    pub metadata: u64,
    /// Sealed notes.
    pub notes: u64,
    /// Account keys that are encapsulated to credentials.
    pub slot_keys: u64,
    /// Accounts with former account keys.
    pub key_histories: u64,
    /// Audit records of the accounts.
    pub records: u64,
    /// Vault logs that are not empty.
    pub heads: u64,
}

/// Starts a login: throttles and counts it durably, before KE2 is sent. Unknown names take the same path. Answered with
/// the account of this name.
#[derive(Debug, Clone)]
pub struct StartLogin {
    /// The name of the account.
    pub name: AccountName,
    /// The credential that is used.
    pub slot: Slot,
    /// Where the request came from.
    pub remote: IpAddr,
}

/// Finishes a login. A right proof takes its start back from the counts. Answered with what the session begins with;
/// `None` for a wrong proof.
#[derive(Debug, Clone)]
pub struct FinishLogin {
    /// The name of the account.
    pub name: AccountName,
    /// `None` for a wrong proof.
    pub success: Option<Success>,
    /// Where the request came from.
    pub remote: IpAddr,
}

/// A login whose proof was right. It is refused nevertheless where its credential was replaced meanwhile.
#[derive(Debug, Clone)]
pub struct Success {
    /// The account.
    pub account: AccountId,
    /// Its new session.
    pub session: SessionId,
    /// The slot that was used.
    pub slot: Slot,
    /// The account key wrapped under the slot's export key, as it was when the login began.
    pub wrapped: WrappedKey,
}

/// The state of the account when a session begins.
#[derive(Debug, Clone)]
pub struct LoggedIn {
    /// Head of the vault log.
    pub head: Head,
    /// The key epoch.
    pub epoch: u32,
    /// Signing key of the credential.
    pub signing: PublicKey,
    /// The account key of this epoch, encapsulated to the credential, where that wraps an earlier one.
    pub slot_key: Option<SlotKey>,
    /// The former account keys, sealed; `None` in the first epoch.
    pub history: Option<ByteBuf>,
}

/// Starts a registration: throttled and counted for its address, as starts of logins are.
#[derive(Debug, Clone, Copy)]
pub struct StartRegistration {
    /// Where the request came from.
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

/// Creates an account with its first entries and its first audit record, and uses the invite up.
#[derive(Debug, Clone)]
pub struct Register {
    /// The account; its id is the genesis entry's.
    pub account: Account,
    /// The first entries, already verified: `genesis`, and one `credential` per slot.
    pub entries: Vec<SignedEntry>,
    /// SHA-256 of the invite code to use up.
    pub invite: Option<Digest>,
    /// Where the request came from.
    pub remote: IpAddr,
}

/// Appends entries (with their content) and audit records in one transaction; refusals are recorded as well.
#[derive(Debug, Clone)]
pub struct Append {
    /// The account.
    pub account: AccountId,
    /// The entries, appended all or none.
    pub entries: Vec<NewEntry>,
    /// Audit records, one per entry.
    pub records: Vec<Draft>,
}

/// Replaces credentials by proven ones, revokes others, and begins a key epoch where the entries do, in one transaction.
/// Without entries: renews the credential of a device that has one.
#[derive(Debug, Clone)]
pub struct Install {
    /// The account.
    pub account: AccountId,
    /// The credentials.
    pub slots: Vec<SlotRecord>,
    /// `acknowledge` and `rekey` where there are such entries, one `credential` per credential in the same order, and
    /// revocations; or none.
    pub entries: Vec<SignedEntry>,
    /// With a `rekey` entry: the new account key for the credentials that stay, and the former account keys.
    pub epoch: Option<NewEpoch>,
    /// Audit records.
    pub records: Vec<Draft>,
}

/// Ends the lease of a credential, with the audit records of the logout that asks for it.
#[derive(Debug, Clone)]
pub struct Retire {
    /// The account.
    pub account: AccountId,
    /// The slot of the credential.
    pub slot: Slot,
    /// Audit records.
    pub records: Vec<Draft>,
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

/// Reads entries with their metadata, and the head of the log, from one snapshot: as many as fit into [`ANSWER_BUDGET`].
#[derive(Debug, Clone)]
pub struct ReadEntries {
    /// The account.
    pub account: AccountId,
    /// Newest sequence number that the client has.
    pub after: Seq,
}

/// Entries of a log with their content.
#[derive(Debug, Clone)]
pub struct EntryPage {
    /// The entries.
    pub entries: Vec<LoggedEntry>,
    /// The head of the log.
    pub head: Head,
    /// Size of the newest audit tree that each device of these entries had seen.
    pub seen: BTreeSet<u64>,
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
    /// Further tree sizes to prove consistency from.
    pub seen: Vec<u64>,
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
    /// Consistency proofs from the further sizes.
    pub seen: Vec<Vec<Digest>>,
}

/// Stores a new invite.
#[derive(Debug, Clone)]
pub struct AddInvite {
    /// SHA-256 of the code.
    pub code: Digest,
    /// When it expires, in milliseconds since 1970-01-01 UTC.
    pub expires_ms: u64,
}
