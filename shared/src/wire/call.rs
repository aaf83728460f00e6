//! The sum of all operations, as requests and answers travel in the sealed channel.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::audit_record::AuditedOperation;
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
    pub fn operations(&self) -> Vec<(AuditedOperation, Option<SecretId>)> {
        let operation = match self {
            Self::Append(Append(entries)) => {
                return entries.iter().map(|new| audited(&new.entry)).collect();
            }
            Self::Fetch(Fetch(items)) => {
                let secrets = items.iter().map(|item| Some(item.secret));
                return secrets.map(|id| (AuditedOperation::Get, id)).collect();
            }
            Self::Install(install) | Self::Rekey(Rekey(install)) if !install.entries.is_empty() => {
                return install.entries.iter().map(audited).collect();
            }
            Self::Rekey(_) => return Vec::new(),
            Self::Sync(_) => AuditedOperation::Sync,
            Self::Audit(_) => AuditedOperation::Audit,
            Self::Logout => AuditedOperation::Logout,
            Self::Slots => AuditedOperation::Slots,
            Self::Enrol(_) | Self::Stage(_) | Self::Install(_) => AuditedOperation::Enrol,
            Self::Delete(_) => AuditedOperation::Delete,
            Self::Prepare(_) | Self::Prepared | Self::Rewrite(_) | Self::Rewritten(_) => {
                AuditedOperation::Rewrite
            }
        };
        vec![(operation, None)]
    }
}

/// The operation that an entry is audited as; `append` where the entry does not decode.
fn audited(entry: &SignedEntry) -> (AuditedOperation, Option<SecretId>) {
    let Ok(entry) = entry.decode_unverified() else {
        return (AuditedOperation::Append, None);
    };
    let operation = entry.op.operation().unwrap_or(AuditedOperation::Append);
    (operation, entry.op.secret())
}
