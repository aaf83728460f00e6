//! The vault log: an account's append-only, hash-chained log of mutations, signed by the owner's devices.

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::audit_record::AuditedOperation;
use crate::checkpoint::TreeHead;
use crate::codec::{self, CodecError};
use crate::ids::{
    AccountId, DeviceId, Digest, PublicKey, SecretId, Seq, ServerId, Signature, Version,
};
use crate::kdf::length_prefixed;
use crate::opaque::Slot;

/// Format version of an entry.
pub const ENTRY_FORMAT: u8 = 1;
/// Longest encoded entry, in bytes; most of it is sealed metadata.
pub const MAX_ENTRY_LEN: usize = 70 * 1024;
/// Longest sealed metadata, in bytes.
pub const MAX_METADATA_LEN: usize = 65 * 1024;
/// Key epoch of the first account key.
pub const FIRST_EPOCH: u32 = 1;
/// Highest key epoch: an entry holds one hash per former account key, and its length is bounded.
pub const MAX_EPOCH: u32 = 64;

const SIGNATURE_LABEL: &[u8] = b"keyshell/1 vault entry signature";
const HASH_LABEL: &[u8] = b"keyshell/1 vault entry hash";

/// One mutation, before it is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// [`ENTRY_FORMAT`].
    pub format: u8,
    /// The account of the log.
    pub account: AccountId,
    /// Position; 1 is the genesis entry.
    pub seq: Seq,
    /// Hash of the previous entry; zeros for the genesis entry.
    pub previous: Digest,
    /// The device that signed the entry.
    pub device: DeviceId,
    /// The device's clock, in milliseconds since 1970-01-01 UTC. A hint, not a proof.
    pub time_ms: u64,
    /// The newest audit checkpoint that the device had verified.
    pub seen: Option<TreeHead>,
    /// The operation.
    pub op: Op,
    /// Hashes of this entry under the former account keys, oldest first; none for an entry that was created under the
    /// current one.
    pub former: Vec<FormerHash>,
}

/// Hash of an entry under a former account key. A device that has seen the log under that key recognises the
/// re-encrypted log by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerHash {
    /// Key epoch of the former account key.
    pub epoch: u32,
    /// Hash of the entry under that key.
    pub hash: Digest,
}

/// The operation of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// The first entry: pins the server and the log-signing key.
    Genesis(Identity),
    /// A new secret, or a new version of one.
    Put(Put),
    /// New metadata (name, tags, note) for a secret; its value stays.
    Describe(Describe),
    /// Removes a secret with all its versions.
    Remove(Remove),
    /// The owner accepted another identity of the server.
    Server(Identity),
    /// The owner accepted that the server lost entries (it was restored from a backup).
    Acknowledge(Acknowledge),
    /// A credential was created, replaced or revoked.
    Credential(Credential),
    /// Sealed text that the owner keeps with this position of the log.
    Note(ByteBuf),
    /// The account key was replaced: all previous entries were re-encrypted and re-signed under the new key.
    Rekey(Rekey),
}

/// Identity of the server and log-signing key, as the owner signed them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Id of the server.
    pub server: ServerId,
    /// OPAQUE static public key of the server (ristretto255).
    pub opaque_key: PublicKey,
    /// The key that signs audit checkpoints (Ed25519).
    pub checkpoint_key: PublicKey,
    /// Log-signing key of the account (Ed25519).
    pub log_key: PublicKey,
    /// OPAQUE suite, see [`crate::opaque::SUITE`].
    pub suite: u8,
}

/// Stores a value with its metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// The secret.
    pub secret: SecretId,
    /// 1 for a new secret, else one more than the newest version.
    pub version: Version,
    /// Key epoch of value and metadata, from 1.
    pub epoch: u32,
    /// SHA-256 of the sealed value.
    pub value_hash: Digest,
    /// Sealed metadata.
    pub metadata: ByteBuf,
}

/// Replaces the metadata of the newest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Describe {
    /// The secret.
    pub secret: SecretId,
    /// The newest version, which stays the newest.
    pub version: Version,
    /// Key epoch of the metadata.
    pub epoch: u32,
    /// Sealed metadata.
    pub metadata: ByteBuf,
}

/// Removes a secret; the id is never used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remove {
    /// The secret.
    pub secret: SecretId,
    /// The newest version.
    pub version: Version,
}

/// The head of the lost log, as the acknowledging device had pinned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledge {
    /// Newest position that the device had verified.
    pub lost_seq: Seq,
    /// Hash of the entry at that position.
    pub lost_hash: Digest,
}

