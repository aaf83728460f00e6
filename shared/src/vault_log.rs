//! The vault log: an account's append-only, hash-chained log of mutations, signed by the owner's devices.
//!
//! Entries hold hashes; the sealed content that they name stands beside the log, so that it can be deleted while the
//! chain stays verifiable.

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
use crate::request;

/// Format version of an entry.
pub const ENTRY_FORMAT: u8 = 2;
/// Longest encoded entry, in bytes; a credential's public keys take most of it.
pub const MAX_ENTRY_LEN: usize = 3 * 1024;
/// Longest sealed metadata or note, in bytes.
pub const MAX_METADATA_LEN: usize = 65 * 1024;
/// Key epoch of the first account key.
pub const FIRST_EPOCH: u32 = 1;
/// Highest key epoch: the key history of an account holds one key per former epoch, and its length is bounded.
pub const MAX_EPOCH: u32 = 1000;
/// Length of a slot's KEM public key (X-Wing), in bytes.
pub const KEM_KEY_LEN: usize = 1216;

const SIGNATURE_LABEL: &[u8] = b"keyshell/2 vault entry signature";
const HASH_LABEL: &[u8] = b"keyshell/2 vault entry hash";

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
    /// Authorisation by a credential, where [`Op::needs_authorisation`].
    pub authorisation: Option<Authorisation>,
}

/// Signature of a credential's signing key over an operation that outlives a session. All devices share the log-signing
/// key; this signature takes the password, the recovery code, or (for its own credential) the key of the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorisation {
    /// The slot whose newest credential in the log, before this entry, signs.
    pub slot: Slot,
    /// Ed25519 over [`Entry::authorised_message`].
    pub signature: Signature,
}

impl Entry {
    /// The bytes that an [`Authorisation`] signs: account, position, previous hash and operation.
    ///
    /// # Errors
    /// [`LogError::Malformed`]; every operation can be encoded.
    pub fn authorised_message(&self) -> Result<Vec<u8>, LogError> {
        Ok(length_prefixed(&[
            b"keyshell/2 authorisation",
            self.account.as_bytes(),
            &self.seq.0.to_be_bytes(),
            self.previous.as_bytes(),
            &codec::encode(&self.op)?,
        ]))
    }

    /// Authorises the operation by the signing key of a credential.
    ///
    /// # Errors
    /// [`LogError::Malformed`]; every operation can be encoded.
    pub fn authorise(&mut self, slot: Slot, key: &SigningKey) -> Result<(), LogError> {
        let signature = key.sign(&self.authorised_message()?);
        self.authorisation = Some(Authorisation {
            slot,
            signature: Signature::new(signature.to_bytes()),
        });
        Ok(())
    }

    /// Verifies the authorisation, where the operation needs one. `signing_key` returns the signing key that the log
    /// before this entry names for a slot.
    ///
    /// # Errors
    /// [`LogError::Unauthorised`].
    pub fn verify_authorisation(
        &self,
        signing_key: impl Fn(&Slot) -> Option<PublicKey>,
    ) -> Result<(), LogError> {
        let is_registration = self.seq <= LAST_OF_REGISTRATION;
        if is_registration || !self.op.needs_authorisation() {
            return match self.authorisation {
                None => Ok(()),
                Some(_) => Err(LogError::Contradiction),
            };
        }
        let authorisation = self.authorisation.as_ref();
        let by = authorisation.filter(|by| self.op.may_be_authorised_by(&by.slot));
        let by = by.ok_or(LogError::Unauthorised)?;
        let key = signing_key(&by.slot).ok_or(LogError::Unauthorised)?;
        request::verify(&key, &self.authorised_message()?, &by.signature)
            .then_some(())
            .ok_or(LogError::Unauthorised)
    }
}

/// Position of the last entry of a registration: `genesis`, then one `credential` for password and recovery code each.
pub const LAST_OF_REGISTRATION: Seq = Seq(3);

/// The operation of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// The first entry: pins the server and the log-signing key.
    Genesis(Identity),
    /// A new secret, or a new version of one.
    Put(Sealed),
    /// Re-encrypts one version of a secret under a later account key.
    Reseal(Sealed),
    /// New metadata (name, tags, note) for a secret; its value stays.
    Describe(Describe),
    /// Hides a secret. Its content stays for 30 days, or until a [`Purge`].
    Remove(SecretVersion),
    /// Shows a removed secret again.
    Restore(SecretVersion),
    /// Destroys content.
    Purge(Purge),
    /// The owner accepted that the server lost entries (it was restored from a backup).
    Acknowledge(Acknowledge),
    /// A credential was created, replaced or revoked.
    Credential(Credential),
    /// SHA-256 of a sealed text that the owner keeps with this position of the log.
    Note(Digest),
    /// Another account key is used from the next entry on.
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
    /// Log-signing key of the account (Ed25519) in the first key epoch.
    pub log_key: PublicKey,
    /// OPAQUE suite, see [`crate::opaque::SUITE`].
    pub suite: u8,
}

