//! Audit evidence: a file of audit records that can be verified without server and session.

use std::collections::{HashMap, HashSet};

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use shared::audit_record::{MAX_RECORD_LEN, RECORD_FORMAT, Record};
use shared::checkpoint::{self, TreeHead};
use shared::codec;
use shared::ids::{AccountId, Digest, PublicKey, ServerId};
use shared::merkle::{self, Nodes};

use crate::device::pins::Pins;
use crate::error::{Error, Result};
use crate::vault::audit::AuditLog;
use crate::verification::VerificationError;

const FORMAT: &str = "keyshell-audit";
const VERSION: u32 = 1;

/// The content of an evidence file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    format: String,
    version: u32,
    /// The account whose records these are.
    pub account: AccountId,
    /// The server that made them.
    pub server: ServerId,
    /// The key that signed the checkpoint (Ed25519).
    pub checkpoint_key: PublicKey,
    /// The signed checkpoint (C2SP `signed-note` over `tlog-checkpoint`).
    pub checkpoint: String,
    /// The records, each with its inclusion proof.
    pub records: Vec<RecordProof>,
}

/// A record and its inclusion proof (RFC 9162, section 2.1.3).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordProof {
    /// Base64 of the record's bytes, which the leaf hash covers.
    pub record: String,
    /// The path from its leaf to the root.
    pub proof: Vec<Digest>,
}

impl Evidence {
    /// Makes the evidence for the records of a log that was read with its leaves (see
    /// [`AuditQuery`](crate::vault::audit::AuditQuery)).
    ///
    /// # Errors
    /// [`Error::Failed`] for a log that was read without its leaves.
    pub fn new(log: &AuditLog, pins: &Pins) -> Result<Self> {
        let mut nodes = Memory(HashMap::new());
        for (size, leaf) in (0..).zip(&log.leaves) {
            for node in merkle::append(&nodes, size, *leaf)? {
                nodes.0.insert((node.level, node.index), node.hash);
            }
        }
        let records = log.records.iter().map(|checked| {
            let index = checked.record.index;
            Ok(RecordProof {
                record: BASE64.encode(&checked.encoded),
                proof: merkle::inclusion_proof(&nodes, index, log.head.size)?,
            })
        });
        Ok(Self {
            format: FORMAT.into(),
            version: VERSION,
            account: pins.account,
            server: pins.server.server,
            checkpoint_key: pins.server.checkpoint_key,
            checkpoint: log.checkpoint.clone(),
            records: records.collect::<Result<_>>()?,
        })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Failed`] for a file of another format or version.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let bad = |why: String| Error::Failed(format!("this is no audit file: {why}"));
        let evidence: Self = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        if evidence.format != FORMAT || evidence.version != VERSION {
            return Err(bad(format!(
                "{} version {}",
                evidence.format, evidence.version
            )));
        }
        Ok(evidence)
    }

    /// Returns whether this device has pinned account and server of the file.
    ///
    /// # Errors
    /// [`VerificationError::EvidenceKey`], [`VerificationError::EvidenceLog`] where it knows both, and the file
    /// contradicts what it knows.
    pub fn is_known(&self, pins: &Pins, head: TreeHead) -> Result<bool, VerificationError> {
        if (pins.account, pins.server.server) != (self.account, self.server) {
            return Ok(false);
        }
        if pins.server.checkpoint_key != self.checkpoint_key {
            return Err(VerificationError::EvidenceKey);
        }
        let contradicts = |known: TreeHead| known.size == head.size && known.root != head.root;
        if pins.audit.is_some_and(contradicts) {
            return Err(VerificationError::EvidenceLog);
        }
        Ok(true)
    }

    /// Verifies checkpoint and proofs with the key in the file; returns the tree head and the records. The caller must
    /// verify that the key is the server's, see [`Self::is_known`].
    ///
    /// # Errors
    /// [`VerificationError::Checkpoint`], [`VerificationError::EvidenceRecord`], [`VerificationError::EvidenceProof`].
    pub fn verify(&self) -> Result<(TreeHead, Vec<Record>), VerificationError> {
        let head = checkpoint::verify(
            &self.checkpoint,
            &self.checkpoint_key,
            &self.server,
            &self.account,
        )?;
        let mut seen = HashSet::new();
        let records = self.records.iter().map(|proven| {
            let bad = || VerificationError::EvidenceRecord;
            let bytes = BASE64.decode(proven.record.as_bytes()).map_err(|_| bad())?;
            let record: Record = codec::decode(&bytes, MAX_RECORD_LEN).map_err(|_| bad())?;
            let leaf = Record::leaf_hash(&bytes);
            let (index, proof) = (record.index, &proven.proof);
            if record.format != RECORD_FORMAT || !seen.insert(index) {
                return Err(bad());
            }
            if merkle::verify_inclusion(&leaf, index, head.size, proof, &head.root) {
                Ok(record)
            } else {
                Err(VerificationError::EvidenceProof(index))
            }
        });
        Ok((head, records.collect::<Result<_, _>>()?))
    }
}

struct Memory(HashMap<(u8, u64), Digest>);

impl Nodes for Memory {
    type Error = Error;

    fn node(&self, level: u8, index: u64) -> Result<Digest> {
        let node = self.0.get(&(level, index)).copied();
        node.ok_or_else(|| Error::Failed("the tree lacks a node".into()))
    }
}
