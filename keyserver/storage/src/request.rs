//! How each request to storage is carried out, and the type of its answer.

use serde_bytes::ByteBuf;
use shared::ids::{AccountId, PublicKey};
use shared::vault_log::{Head, SignedEntry};
use shared::wire::call::NewEntry;
use shared::wire::rekey::Prepared;
use shared::wire::slots::SlotInfo;

use crate::api::{
    Account, AddInvite, Append, AuditPage, CheckRegistration, Delete, Draft, FinishLogin, Install,
    Prepare, ReadAudit, ReadEntries, ReadPrepared, ReadSlots, ReadValues, Register, Rekey, Rewrite,
    StartLogin, StartRegistration, Which, WriteRecords,
};
use crate::clock::now_ms;
use crate::error::StorageError;
use crate::store::Store;
use crate::verified::VerifiedEntry;
use crate::view::View;
use crate::write::{Write, Written};

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
    FinishLogin => Head: Task::Write(Write::FinishLogin(self), head);
    StartRegistration => (): Task::Write(Write::StartRegistration(self), done);
    CheckRegistration => ():
        read(move |view| view.check_registration(&self.name, self.invite.as_ref(), now_ms()));
    Register => (): Task::Write(Write::Register(Box::new(self)), done);
    AddInvite => (): Task::Write(Write::AddInvite(self), done);
    Append => Head: {
        let Append { account, entries, records } = self;
        verify(account, Which::Current, entries, records, move |_, entries, records| {
            Write::Append(Append { account, entries, records })
        })
    };
    Install => Head: {
        let Install { account, slots, entries, records } = self;
        verify(account, Which::Current, without_values(entries), records, move |_, entries, records| {
            Write::Install(Install { account, slots, entries, records })
        })
    };
    Prepare => (): Task::Write(Write::Prepare(self), done);
    Rewrite => Head: {
        let Append { account, entries, records } = self.0;
        verify(account, Which::Prepared, entries, records, move |key, entries, records| {
            Write::Rewrite(key, Append { account, entries, records })
        })
    };
    Rekey => Head: {
        let Install { account, slots, entries, records } = self.0;
        verify(account, Which::Prepared, without_values(entries), records, move |key, entries, records| {
            Write::Rekey(key, Install { account, slots, entries, records })
        })
    };
    Delete => AuditPage: Task::Write(Write::Delete(self), page);
    WriteRecords => (): Task::Write(Write::Records(self), done);
    ReadPrepared => Option<Prepared>: read(move |view| view.prepared(&self.account));
    ReadSlots => Vec<SlotInfo>: read(move |view| view.slots(&self.account));
    ReadValues => Vec<Option<ByteBuf>>: read(move |view| view.values(&self));
    ReadEntries => (Vec<SignedEntry>, Head): read(move |view| view.entries(&self));
    ReadAudit => AuditPage: read(move |view| view.audit(&self));
}

/// Verifies entries beside the writer, then queues the write that `write` returns; entries that do not verify are recorded
/// and refused.
fn verify(
    account: AccountId,
    of: Which,
    entries: Vec<NewEntry>,
    records: Vec<Draft>,
    write: impl FnOnce(PublicKey, Vec<VerifiedEntry>, Vec<Draft>) -> Write + Send + 'static,
) -> Task<Head> {
    let verify = move |store: &Store| {
        Ok(match store.verify(account, of, entries)? {
            Ok((key, entries)) => write(key, entries, records),
            Err(refusal) => Write::Refuse(refusal, WriteRecords { account, records }),
        })
    };
    Task::Verify(Box::new(verify), head)
}

fn without_values(entries: Vec<SignedEntry>) -> Vec<NewEntry> {
    let new = entries
        .into_iter()
        .map(|entry| NewEntry { entry, value: None });
    new.collect()
}
