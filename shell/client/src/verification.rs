//! The checks that an answer of the server can fail, one variant per kind of contradiction.

use opaque_ke::errors::ProtocolError;
use shared::channel::ChannelError;
use shared::checkpoint::CheckpointError;
use shared::codec::CodecError;
use shared::ids::{DeviceId, Seq, SessionId, Version};
use shared::opaque::Slot;
use shared::vault_log::LogError;
use shared::wire::error::Refusal;

/// An answer of the server contradicts what this device knows, what the owner signed, or the protocol.
///
/// `seen` is what this device verified before, `shown` what the server presents now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerificationError {
    // The vault log.
    /// The vault log ends before the newest entry that this device has seen.
    #[error(
        "the vault log was rolled back: this device has seen {seen} entries, the server shows {shown}"
    )]
    RolledBack {
        /// Position of the newest entry seen.
        seen: Seq,
        /// Position of the last entry shown.
        shown: Seq,
    },
    /// The vault log has another entry at a position that this device has seen.
    /// The field is the position of the entry.
    #[error("the vault log was forked: entry {0} is not the one that this device has seen")]
    Forked(Seq),
    /// The server shows an older state than an anchor code: key epoch, log entries, audit records.
    #[error(
        "the server shows an older state (key epoch {}, {} log entries, {} audit records) than the code names ({}, {}, {})",
        .shown.0, .shown.1, .shown.2, .expected.0, .expected.1, .expected.2
    )]
    OlderThanExpected {
        /// Key epoch, log entries and audit records that the code names.
        expected: (u32, Seq, u64),
        /// Key epoch, log entries and audit records that the server shows.
        shown: (u32, Seq, u64),
    },
    /// The server shows another state than an anchor code.
    #[error(
        "the server shows another state than the code names: the code is of another account or server, or the server replaced its logs; check the code first"
    )]
    OtherThanExpected,
    /// An entry is not signed by the account's key, does not continue the log, or breaks the log's rules.
    #[error(transparent)]
    Entry(#[from] LogError),
    /// The content that came with an entry does not have the hash that the entry names.
    #[error("the content of vault log entry {seq} is not the one that it names")]
    OtherContent {
        /// Position of the entry.
        seq: Seq,
    },
    /// The content of an entry is missing, and no later entry says that it was destroyed.
    #[error("the server withholds the content of vault log entry {seq}")]
    ContentWithheld {
        /// Position of the entry.
        seq: Seq,
    },
    /// The vault log ends inside the entries that change credentials together.
    /// The field is the position of its last entry.
    #[error("the vault log ends at entry {0}, in the middle of a change of credentials")]
    InstallationInParts(Seq),
    /// The vault log has no entry, not even the one that the registration signs.
    #[error("the server shows an empty vault log")]
    EmptyLog,
    /// The entries end elsewhere than at the head that the same answer names.
    #[error("the vault log that the server shows does not lead to the head it names")]
    HeadNotReached,
    /// A page that is not the last one has room for more entries.
    #[error(
        "the server answers with fewer log entries than fit, and does not lead to the head it names"
    )]
    ShortPage,
    /// The server stored an entry after it had answered that it refused it.
    /// The field is the position of the entry.
    #[error("the server stored vault log entry {0} after it had answered that it refused it")]
    RefusedEntryStored(Seq),
    /// A conflict was answered although the log has no new entry.
    #[error("the server refuses a change because of a newer one, and shows no newer one")]
    ConflictNotShown,
    /// The head after an append is not the one that the sent entries lead to.
    #[error("the server stored something else than this device signed")]
    OtherEntriesStored,

    // The server and the account.
    /// The server identifies itself by another value than this device has pinned.
    #[error("{0} is not the one that this profile knows for the account")]
    ServerIdentity(PinnedIdentity),
    /// The vault log, signed by the owner, names another server.
    #[error("the server is not the one that the account was registered at")]
    OtherServer,
    /// The account of this name has another id than this device has pinned.
    #[error("the server answers with another account of the same name")]
    OtherAccount,
    /// The account key is another one of the same epoch.
    #[error("the server shows another account key than before")]
    OtherAccountKey,
    /// The account key is one that was replaced.
    #[error("the server shows account key {shown}, which account key {seen} has replaced")]
    AccountKeyRolledBack {
        /// Newest key epoch seen.
        seen: u32,
        /// Key epoch shown.
        shown: u32,
    },
    /// The key epoch is out of the protocol's bounds.
    /// The field is the key epoch shown.
    #[error("the account key is of epoch {0}, which does not exist")]
    UnknownEpoch(u32),
    /// The vault log has no entry about the replacement of the account key that the login yielded.
    #[error("the vault log does not say that the account key was replaced")]
    ReplacementNotLogged,
    /// The vault log names another key than the one that signs it.
    #[error("the vault log names another signing key")]
    OtherLogKey,
    /// The vault log was made with another cipher suite.
    #[error("the vault log is of suite {logged}, this session of suite {expected}")]
    OtherSuite {
        /// Suite that the log names.
        logged: u8,
        /// Suite of this session.
        expected: u8,
    },
    /// The server speaks only protocol versions that this program does not accept any more.
    #[error(
        "the server speaks an older protocol only: version {shown}, where {oldest} is the oldest accepted"
    )]
    OldProtocol {
        /// Version that the server names.
        shown: u8,
        /// Oldest version accepted.
        oldest: u8,
    },
    /// Two processes on this device were shown different things of one account.
    #[error("two runs on this device were shown different {0}")]
    RunsDisagree(SharedView),

    // OPAQUE (RFC 9807) and credentials.
    /// A message does not have the length or form that RFC 9807 gives it in this suite.
    #[error("the server's {0} is malformed")]
    OpaqueMessage(OpaqueMessage),
    /// The OPAQUE implementation refused a message.
    #[error("the server's OPAQUE message is invalid: {0}")]
    Opaque(ProtocolError),
    /// The OPRF's evaluated element is the blinded element that this device sent.
    #[error("the server sent the client's own message back")]
    Reflected,
    /// The envelope of the login authenticates another OPAQUE public key than this device has pinned.
    #[error("the server's OPAQUE key is not the one that the account was registered with")]
    OtherOpaqueKey,
    /// A registration response carries another OPAQUE public key than the server's identity names.
    #[error("the server registers with another OPAQUE key than it says it has")]
    OtherRegistrationKey,
    /// An answer about several slots has another number of parts than slots were asked for.
    #[error("the server's answer lacks a slot, or has one too many")]
    SlotCount,
    /// A credential that was just registered is refused.
    #[error("the server does not log in what it just registered")]
    RegisteredRefused,
    /// The wrapped account key does not decrypt under the export key of the login.
    #[error("the wrapped account key does not open with this login")]
    WrappedKey,
    /// The account key of a later epoch does not open by the credential, or is of no later epoch.
    #[error("the account key of the current epoch does not open with this login")]
    SlotKey,
    /// The former account keys do not open under the current one, or do not contain the one that the credential wraps:
    /// the server made the current one up.
    #[error("the account keys that the server shows do not lead to the one of this login")]
    KeyHistory,
    /// A new credential's login yields an export key that does not open the account key.
    #[error("the new credential does not open the account key; nothing was changed")]
    NewCredential,
    /// A credential is older than one that this device has seen in its slot.
    #[error("the {slot} credential was rolled back from generation {seen} to {shown}")]
    CredentialRolledBack {
        /// Label of the slot.
        slot: String,
        /// Newest generation seen.
        seen: u64,
        /// Generation shown.
        shown: u64,
    },
    /// A credential is of another generation than the vault log names.
    #[error(
        "the {slot} credential is of another generation ({shown}) than the owner's entries name ({logged})"
    )]
    CredentialGeneration {
        /// The slot.
        slot: Slot,
        /// Generation that the vault log names.
        logged: u64,
        /// Generation shown.
        shown: u64,
    },
    /// A credential wraps another account key than the vault log names.
    /// The field is the slot.
    #[error("the {0} credential wraps another account key than the owner's entries name")]
    CredentialKey(Slot),
    /// A credential is in use that the vault log revokes.
    /// The field is the slot.
    #[error("the server uses the {0} credential, which is revoked")]
    CredentialRevoked(Slot),

    /// The address that a session came from is no IP address.
    #[error("the server names a session whose address is none")]
    SessionAddress,

    // The sealed channel and its messages.
    /// A sealed message does not open, or comes out of its turn.
    #[error("sealed channel: {0}")]
    Channel(#[from] ChannelError),
    /// A message does not decode.
    #[error("the server's answer is malformed: {0}")]
    Malformed(#[from] CodecError),
    /// The answer belongs to another kind of operation.
    #[error("the server answered another question")]
    UnexpectedAnswer,
    /// A request of an open session was refused as a login is.
    #[error("the server refuses a request of an open session as it refuses a login")]
    LoginRefusedInSession,
    /// A refusal that an honest server seals came unsealed.
    #[error("the server refuses a request of this session outside its sealed channel: {0}")]
    UnsealedRefusal(Refusal),

    // Values.
    /// Another number of values came than was asked for.
    #[error(
        "the server answered with a wrong number of values: {shown} where {asked} were asked for"
    )]
    ValueCount {
        /// Values asked for.
        asked: usize,
        /// Values shown.
        shown: usize,
    },
    /// A value's SHA-256 is not the one that the vault log names.
    #[error("the value of `{name}` (version {version}) is not the one that log entry {seq} names")]
    WrongValue {
        /// Name of the secret.
        name: String,
        /// Version of the secret.
        version: Version,
        /// Position of the entry that names the value.
        seq: Seq,
    },
    /// A value is missing whose secret was not removed.
    #[error(
        "the server withholds the value of `{name}` (version {version}), which log entry {seq} says is stored"
    )]
    ValueWithheld {
        /// Name of the secret.
        name: String,
        /// Version of the secret.
        version: Version,
        /// Position of the entry that names the value.
        seq: Seq,
    },

    // The audit log (RFC 9162 tree, C2SP checkpoints).
    /// A checkpoint is malformed, of another log, or not signed by the pinned key.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint does not cover the request that it answers.
    #[error("the server answers with an audit checkpoint from before the question")]
    StaleCheckpoint,
    /// The audit log has fewer records than this device has seen.
    #[error(
        "the audit log was rolled back: this device has seen {seen} records, the server shows {shown}"
    )]
    AuditRolledBack {
        /// Records seen.
        seen: u64,
        /// Records shown.
        shown: u64,
    },
    /// The consistency proof (RFC 9162, section 2.1.4) does not hold.
    #[error(
        "the audit log of {shown} records does not extend the one of {seen} that this device has seen"
    )]
    AuditForked {
        /// Records seen.
        seen: u64,
        /// Records shown.
        shown: u64,
    },
    /// Another device of the owner has signed that it was shown an audit log which this one does not extend.
    /// The field is the other device.
    #[error("device {0} was shown another audit log than this one")]
    AuditSplitView(DeviceId),
    /// Two answers about one tree size carry different tree heads.
    /// The field is the number of records.
    #[error("the audit log changed between two answers about the same {0} records")]
    AuditChanged(u64),
    /// A page of audit records does not have its full length.
    #[error(
        "the server withholds audit records, or shows too many: {shown} where {expected} are left to show"
    )]
    AuditPage {
        /// Records that the page must have.
        expected: u64,
        /// Records shown.
        shown: usize,
    },
    /// No honest server writes this record at this place.
    /// The field is the index of the record.
    #[error("audit record {0} is malformed")]
    AuditRecord(u64),
    /// The records do not hash to the root that the checkpoint signs.
    #[error("the audit records are not those that the signed checkpoint covers")]
    AuditRoot,
    /// A record of a session stands before the login of that session.
    /// The field is the index of the record.
    #[error("the audit log has no login for the session of record {0}")]
    LoginNotRecorded(u64),
    /// A request of the running session has fewer records than it must have.
    #[error("the server did not write down request {request} of this session")]
    RequestNotRecorded {
        /// Number of the request, from 1.
        request: u64,
    },
    /// A request of an earlier session of this device has no record.
    #[error("the server did not write down request {request} of an earlier session of this device")]
    EarlierRequestNotRecorded {
        /// The session.
        session: SessionId,
        /// Number of the request, from 1.
        request: u64,
    },
    /// An entry of the vault log has no audit record that its device signed.
    #[error("the audit log has no record by device {device} of vault log entry {seq}")]
    ChangeNotRecorded {
        /// Position of the entry.
        seq: Seq,
        /// The device that the entry names.
        device: DeviceId,
    },
    /// An audit record that a device signed names an entry that the vault log does not have.
    #[error(
        "the audit log has a change by {device} which the vault log does not have: the server withholds entries"
    )]
    ChangeWithheld {
        /// Name of the device that asked for it.
        device: String,
    },
    /// Audit records claim to be requested by a device of the owner, and carry no valid signature.
    /// The field is the number of records.
    #[error("{0} audit records claim to come from your devices but have no valid signature")]
    ForgedRecords(usize),
    /// The checkpoint that a deletion returns does not cover the deletion.
    #[error("the receipt does not cover the deletion")]
    DeletionNotCovered,

    // Audit evidence, a file.
    /// The file is signed by another key than this device has pinned.
    #[error("the file is signed by another key than the one that this device knows of its server")]
    EvidenceKey,
    /// The file's tree contradicts the one that this device has seen.
    #[error("the file is of another audit log than the one that this device has seen")]
    EvidenceLog,
    /// A record in the file does not decode, or stands there twice.
    #[error("a record in the file is malformed")]
    EvidenceRecord,
    /// The inclusion proof of a record (RFC 9162, section 2.1.3) does not hold.
    /// The field is the index of the record.
    #[error("record {0} is not in the tree that the checkpoint signs")]
    EvidenceProof(u64),
}

