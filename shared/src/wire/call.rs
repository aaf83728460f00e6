//! The sum of all operations, as requests and answers travel in the sealed channel.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::audit_record;
use crate::ids::{DeviceId, RequestTag, SecretId};
use crate::vault_log::{Head, SignedEntry};
use crate::wire::bounded::sequence;
use crate::wire::error::Refusal;
use crate::wire::limits::{MAX_BATCH, MAX_PAGE, MAX_SLOTS};
use crate::wire::rekey::{NewLog, Prepared, ReadRewritten, Rekey, Rewrite};
use crate::wire::slots::{Enrol, Install, SlotsAnswer, Stage};

pub use crate::wire::append::{Append, NewEntry};
pub use crate::wire::audit::{AuditAnswer, AuditRange};
pub use crate::wire::delete::{Delete, Deleted};
pub use crate::wire::fetch::{Fetch, ValueRef};
pub use crate::wire::logout::Logout;
pub use crate::wire::sync::{Sync, SyncAnswer};

/// The plaintext of a sealed request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The device that sends the request.
    pub device: DeviceId,
    /// One tag per operation, in the order of [`Call::operations`].
    pub tags: Vec<RequestTag>,
    /// The operation.
    pub call: Call,
}

/// A request of any operation. Each type documents its refusals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// [`Sync`].
    Sync(Sync),
    /// [`Append`].
    Append(Append),
    /// [`Fetch`].
    Fetch(Fetch),
    /// [`AuditRange`].
    Audit(AuditRange),
    /// [`Logout`].
    Logout,
    /// [`crate::wire::slots::ListSlots`].
    Slots,
    /// [`Enrol`].
    Enrol(Enrol),
    /// [`Stage`].
    Stage(Stage),
    /// [`Install`].
    Install(Install),
    /// [`Delete`].
    Delete(Delete),
    /// [`NewLog`].
    Prepare(NewLog),
    /// [`crate::wire::rekey::ReadPrepared`].
    Prepared,
    /// [`Rewrite`].
    Rewrite(Rewrite),
    /// [`ReadRewritten`].
    Rewritten(ReadRewritten),
    /// [`Rekey`].
    Rekey(Rekey),
}

/// The plaintext of a sealed answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Call::Sync`].
    Sync(SyncAnswer),
    /// To [`Call::Append`] and [`Call::Rewrite`]: the new head.
    Append(Head),
    /// To [`Call::Fetch`]: sealed values in the order of the request; `nil` where there is none.
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
    /// To [`Call::Install`] and [`Call::Rekey`]: the new head.
    Install(Head),
    /// To [`Call::Delete`].
    Delete(Deleted),
    /// To [`Call::Prepare`] and [`Call::Prepared`]; `nil` where no log was begun.
    Prepared(Option<Prepared>),
    /// To [`Call::Rewritten`]: as many entries as fit.
    Rewritten(#[serde(deserialize_with = "sequence::<_, _, MAX_PAGE>")] Vec<SignedEntry>),
    /// To any call: the operation was not done.
    Refused(Refusal),
}

impl Call {
    /// The operations that this call is audited as, each with the secret it concerns: one audit record, and one
    /// request tag, per item.
    pub fn operations(&self) -> Vec<(audit_record::Operation, Option<SecretId>)> {
        use audit_record::Operation;

        match self {
            Self::Sync(_) => vec![(Operation::Sync, None)],
            Self::Append(Append(entries)) => entries
                .iter()
                .map(|new| entry_operation(&new.entry))
                .collect(),
            Self::Fetch(Fetch(items)) => items
                .iter()
                .map(|item| (Operation::Get, Some(item.secret)))
                .collect(),
            Self::Audit(_) => vec![(Operation::Audit, None)],
            Self::Logout => vec![(Operation::Logout, None)],
            Self::Slots => vec![(Operation::Slots, None)],
            Self::Enrol(_) | Self::Stage(_) => vec![(Operation::Enrol, None)],
            Self::Install(install) if install.entries.is_empty() => vec![(Operation::Enrol, None)],
            Self::Install(install) | Self::Rekey(Rekey(install)) => {
                install.entries.iter().map(entry_operation).collect()
            }
            Self::Delete(_) => vec![(Operation::Delete, None)],
            Self::Prepare(_) | Self::Prepared | Self::Rewrite(_) | Self::Rewritten(_) => {
                vec![(Operation::Rewrite, None)]
            }
        }
    }
}

fn entry_operation(entry: &SignedEntry) -> (audit_record::Operation, Option<SecretId>) {
    use audit_record::Operation;

    let Ok(entry) = entry.decode_unverified() else {
        return (Operation::Append, None);
    };
    let operation = entry.op.operation().unwrap_or(Operation::Append);
    (operation, entry.op.secret())
}
