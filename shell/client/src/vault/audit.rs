//! Reading the audit log: all records, the Merkle tree over them (RFC 9162), and the signatures of the owner's devices.

use serde_bytes::ByteBuf;
use shared::audit_record::{MAX_RECORD_LEN, Record};
use shared::checkpoint::TreeHead;
use shared::codec;
use shared::ids::Digest;
use shared::merkle::Frontier;
use shared::vault_log::Head;
use shared::wire::call::{AuditAnswer, AuditRange};
use shared::wire::limits::MAX_PAGE;

use crate::error::{Error, Result};
use crate::vault::audit_verifier::{Attribution, AuditVerifier};
use crate::vault::open::Vault;
use crate::vault::sync::check_consistency;
use crate::verification::VerificationError;

/// Most records that are read: bounds the time that a server can keep a client busy.
const MAX_RECORDS: u64 = 10_000_000;

/// A record that the signed tree covers.
#[derive(Debug, Clone)]
pub struct VerifiedRecord {
    /// The record.
    pub record: Record,
    /// Its encoded bytes, which the leaf hash covers.
    pub encoded: ByteBuf,
    /// Whether one of the owner's devices requested the operation.
    pub attribution: Attribution,
}

/// The verified audit log.
#[derive(Debug, Clone)]
pub struct AuditLog {
    /// The selected records, oldest first.
    pub records: Vec<VerifiedRecord>,
    /// Number of [`Attribution::Forged`] records among all records.
    pub forged: usize,
    /// Number of logins whose sessions have no record with a valid signature.
    pub unconfirmed: usize,
    /// Number of operations without a record, as gaps between the counters of the records show.
    pub gaps: u64,
    /// The leaf hashes of all records, where they were asked for.
    pub leaves: Vec<Digest>,
    /// The tree over all records.
    pub head: TreeHead,
    /// The signed checkpoint.
    pub checkpoint: String,
}

/// Selects the parts of the log to return; all of it is read and verified.
#[derive(Clone, Copy)]
pub struct AuditQuery<'a> {
    /// Selects records.
    pub records: &'a dyn Fn(&Record) -> bool,
    /// Whether to return the leaf hashes, from which proofs can be made.
    pub leaves: bool,
}

/// The state of reading a log.
struct Reader<'a> {
    wanted: AuditQuery<'a>,
    tree: Frontier,
    verifier: AuditVerifier,
    log: AuditLog,
}

impl Vault {
    /// Reads the whole audit log and verifies it: the checkpoint is signed by the pinned key and extends the one that
    /// this device has seen, the records are those that it covers, and the requests of this session and the entries of
    /// the vault log all have their records.
    ///
    /// # Errors
    /// [`Error::Verification`], [`Error::Limit`] for more than 10 million records, and those of
    /// [`Session::ask`](crate::session::Session::ask). Records without a valid signature are no error.
    pub async fn audit_log(&mut self, wanted: AuditQuery<'_>) -> Result<AuditLog> {
        let known = self.index.head();
        let log = self.read_audit_log(wanted).await?;
        if log.forged == 0 {
            return Ok(log);
        }
        // Another device may have installed, since the last sync, the credential that it signs by. A server that lies
        // about records may contradict itself now: what it showed first says more.
        match self.read_newer_audit_log(wanted, known).await {
            Ok(None) => Ok(log),
            Ok(Some(newer)) => Ok(newer),
            Err(error) if error.verification().is_some() => Ok(log),
            Err(error) => Err(error),
        }
    }

    /// Reads the log again if the vault log has grown since it was `known`.
    async fn read_newer_audit_log(
        &mut self,
        wanted: AuditQuery<'_>,
        known: Head,
    ) -> Result<Option<AuditLog>> {
        self.sync().await?;
        if self.index.head() == known {
            return Ok(None);
        }
        self.read_audit_log(wanted).await.map(Some)
    }