/// A part of the server's identity that a device pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PinnedIdentity {
    /// Its id.
    #[error("the server's id")]
    Id,
    /// Its OPAQUE static public key.
    #[error("the server's OPAQUE key")]
    OpaqueKey,
    /// The key that signs its audit checkpoints.
    #[error("the server's audit checkpoint key")]
    CheckpointKey,
}

/// A part of the server's state that all processes on one device must be shown alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SharedView {
    /// Identities of server and account.
    #[error("servers or accounts")]
    Identity,
    /// The vault log.
    #[error("vault logs")]
    VaultLog,
    /// The audit log.
    #[error("audit logs")]
    AuditLog,
}

/// A message of RFC 9807 that the server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpaqueMessage {
    /// `RegistrationResponse`.
    #[error("registration answer")]
    RegistrationResponse,
    /// `KE2`.
    #[error("login answer (KE2)")]
    Ke2,
}

impl VerificationError {
    /// Whether a server that was restored from a backup looks like this as well; the owner can then acknowledge the
    /// loss (see [`Vault::acknowledge_restore`](crate::vault::Vault::acknowledge_restore)).
    pub fn may_be_restore(&self) -> bool {
        matches!(
            self,
            Self::RolledBack { .. }
                | Self::Forked(_)
                | Self::Entry(LogError::NotNext { .. })
                | Self::AccountKeyRolledBack { .. }
                | Self::AuditRolledBack { .. }
        )
    }
}
