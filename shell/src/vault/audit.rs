//! Reading the audit log: every record, the tree over them, and the owner's marks.

use std::collections::HashSet;

use serde_bytes::ByteBuf;
use shared::audit_record::{MAX_RECORD_LEN, Marked, Operation, Outcome, RECORD_FORMAT, Record};
use shared::checkpoint::TreeHead;
use shared::codec;
use shared::ids::SessionId;
use shared::merkle::Frontier;
use shared::secret::Key;
use shared::wire::call::AuditRange;
use shared::wire::limits::MAX_PAGE;

use crate::error::Error;
use crate::vault::open::Vault;
use crate::vault::sync::check_consistency;

/// Most records that are read: a server can sign any number, and memory is finite.
const MAX_RECORDS: u64 = 1_000_000;

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
}

/// The whole audit log, proven.
#[derive(Debug, Clone)]
pub struct AuditLog {
    /// All records, oldest first.
    pub records: Vec<Checked>,
    /// The tree over them.
    pub head: TreeHead,
    /// The signed checkpoint.
    pub checkpoint: String,
}

impl Vault {
    /// Reads the whole audit log and proves it: the checkpoint is signed by the pinned key and extends the one that
    /// this device has seen, and the records are exactly those that it covers.
    ///
    /// # Errors
    /// [`Error::Verification`], and those of every exchange. Records without a valid mark are no error here.
    pub async fn audit_log(&mut self) -> Result<AuditLog, Error> {
        let verified_size = self.pins().audit.map_or(0, |head| head.size);
        let (first, head) = self.audit_page(range(0, None, verified_size)).await?;
        check_consistency(self.pins().audit, head, &first.consistency)?;
        if head.size > MAX_RECORDS {
            return Err(Error::Limit(format!(
                "the server says that it holds {} audit records of yours, and this program reads {MAX_RECORDS} at most",
                head.size
            )));
        }
        let checkpoint = first.checkpoint;
        let mut encoded = first.records;
        while count(&encoded) < head.size {
            let next = range(count(&encoded), Some(head.size), 0);
            let (page, same) = self.audit_page(next).await?;
            if same != head {
                return Err(Error::unproven("the audit log changed between two pages"));
            }
            if page.records.is_empty() {
                return Err(withheld(count(&encoded), head));
            }
            encoded.extend(page.records);
        }
        let records = prove(encoded, head)?;
        self.pin_audit(head)?;
        let key = self.session().keys().request_tag();
        Ok(AuditLog {
            records: mark(records, &key),
            head,
            checkpoint,
        })
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

fn count(records: &[ByteBuf]) -> u64 {
    u64::try_from(records.len()).unwrap_or(u64::MAX)
}

fn withheld(index: u64, head: TreeHead) -> Error {
    Error::unproven(format!(
        "the server withholds audit records: it shows {index} of {}",
        head.size
    ))
}

/// Recomputes the root over all records, which proves each of them at once.
fn prove(encoded: Vec<ByteBuf>, head: TreeHead) -> Result<Vec<(Record, ByteBuf)>, Error> {
    let mut tree = Frontier::new();
    for record in &encoded {
        tree.push(Record::leaf_hash(record));
    }
    if tree.size() != head.size || tree.root() != head.root {
        let text = "the audit records are not those that the signed checkpoint covers";
        return Err(Error::unproven(text));
    }
    (0..)
        .zip(encoded)
        .map(|(index, bytes)| {
            let bad = || Error::unproven(format!("audit record {index} is malformed"));
            let record: Record = codec::decode(&bytes, MAX_RECORD_LEN).map_err(|_| bad())?;
            if record.index != index || record.format != RECORD_FORMAT {
                return Err(bad());
            }
            Ok((record, bytes))
        })
        .collect()
}

/// Judges the marks. A mark is good once: a second record with the same one is made up.
fn mark(records: Vec<(Record, ByteBuf)>, key: &Key) -> Vec<Checked> {
    let mut used = HashSet::new();
    let mut alive: HashSet<SessionId> = HashSet::new();
    let mut checked: Vec<Checked> = records
        .into_iter()
        .map(|(record, encoded)| {
            let mark = if record.operation.needs_tag() {
                let place = (record.session, record.counter, record.position);
                if is_marked(&record, key) && used.insert(place) {
                    alive.extend(record.session);
                    Mark::Own
                } else {
                    Mark::Forged
                }
            } else {
                Mark::Open
            };
            Checked {
                record,
                encoded,
                mark,
            }
        })
        .collect();
    for entry in &mut checked {
        let opened =
            entry.record.operation == Operation::Login && entry.record.outcome == Outcome::Done;
        if opened {
            let confirmed = entry
                .record
                .session
                .is_some_and(|session| alive.contains(&session));
            entry.mark = if confirmed {
                Mark::Own
            } else {
                Mark::Unconfirmed
            };
        }
    }
    checked
}

fn is_marked(record: &Record, key: &Key) -> bool {
    let (Some(session), Some(device), Some(tag)) = (&record.session, &record.device, &record.tag)
    else {
        return false;
    };
    let marked = Marked {
        session,
        counter: record.counter,
        position: record.position,
        device,
        operation: record.operation,
        secret: record.secret.as_ref(),
    };
    marked.tag(key) == *tag
}