/// The state of one slot. Since the owner signs it, the server can neither add a credential nor restore an old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The slot.
    pub slot: Slot,
    /// One more than the previous generation of the slot, see [`next_generation`].
    pub generation: u64,
    /// SHA-256 of the account key wrapped under the export key of the credential; `None` if the slot is revoked.
    pub wrapped: Option<Digest>,
    /// Sealed name of the device; only in a device's slot.
    pub name: Option<ByteBuf>,
}

/// Replaces the account key. The log-signing key that descends from the new account key signs the entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rekey {
    /// Key epoch of the new account key.
    pub epoch: u32,
    /// Head of the log under the former account key.
    pub former: Head,
    /// Sealed keys that descend from the former account key, for data that is not re-encrypted: tags of older audit
    /// records, and files on devices. They decrypt nothing that the server stores.
    pub keys: ByteBuf,
}

/// An entry on the wire and in storage: the exact bytes that were signed, and the signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedEntry {
    entry: ByteBuf,
    signature: Signature,
}

/// The newest position of a log and the hash of its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// 0 for the empty log.
    pub seq: Seq,
    /// Zeros for the empty log.
    pub hash: Digest,
}

impl Head {
    /// Head of the empty log.
    pub const EMPTY: Self = Self {
        seq: Seq(0),
        hash: Digest::new([0; 32]),
    };

    /// The head after appending `entry`, without the checks of [`SignedEntry::verify_next`].
    #[must_use]
    pub fn with(&self, entry: &SignedEntry) -> Self {
        Self {
            seq: self.seq.next(),
            hash: entry.hash(),
        }
    }
}

/// An entry is not valid at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The bytes are no entry.
    #[error("vault log entry is malformed")]
    Malformed,
    /// The signature does not verify, or account or format are not the expected ones.
    #[error("vault log entry is not signed by the account's key")]
    BadSignature,
    /// Position or previous hash do not continue the log.
    #[error("vault log entry {got} does not continue the log at position {expected}")]
    NotNext {
        /// Position that would continue the log.
        expected: Seq,
        /// Position in the entry.
        got: Seq,
    },
    /// The operation contradicts the state of the secret or slot.
    #[error("vault log entry contradicts the entries before it")]
    Contradiction,
}

impl From<CodecError> for LogError {
    fn from(_: CodecError) -> Self {
        Self::Malformed
    }
}

impl SignedEntry {
    /// Encodes and signs an entry.
    ///
    /// # Errors
    /// [`LogError::Malformed`] if the entry cannot be encoded; every [`Entry`] can.
    pub fn sign(entry: &Entry, key: &SigningKey) -> Result<Self, LogError> {
        let bytes = codec::encode(entry)?;
        let signature = key.sign(&signed_message(&entry.account, &bytes));
        Ok(Self {
            entry: ByteBuf::from(bytes),
            signature: Signature::new(signature.to_bytes()),
        })
    }

    /// Verifies the signature (Ed25519, strict), account and format, and returns the entry.
    ///
    /// # Errors
    /// [`LogError::Malformed`]; [`LogError::BadSignature`], also for another account or format.
    pub fn verify(&self, account: &AccountId, key: &PublicKey) -> Result<Entry, LogError> {
        let verifier =
            VerifyingKey::from_bytes(key.as_bytes()).map_err(|_| LogError::BadSignature)?;
        let signature = ed25519_dalek::Signature::from_bytes(self.signature.as_bytes());
        verifier
            .verify_strict(&signed_message(account, &self.entry), &signature)
            .map_err(|_| LogError::BadSignature)?;
        let entry = self.decode_unverified()?;
        if entry.account != *account || entry.format != ENTRY_FORMAT {
            return Err(LogError::BadSignature);
        }
        Ok(entry)
    }

    /// Decodes the entry without verifying its signature: for the genesis entry, which carries its own key.
    ///
    /// # Errors
    /// [`LogError::Malformed`], also for more than [`MAX_ENTRY_LEN`] bytes.
    pub fn decode_unverified(&self) -> Result<Entry, LogError> {
        Ok(codec::decode(&self.entry, MAX_ENTRY_LEN)?)
    }

    /// Length of entry and signature, in bytes.
    pub fn size(&self) -> usize {
        self.entry.len() + Signature::LEN
    }

    /// Hash of the entry, which the next entry names as `previous`: SHA-256 over label, entry and signature.
    pub fn hash(&self) -> Digest {
        Digest::of(&length_prefixed(&[
            HASH_LABEL,
            &self.entry,
            self.signature.as_bytes(),
        ]))
    }

