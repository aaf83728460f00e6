//! Changes of secrets: sealed, signed, appended all or none, and planned again after a conflict.

use std::collections::BTreeMap;

use serde_bytes::ByteBuf;
use shared::ids::{Digest, SecretId, Seq, Version};
use shared::secret::SecretBytes;
use shared::vault_log::{Describe, Head, Op, Put, Remove};
use shared::wire::call::{Append, NewEntry};
use shared::wire::limits::MAX_VALUE_LEN;

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
    /// Removal of a secret with all its versions.
    Remove {
        /// The secret.
        secret: SecretId,
    },
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
        let (Change::Put { secret, .. }
        | Change::Describe { secret, .. }
        | Change::Remove { secret }) = change;
        let seq = head.seq.next();
        let newest = versions.get(secret).copied().or_else(|| {
            let known = self.index.get(secret)?.newest()?;
            Some(known.version)
        });
        let (op, value) = self.operation(change, seq, newest.unwrap_or_default())?;
        if let Op::Put(put) = &op {
            versions.insert(*secret, put.version);
        }
        let entry = self.entry(head, op)?;
        Ok(NewEntry { entry, value })
    }

    fn operation(
        &self,
        change: &Change,
        seq: Seq,
        newest: Version,
    ) -> Result<(Op, Option<ByteBuf>)> {
        let keys = self.session.keys();
        let place = |secret: &SecretId, version: Version| SecretContext {
            secret: *secret,
            version,
        };
        let sealed = |place: SecretContext, metadata: &Metadata| -> Result<ByteBuf> {
            let encoded = metadata.encode()?;
            Ok(ByteBuf::from(place.seal_metadata(
                keys,
                seq,
                encoded.expose(),
            )))
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
                let value = place.seal_value(keys, value);
                let put = Put {
                    secret: *secret,
                    version: place.version,
                    epoch: keys.epoch(),
                    value_hash: Digest::of(&value),
                    metadata: sealed(place, metadata)?,
                };
                (Op::Put(put), Some(ByteBuf::from(value)))
            }
            Change::Describe { secret, metadata } => {
                let describe = Describe {
                    secret: *secret,
                    version: newest,
                    epoch: keys.epoch(),
                    metadata: sealed(place(secret, newest), metadata)?,
                };
                (Op::Describe(describe), None)
            }
            Change::Remove { secret } => {
                let remove = Remove {
                    secret: *secret,
                    version: newest,
                };
                (Op::Remove(remove), None)
            }
        })
    }
}
