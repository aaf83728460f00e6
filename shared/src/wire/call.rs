//! Operations inside a session: one variant each. They travel in the sealed channel.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::audit_record::Operation;
use crate::ids::{DeviceId, Digest, RequestTag, SecretId, Seq, Version};
use crate::vault_log::{Head, SignedEntry};
use crate::wire::bounded::sequence;
use crate::wire::error::Refusal;
use crate::wire::limits::{MAX_BATCH, MAX_PAGE, MAX_SLOTS};
use crate::wire::register::SlotRequest;
use crate::wire::rekey::{NewLog, Prepared};
use crate::wire::slots::{Deleted, Install, SlotsAnswer, Stage};

/// A request: who asks, for what, and the owner's marks for the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The asking device.
    pub device: DeviceId,
    /// One tag an operation, in the order of [`Call::operations`].
    pub tags: Vec<RequestTag>,
    /// What is asked for.
    pub call: Call,
}

/// The operations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Entries after a position, and the newest audit checkpoint with its consistency proof.
    Sync(Sync),
    /// Appends entries, all or none. Refused with `conflict` if another device was faster.
    Append(Vec<NewEntry>),
    /// Reads sealed values. Answers with as many as fit, at least one.
    Fetch(Vec<ValueRef>),
    /// Reads audit records.
    Audit(AuditRange),
    /// Ends the session.
    Logout,
    /// Lists credentials and sessions.
    Slots,
    /// First step towards new credentials: one registration request a slot.
    Enrol(Vec<SlotRequest>),
    /// Second step.
    Stage(Stage),
    /// Last step. Refused with `conflict` if another device was faster: what was staged can be installed again.
    Install(Install),
    /// Deletes the account with all that belongs to it, and ends the session. Names the size of the newest audit
    /// checkpoint that the client has verified; 0 for none.
    Delete(u64),
    /// First step towards a new account key, see [`crate::wire::rekey`].
    Prepare(NewLog),
    /// Asks how far such a log has come.
    Prepared,
    /// Appends to it, all or none: what the log of now says at the same positions, told again.
    Rewrite(Vec<NewEntry>),
    /// Reads its entries after a position.
    Rewritten(Seq),
    /// Last step, with credentials that wrap the new account key, as in [`Call::Install`]: the entries are `rekey`, one a
    /// slot, and one for each other slot, which goes. Refused with `conflict` if the log of now has gone on: then what was
    /// staged can be used again.
    Rekey(Install),
}

/// Asks for what happened since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    /// Newest position that the client has.
    pub after: Seq,
    /// Size of the newest audit checkpoint that the client has verified; 0 for none.
    pub audit_size: u64,
}

/// An entry to append, with its value where the entry is a `put`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEntry {
    /// The entry.
    pub entry: SignedEntry,
    /// The sealed value whose hash the entry names.
    pub value: Option<ByteBuf>,
}

/// One version of one secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueRef {
    /// Which secret.
    pub secret: SecretId,
    /// Which version.
    pub version: Version,
}

/// Records `from..from + limit`, proven against the newest checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRange {
    /// First index.
    pub from: u64,
    /// At most so many; the server may answer with fewer.
    pub limit: u32,
    /// Tree size to prove against; `None`: the newest, and then `from` and `limit` may name nothing at all.
    pub size: Option<u64>,
    /// Size of the newest audit checkpoint that the client has verified; 0 for none.
    pub verified_size: u64,
    /// Whether an inclusion proof for each record is wanted.
    pub proofs: bool,
}

