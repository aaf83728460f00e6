//! The vault log: an account's append-only, hash-chained log of mutations, signed by the owner's devices.

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::audit_record::Operation;
use crate::checkpoint::TreeHead;
use crate::codec::{self, CodecError};
use crate::ids::{
    AccountId, DeviceId, Digest, PublicKey, SecretId, Seq, ServerId, Signature, Version,
};
use crate::kdf::length_prefixed;
use crate::opaque::Slot;

/// Format number of an entry.
pub const ENTRY_FORMAT: u8 = 1;
/// Longest encoded signed entry, in bytes; sealed metadata is nearly all of it.
pub const MAX_ENTRY_LEN: usize = 70 * 1024;
/// Longest sealed metadata, in bytes.
pub const MAX_METADATA_LEN: usize = 65 * 1024;
/// Key epoch of an account key that was never replaced.
pub const FIRST_EPOCH: u32 = 1;
/// Highest key epoch: an entry says where it stood under each account key, and its length is bounded.
pub const MAX_EPOCH: u32 = 64;

const SIGNATURE_LABEL: &[u8] = b"keyshell/1 vault entry signature";
const HASH_LABEL: &[u8] = b"keyshell/1 vault entry hash";

/// One mutation, before it is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// [`ENTRY_FORMAT`].
    pub format: u8,
    /// Whose log.
    pub account: AccountId,
    /// Position; 1 is the genesis entry.
    pub seq: Seq,
    /// Hash of the entry before; zeros for the genesis entry.
    pub previous: Digest,
    /// The device that made it.
    pub device: DeviceId,
    /// The device's clock, in milliseconds since 1970-01-01 UTC. A hint, not a proof.
    pub time_ms: u64,
    /// The newest audit checkpoint which that device had verified.
    pub seen: Option<TreeHead>,
    /// What changes.
    pub op: Op,
    /// What it was under the account keys before, oldest first; none for an entry that was made under this one.
    pub former: Vec<Former>,
}

/// What an entry was under an account key that was replaced since. Whoever has seen the log under that key finds in it
/// that this log is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// Which account key.
    pub epoch: u32,
    /// Hash of the entry then.
    pub hash: Digest,
}

/// What an entry does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// The first entry: pins the server and the log's own key.
    Genesis(Identity),
    /// A new secret, or a new version of one.
    Put(Put),
    /// New metadata (name, tags, note) for a secret; its value stays.
    Describe(Describe),
    /// A secret is gone, with all its versions.
    Remove(Remove),
    /// The owner accepted another identity of the server.
    Server(Identity),
    /// The owner accepted that entries after `kept` were lost by the server (a restore from a backup).
    Acknowledge(Acknowledge),
    /// A credential was made, replaced or revoked.
    Credential(Credential),
    /// What the owner wants to be remembered of this moment: sealed text.
    Note(ByteBuf),
    /// The account key was replaced: all entries before this one were told again under the new key.
    Rekey(Rekey),
}

/// Who the server is, in the owner's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The server's id.
    pub server: ServerId,
    /// Its OPAQUE static public key (ristretto255).
    pub opaque_key: PublicKey,
    /// The key that signs audit checkpoints (Ed25519).
    pub checkpoint_key: PublicKey,
    /// The account's own log-signing key (Ed25519).
    pub log_key: PublicKey,
    /// The suite in force, see [`crate::opaque::SUITE`].
    pub suite: u8,
}

/// A value and its metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// Which secret.
    pub secret: SecretId,
    /// 1 for a new secret, else one more than its newest version.
    pub version: Version,
    /// Key epoch: under which account key, counted from 1.
    pub epoch: u32,
    /// SHA-256 of the sealed value.
    pub value_hash: Digest,
    /// Sealed metadata.
    pub metadata: ByteBuf,
}

/// New metadata for the newest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Describe {
    /// Which secret.
    pub secret: SecretId,
    /// Its newest version, which stays the newest.
    pub version: Version,
    /// Key epoch of the metadata.
    pub epoch: u32,
    /// Sealed metadata.
    pub metadata: ByteBuf,
}

/// The end of a secret; its id is never used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remove {
    /// Which secret.
    pub secret: SecretId,
    /// Its newest version at that time.
    pub version: Version,
}

/// What was lost, as the acknowledging device knew it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledge {
    /// Newest position that the device had seen.
    pub lost_seq: Seq,
    /// Hash of the entry there.
    pub lost_hash: Digest,
}

/// What the owner says of one credential, so that the server can neither add one, nor bring an old one back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Which slot.
    pub slot: Slot,
    /// How many times it was set, this time included; a registration sets it once, without an entry.
    pub generation: u64,
    /// SHA-256 of the account key wrapped under its export key; `None`: the slot is revoked.
    pub wrapped: Option<Digest>,
    /// Sealed name of the device, for a device's slot.
    pub name: Option<ByteBuf>,
}

