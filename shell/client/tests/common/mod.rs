//! An owner's vault log in the making, signed and replayed entry by entry.
#![allow(dead_code, missing_docs, unreachable_pub)]

use keyshell_base::names::SecretName;
use keyshell_client::device::identity::DeviceIdentity;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::index::{Index, ReplayError, Replayed};
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::seal::{SecretContext, TextContext};
use keyshell_client::keys::slot::{SlotContext, SlotKeys};
use serde_bytes::ByteBuf;
use shared::ids::{AccountId, DeviceId, Digest, PublicKey, SecretId, ServerId, Version};
use shared::opaque::Slot;
use shared::secret::{Key, SecretBytes};
use shared::vault_log::{
    Credential, ENTRY_FORMAT, Entry, Identity, Op, Rekey, Sealed, SignedEntry,
};
use shared::wire::call::LoggedEntry;

pub const ACCOUNT: AccountId = AccountId::new([1; 16]);

/// A log with the keys that sign it.
#[derive(Clone)]
pub struct Owner {
    pub keys: AccountKeys,
    pub index: Index,
    pub device: DeviceIdentity,
}

impl Owner {
    /// The log after a registration.
    pub fn registered() -> Self {
        let keys = AccountKeys::first(ACCOUNT, Key::new([3; 32]));
        let mut owner = Self {
            index: Index::new(),
            device: DeviceIdentity::new(Key::new([2; 32])),
            keys,
        };
        owner.append(Op::Genesis(Identity {
            server: ServerId::new([4; 16]),
            opaque_key: PublicKey::new([5; 32]),
            checkpoint_key: PublicKey::new([6; 32]),
            log_key: owner.keys.log_key(),
            suite: 1,
        }));
        for slot in [Slot::Password, Slot::Recovery] {
            owner.append(owner.credential(slot, 1));
        }
        owner
    }

    /// The slot of this owner's device.
    pub fn device_slot(&self) -> Slot {
        Slot::Device(self.device.id())
    }

    pub fn slot_keys(&self, slot: Slot, generation: u64) -> SlotKeys {
        let context = SlotContext {
            account: ACCOUNT,
            slot,
            generation,
        };
        let export_key = [slot.label().len().try_into().unwrap(); 64];
        context.keys_of(&export_key, self.keys.current(), &self.device)
    }

    /// A credential of a slot.
    pub fn credential(&self, slot: Slot, generation: u64) -> Op {
        Op::Credential(Credential {
            slot,
            generation,
            keys: Some(self.slot_keys(slot, generation).public(b"wrapped key")),
            name: None,
        })
    }

    /// The revocation of a slot's credential.
    pub fn revocation(slot: Slot, generation: u64) -> Op {
        Op::Credential(Credential {
            slot,
            generation,
            keys: None,
            name: None,
        })
    }

    /// The entry that would come next, authorised by the newest credential of a slot.
    pub fn next(&self, op: Op, by: Option<Slot>) -> Entry {
        let head = self.index.head();
        let mut entry = Entry {
            format: ENTRY_FORMAT,
            account: ACCOUNT,
            seq: head.seq.next(),
            previous: head.hash,
            device: self.device.id(),
            time_ms: 7,
            seen: None,
            op,
            authorisation: None,
        };
        if let Some(slot) = by {
            let generation = self.index.credentials().generation(&slot);
            let key = self.slot_keys(slot, generation).signing();
            entry.authorise(slot, &key).unwrap();
        }
        entry
    }

    /// Signs an entry with the current log key and replays it with its content.
    pub fn replay(
        &mut self,
        entry: &Entry,
        content: Option<Vec<u8>>,
    ) -> Result<Replayed, ReplayError> {
        let entry = SignedEntry::sign(entry, &self.keys.signing()).unwrap();
        let metadata = content.map(ByteBuf::from);
        let logged = LoggedEntry { entry, metadata };
        self.index.replay(&self.keys, &logged)
    }

    pub fn append(&mut self, op: Op) -> Replayed {
        self.replay(&self.next(op, None), None).unwrap()
    }

    pub fn append_by(&mut self, slot: Slot, op: Op) -> Replayed {
        self.replay(&self.next(op, Some(slot)), None).unwrap()
    }

    /// Begins the next key epoch, with as many credentials to follow.
    pub fn rekey(&mut self, key: Key, credentials: u8) {
        let next = self.keys.with_next(key);
        let op = Op::Rekey(Rekey {
            epoch: next.epoch(),
            log_key: next.log_key(),
            credentials,
        });
        let entry = self.next(op, Some(Slot::Password));
        let entry = SignedEntry::sign(&entry, &self.keys.signing()).unwrap();
        self.keys = next;
        let logged = LoggedEntry {
            entry,
            metadata: None,
        };
        self.index.replay(&self.keys, &logged).unwrap();
    }

    /// One version of a secret in the current epoch, and its sealed metadata.
    pub fn sealed(&self, secret: SecretId, version: u64, name: &str) -> (Sealed, Vec<u8>) {
        let version = Version(version);
        let place = SecretContext { secret, version };
        let metadata = Metadata::named(SecretName::parse(name).unwrap());
        let encoded = metadata.encode().unwrap();
        let value = SecretBytes::from(name.as_bytes());
        let value = place.seal_value(&self.keys, &value).unwrap();
        let metadata = place.seal_metadata(&self.keys, encoded.expose()).unwrap();
        let sealed = Sealed {
            secret,
            version,
            epoch: self.keys.epoch(),
            value: Digest::of(&value),
            metadata: Digest::of(&metadata),
        };
        (sealed, metadata)
    }

    pub fn put(&mut self, secret: SecretId, version: u64, name: &str) {
        let (sealed, metadata) = self.sealed(secret, version, name);
        let entry = self.next(Op::Put(sealed), None);
        self.replay(&entry, Some(metadata)).unwrap();
    }

    /// A note at the next position, and its sealed text.
    pub fn note(&self, text: &str) -> (Op, Vec<u8>) {
        let place = TextContext::Note {
            device: self.device.id(),
            seq: self.index.head().seq.next(),
        };
        let sealed = place.seal(&self.keys, text.as_bytes()).unwrap();
        (Op::Note(Digest::of(&sealed)), sealed)
    }

    /// Hash and device of the newest entry.
    pub fn newest(&self) -> (Digest, DeviceId) {
        *self.index.entries().last().unwrap()
    }
}
