//! What each request asks of storage, and the type of its answer.

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
use crate::verified::{Reencrypted, VerifiedEntry};
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

fn head(written: Written) -> Option<Head> {
    match written {
        Written::Head(head) => Some(head),
        _ => None,
    }
}

fn done(written: Written) -> Option<()> {
    matches!(written, Written::Done).then_some(())
}

impl Request for StartLogin {
    type Answer = Option<Account>;

    fn task(self) -> Task<Self::Answer> {
        Task::Write(Write::StartLogin(self), |written| match written {
            Written::Account(account) => Some(account.map(|account| *account)),
            _ => None,
        })
    }
}

impl Request for FinishLogin {
    type Answer = Head;

    fn task(self) -> Task<Self::Answer> {
        Task::Write(Write::FinishLogin(self), head)
    }
}

impl Request for StartRegistration {
    type Answer = ();

    fn task(self) -> Task<Self::Answer> {
        Task::Write(Write::StartRegistration(self), done)
    }
}

impl Request for CheckRegistration {
    type Answer = ();

    fn task(self) -> Task<Self::Answer> {
        read(move |view| view.check_registration(&self.name, self.invite.as_ref(), now_ms()))
    }
}

impl Request for Register {
    type Answer = ();

    fn task(self) -> Task<Self::Answer> {
        Task::Write(Write::Register(Box::new(self)), done)
    }
}

impl Request for AddInvite {
    type Answer = ();

    fn task(self) -> Task<Self::Answer> {
        Task::Write(Write::AddInvite(self), done)
    }
}

impl Request for WriteRecords {
    type Answer = ();

    fn task(self) -> Task<Self::Answer> {
        Task::Write(Write::Records(self), done)
    }
}

impl Request for Prepare {
    type Answer = ();

    fn task(self) -> Task<Self::Answer> {
        Task::Write(Write::Prepare(self), done)
    }
}

impl Request for Delete {
    type Answer = AuditPage;

    fn task(self) -> Task<Self::Answer> {
        Task::Write(Write::Delete(self), |written| match written {
            Written::Deleted(page) => Some(*page),
            _ => None,
        })
    }
}

impl Request for Append {
    type Answer = Head;

    fn task(self) -> Task<Self::Answer> {
        let account = self.account;
        verify(
            account,
            Which::Current,
            self.entries,
            self.records,
            move |_, entries, records| Write::Append {
                account,
                entries,
                records,
            },
        )
    }
}

impl Request for Install {
    type Answer = Head;

    fn task(self) -> Task<Self::Answer> {
        let (account, slots) = (self.account, self.slots);
        verify(
            account,
            Which::Current,
            without_values(self.entries),
            self.records,
            move |_, entries, records| Write::Install {
                account,
                slots,
                entries,
                records,
            },
        )
    }
}

impl Request for Rewrite {
    type Answer = Head;

    fn task(self) -> Task<Self::Answer> {
        let account = self.account;
        verify(
            account,
            Which::Prepared,
            self.entries,
            self.records,
            move |key, entries, records| Write::Rewrite {
                account,
                new: Reencrypted {
                    key,
                    entries,
                    records,
                },
            },
        )
    }
}

impl Request for Rekey {
    type Answer = Head;

    fn task(self) -> Task<Self::Answer> {
        let (account, slots) = (self.account, self.slots);
        verify(
            account,
            Which::Prepared,
            without_values(self.entries),
            self.records,
            move |key, entries, records| Write::Rekey {
                account,
                slots,
                new: Reencrypted {
                    key,
                    entries,
                    records,
                },
            },
        )
    }
}

/// Verifies entries beside the writer, then writes what `write` makes of them; entries that do not verify are recorded
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
            Err(refusal) => Write::Refuse {
                account,
                refusal,
                records,
            },
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

impl Request for ReadPrepared {
    type Answer = Option<Prepared>;

    fn task(self) -> Task<Self::Answer> {
        read(move |view| view.prepared(&self.account))
    }
}

impl Request for ReadSlots {
    type Answer = Vec<SlotInfo>;

    fn task(self) -> Task<Self::Answer> {
        read(move |view| view.slots(&self.account))
    }
}

impl Request for ReadValues {
    type Answer = Vec<Option<ByteBuf>>;

    fn task(self) -> Task<Self::Answer> {
        read(move |view| view.values(&self))
    }
}

impl Request for ReadEntries {
    type Answer = (Vec<SignedEntry>, Head);

    fn task(self) -> Task<Self::Answer> {
        read(move |view| view.entries(&self))
    }
}

impl Request for ReadAudit {
    type Answer = AuditPage;

    fn task(self) -> Task<Self::Answer> {
        read(move |view| view.audit(&self))
    }
}