/// A new account key. The entry is signed by the log-signing key that descends from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rekey {
    /// Key epoch from now on.
    pub epoch: u32,
    /// Where the log under the account key before ended.
    pub former: Head,
    /// Sealed keys that descended from the account key before, for what is not told again: older audit records, and what
    /// devices keep by themselves. They open nothing of what the server has.
    pub keys: ByteBuf,
}

/// An entry as it travels and is stored: the exact bytes that were signed, and the signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedEntry {
    entry: ByteBuf,
    signature: Signature,
}

/// The newest position of a log and the hash of the entry there.
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

    /// The head of this log once `entry` was appended to it; whether that may be, [`SignedEntry::follow`] says.
    #[must_use]
    pub fn with(&self, entry: &SignedEntry) -> Self {
        Self {
            seq: self.seq.next(),
            hash: entry.hash(),
        }
    }
}

/// An entry does not belong where it was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Not an entry.
    #[error("vault log entry is malformed")]
    Malformed,
    /// Signature, account or format is not the expected one.
    #[error("vault log entry is not signed by the account's key")]
    BadSignature,
    /// Position or previous hash does not continue the log.
    #[error("vault log entry {got} does not continue the log at position {expected}")]
    NotNext {
        /// Position that would continue the log.
        expected: Seq,
        /// Position in the entry.
        got: Seq,
    },
    /// The operation makes no sense for the secret's state.
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
    /// [`LogError::Malformed`] if it cannot be encoded.
    pub fn sign(entry: &Entry, key: &SigningKey) -> Result<Self, LogError> {
        let bytes = codec::encode(entry)?;
        let signature = key.sign(&signed_message(&entry.account, &bytes));
        Ok(Self {
            entry: ByteBuf::from(bytes),
            signature: Signature::new(signature.to_bytes()),
        })
    }

    /// Checks the signature and returns the entry.
    ///
    /// # Errors
    /// [`LogError::Malformed`], or [`LogError::BadSignature`] for another account, key or format as well.
    pub fn verify(&self, account: &AccountId, key: &PublicKey) -> Result<Entry, LogError> {
        let verifier =
            VerifyingKey::from_bytes(key.as_bytes()).map_err(|_| LogError::BadSignature)?;
        let signature = ed25519_dalek::Signature::from_bytes(self.signature.as_bytes());
        verifier
            .verify_strict(&signed_message(account, &self.entry), &signature)
            .map_err(|_| LogError::BadSignature)?;
        let entry = self.peek()?;
        if entry.account != *account || entry.format != ENTRY_FORMAT {
            return Err(LogError::BadSignature);
        }
        Ok(entry)
    }

    /// The entry without any check of its signature: for the genesis entry, which carries its own key.
    ///
    /// # Errors
    /// [`LogError::Malformed`].
    pub fn peek(&self) -> Result<Entry, LogError> {
        Ok(codec::decode(&self.entry, MAX_ENTRY_LEN)?)
    }

    /// Bytes of entry and signature.
    pub fn size(&self) -> usize {
        self.entry.len() + Signature::LEN
    }

    /// What the next entry names as its previous one: SHA-256 over label, entry and signature.
    pub fn hash(&self) -> Digest {
        Digest::of(&length_prefixed(&[
            HASH_LABEL,
            &self.entry,
            self.signature.as_bytes(),
        ]))
    }

    /// Checks that this entry, verified as `entry`, continues the log that ends in `head`; returns the new head.
    ///
    /// # Errors
    /// [`LogError::NotNext`].
    pub fn follow(&self, entry: &Entry, head: &Head) -> Result<Head, LogError> {
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

/// What replay knows of one secret, for judging the next operation on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretState {
    /// It exists, with this newest version.
    Live(Version),
    /// It was removed.
    Removed,
}

/// The one rule book of both sides: what `op` makes of a secret in state `before` (`None`: never seen).
/// Returns `None` for operations that concern no secret.
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

/// The rule for credentials, the same on both sides: each comes right after `before`, the newest generation of its slot
/// (`None`: nothing was said of it yet), so that there is always one to come, and be it to revoke this one. The password is
/// never revoked, and only devices have names. Returns its generation.
///
/// # Errors
/// [`LogError::Contradiction`].
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
    /// What appending it is in the audit log; `None` for the genesis entry, which is part of a registration.
    pub fn operation(&self) -> Option<Operation> {
        match self {
            Self::Genesis(_) => None,
            Self::Put(_) => Some(Operation::Put),
            Self::Describe(_) => Some(Operation::Describe),
            Self::Remove(_) => Some(Operation::Remove),
            Self::Server(_) | Self::Acknowledge(_) | Self::Note(_) => Some(Operation::Append),
            Self::Credential(_) => Some(Operation::Slot),
            Self::Rekey(_) => Some(Operation::Rekey),
        }
    }

    /// Key epoch of what it carries sealed about a secret, if it does.
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
