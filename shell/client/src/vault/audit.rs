//! Reading the audit log: every record, the tree over them, and the owner's marks.

use serde_bytes::ByteBuf;
use shared::audit_record::{MAX_RECORD_LEN, Record};
use shared::checkpoint::TreeHead;
use shared::codec;
use shared::ids::Digest;
use shared::merkle::Frontier;
use shared::wire::call::{AuditAnswer, AuditRange};
use shared::wire::limits::MAX_PAGE;

use crate::error::Error;
use crate::vault::audit_verifier::Judge;
use crate::vault::open::Vault;
use crate::vault::sync::check_consistency;
use crate::verification::VerificationError;

/// Most records that are read: a server can sign any number, and time is finite.
const MAX_RECORDS: u64 = 10_000_000;

/// Whether the owner's devices asked for what a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Yes: it carries their mark.
    Own,
    /// It happened outside a session, where there are no marks: a registration, a login that was started or refused.
    Open,
    /// A login whose session then did nothing that carries a mark.
    Unconfirmed,
    /// It claims to have happened in a session, and carries no valid mark: the server made it up.
    Forged,
}

impl Mark {
    /// The word for output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Open => "open",
            Self::Unconfirmed => "unconfirmed",
            Self::Forged => "FORGED",
        }
    }
}

/// A record that was proven to be in the tree.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The record.
    pub record: Record,
    /// Its bytes, as hashed.
    pub encoded: ByteBuf,
    /// Who asked for it.
    pub mark: Mark,
    /// The how many-th of its kind, secret and device it is, see [`Judge::ordinal`].
    pub ordinal: u64,
}

/// The whole audit log, proven.
#[derive(Debug, Clone)]
pub struct AuditLog {
    /// The records that were wanted, oldest first.
    pub records: Vec<Checked>,
    /// How many of all records nobody of the owner's asked for, although they say so.
    pub forged: usize,
    /// How many logins then did nothing that the owner's devices asked for.
    pub unconfirmed: usize,
    /// How many requests of the owner's have no record, as the numbers of those before and after them show.
    pub gaps: u64,
    /// Hashes of all leaves, where they were wanted.
    pub leaves: Vec<Digest>,
    /// The tree over all records.
    pub head: TreeHead,
    /// The signed checkpoint.
    pub checkpoint: String,
}

/// What to keep of the log, all of which is read and proven.
pub struct Wanted<'a> {
    /// Which records.
    pub records: &'a dyn Fn(&Record) -> bool,
    /// Whether proofs will be made from the leaves.
    pub leaves: bool,
}

/// A log that is being read.
struct Reader<'a> {
    wanted: Wanted<'a>,
    head: TreeHead,
    tree: Frontier,
    judge: Judge,
    chosen: Vec<Checked>,
    leaves: Vec<Digest>,
    forged: usize,
}

impl Vault {
    /// Reads the whole audit log and proves it: the checkpoint is signed by the pinned key and extends the one that
    /// this device has seen, the records are exactly those that it covers, and none is missing of which this device
    /// knows.
    ///
    /// # Errors
    /// [`Error::Verification`], and those of every exchange. Records without a valid mark are no error here.
    pub async fn audit_log(&mut self, wanted: Wanted<'_>) -> Result<AuditLog, Error> {
        // Held all the time, so that two runs on this device cannot be shown two logs.
        let file = self.state.pins.clone();
        let guard = file.hold()?;
        guard.refresh(&mut self.pins)?;
        let verified_size = self.pins.audit.map_or(0, |head| head.size);
        let (first, head) = self.audit_page(range(0, None, verified_size)).await?;
        check_consistency(self.pins.audit, head, &first.consistency)?;
        if head.size > MAX_RECORDS {
            return Err(Error::Limit(format!(
                "the server says that it holds {} audit records of yours, and this program reads {MAX_RECORDS} at most",
                head.size
            )));
        }
        let former = self.index.former_keys().iter();
        let mut keys: Vec<_> = former.map(|former| former.request_tag.clone()).collect();
        keys.push(self.session.keys().request_tag());
        let mut reader = Reader {
            wanted,
            head,
            tree: Frontier::new(),
            judge: Judge::new(keys, self.session.asked().clone()),
            chosen: Vec::new(),
            leaves: Vec::new(),
            forged: 0,
        };
        let checkpoint = first.checkpoint.clone();
        reader.page(first)?;
        let mut progress = self.frontend.progress("verifying the audit log", head.size);
        while reader.tree.size() < head.size {
            progress.reach(reader.tree.size(), head.size);
            let next = range(reader.tree.size(), Some(head.size), 0);
            let (page, same) = self.audit_page(next).await?;
            if same != head {
                return Err(VerificationError::AuditChanged { size: head.size }.into());
            }
            reader.page(page)?;
        }
        reader.check()?;
        reader.judge.check_complete(self.index.changes())?;
        self.pins.audit = Some(head);
        guard.save(&self.pins)?;
        drop(guard);
        self.check_nothing_withheld(&reader.judge).await?;
        Ok(reader.finish(checkpoint))
    }
}

