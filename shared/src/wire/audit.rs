//! Reading the audit log.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::ids::Digest;
use crate::wire::bounded::sequence;
use crate::wire::limits::MAX_PAGE;

/// Reads the audit records `from..from + limit`, proven against one checkpoint. The newest checkpoint covers the
/// record of this request too.
///
/// Further refusals: `malformed` if `size` is larger than the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRange {
    /// Index of the first record, from 0.
    pub from: u64,
    /// Largest number of records; the server may answer with fewer.
    pub limit: u32,
    /// Tree size to prove against; `None` for the newest. Records beyond it are left out.
    pub size: Option<u64>,
    /// Size of the newest audit checkpoint that the client has verified; 0 for none.
    pub verified_size: u64,
    /// Whether the answer carries an inclusion proof per record.
    pub proofs: bool,
}

/// Answer to [`AuditRange`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditAnswer {
    /// Encoded records, exactly as hashed into the tree.
    #[serde(deserialize_with = "sequence::<_, _, MAX_PAGE>")]
    pub records: Vec<ByteBuf>,
    /// The checkpoint at `size`, a signed note (C2SP `tlog-checkpoint`).
    pub checkpoint: String,
    /// Consistency proof (RFC 9162, section 2.1.4) from `verified_size` to that checkpoint.
    pub consistency: Vec<Digest>,
    /// One inclusion proof (RFC 9162, section 2.1.3) per record if `proofs` was set, else empty.
    #[serde(deserialize_with = "sequence::<_, _, MAX_PAGE>")]
    pub inclusion: Vec<Vec<Digest>>,
}
