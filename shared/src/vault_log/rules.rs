//! The rules that server and client both apply: what the next entry of a log may be.

use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, PublicKey, Seq, Version};
use crate::opaque::Slot;
use crate::vault_log::base::{FIRST_EPOCH, KEM_KEY_LEN, LogError, MAX_EPOCH};
use crate::vault_log::entry::{Credential, CredentialKeys, Entry, Identity, Op, Purge};

/// The key that signs the next entry, and its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// The key epoch.
    pub epoch: u32,
    /// The log-signing key (Ed25519).
    pub log_key: PublicKey,
    /// The constraint on the next entry.
    pub due: Due,
}

/// The constraint on the next entry of a log: some operations must follow others.
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