    async fn read_audit_log(&mut self, wanted: AuditQuery<'_>) -> Result<AuditLog> {
        // Locked until the end, so that two processes on this device cannot be shown two logs.
        let guard = self.state.pins.hold()?;
        guard.refresh(&mut self.pins)?;
        let verified_size = self.pins.audit.map_or(0, |head| head.size);
        let (first, head) = self.audit_page(range(0, None, verified_size)).await?;
        check_consistency(self.pins.audit, head, &first.consistency)?;
        if head.size > MAX_RECORDS {
            return Err(Error::Limit(format!(
                "the server claims {} audit records, more than the {MAX_RECORDS} that are read",
                head.size
            )));
        }
        let mut reader = Reader {
            wanted,
            tree: Frontier::new(),
            verifier: AuditVerifier::new(
                self.session.keys().account(),
                self.index.credentials(),
                self.session.expected_records().clone(),
            ),
            log: AuditLog {
                records: Vec::new(),
                forged: 0,
                unconfirmed: 0,
                gaps: 0,
                leaves: Vec::new(),
                head,
                checkpoint: first.checkpoint.clone(),
            },
        };
        reader.page(first)?;
        let mut progress = self.frontend.progress("verifying the audit log", head.size);
        while reader.tree.size() < head.size {
            progress.reach(reader.tree.size(), head.size);
            let next = range(reader.tree.size(), Some(head.size), 0);
            let (page, same) = self.audit_page(next).await?;
            if same != head {
                return Err(VerificationError::AuditChanged(head.size).into());
            }
            reader.page(page)?;
        }
        reader.check()?;
        let verifier = &reader.verifier;
        verifier.check_complete(self.index.entries(), &self.pins.sessions)?;
        self.pins.audit = Some(head);
        self.pins.sessions.clear();
        guard.replace(&self.pins)?;
        drop(guard);
        self.check_nothing_withheld(&reader.verifier).await?;
        Ok(reader.finish())
    }
}

impl Vault {
    /// Verifies that each change with a valid signature is an entry of the vault log; syncs first where one is missing,
    /// since another device may have made it after the last sync.
    async fn check_nothing_withheld(&mut self, verifier: &AuditVerifier) -> Result<()> {
        if verifier.withheld(self.index.entries()).is_none() {
            return Ok(());
        }
        self.sync().await?;
        let Some(device) = verifier.withheld(self.index.entries()) else {
            return Ok(());
        };
        Err(VerificationError::ChangeWithheld {
            device: self.index.credentials().device_name(&device),
        }
        .into())
    }
}

impl Reader<'_> {
    /// Reads one page, which must be full unless it is the last one.
    fn page(&mut self, page: AuditAnswer) -> Result<(), VerificationError> {
        let left = self.log.head.size - self.tree.size();
        let expected = left.min(u64::try_from(MAX_PAGE).unwrap_or(u64::MAX));
        if u64::try_from(page.records.len()) != Ok(expected) {
            let shown = page.records.len();
            return Err(VerificationError::AuditPage { expected, shown });
        }
        let decoded = (self.tree.size()..).zip(&page.records);
        let records = decoded.map(|(index, encoded)| {
            let bad = |_| VerificationError::AuditRecord(index);
            codec::decode(encoded, MAX_RECORD_LEN).map_err(bad)
        });
        let records: Vec<Record> = records.collect::<Result<_, _>>()?;
        let attributions = self.verifier.verify(&records)?;
        for ((encoded, record), attribution) in
            page.records.into_iter().zip(records).zip(attributions)
        {
            let leaf = Record::leaf_hash(&encoded);
            self.tree.push(leaf);
            if self.wanted.leaves {
                self.log.leaves.push(leaf);
            }
            self.log.forged += usize::from(attribution == Attribution::Forged);
            if (self.wanted.records)(&record) {
                self.log.records.push(VerifiedRecord {
                    record,
                    encoded,
                    attribution,
                });
            }
        }
        Ok(())
    }

    /// Verifies that all records hash to the root that the checkpoint signs.
    fn check(&self) -> Result<(), VerificationError> {
        if self.tree.root() == self.log.head.root {
            return Ok(());
        }
        Err(VerificationError::AuditRoot)
    }

    fn finish(self) -> AuditLog {
        let (verifier, mut log) = (self.verifier, self.log);
        for checked in &mut log.records {
            let session = checked.record.session.as_ref();
            if checked.attribution == Attribution::Unconfirmed
                && session.is_some_and(|id| verifier.confirms(id))
            {
                checked.attribution = Attribution::Own;
            }
        }
        log.unconfirmed = verifier.unconfirmed();
        log.gaps = verifier.gaps();
        log
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
