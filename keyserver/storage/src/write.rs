//! The writes: one enum, so that the writer can commit any of them in one transaction.

use shared::ids::AccountId;
use shared::vault_log::{Head, Op};
use shared::wire::error::Refusal;
use shared::wire::register::SlotRecord;

use crate::api::{
    Account, AddInvite, AuditPage, Delete, Draft, FinishLogin, Prepare, Register, StartLogin,
    StartRegistration, WriteRecords,
};
use crate::context::WriteContext;
use crate::error::StorageError;
use crate::verified::{Reencrypted, VerifiedEntry};

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
    /// See [`crate::api::Append`].
    Append {
        /// The account.
        account: AccountId,
        /// The entries, appended all or none.
        entries: Vec<VerifiedEntry>,
        /// Audit records, one per entry.
        records: Vec<Draft>,
    },
    /// See [`crate::api::Install`].
    Install {
        /// The account.
        account: AccountId,
        /// The credentials.
        slots: Vec<SlotRecord>,
        /// One per credential, or none.
        entries: Vec<VerifiedEntry>,
        /// Audit records.
        records: Vec<Draft>,
    },
    /// See [`Prepare`].
    Prepare(Prepare),
    /// See [`crate::api::Rewrite`].
    Rewrite {
        /// The account.
        account: AccountId,
        /// What is appended.
        new: Reencrypted,
    },
    /// See [`crate::api::Rekey`].
    Rekey {
        /// The account.
        account: AccountId,
        /// The credentials.
        slots: Vec<SlotRecord>,
        /// The last entries of the new log.
        new: Reencrypted,
    },
    /// See [`Delete`].
    Delete(Delete),
    /// See [`WriteRecords`].
    Records(WriteRecords),
    /// See [`AddInvite`].
    AddInvite(AddInvite),
    /// Records that a request was refused before it reached the writer; its result is the refusal.
    Refuse {
        /// The account.
        account: AccountId,
        /// The refusal.
        refusal: Refusal,
        /// Audit records.
        records: Vec<Draft>,
    },
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
            Self::Append {
                account,
                entries,
                records,
            } => context.append(account, entries, records).map(Written::Head),
            Self::Install {
                account,
                slots,
                entries,
                records,
            } => context
                .install(account, slots, entries, records)
                .map(Written::Head),
            Self::Prepare(message) => done(context.prepare(message)),
            Self::Rewrite { account, new } => context.rewrite(account, new).map(Written::Head),
            Self::Rekey {
                account,
                slots,
                new,
            } => context.rekey(account, slots, new).map(Written::Head),
            Self::Delete(message) => {
                let page = context.delete_account(message)?;
                Ok(Written::Deleted(Box::new(page)))
            }
            Self::Records(message) => done(context.write_records(message)),
            Self::Refuse {
                account,
                refusal,
                records,
            } => {
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
            Self::Append { .. }
            | Self::Install { .. }
            | Self::Prepare(_)
            | Self::Rewrite { .. }
            | Self::Rekey { .. }
            | Self::Delete(_)
            | Self::Records(_)
            | Self::Refuse { .. }
            | Self::Tick => false,
        }
    }

    /// Estimate of the bytes that it writes.
    pub fn weight(&self) -> usize {
        const SMALL: usize = 1024;
        match self {
            Self::Append { entries, .. }
            | Self::Rewrite {
                new: Reencrypted { entries, .. },
                ..
            } => {
                let lens = entries.iter().map(|new| {
                    let value = new.value.as_ref().map_or(0, |value| value.len());
                    SMALL + metadata_len(&new.entry.op) + value
                });
                lens.sum()
            }
            _ => SMALL,
        }
    }
}

fn metadata_len(op: &Op) -> usize {
    match op {
        Op::Note(text) => text.len(),
        Op::Put(put) => put.metadata.len(),
        Op::Describe(describe) => describe.metadata.len(),
        Op::Genesis(_)
        | Op::Remove(_)
        | Op::Server(_)
        | Op::Acknowledge(_)
        | Op::Credential(_)
        | Op::Rekey(_) => 0,
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