/// One version of a secret, with the hashes of its sealed content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The secret.
    pub secret: SecretId,
    /// In a `put` 1 for a new secret, else one more than the newest version; in a `reseal` any version with a value.
    pub version: Version,
    /// Key epoch of value and metadata, from 1.
    pub epoch: u32,
    /// SHA-256 of the sealed value.
    pub value: Digest,
    /// SHA-256 of the sealed metadata of this version.
    pub metadata: Digest,
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
    /// SHA-256 of the sealed metadata.
    pub metadata: Digest,
}

/// A secret with its newest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVersion {
    /// The secret.
    pub secret: SecretId,
    /// The newest version.
    pub version: Version,
}

/// Content that is destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purge {
    /// All content of a removed secret. Its id is never used again.
    Secret(SecretId),
    /// The values and metadata of all versions of a secret that are older than this one, which has a value.
    Versions(SecretVersion),
    /// The text of the note at this position.
    Note(Seq),
}

/// The head of the lost log, as the acknowledging device had pinned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledge {
    /// Newest position that the device had verified.
    pub lost_seq: Seq,
    /// Hash of the entry at that position.
    pub lost_hash: Digest,
    /// Signature of the log-signing key of the epoch that the acknowledging device had pinned, over [`Self::message`]: a
    /// holder of an older account key can fork the log, but not make devices accept the fork. `None` where the restored
    /// log does not go up to that epoch: each device then asks its owner.
    pub signature: Option<Signature>,
}

impl Acknowledge {
    /// The bytes that are signed: account, lost head, and the hash of the entry before this one.
    pub fn message(account: &AccountId, lost: &Head, previous: &Digest) -> Vec<u8> {
        length_prefixed(&[
            b"keyshell/2 acknowledge",
            account.as_bytes(),
            &lost.seq.0.to_be_bytes(),
            lost.hash.as_bytes(),
            previous.as_bytes(),
        ])
    }
}

/// The state of one slot. Since the owner signs it, the server can neither add a credential nor restore an old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The slot.
    pub slot: Slot,
    /// One more than the previous generation of the slot; 1 for its first credential.
    pub generation: u64,
    /// The public keys of the credential; `None` if the slot is revoked.
    pub keys: Option<CredentialKeys>,
    /// Sealed name of the device; only in a device's slot.
    pub name: Option<ByteBuf>,
}

/// Public keys of a credential, and the account key that it wraps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialKeys {
    /// SHA-256 of the account key wrapped under the export key of the credential.
    pub wrapped: Digest,
    /// KEM public key (X-Wing, [`KEM_KEY_LEN`] bytes) to which the account keys of later epochs are encapsulated.
    pub kem: ByteBuf,
    /// The key (Ed25519) that authorises a device's key for a session; in a device's slot the device key itself.
    pub signing: PublicKey,
}

/// Begins a key epoch. The log-signing key of the former epoch signs this entry, the one named here all later ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rekey {
    /// The epoch that begins: one more than the former one.
    pub epoch: u32,
    /// Log-signing key of the new epoch (Ed25519).
    pub log_key: PublicKey,
    /// Number of `credential` entries of the same installation, which follow this entry: a log that ends before them is
    /// not whole, so that nobody can show the new epoch without the revocations that it began for.
    pub credentials: u8,
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

/// The key that signs the next entry, and its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// The key epoch.
    pub epoch: u32,
    /// The log-signing key (Ed25519).
    pub log_key: PublicKey,
    /// What the next entry must be.
    pub due: Due,
}

/// What the next entry of a log must be, since some operations belong together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Due {
    /// Any entry, or none: the log is whole.
    #[default]
    Nothing,
    /// `rekey`, after `acknowledge`.
    Rekey,
    /// This many `credential` entries, after `rekey`; at least one.
    Credentials(u8),
}

impl Due {
    fn credentials(count: u8) -> Self {
        if count == 0 {
            Self::Nothing
        } else {
            Self::Credentials(count)
        }
    }
}

impl Signer {
    /// The signer of the first entry, which names its own key.
    pub fn of_genesis(identity: &Identity) -> Self {
        Self {
            epoch: FIRST_EPOCH,
            log_key: identity.log_key,
            due: Due::Nothing,
        }
    }

