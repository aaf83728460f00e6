//! An entry of the vault log, told again under another account key: what it says stays the same, and it says itself what
//! it was.

use serde_bytes::ByteBuf;
use shared::aead::OpenError;
use shared::ids::{DeviceId, Digest, Seq};
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::vault_log::{
    Credential, Describe, Entry, FormerHash, Head, Identity, LogError, Op, Put, Rekey, SignedEntry,
};
use shared::wire::call::NewEntry;

use crate::keys::account::AccountKeys;
use crate::keys::seal::{FormerKeysPlace, NamePlace, NotePlace, Place};
use crate::vault::fetch::Fetched;

/// Why an entry cannot be told again; the log was replayed before, so that it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RetellError {
    /// Something in it does not open.
    #[error("a log entry carries what does not open")]
    Sealed(#[from] OpenError),
    /// It cannot be encoded.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// No metadata, no name, no text, no sealed value.
const UNREADABLE: &[u8] = &[0xff];

fn or_unreadable(opened: Result<SecretBytes, OpenError>) -> SecretBytes {
    opened.unwrap_or_else(|_| SecretBytes::from(UNREADABLE))
}

/// From one account key to the next.
#[derive(Debug, Clone)]
pub struct Retelling {
    /// Under which the log is.
    pub old: AccountKeys,
    /// Under which it is told.
    pub new: AccountKeys,
}

impl Retelling {
    /// Tells `entry` again on top of `head`, where it was signed as `signed`. `value` is that of a `put`; of a secret that
    /// was removed since, an empty one stands for it, which is removed with it. What cannot be read stays so.
    ///
    /// # Errors
    /// [`RetellError`].
    pub fn entry(
        &self,
        entry: Entry,
        signed: &SignedEntry,
        head: Head,
        value: &Fetched,
    ) -> Result<NewEntry, RetellError> {
        let former = self.former(&entry, signed);
        let (seq, device) = (entry.seq, entry.device);
        let mut sealed = None;
        let op = match entry.op {
            Op::Put(put) => {
                let (put, value) = self.put(put, seq, value);
                sealed = Some(value);
                Op::Put(put)
            }
            Op::Describe(describe) => Op::Describe(self.describe(describe, seq)),
            Op::Credential(credential) => Op::Credential(self.credential(credential, seq)),
            Op::Note(text) => Op::Note(self.note(&text, device, seq)),
            Op::Rekey(rekey) => Op::Rekey(self.rekey(rekey, seq)?),
            Op::Genesis(identity) => Op::Genesis(self.identity(identity)),
            Op::Server(identity) => Op::Server(self.identity(identity)),
            op @ (Op::Remove(_) | Op::Acknowledge(_)) => op,
        };
        let told = Entry {
            previous: head.hash,
            op,
            former,
            ..entry
        };
        let entry = SignedEntry::sign(&told, &self.new.signing())?;
        Ok(NewEntry {
            entry,
            value: sealed,
        })
    }

    /// What an entry that was told again must say that it was.
    pub fn former(&self, entry: &Entry, signed: &SignedEntry) -> Vec<FormerHash> {
        let mut former = entry.former.clone();
        former.push(FormerHash {
            epoch: self.old.epoch(),
            hash: signed.hash(),
        });
        former
    }

    /// What begins the new epoch: the log under the old key ended in `head`, at the position before.
    pub fn begin(&self, former: Head, seq: Seq) -> Rekey {
        let epoch = self.new.epoch();
        let place = FormerKeysPlace { begun: epoch, seq };
        Rekey {
            epoch,
            former,
            keys: ByteBuf::from(place.seal(&self.new, &self.old.former())),
        }
    }

    fn put(&self, put: Put, seq: Seq, value: &Fetched) -> (Put, ByteBuf) {
        let place = Place {
            secret: put.secret,
            version: put.version,
        };
        let value = match value {
            Fetched::Value(value) => place.seal_value(&self.new, value),
            Fetched::Removed => place.seal_value(&self.new, &SecretBytes::default()),
            Fetched::Unreadable => UNREADABLE.to_vec(),
        };
        let put = Put {
            epoch: self.new.epoch(),
            value_hash: Digest::of(&value),
            metadata: self.metadata(place, seq, &put.metadata),
            ..put
        };
        (put, ByteBuf::from(value))
    }

    fn describe(&self, describe: Describe, seq: Seq) -> Describe {
        let place = Place {
            secret: describe.secret,
            version: describe.version,
        };
        Describe {
            epoch: self.new.epoch(),
            metadata: self.metadata(place, seq, &describe.metadata),
            ..describe
        }
    }

    fn metadata(&self, place: Place, seq: Seq, sealed: &[u8]) -> ByteBuf {
        let opened = or_unreadable(place.open_metadata(&self.old, seq, sealed));
        ByteBuf::from(place.seal_metadata(&self.new, seq, opened.expose()))
    }

    fn credential(&self, credential: Credential, seq: Seq) -> Credential {
        let name = match (&credential.slot, &credential.name) {
            (Slot::Device(device), Some(sealed)) => {
                let place = NamePlace {
                    device: *device,
                    generation: credential.generation,
                    seq,
                };
                let name = or_unreadable(place.open(&self.old, sealed));
                Some(ByteBuf::from(place.seal(&self.new, name.expose())))
            }
            _ => None,
        };
        Credential { name, ..credential }
    }

    fn note(&self, sealed: &[u8], device: DeviceId, seq: Seq) -> ByteBuf {
        let place = NotePlace { device, seq };
        let text = or_unreadable(place.open(&self.old, sealed));
        ByteBuf::from(place.seal(&self.new, text.expose()))
    }

    fn rekey(&self, rekey: Rekey, seq: Seq) -> Result<Rekey, RetellError> {
        let place = FormerKeysPlace {
            begun: rekey.epoch,
            seq,
        };
        let former = place.open(&self.old, &rekey.keys)?;
        Ok(Rekey {
            keys: ByteBuf::from(place.seal(&self.new, &former)),
            ..rekey
        })
    }

    /// The log names the key that signs it.
    fn identity(&self, identity: Identity) -> Identity {
        Identity {
            log_key: self.new.log_key(),
            ..identity
        }
    }
}
