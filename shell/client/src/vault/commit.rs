//! Changes of secrets: sealed, signed, appended all or none, and planned again after a conflict.

use std::collections::BTreeMap;

use keyshell_base::time::now_ms;
use serde_bytes::ByteBuf;
use shared::ids::{Digest, SecretId, Seq, Version};
use shared::secret::SecretBytes;
use shared::vault_log::{Describe, Head, Op, Purge, Sealed, SecretVersion};
use shared::wire::call::{Append, NewEntry};
use shared::wire::limits::{MAX_BATCH, MAX_VALUE_LEN, REMOVED_KEPT_MS};

use crate::error::{Error, Result};
use crate::index::Index;
use crate::index::metadata::Metadata;
use crate::keys::seal::SecretContext;
use crate::vault::conflicts::retry_on_conflict;
use crate::vault::open::Vault;

/// A change of one secret, before it is sealed and signed.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new secret or a new version of one.
    Put {
        /// The secret.
        secret: SecretId,
        /// Its new metadata.
        metadata: Metadata,
        /// Its new value, at most [`MAX_VALUE_LEN`] bytes.
        value: SecretBytes,
    },
    /// New metadata of a secret.
    Describe {
        /// The secret.
        secret: SecretId,
        /// Its new metadata.
        metadata: Metadata,
    },
    /// Removal of a secret, which can be restored.
    Remove {
        /// The secret.
        secret: SecretId,
    },
    /// Restores a removed secret.
    Restore {
        /// The secret.
        secret: SecretId,
    },
    /// Destroys all content of a removed secret.
    Purge {
        /// The secret.
        secret: SecretId,
    },
    /// Destroys the values of all versions but the newest.
    PurgeVersions {
        /// The secret.
        secret: SecretId,
    },
    /// Destroys the text of a note.
    PurgeNote {
        /// Position of its entry.
        seq: Seq,
    },
}

impl Change {
    /// The secret that is changed, if any.
    fn secret(&self) -> Option<&SecretId> {
        match self {
            Self::Put { secret, .. }
            | Self::Describe { secret, .. }
            | Self::Remove { secret }
            | Self::Restore { secret }
            | Self::Purge { secret }
            | Self::PurgeVersions { secret } => Some(secret),
            Self::PurgeNote { .. } => None,
        }
    }
}

impl Vault {
    /// Makes changes, all or none. After a conflict with another device's change, `plan` is called again with the
    /// newest index, so that neither change is lost. At most [`MAX_BATCH`](shared::wire::limits::MAX_BATCH) changes at
    /// once.
    ///
    /// # Errors
    /// Those of `plan`; [`Error::Limit`], [`Error::Verification`], [`Error::Exists`] after too many conflicts,
    /// [`Unfinished::Change`](crate::error::Unfinished::Change) where the answer was lost.
    pub async fn commit<E: From<Error>>(
        &mut self,
        mut plan: impl FnMut(&Index) -> Result<Vec<Change>, E>,
    ) -> Result<(), E> {
        retry_on_conflict(async || {
            let changes = plan(&self.index)?;
            Ok(changes.is_empty() || self.try_commit(&changes).await?)
        })
        .await
    }

    /// Destroys the removed secrets that this device saw removed more than 30 days ago. No error of the server prevents
    /// other work: what it refuses is asked for again after 30 more days.
    ///
    /// # Errors
    /// [`Error::Verification`], and those of opening another session where this one has ended.
    pub async fn purge_expired(&mut self) -> Result<()> {
        let now_ms = now_ms();
        let removed = self.index.removed().into_iter();
        // By two clocks, one of which may be wrong.
        let is_old = |ms: u64| now_ms.saturating_sub(ms) > REMOVED_KEPT_MS;
        let expired =
            removed.filter(|removed| is_old(removed.seen_ms) && is_old(removed.removed_ms));
        let expired: Vec<SecretId> = expired
            .map(|removed| removed.secret.id)
            .take(MAX_BATCH)
            .collect();
        if expired.is_empty() {
            return Ok(());
        }
        let purges = expired
            .iter()
            .map(|secret| Change::Purge { secret: *secret });
        match self.try_commit(&purges.collect::<Vec<_>>()).await {
            Err(error) if error.verification().is_some() => Err(error),
            Err(error @ Error::SessionEnded) => Err(error),
            Err(_) => {
                self.index.see_removed_again(&expired, now_ms);
                self.save_index()
            }
            // After a conflict, the next session does it.
            Ok(_) => Ok(()),
        }
    }