    /// Whether the log may end here.
    pub fn is_whole(self) -> bool {
        self.due == Due::Nothing
    }

    /// The signer of the entry after `op`.
    ///
    /// # Errors
    /// [`LogError::Contradiction`] for content of another epoch, for an epoch that is not the next one, and for an entry
    /// that is not due.
    pub fn after(self, op: &Op) -> Result<Self, LogError> {
        match (self.due, op) {
            (Due::Nothing | Due::Rekey, Op::Rekey(rekey)) => {
                let is_next = self.epoch.checked_add(1) == Some(rekey.epoch);
                (is_next && rekey.epoch <= MAX_EPOCH)
                    .then_some(Self {
                        epoch: rekey.epoch,
                        log_key: rekey.log_key,
                        due: Due::credentials(rekey.credentials),
                    })
                    .ok_or(LogError::Contradiction)
            }
            (Due::Credentials(left), Op::Credential(_)) => Ok(Self {
                due: Due::credentials(left.saturating_sub(1)),
                ..self
            }),
            (Due::Nothing, Op::Acknowledge(_)) => Ok(Self {
                due: Due::Rekey,
                ..self
            }),
            (Due::Nothing, op) if op.epoch().is_none_or(|epoch| epoch == self.epoch) => Ok(self),
            _ => Err(LogError::Contradiction),
        }
    }
}

/// An entry is not valid at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The bytes are no entry.
    #[error("vault log entry is malformed")]
    Malformed,
    /// The signature does not verify, or account or format differ from the expected ones.
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
    /// The operation needs the authorisation of a credential, and has none that verifies.
    #[error(
        "vault log entry is not authorised by the password, the recovery code or the device that it concerns"
    )]
    Unauthorised,
    /// The operation contradicts the state of the secret, slot or epoch.
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
    /// [`LogError::Malformed`] if the entry cannot be encoded, or is longer than [`MAX_ENTRY_LEN`].
    pub fn sign(entry: &Entry, key: &SigningKey) -> Result<Self, LogError> {
        let bytes = codec::encode(entry)?;
        if bytes.len() > MAX_ENTRY_LEN {
            return Err(LogError::Malformed);
        }
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
    /// The secret exists with these versions.
    Live(Versions),
    /// The secret was removed; its content is still there.
    Removed(Versions),
    /// The content was destroyed.
    Purged,
}

/// The versions of a secret that have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The oldest one whose content was not destroyed.
    pub oldest: Version,
    /// The newest one.
    pub newest: Version,
}

impl Versions {
    const FIRST: Self = Self {
        oldest: Version(1),
        newest: Version(1),
    };

    /// Whether this version has a value.
    pub fn contains(&self, version: Version) -> bool {
        self.oldest <= version && version <= self.newest
    }
}

/// The state of a secret after `entry`, from the state `before` (`None` for an unknown secret). Server and client
/// apply the same rules. Returns `None` for operations without a secret.
///
/// # Errors
/// [`LogError::Contradiction`].
pub fn apply(before: Option<SecretState>, entry: &Entry) -> Result<Option<SecretState>, LogError> {
    use SecretState::{Live, Purged, Removed};

    let is_first = entry.seq == Seq(1);
    if is_first != matches!(entry.op, Op::Genesis(_)) {
        return Err(LogError::Contradiction);
    }
    let after = match (&entry.op, before) {
        (Op::Put(put), None) if put.version == Version(1) => Live(Versions::FIRST),
        (Op::Put(put), Some(Live(known))) if put.version == known.newest.next() => Live(Versions {
            newest: put.version,
            ..known
        }),
        (Op::Reseal(new), Some(state @ (Live(known) | Removed(known))))
            if known.contains(new.version) =>
        {
            state
        }
        (Op::Describe(new), Some(Live(known))) if new.version == known.newest => Live(known),
        (Op::Remove(remove), Some(Live(known))) if remove.version == known.newest => Removed(known),
        (Op::Restore(restore), Some(Removed(known))) if restore.version == known.newest => {
            Live(known)
        }
        (Op::Purge(Purge::Secret(_)), Some(Removed(_))) => Purged,
        (Op::Purge(Purge::Versions(kept)), Some(Live(known))) if known.contains(kept.version) => {
            Live(Versions {
                oldest: kept.version,
                ..known
            })
        }
        (op, None) if op.secret().is_none() => return Ok(None),
        _ => return Err(LogError::Contradiction),
    };
    Ok(Some(after))
}