impl Vault {
    /// Every change that the owner's devices marked is an entry of the vault log; another device may have made it since
    /// the log was read.
    async fn check_nothing_withheld(&mut self, judge: &Judge) -> Result<(), Error> {
        if judge.withheld(self.index.changes()).is_none() {
            return Ok(());
        }
        self.sync().await?;
        let Some((operation, _, device)) = judge.withheld(self.index.changes()) else {
            return Ok(());
        };
        Err(VerificationError::ChangeWithheld {
            operation,
            device: self.index.credentials().device_name(&device),
        }
        .into())
    }
}

impl Reader<'_> {
    /// Takes a page in: as many records as were asked for, but for the last page.
    fn page(&mut self, page: AuditAnswer) -> Result<(), VerificationError> {
        let left = self.head.size - self.tree.size();
        let expected = left.min(u64::try_from(MAX_PAGE).unwrap_or(u64::MAX));
        if u64::try_from(page.records.len()) != Ok(expected) {
            let shown = page.records.len();
            return Err(VerificationError::AuditPage { expected, shown });
        }
        for encoded in page.records {
            self.record(encoded)?;
        }
        Ok(())
    }

    fn record(&mut self, encoded: ByteBuf) -> Result<(), VerificationError> {
        let index = self.tree.size();
        let bad = |_| VerificationError::AuditRecord { index };
        let record: Record = codec::decode(&encoded, MAX_RECORD_LEN).map_err(bad)?;
        let leaf = Record::leaf_hash(&encoded);
        self.tree.push(leaf);
        if self.wanted.leaves {
            self.leaves.push(leaf);
        }
        let mark = self.judge.judge(&record)?;
        self.forged += usize::from(mark == Mark::Forged);
        if (self.wanted.records)(&record) {
            self.chosen.push(Checked {
                encoded,
                mark,
                ordinal: self.judge.ordinal(&record),
                record,
            });
        }
        Ok(())
    }

    /// The root over all records proves each of them at once.
    fn check(&self) -> Result<(), VerificationError> {
        if self.tree.root() == self.head.root {
            return Ok(());
        }
        Err(VerificationError::AuditRoot)
    }

    fn finish(self, checkpoint: String) -> AuditLog {
        let (judge, mut records) = (self.judge, self.chosen);
        for checked in &mut records {
            let session = checked.record.session.as_ref();
            if checked.mark == Mark::Unconfirmed && session.is_some_and(|id| judge.confirms(id)) {
                checked.mark = Mark::Own;
            }
        }
        AuditLog {
            records,
            forged: self.forged,
            unconfirmed: judge.unconfirmed(),
            gaps: judge.gaps(),
            leaves: self.leaves,
            head: self.head,
            checkpoint,
        }
    }
}

fn range(from: u64, size: Option<u64>, verified_size: u64) -> AuditRange {
    AuditRange {
        from,
        limit: u32::try_from(MAX_PAGE).unwrap_or(u32::MAX),
        size,
        verified_size,
        proofs: false,
    }
}
