//! Entries and their operations.

use ed25519_dalek::{Signer as _, SigningKey};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::audit_record::AuditedOperation;
use crate::checkpoint::TreeHead;
use crate::codec;
use crate::ids::{
    AccountId, DeviceId, Digest, PublicKey, SecretId, Seq, ServerId, Signature, Version,
};
use crate::kdf::length_prefixed;
use crate::opaque::Slot;
use crate::request;
use crate::vault_log::base::{Head, LAST_OF_REGISTRATION, LogError};

/// One mutation, before it is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// [`ENTRY_FORMAT`](super::ENTRY_FORMAT).
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
    /// KEM public key (X-Wing, [`KEM_KEY_LEN`](super::KEM_KEY_LEN) bytes) to which the account keys of later epochs are encapsulated.
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
    /// not whole, so that no server can show the new epoch without the revocations that it began for.
    pub credentials: u8,
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
