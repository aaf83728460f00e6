//! Re-encryption of vault log entries under another account key. A re-encrypted entry keeps its content, and names the
//! hashes that it had under former account keys.

use serde_bytes::ByteBuf;
use shared::aead::OpenError;
use shared::ids::{DeviceId, Digest, Seq};
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::vault_log::{
    Credential, Describe, Entry, FormerHash, Head, Identity, Op, Put, Rekey, SignedEntry,
};
use shared::wire::call::NewEntry;

use crate::keys::account::AccountKeys;
use crate::keys::seal::{DeviceNameContext, FormerKeysContext, NoteContext, SecretContext};
use crate::vault::fetch::Fetched;
use crate::verification::VerificationError;

/// Stands for unreadable content: it is no valid metadata, name, text or sealed value.
const UNREADABLE: &[u8] = &[0xff];

fn or_unreadable(opened: Result<SecretBytes, OpenError>) -> SecretBytes {
    opened.unwrap_or_else(|_| SecretBytes::from(UNREADABLE))
}

/// Re-encrypts entries from one account key to the next.
#[derive(Debug, Clone)]
pub struct Reencryption {
    /// The keys that the log is under.
    pub old: AccountKeys,
    /// The keys to re-encrypt it under.
    pub new: AccountKeys,
}

impl Reencryption {
    /// Re-encrypts and re-signs `entry`, which was signed as `signed`, on top of `head`. `value` is that of an
    /// [`Op::Put`]; for a secret that was removed since, an empty value takes its place. Unreadable content stays
    /// unreadable.
    ///
    /// # Errors
    /// [`VerificationError::FormerKeys`], [`VerificationError::Entry`]; never for entries that were replayed before.
    pub fn entry(
        &self,
        entry: Entry,
        signed: &SignedEntry,
        head: Head,
        value: &Fetched,
    ) -> Result<NewEntry, VerificationError> {
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
        let reencrypted = Entry {
            previous: head.hash,
            op,
            former,
            ..entry
        };
        let entry = SignedEntry::sign(&reencrypted, &self.new.signing())?;
        Ok(NewEntry {
            entry,
            value: sealed,
        })
    }

    /// The former hashes that the re-encrypted entry must name.
    pub fn former(&self, entry: &Entry, signed: &SignedEntry) -> Vec<FormerHash> {
        let mut former = entry.former.clone();
        former.push(FormerHash {
            epoch: self.old.epoch(),
            hash: signed.hash(),
        });
        former
    }

    /// The operation that begins the new epoch, at `seq`; the log under the old key ended in `former`.
    pub fn begin(&self, former: Head, seq: Seq) -> Rekey {
        let epoch = self.new.epoch();
        let place = FormerKeysContext { begun: epoch, seq };
        Rekey {
            epoch,
            former,
            keys: ByteBuf::from(place.seal(&self.new, &self.old.former())),
        }
    }

    fn put(&self, put: Put, seq: Seq, value: &Fetched) -> (Put, ByteBuf) {
        let place = SecretContext {
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
        let place = SecretContext {
            secret: describe.secret,
            version: describe.version,
        };
        Describe {
            epoch: self.new.epoch(),
            metadata: self.metadata(place, seq, &describe.metadata),
            ..describe
        }
    }

    fn metadata(&self, place: SecretContext, seq: Seq, sealed: &[u8]) -> ByteBuf {
        let opened = or_unreadable(place.open_metadata(&self.old, seq, sealed));
        ByteBuf::from(place.seal_metadata(&self.new, seq, opened.expose()))
    }

    fn credential(&self, credential: Credential, seq: Seq) -> Credential {
        let name = match (&credential.slot, &credential.name) {
            (Slot::Device(device), Some(sealed)) => {
                let place = DeviceNameContext {
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
        let place = NoteContext { device, seq };
        let text = or_unreadable(place.open(&self.old, sealed));
        ByteBuf::from(place.seal(&self.new, text.expose()))
    }

    fn rekey(&self, rekey: Rekey, seq: Seq) -> Result<Rekey, VerificationError> {
        let place = FormerKeysContext {
            begun: rekey.epoch,
            seq,
        };
        let former = place.open(&self.old, &rekey.keys);
        let former = former.map_err(|OpenError| VerificationError::FormerKeys(seq))?;
        Ok(Rekey {
            keys: ByteBuf::from(place.seal(&self.new, &former)),
            ..rekey
        })
    }

    /// Names the new key that signs the log.
    fn identity(&self, identity: Identity) -> Identity {
        Identity {
            log_key: self.new.log_key(),
            ..identity
        }
    }
}
