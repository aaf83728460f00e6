//! The index by replay.
#![allow(missing_docs, clippy::unwrap_used)]

use ed25519_dalek::SigningKey;
use keyshell_base::names::SecretName;
use keyshell_client::index::Index;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::seal::SecretContext;
use keyshell_client::verification::VerificationError;
use serde_bytes::ByteBuf;
use shared::ids::{AccountId, DeviceId, Digest, PublicKey, SecretId, ServerId, Version};
use shared::opaque::Slot;
use shared::secret::Key;
use shared::vault_log::{
    Credential, ENTRY_FORMAT, Entry, FIRST_EPOCH, Head, Identity, LogError, Op, Put, Remove,
    SignedEntry,
};

const ACCOUNT: AccountId = AccountId::new([1; 16]);
const DEVICE: DeviceId = DeviceId::new([2; 16]);

/// An owner's log in the making.
struct Log {
    keys: AccountKeys,
    index: Index,
}

impl Log {
    fn new() -> Self {
        let keys = AccountKeys::new(ACCOUNT, FIRST_EPOCH, Key::new([3; 32]));
        let mut log = Self {
            index: Index::new(),
            keys,
        };
        log.append(Op::Genesis(Identity {
            server: ServerId::new([4; 16]),
            opaque_key: PublicKey::new([5; 32]),
            checkpoint_key: PublicKey::new([6; 32]),
            log_key: log.keys.log_key(),
            suite: 1,
        }));
        log
    }

    fn append(&mut self, op: Op) {
        self.try_append(op).unwrap();
    }

    fn try_append(&mut self, op: Op) -> Result<(), VerificationError> {
        let key: SigningKey = self.keys.signing();
        let head: Head = self.index.head();
        let entry = Entry {
            format: ENTRY_FORMAT,
            account: ACCOUNT,
            seq: head.seq.next(),
            previous: head.hash,
            device: DEVICE,
            time_ms: 7,
            seen: None,
            op,
            former: Vec::new(),
        };
        let signed = SignedEntry::sign(&entry, &key).unwrap();
        self.index.replay(&self.keys, &signed).map(drop)
    }

    /// A credential of this device: made, or revoked.
    fn credential(&mut self, generation: u64, is_made: bool) -> Result<(), VerificationError> {
        self.try_append(Op::Credential(Credential {
            slot: Slot::Device(DEVICE),
            generation,
            wrapped: is_made.then(|| Digest::new([9; 32])),
            name: None,
        }))
    }

    fn put(&mut self, secret: SecretId, name: &str) {
        let place = SecretContext {
            secret,
            version: Version(1),
        };
        let metadata = Metadata::named(SecretName::parse(name).unwrap());
        let encoded = metadata.encode().unwrap();
        let seq = self.index.head().seq.next();
        let sealed = place.seal_metadata(&self.keys, seq, encoded.expose());
        self.append(Op::Put(Put {
            secret,
            version: Version(1),
            epoch: FIRST_EPOCH,
            value_hash: Digest::new([8; 32]),
            metadata: ByteBuf::from(sealed),
        }));
    }
}

/// Another program of the owner's may give a name twice: every secret stays in reach, and the cache tells the same as
/// the replay.
#[test]
fn secrets_of_one_name_do_not_hide_each_other() {
    for [first, second] in [[1, 2], [2, 1]] {
        let (first, second) = (SecretId::new([first; 16]), SecretId::new([second; 16]));
        let mut log = Log::new();
        log.put(first, "same");
        log.put(second, "same");
        let name = SecretName::parse("same").unwrap();
        assert_eq!(log.index.secrets().len(), 2);
        let found = log.index.find(&name).unwrap().id;
        let cached = log.index.encode().unwrap();
        let restored = Index::decode(cached.expose()).unwrap();
        assert_eq!(restored, log.index);
        assert_eq!(restored.find(&name).unwrap().id, found);
        log.append(Op::Remove(Remove {
            secret: second,
            version: Version(1),
        }));
        assert_eq!(log.index.find(&name).unwrap().id, first);
    }
}

/// A credential of the last generation there is could be neither revoked nor replaced.
#[test]
fn a_credential_cannot_jump_out_of_reach() {
    let mut log = Log::new();
    let bad = Err(VerificationError::Entry(LogError::Contradiction));
    assert_eq!(log.credential(2, true), bad);
    log.credential(1, true).unwrap();
    for wrong in [0, 1, 3, u64::MAX] {
        assert_eq!(log.credential(wrong, true), bad, "{wrong}");
        assert_eq!(log.credential(wrong, false), bad, "{wrong}");
    }
    log.credential(2, false).unwrap();
    assert_eq!(log.credential(2, true), bad);
    log.credential(3, true).unwrap();
    let generation = log.index.credentials().generation(&Slot::Device(DEVICE));
    assert_eq!(generation, 3);
}