/// The server's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Call::Sync`].
    Sync(SyncAnswer),
    /// To [`Call::Append`] and [`Call::Rewrite`]: the new head.
    Append(Head),
    /// To [`Call::Fetch`]: sealed values in the order asked for; `nil` where there is none.
    Fetch(#[serde(deserialize_with = "sequence::<_, _, MAX_BATCH>")] Vec<Option<ByteBuf>>),
    /// To [`Call::Audit`].
    Audit(AuditAnswer),
    /// To [`Call::Logout`].
    Logout,
    /// To [`Call::Slots`].
    Slots(SlotsAnswer),
    /// To [`Call::Enrol`]: RFC 9807 `RegistrationResponse`s, 64 bytes each.
    Enrol(#[serde(deserialize_with = "sequence::<_, _, MAX_SLOTS>")] Vec<ByteBuf>),
    /// To [`Call::Stage`]: RFC 9807 `KE2`s, 320 bytes each.
    Stage(#[serde(deserialize_with = "sequence::<_, _, MAX_SLOTS>")] Vec<ByteBuf>),
    /// To [`Call::Install`] and [`Call::Rekey`]: the head now.
    Install(Head),
    /// To [`Call::Delete`].
    Delete(Deleted),
    /// To [`Call::Prepare`] and [`Call::Prepared`]; `nil` where nothing was begun.
    Prepared(Option<Prepared>),
    /// To [`Call::Rewritten`]: as many as fit.
    Rewritten(#[serde(deserialize_with = "sequence::<_, _, MAX_PAGE>")] Vec<SignedEntry>),
    /// The operation was not done.
    Refused(Refusal),
}

/// To [`Call::Sync`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncAnswer {
    /// Entries from `after + 1` on, as many as fit.
    #[serde(deserialize_with = "sequence::<_, _, MAX_PAGE>")]
    pub entries: Vec<SignedEntry>,
    /// The log's head at that moment.
    pub head: Head,
    /// The newest audit checkpoint, a signed note.
    pub checkpoint: String,
    /// Proof from `audit_size` to that checkpoint.
    pub consistency: Vec<Digest>,
}

/// To [`Call::Audit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditAnswer {
    /// Encoded records, exactly as hashed.
    #[serde(deserialize_with = "sequence::<_, _, MAX_PAGE>")]
    pub records: Vec<ByteBuf>,
    /// The checkpoint at `size`.
    pub checkpoint: String,
    /// Proof from `verified_size` to that checkpoint.
    pub consistency: Vec<Digest>,
    /// One inclusion proof a record, where asked for.
    #[serde(deserialize_with = "sequence::<_, _, MAX_PAGE>")]
    pub inclusion: Vec<Vec<Digest>>,
}

impl Call {
    /// What this call will be in the audit log: one record, and one tag, each.
    pub fn operations(&self) -> Vec<(Operation, Option<SecretId>)> {
        match self {
            Self::Sync(_) => vec![(Operation::Sync, None)],
            Self::Append(entries) => entries
                .iter()
                .map(|new| entry_operation(&new.entry))
                .collect(),
            Self::Fetch(items) => items
                .iter()
                .map(|item| (Operation::Get, Some(item.secret)))
                .collect(),
            Self::Audit(_) => vec![(Operation::Audit, None)],
            Self::Logout => vec![(Operation::Logout, None)],
            Self::Slots => vec![(Operation::Slots, None)],
            Self::Enrol(_) | Self::Stage(_) => vec![(Operation::Enrol, None)],
            Self::Install(install) if install.entries.is_empty() => vec![(Operation::Enrol, None)],
            Self::Install(install) | Self::Rekey(install) => {
                install.entries.iter().map(entry_operation).collect()
            }
            Self::Delete(_) => vec![(Operation::Delete, None)],
            Self::Prepare(_) | Self::Prepared | Self::Rewrite(_) | Self::Rewritten(_) => {
                vec![(Operation::Rewrite, None)]
            }
        }
    }
}

fn entry_operation(entry: &SignedEntry) -> (Operation, Option<SecretId>) {
    let Ok(entry) = entry.peek() else {
        return (Operation::Append, None);
    };
    let operation = entry.op.operation().unwrap_or(Operation::Append);
    (operation, entry.op.secret())
}