/// The generation of a slot after `credential`, from the newest one in the log (`None` before the first entry of the
/// slot). Server and client apply the same rules.
///
/// Generations have no gaps, so that no device can set the highest number and so prevent its own revocation.
///
/// # Errors
/// [`LogError::Contradiction`] for another generation than the next, a revoked password, a name outside a device's
/// slot, keys of another length, and a device's slot with another signing key than the one that its id names.
pub fn next_generation(before: Option<u64>, credential: &Credential) -> Result<u64, LogError> {
    let is_next = before.unwrap_or_default().checked_add(1) == Some(credential.generation);
    let is_valid = match (&credential.slot, &credential.keys) {
        (Slot::Password, None) => false,
        (Slot::Device(id), Some(keys)) => DeviceId::of(&keys.signing) == *id,
        (Slot::Password | Slot::Recovery, Some(_)) | (Slot::Recovery | Slot::Device(_), None) => {
            credential.name.is_none()
        }
    };
    let has_length = |keys: &CredentialKeys| keys.kem.len() == KEM_KEY_LEN;
    if is_next && is_valid && credential.keys.as_ref().is_none_or(has_length) {
        return Ok(credential.generation);
    }
    Err(LogError::Contradiction)
}

impl Op {
    /// The operation that is audited when the entry is appended; `None` for the genesis entry, which belongs to a
    /// registration.
    pub fn audited(&self) -> Option<AuditedOperation> {
        Some(match self {
            Self::Genesis(_) => return None,
            Self::Put(_) => AuditedOperation::Put,
            Self::Reseal(_) => AuditedOperation::Reseal,
            Self::Describe(_) => AuditedOperation::Describe,
            Self::Remove(_) => AuditedOperation::Remove,
            Self::Restore(_) => AuditedOperation::Restore,
            Self::Purge(_) => AuditedOperation::Purge,
            Self::Acknowledge(_) | Self::Note(_) => AuditedOperation::Append,
            Self::Credential(_) => AuditedOperation::Slot,
            Self::Rekey(_) => AuditedOperation::Rekey,
        })
    }

    /// Whether the operation outlives sessions: it changes credentials or keys, accepts a loss, or destroys content. A
    /// `purge` of a removed secret is exempt, since every device may make it once its 30 days are over.
    pub fn needs_authorisation(&self) -> bool {
        match self {
            Self::Credential(_) | Self::Rekey(_) | Self::Acknowledge(_) | Self::Reseal(_) => true,
            Self::Purge(purge) => !matches!(purge, Purge::Secret(_)),
            _ => false,
        }
    }

    /// Whether a credential of this slot can authorise the operation: password and recovery code all of them, a device
    /// the next generation of its own credential.
    fn may_be_authorised_by(&self, slot: &Slot) -> bool {
        match (slot, self) {
            (Slot::Password | Slot::Recovery, _) => true,
            (Slot::Device(_), Self::Credential(new)) => new.slot == *slot && new.keys.is_some(),
            (Slot::Device(_), _) => false,
        }
    }

    /// Key epoch of the sealed content that the entry names, if there is any.
    pub fn epoch(&self) -> Option<u32> {
        match self {
            Self::Put(new) | Self::Reseal(new) => Some(new.epoch),
            Self::Describe(describe) => Some(describe.epoch),
            _ => None,
        }
    }

    /// SHA-256 of the sealed value that goes with the entry, if there is one.
    pub fn value(&self) -> Option<Digest> {
        match self {
            Self::Put(new) | Self::Reseal(new) => Some(new.value),
            _ => None,
        }
    }

    /// SHA-256 of the sealed metadata, or of the sealed note, that goes with the entry, if there is one.
    pub fn metadata(&self) -> Option<Digest> {
        match self {
            Self::Put(new) | Self::Reseal(new) => Some(new.metadata),
            Self::Describe(describe) => Some(describe.metadata),
            Self::Note(note) => Some(*note),
            _ => None,
        }
    }

    /// The secret that this operation concerns, if any.
    pub fn secret(&self) -> Option<SecretId> {
        match self {
            Self::Put(new) | Self::Reseal(new) => Some(new.secret),
            Self::Describe(describe) => Some(describe.secret),
            Self::Remove(named) | Self::Restore(named) | Self::Purge(Purge::Versions(named)) => {
                Some(named.secret)
            }
            Self::Purge(Purge::Secret(secret)) => Some(*secret),
            Self::Purge(Purge::Note(_))
            | Self::Genesis(_)
            | Self::Acknowledge(_)
            | Self::Credential(_)
            | Self::Note(_)
            | Self::Rekey(_) => None,
        }
    }
}
