//! Changes: sealed, signed, appended all or none, and never lost to another device's.

use std::collections::BTreeMap;

use serde_bytes::ByteBuf;
use shared::ids::{Digest, SecretId, Seq, Version};
use shared::secret::SecretBytes;
use shared::vault_log::{Describe, Head, Op, Put, Remove};
use shared::wire::call::{Append, NewEntry};
use shared::wire::limits::MAX_VALUE_LEN;

use crate::error::Error;
use crate::index::Index;
use crate::index::metadata::Metadata;
use crate::keys::seal::Place;
use crate::vault::append::{MAX_CONFLICTS, pause, too_many_conflicts};
use crate::vault::open::Vault;

/// A mutation, before it is sealed and signed.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new secret or a new version of one.
    Put {
        /// Which secret.
        secret: SecretId,
        /// Its metadata from now on.
        metadata: Metadata,
        /// The value.
        value: SecretBytes,
    },
    /// New metadata.
    Describe {
        /// Which secret.
        secret: SecretId,
        /// Its metadata from now on.
        metadata: Metadata,
    },
    /// The end of a secret.
    Remove {
        /// Which secret.
        secret: SecretId,
    },
}

impl Vault {
    /// Makes changes, all or none. `plan` is asked again with the newest index whenever another device was faster, so
    /// no update of anybody's is lost. At most [`MAX_BATCH`] changes at once.
    ///
    /// # Errors
    /// Those of `plan`, [`Error::Verification`], and those of every exchange.
    pub async fn commit<E: From<Error>>(
        &mut self,
        mut plan: impl FnMut(&Index) -> Result<Vec<Change>, E>,
    ) -> Result<(), E> {
        for conflicts in 0..MAX_CONFLICTS {
            let changes = plan(&self.index)?;
            if changes.is_empty() || self.try_commit(&changes).await? {
                return Ok(());
            }
            pause(conflicts).await;
        }
        Err(too_many_conflicts().into())
    }

    /// Whether the changes are in the log now; if not, another device was faster.
    async fn try_commit(&mut self, changes: &[Change]) -> Result<bool, Error> {
        let file = self.state.pins.clone();
        let Some(guard) = self.hold_newest(&file).await? else {
            return Ok(false);
        };
        let (entries, _) = self.signed(changes)?;
        self.append(guard, &entries, Append(entries.clone())).await
    }

    /// Seals and signs changes on top of the index; returns the head that they lead to.
    fn signed(&self, changes: &[Change]) -> Result<(Vec<NewEntry>, Head), Error> {
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
    ) -> Result<NewEntry, Error> {
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
    ) -> Result<(Op, Option<ByteBuf>), Error> {
        let keys = self.session.keys();
        let place = |secret: &SecretId, version: Version| Place {
            secret: *secret,
            version,
        };
        let sealed = |place: Place, metadata: &Metadata| -> Result<ByteBuf, Error> {
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
