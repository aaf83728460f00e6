//! Changes: sealed, signed, appended all or none, and never lost to another device's.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::OsRng;
use serde_bytes::ByteBuf;
use shared::ids::{Digest, SecretId, Seq, Version};
use shared::secret::SecretBytes;
use shared::vault_log::{
    Acknowledge, Describe, ENTRY_FORMAT, Entry, Head, Op, Put, Remove, SignedEntry,
};
use shared::wire::call::{Answer, Call, NewEntry};
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_VALUE_LEN;

use crate::error::Error;
use crate::time::now_ms;
use crate::vault::index::Index;
use crate::vault::keys::EPOCH;
use crate::vault::metadata::Metadata;
use crate::vault::open::{Vault, accept};
use crate::vault::pins::HeldPins;
use crate::vault::seal::Place;

/// After so many conflicts in a row somebody should know.
const MAX_CONFLICTS: u32 = 128;

/// The first pause after a conflict lasts at most so long; it doubles with each one after it.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const MAX_DOUBLINGS: u32 = 6;

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
    pub async fn commit(
        &mut self,
        mut plan: impl FnMut(&Index) -> Result<Vec<Change>, Error>,
    ) -> Result<(), Error> {
        for conflicts in 0..MAX_CONFLICTS {
            let changes = plan(&self.index)?;
            if changes.is_empty() || self.try_commit(&changes).await? {
                return Ok(());
            }
            // Devices that were refused together must not come back together.
            let longest = SHORTEST_PAUSE * (1 << conflicts.min(MAX_DOUBLINGS));
            tokio::time::sleep(longest.mul_f64(OsRng.r#gen())).await;
        }
        let text = "other devices keep changing the vault; nothing was written, try again";
        Err(Error::Exists(text.into()))
    }

    /// Whether the changes are in the log now; if not, another device was faster.
    async fn try_commit(&mut self, changes: &[Change]) -> Result<bool, Error> {
        let file = self.memory.pins.clone();
        let guard = file.hold()?;
        guard.refresh(&mut self.pins)?;
        let before = self.index.head();
        if self.pins.head.seq > before.seq {
            // Another run on this device was faster.
            drop(guard);
            self.sync().await?;
            return Ok(false);
        }
        let (entries, head) = self.signed(changes)?;
        let first = entries.first().map(|new| Head {
            seq: before.seq.next(),
            hash: new.entry.hash(),
        });
        let after = self.replayed(&entries)?;
        match self.session.request(Call::Append(entries)).await {
            Ok(Answer::Append(shown)) if shown == head => {
                self.index = after;
                self.remember(&guard, before)?;
                Ok(true)
            }
            Ok(Answer::Append(_)) => Err(Error::unproven(
                "the server stored something else than this device signed",
            )),
            Ok(Answer::Refused(Refusal::Conflict(_))) => {
                self.note_refused(&guard, first)?;
                drop(guard);
                self.sync().await?;
                if self.index.head() == before {
                    return Err(Error::unproven(
                        "the server says that another device was faster, and shows nothing of it",
                    ));
                }
                Ok(false)
            }
            Ok(Answer::Refused(refusal)) => {
                self.note_refused(&guard, first)?;
                Err(refusal.into())
            }
            Ok(_) => Err(Error::unproven("the server answered another question")),
            Err(Error::SessionEnded) => {
                drop(guard);
                self.lost = Some(head.hash);
                self.resume().await?;
                Ok(self.lost.take().is_none())
            }
            Err(error @ (Error::Unreachable(_) | Error::Limit(_))) => {
                Err(error
                    .with("whether the change was stored is not known: look before you repeat it"))
            }
            Err(error) => Err(error),
        }
    }

    /// The index as it will be. An entry that no device could replay would lock the vault for good, so that none is
    /// sent before this device has replayed it.
    fn replayed(&self, entries: &[NewEntry]) -> Result<Index, Error> {
        let mut index = self.index.clone();
        for new in entries {
            index
                .replay(self.session.keys(), &new.entry)
                .map_err(|error| Error::Failed(format!("{error}; nothing was sent")))?;
        }
        Ok(index)
    }

    /// The server says that it did not store these entries, and holds them with the owner's signature. None of them
    /// can come into the log without the first.
    fn note_refused(&mut self, guard: &HeldPins<'_>, first: Option<Head>) -> Result<(), Error> {
        self.pins.refused.extend(first);
        guard.save(&self.pins)
    }

    /// Appends the owner's word that what they had seen beyond this log was lost.
    pub(crate) async fn acknowledge(&mut self, lost: Acknowledge) -> Result<(), Error> {
        let before = self.index.head();
        let entry = self.entry(before, Op::Acknowledge(lost))?;
        let head = Head {
            seq: before.seq.next(),
            hash: entry.hash(),
        };
        let entries = vec![NewEntry { entry, value: None }];
        let after = self.replayed(&entries)?;
        match accept(self.session.request(Call::Append(entries)).await?)? {
            Answer::Append(shown) if shown == head => {
                self.index = after;
                Ok(())
            }
            _ => Err(Error::unproven(
                "the server stored something else than this device signed",
            )),
        }
    }

    /// Seals and signs changes on top of the index; returns the head that they lead to.
    fn signed(&self, changes: &[Change]) -> Result<(Vec<NewEntry>, Head), Error> {
        let mut head = self.index.head();
        let mut versions = BTreeMap::new();
        let mut entries = Vec::with_capacity(changes.len());
        for change in changes {
            let new = self.sign(change, head, &mut versions)?;
            head = Head {
                seq: head.seq.next(),
                hash: new.entry.hash(),
            };
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

    fn entry(&self, head: Head, op: Op) -> Result<SignedEntry, Error> {
        let keys = self.session.keys();
        let entry = Entry {
            format: ENTRY_FORMAT,
            account: keys.account(),
            seq: head.seq.next(),
            previous: head.hash,
            device: self.session.device(),
            time_ms: now_ms(),
            seen: self.pins.audit,
            op,
        };
        SignedEntry::sign(&entry, &keys.signing()).map_err(|error| Error::Failed(error.to_string()))
    }

    fn operation(
        &self,
        change: &Change,
        seq: Seq,
        newest: Version,
    ) -> Result<(Op, Option<ByteBuf>), Error> {
        let keys = self.session.keys();
        let place = |secret: &SecretId, version: Version| Place {
            account: keys.account(),
            secret: *secret,
            version,
            epoch: EPOCH,
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
                    epoch: EPOCH,
                    value_hash: Digest::of(&value),
                    metadata: sealed(place, metadata)?,
                };
                (Op::Put(put), Some(ByteBuf::from(value)))
            }
            Change::Describe { secret, metadata } => {
                let describe = Describe {
                    secret: *secret,
                    version: newest,
                    epoch: EPOCH,
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
