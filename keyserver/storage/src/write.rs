//! The writes: one enum, so that the writer can commit any of them in one transaction.

use shared::ids::PublicKey;
use shared::vault_log::Head;
use shared::wire::error::Refusal;

use crate::api::{
    Account, AddInvite, Append, AuditPage, Delete, FinishLogin, Install, Prepare, Register,
    StartLogin, StartRegistration, WriteRecords,
};
use crate::context::WriteContext;
use crate::error::StorageError;
use crate::verified::VerifiedEntry;

/// One write.
#[derive(Debug, Clone)]
pub enum Write {
    /// See [`StartLogin`].
    StartLogin(StartLogin),
    /// See [`FinishLogin`].
    FinishLogin(FinishLogin),
    /// See [`StartRegistration`].
    StartRegistration(StartRegistration),
    /// See [`Register`].
    Register(Box<Register>),
    /// See [`Append`].
    Append(Append<VerifiedEntry>),
    /// See [`Install`].
    Install(Install<VerifiedEntry>),
    /// See [`Prepare`].
    Prepare(Prepare),
    /// See [`crate::api::Rewrite`]. Holds the key that the entries were verified by: where another re-encryption was begun
    /// meanwhile it is not the log's.
    Rewrite(PublicKey, Append<VerifiedEntry>),
    /// See [`crate::api::Rekey`]. Holds the key that the entries were verified by.
    Rekey(PublicKey, Install<VerifiedEntry>),
    /// See [`Delete`].
    Delete(Delete),
    /// See [`WriteRecords`].
    Records(WriteRecords),
    /// See [`AddInvite`].
    AddInvite(AddInvite),
    /// Records that a request was refused before it reached the writer; its result is the refusal.
    Refuse(Refusal, WriteRecords),
    /// Turns aggregates whose span is over into records, deletes expired attempts.
    Tick,
}

impl Write {
    /// Carries the write out. Where this returns [`StorageError::Refused`] it has written nothing but its records, so
    /// that the transaction can go on.
    pub fn apply(&self, context: &mut WriteContext<'_>) -> Result<Written, StorageError> {
        match self {
            Self::StartLogin(message) => {
                let account = context.start_login(message)?;
                Ok(Written::Account(account.map(Box::new)))
            }
            Self::FinishLogin(message) => context.finish_login(message).map(Written::Head),
            Self::StartRegistration(message) => done(context.start_registration(message)),
            Self::Register(message) => done(context.register(message)),
            Self::Append(append) => context.append(append).map(Written::Head),
            Self::Install(install) => context.install(install).map(Written::Head),
            Self::Prepare(message) => done(context.prepare(message)),
            Self::Rewrite(key, append) => context.rewrite(key, append).map(Written::Head),
            Self::Rekey(key, install) => context.rekey(key, install).map(Written::Head),
            Self::Delete(message) => {
                let page = context.delete_account(message)?;
                Ok(Written::Deleted(Box::new(page)))
            }
            Self::Records(message) => done(context.write_records(message)),
            Self::Refuse(refusal, WriteRecords { account, records }) => {
                context.authorise(account, records)?;
                context.refuse(account, StorageError::Refused(refusal.clone()), records)
            }
            Self::AddInvite(message) => done(context.add_invite(message)),
            Self::Tick => done(context.tick()),
        }
    }

    /// Whether unauthenticated clients can trigger it.
    pub fn is_unauthenticated(&self) -> bool {
        match self {
            Self::StartLogin(_)
            | Self::FinishLogin(_)
            | Self::StartRegistration(_)
            | Self::Register(_)
            | Self::AddInvite(_) => true,
            Self::Append(_)
            | Self::Install(_)
            | Self::Prepare(_)
            | Self::Rewrite(..)
            | Self::Rekey(..)
            | Self::Delete(_)
            | Self::Records(_)
            | Self::Refuse(..)
            | Self::Tick => false,
        }
    }

    /// Estimate of the bytes that it writes.
    pub fn weight(&self) -> usize {
        const SMALL: usize = 1024;
        match self {
            Self::Append(append) | Self::Rewrite(_, append) => {
                let len = |new: &VerifiedEntry| new.signed.size() + new.value_len();
                append.entries.iter().map(|new| SMALL + len(new)).sum()
            }
            _ => SMALL,
        }
    }
}

/// The result of a write that was carried out.
#[derive(Debug, Clone)]
pub enum Written {
    /// Of [`Write::StartLogin`].
    Account(Option<Box<Account>>),
    /// Of [`Write::FinishLogin`], [`Write::Append`], [`Write::Install`], [`Write::Rewrite`] and [`Write::Rekey`].
    Head(Head),
    /// Of [`Write::Delete`].
    Deleted(Box<AuditPage>),
    /// Of all others.
    Done,
}

fn done(result: Result<(), StorageError>) -> Result<Written, StorageError> {
    result.map(|()| Written::Done)
}
