//! The task of each request (read, write, or verify and then write), and the type of its answer.

use serde_bytes::ByteBuf;
use shared::ids::AccountId;
use shared::vault_log::{Head, SignedEntry};
use shared::wire::call::NewEntry;
use shared::wire::slots::SlotInfo;

use crate::api::{
    Account, AddInvite, Append, AuditPage, CheckRegistration, Delete, Draft, EntryPage,
    FinishLogin, Install, LoggedIn, ReadAudit, ReadEntries, ReadSlots, ReadValues, Register,
    Retire, StartLogin, StartRegistration, WriteRecords,
};
use crate::clock::now_ms;
use crate::error::StorageError;
use crate::store::Store;
use crate::verified::VerifiedEntries;
use crate::view::View;
use crate::write::{VerifiedInstall, Write, Written};

/// A request that [`crate::Database::ask`] answers.
pub trait Request: Send + 'static {
    /// The answer to a request that was carried out.
    type Answer: Send + 'static;

    /// How the request is carried out.
    fn task(self) -> Task<Self::Answer>;
}

/// How a request is carried out.
pub enum Task<T> {
    /// Reads a snapshot, on a thread that may block.
    Read(Blocking<T>),
    /// Waits for the next group commit.
    Write(Write, Take<T>),
    /// Verifies signatures on a thread that may block, then waits for a group commit.
    Verify(Blocking<Write>, Take<T>),
}

/// Work for a thread that may block.
pub type Blocking<T> = Box<dyn FnOnce(&Store) -> Result<T, StorageError> + Send>;

/// Takes the answer out of the result of its write; `None` where that is another kind of write's.
pub type Take<T> = fn(Written) -> Option<T>;

fn read<T: Send + 'static>(
    read: impl Fn(View<'_>) -> Result<T, StorageError> + Send + 'static,
) -> Task<T> {
    Task::Read(Box::new(move |store| store.read(read)))
}

fn page(written: Written) -> Option<AuditPage> {
    match written {
        Written::Deleted(page) => Some(*page),
        _ => None,
    }
}

fn head(written: Written) -> Option<Head> {
    match written {
        Written::Head(head) => Some(head),
        _ => None,
    }
}

fn done(written: Written) -> Option<()> {
    matches!(written, Written::Done).then_some(())
}

/// Implements [`Request`], one line per request: its type, the type of its answer, its task.
macro_rules! requests {
    ($this:ident; $($request:ty => $answer:ty: $task:expr;)*) => {
        $(impl Request for $request {
            type Answer = $answer;

            fn task($this) -> Task<$answer> {
                $task
            }
        })*
    };
}

requests! {
    self;
    StartLogin => Option<Account>: Task::Write(Write::StartLogin(self), |written| match written {
        Written::Account(account) => Some(account.map(|account| *account)),
        _ => None,
    });
    FinishLogin => Option<LoggedIn>: Task::Write(Write::FinishLogin(self), |written| match written {
        Written::Login(login) => Some(login.map(|login| *login)),
        _ => None,
    });
    StartRegistration => (): Task::Write(Write::StartRegistration(self), done);
    CheckRegistration => ():
        read(move |view| view.check_registration(&self.name, self.invite.as_ref(), now_ms()));
    Register => (): Task::Write(Write::Register(Box::new(self)), done);
    AddInvite => (): Task::Write(Write::AddInvite(self), done);
    Append => Head: {
        let account = self.account;
        verify(account, self.entries, self.records, move |new, records| {
            Write::Append { account, new, records }
        })
    };
    Install => Head: {
        let (account, entries) = (self.account, without_content(self.entries));
        verify(account, entries, self.records, move |new, records| {
            Write::Install(Box::new(VerifiedInstall {
                account,
                slots: self.slots,
                new,
                epoch: self.epoch,
                records,
            }))
        })
    };
    Retire => (): Task::Write(Write::Retire(self), done);
    Delete => AuditPage: Task::Write(Write::Delete(self), page);
    WriteRecords => (): Task::Write(Write::Records(self), done);
    ReadSlots => Vec<SlotInfo>: read(move |view| view.slots(&self.account, now_ms()));
    ReadValues => Vec<Option<ByteBuf>>: read(move |view| view.values(&self));
    ReadEntries => EntryPage: read(move |view| view.entries(&self));
    ReadAudit => AuditPage: read(move |view| view.audit(&self));
}

/// Verifies entries beside the writer, then writes what `write` makes of them; entries that do not verify are recorded
/// and refused.
fn verify(
    account: AccountId,
    entries: Vec<NewEntry>,
    records: Vec<Draft>,
    write: impl FnOnce(VerifiedEntries, Vec<Draft>) -> Write + Send + 'static,
) -> Task<Head> {
    let verify = move |store: &Store| {
        Ok(match store.verify(account, entries)? {
            Ok(new) => write(new, records),
            Err(refusal) => Write::Refuse {
                account,
                refusal,
                records,
            },
        })
    };
    Task::Verify(Box::new(verify), head)
}

/// Entries that name no content.
pub(crate) fn without_content(entries: Vec<SignedEntry>) -> Vec<NewEntry> {
    let new = entries.into_iter().map(|entry| NewEntry {
        entry,
        value: None,
        metadata: None,
    });
    new.collect()
}