    /// Appends the changes; `false` on a conflict.
    async fn try_commit(&mut self, changes: &[Change]) -> Result<bool> {
        let Some(guard) = self.hold_newest().await? else {
            return Ok(false);
        };
        let (entries, _) = self.signed(changes)?;
        self.append(guard, &entries, Append(entries.clone())).await
    }

    /// Seals and signs changes on top of the index; also returns the head that they lead to.
    fn signed(&self, changes: &[Change]) -> Result<(Vec<NewEntry>, Head)> {
        let mut head = self.index.head();
        let mut versions = BTreeMap::new();
        let mut entries = Vec::with_capacity(changes.len());
        for change in changes {
            let new = self.sign(change, head, &mut versions)?;
            head = head.with(&new.entry);
            entries.push(new);
        }
        Ok((entries, head))
    }

    fn sign(
        &self,
        change: &Change,
        head: Head,
        versions: &mut BTreeMap<SecretId, Version>,
    ) -> Result<NewEntry> {
        let newest = change.secret().and_then(|secret| {
            let known = || Some(self.index.known(secret)?.newest()?.version);
            versions.get(secret).copied().or_else(known)
        });
        let (op, value, metadata) = self.operation(change, newest.unwrap_or_default())?;
        if let Op::Put(put) = &op {
            versions.insert(put.secret, put.version);
        }
        let entry = self.entry(head, op)?;
        Ok(NewEntry {
            entry,
            value,
            metadata,
        })
    }

    fn operation(
        &self,
        change: &Change,
        newest: Version,
    ) -> Result<(Op, Option<ByteBuf>, Option<ByteBuf>)> {
        let keys = self.session.keys();
        let place = |secret: &SecretId, version: Version| SecretContext {
            secret: *secret,
            version,
        };
        let at = |secret: &SecretId| SecretVersion {
            secret: *secret,
            version: newest,
        };
        let sealed = |place: SecretContext, metadata: &Metadata| -> Result<ByteBuf> {
            let encoded = metadata.encode()?;
            Ok(ByteBuf::from(place.seal_metadata(keys, encoded.expose())?))
        };
        Ok(match change {
            Change::Put {
                secret,
                metadata,
                value,
            } => {
                if value.len() > MAX_VALUE_LEN {
                    let text = format!("a value has at most {MAX_VALUE_LEN} bytes (1 MiB)");
                    return Err(Error::Limit(text));
                }
                let place = place(secret, newest.next());
                let value = place.seal_value(keys, value)?;
                let metadata = sealed(place, metadata)?;
                let put = Sealed {
                    secret: *secret,
                    version: place.version,
                    epoch: keys.epoch(),
                    value: Digest::of(&value),
                    metadata: Digest::of(&metadata),
                };
                (Op::Put(put), Some(ByteBuf::from(value)), Some(metadata))
            }
            Change::Describe { secret, metadata } => {
                let metadata = sealed(place(secret, newest), metadata)?;
                let describe = Describe {
                    secret: *secret,
                    version: newest,
                    epoch: keys.epoch(),
                    metadata: Digest::of(&metadata),
                };
                (Op::Describe(describe), None, Some(metadata))
            }
            Change::Remove { secret } => (Op::Remove(at(secret)), None, None),
            Change::Restore { secret } => (Op::Restore(at(secret)), None, None),
            Change::Purge { secret } => (Op::Purge(Purge::Secret(*secret)), None, None),
            Change::PurgeVersions { secret } => {
                (Op::Purge(Purge::Versions(at(secret))), None, None)
            }
            Change::PurgeNote { seq } => (Op::Purge(Purge::Note(*seq)), None, None),
        })
    }
}
