//! The writes: one enum, so that the writer can commit any of them in one transaction.

use shared::ids::AccountId;
use shared::vault_log::Head;
use shared::wire::error::Refusal;
use shared::wire::register::SlotRecord;
use shared::wire::slots::{NewEpoch, SLOT_KEY_LEN};

use crate::api::{
    Account, AddInvite, AuditPage, Delete, Draft, FinishLogin, LoggedIn, Register, Retire,
    StartLogin, StartRegistration, WriteRecords,
};
use crate::context::WriteContext;
use crate::error::StorageError;
use crate::verified::{VerifiedEntries, VerifiedEntry};

/// An [`Install`](crate::api::Install) whose entries were verified.
#[derive(Debug, Clone)]
pub struct VerifiedInstall {
    /// The account.
    pub account: AccountId,
    /// The credentials.
    pub slots: Vec<SlotRecord>,
    /// The entries; none to renew the credential of a device.
    pub new: VerifiedEntries,
    /// With a `rekey` entry: the new account key for the credentials that stay, and the former account keys.
    pub epoch: Option<NewEpoch>,
    /// Audit records.
    pub records: Vec<Draft>,
}

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
        new: VerifiedEntries,
        /// Audit records, one per entry.
        records: Vec<Draft>,
    },
    /// See [`crate::api::Install`].
    Install(Box<VerifiedInstall>),
    /// See [`Retire`].
    Retire(Retire),
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
    /// Carries the write out. Where this returns [`StorageError::Refused`] it has written nothing but its records
    /// and the renewal of a lease, so that the transaction can go on.
    pub fn apply(&self, context: &mut WriteContext<'_>) -> Result<Written, StorageError> {
        match self {
            Self::StartLogin(message) => {
                let account = context.start_login(message)?;
                Ok(Written::Account(account.map(Box::new)))
            }
            Self::FinishLogin(message) => {
                let login = context.finish_login(message)?;
                Ok(Written::Login(login.map(Box::new)))
            }
            Self::StartRegistration(message) => done(context.start_registration(message)),
            Self::Register(message) => done(context.register(message)),
            Self::Append {
                account,
                new,
                records,
            } => context.append(account, new, records).map(Written::Head),
            Self::Install(install) => context.install(install).map(Written::Head),
            Self::Retire(message) => done(context.retire(message)),
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
            | Self::Install(_)
            | Self::Retire(_)
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
            Self::Append { new, .. } => {
                let content = |new: &VerifiedEntry| {
                    let len = usize::try_from(new.content_len()).unwrap_or(usize::MAX);
                    SMALL.saturating_add(len)
                };
                new.entries.iter().map(content).sum()
            }
            Self::Install(install) => {
                let blobs = install
                    .epoch
                    .iter()
                    .map(|epoch| epoch.history.len() + epoch.slot_keys.len() * SLOT_KEY_LEN);
                2 * SMALL * (1 + install.new.entries.len()) + blobs.sum::<usize>()
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
    /// Of [`Write::FinishLogin`].
    Login(Option<Box<LoggedIn>>),
    /// Of [`Write::Append`] and [`Write::Install`].
    Head(Head),
    /// Of [`Write::Delete`].
    Deleted(Box<AuditPage>),
    /// Of all others.
    Done,
}

fn done(result: Result<(), StorageError>) -> Result<Written, StorageError> {
    result.map(|()| Written::Done)
}
