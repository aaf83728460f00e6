//! The sum of all operations, as requests and answers travel in the sealed channel.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::audit_record::AuditedOperation;
use crate::ids::{Digest, SecretId, Signature};
use crate::request::Opening;
use crate::vault_log::{Head, SignedEntry};
use crate::wire::bounded::sequence;
use crate::wire::error::Refusal;
use crate::wire::limits::{MAX_BATCH, MAX_SLOTS};
use crate::wire::slots::{Enrol, Install, SlotsAnswer, Stage};

pub use crate::wire::append::{Append, NewEntry};
pub use crate::wire::audit::{AuditAnswer, AuditRange};
pub use crate::wire::delete::{Delete, Deleted};
pub use crate::wire::fetch::{Fetch, ValueRef};
pub use crate::wire::logout::Logout;
pub use crate::wire::sync::{LoggedEntry, Sync, SyncAnswer};

/// The plaintext of a sealed request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Authorisation of the device's key: in the requests of a session until one was answered without a refusal. The
    /// first of them is a [`Sync`].
    pub opening: Option<Opening>,
    /// One signature of the device per operation, in the order of [`Call::operations`].
    pub signatures: Vec<Signature>,
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
    Logout(Logout),
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
}

/// The plaintext of a sealed answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Call::Sync`].
    Sync(SyncAnswer),
    /// To [`Call::Append`]: the new head.
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
    /// To [`Call::Install`]: the new head.
    Install(Head),
    /// To [`Call::Delete`].
    Delete(Deleted),
    /// To any call: the operation was not done.
    Refused(Refusal),
}

/// One operation of a call, as it is signed and recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallOperation {
    /// The operation.
    pub operation: AuditedOperation,
    /// The secret that it concerns.
    pub secret: Option<SecretId>,
    /// Hash of the entry that it appends.
    pub entry: Option<Digest>,
}

impl CallOperation {
    fn new(operation: AuditedOperation) -> Self {
        Self {
            operation,
            secret: None,
            entry: None,
        }
    }

    fn of_entry(signed: &SignedEntry) -> Self {
        let decoded = signed.decode_unverified().ok();
        let audited = decoded.as_ref().and_then(|entry| entry.op.audited());
        Self {
            operation: audited.unwrap_or(AuditedOperation::Append),
            secret: decoded.and_then(|entry| entry.op.secret()),
            entry: Some(signed.hash()),
        }
    }
}

impl Call {
    /// The operations that this call is audited as: one audit record, and one signature, per item.
    pub fn operations(&self) -> Vec<CallOperation> {
        let single = match self {
            Self::Append(Append(entries)) => {
                let entries = entries.iter();
                return entries
                    .map(|new| CallOperation::of_entry(&new.entry))
                    .collect();
            }
            Self::Fetch(Fetch(items)) => {
                let get = |item: &ValueRef| CallOperation {
                    secret: Some(item.secret),
                    ..CallOperation::new(AuditedOperation::Get)
                };
                return items.iter().map(get).collect();
            }
            Self::Install(install) if !install.entries.is_empty() => {
                return install
                    .entries
                    .iter()
                    .map(CallOperation::of_entry)
                    .collect();
            }
            Self::Sync(_) => AuditedOperation::Sync,
            Self::Audit(_) => AuditedOperation::Audit,
            Self::Logout(_) => AuditedOperation::Logout,
            Self::Slots => AuditedOperation::Slots,
            Self::Enrol(_) | Self::Stage(_) | Self::Install(_) => AuditedOperation::Enrol,
            Self::Delete(_) => AuditedOperation::Delete,
        };
        vec![CallOperation::new(single)]
    }
}