    /// Checks that this entry, which [`Self::verify`] decoded as `entry`, continues the log at `head`; returns the
    /// new head.
    ///
    /// # Errors
    /// [`LogError::NotNext`].
    pub fn verify_next(&self, entry: &Entry, head: &Head) -> Result<Head, LogError> {
        let expected = head.seq.next();
        if entry.seq != expected || entry.previous != head.hash {
            return Err(LogError::NotNext {
                expected,
                got: entry.seq,
            });
        }
        Ok(head.with(self))
    }
}

fn signed_message(account: &AccountId, entry: &[u8]) -> Vec<u8> {
    length_prefixed(&[SIGNATURE_LABEL, account.as_bytes(), entry])
}

/// State of one secret in the replayed log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretState {
    /// The secret exists with this newest version.
    Live(Version),
    /// The secret was removed.
    Removed,
}

/// The state of a secret after `entry`, from the state `before` (`None` for an unknown secret). Server and client
/// apply the same rules. Returns `None` for operations without a secret.
///
/// # Errors
/// [`LogError::Contradiction`].
pub fn apply(before: Option<SecretState>, entry: &Entry) -> Result<Option<SecretState>, LogError> {
    let is_first = entry.seq == Seq(1);
    if is_first != matches!(entry.op, Op::Genesis(_)) {
        return Err(LogError::Contradiction);
    }
    let newest = match before {
        None => None,
        Some(SecretState::Live(version)) => Some(version),
        Some(SecretState::Removed) => return Err(LogError::Contradiction),
    };
    match &entry.op {
        Op::Put(put) if put.version == newest.unwrap_or_default().next() => {
            Ok(Some(SecretState::Live(put.version)))
        }
        Op::Describe(describe) if Some(describe.version) == newest => {
            Ok(Some(SecretState::Live(describe.version)))
        }
        Op::Remove(remove) if Some(remove.version) == newest => Ok(Some(SecretState::Removed)),
        Op::Put(_) | Op::Describe(_) | Op::Remove(_) => Err(LogError::Contradiction),
        Op::Genesis(_)
        | Op::Server(_)
        | Op::Acknowledge(_)
        | Op::Credential(_)
        | Op::Note(_)
        | Op::Rekey(_) => Ok(None),
    }
}

/// The generation of a slot after `credential`, from the newest one in the log (`None` before the first entry of the
/// slot). Server and client apply the same rules.
///
/// Generations have no gaps, so that no device can set the highest number and so prevent its own revocation.
///
/// # Errors
/// [`LogError::Contradiction`] for another generation than the next, a revoked password, or a name outside a device's
/// slot.
pub fn next_generation(before: Option<u64>, credential: &Credential) -> Result<u64, LogError> {
    let newest = before.unwrap_or_else(|| credential.slot.first_generation());
    let is_next = newest.checked_add(1) == Some(credential.generation);
    let is_kept = credential.wrapped.is_some() || credential.slot != Slot::Password;
    let is_device = matches!(credential.slot, Slot::Device(_));
    if is_next && is_kept && (is_device || credential.name.is_none()) {
        return Ok(credential.generation);
    }
    Err(LogError::Contradiction)
}

impl Op {
    /// The operation that is audited when the entry is appended; `None` for the genesis entry, which belongs to a
    /// registration.
    pub fn operation(&self) -> Option<AuditedOperation> {
        match self {
            Self::Genesis(_) => None,
            Self::Put(_) => Some(AuditedOperation::Put),
            Self::Describe(_) => Some(AuditedOperation::Describe),
            Self::Remove(_) => Some(AuditedOperation::Remove),
            Self::Server(_) | Self::Acknowledge(_) | Self::Note(_) => {
                Some(AuditedOperation::Append)
            }
            Self::Credential(_) => Some(AuditedOperation::Slot),
            Self::Rekey(_) => Some(AuditedOperation::Rekey),
        }
    }

    /// Key epoch of the sealed value and metadata in the entry, if there are any.
    pub fn epoch(&self) -> Option<u32> {
        match self {
            Self::Put(put) => Some(put.epoch),
            Self::Describe(describe) => Some(describe.epoch),
            Self::Genesis(_)
            | Self::Remove(_)
            | Self::Server(_)
            | Self::Acknowledge(_)
            | Self::Credential(_)
            | Self::Note(_)
            | Self::Rekey(_) => None,
        }
    }

    /// The secret that this operation concerns, if any.
    pub fn secret(&self) -> Option<SecretId> {
        match self {
            Self::Put(put) => Some(put.secret),
            Self::Describe(describe) => Some(describe.secret),
            Self::Remove(remove) => Some(remove.secret),
            Self::Genesis(_)
            | Self::Server(_)
            | Self::Acknowledge(_)
            | Self::Credential(_)
            | Self::Note(_)
            | Self::Rekey(_) => None,
        }
    }
}
