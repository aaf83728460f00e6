//! Keys derived from the account key by HKDF-SHA-512 (RFC 5869); `docs/protocol.md` has the table.

use ed25519_dalek::SigningKey;
use shared::ids::{AccountId, DeviceId, PublicKey, SecretId, Version};
use shared::kdf::derive;
use shared::secret::Key;

/// The keys kept of an account key that was replaced. They verify audit records and open a local store from before the
/// replacement, and open nothing that the server stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerKeys {
    /// See [`AccountKeys::request_tag`].
    pub request_tag: Key,
    /// See [`AccountKeys::local_store`].
    pub local_store: Key,
}

/// The account key and the keys derived from it.
#[derive(Debug, Clone)]
pub struct AccountKeys {
    account: AccountId,
    epoch: u32,
    root: Key,
    log_key: PublicKey,
}

impl AccountKeys {
    /// Derives the log-signing key of an account key. `epoch` counts the account keys of an account, from
    /// [`shared::vault_log::FIRST_EPOCH`].
    pub fn new(account: AccountId, epoch: u32, root: Key) -> Self {
        let signing = signing_key(&account, &root);
        Self {
            account,
            epoch,
            log_key: PublicKey::new(signing.verifying_key().to_bytes()),
            root,
        }
    }

    /// The account.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The key epoch, from 1.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The account key, for wrapping.
    pub fn root(&self) -> &Key {
        &self.root
    }

    /// The Ed25519 key that signs vault log entries. Derived at each use, since moving its type leaves a copy behind.
    pub fn signing(&self) -> SigningKey {
        signing_key(&self.account, &self.root)
    }

    /// The public half of [`Self::signing`].
    pub fn log_key(&self) -> PublicKey {
        self.log_key
    }

    /// The AEAD key of metadata, device names, notes and former keys.
    pub fn metadata(&self) -> Key {
        self.derive("keyshell/1 metadata", &[&self.epoch.to_be_bytes()])
    }

    /// The AEAD key of one version of one secret.
    pub fn value(&self, secret: &SecretId, version: Version) -> Key {
        let fields: [&[u8]; 3] = [
            secret.as_bytes(),
            &version.0.to_be_bytes(),
            &self.epoch.to_be_bytes(),
        ];
        self.derive("keyshell/1 value", &fields)
    }

    /// The key of the request tags in the audit log.
    pub fn request_tag(&self) -> Key {
        self.derive("keyshell/1 request tag", &[])
    }

    /// The AEAD key of the local store.
    pub fn local_store(&self) -> Key {
        self.derive("keyshell/1 local store", &[])
    }

    /// The keys to keep when this account key is replaced.
    pub fn former(&self) -> FormerKeys {
        FormerKeys {
            request_tag: self.request_tag(),
            local_store: self.local_store(),
        }
    }

    /// The AEAD key of the cached index on one device.
    pub fn device_cache(&self, device: &DeviceId) -> Key {
        self.derive("keyshell/1 device cache", &[device.as_bytes()])
    }

    fn derive(&self, label: &str, fields: &[&[u8]]) -> Key {
        let mut all: Vec<&[u8]> = vec![self.account.as_bytes()];
        all.extend_from_slice(fields);
        Key::new(*derive::<32>(self.root.expose(), label, &all))
    }
}

fn signing_key(account: &AccountId, root: &Key) -> SigningKey {
    let seed = derive::<32>(
        root.expose(),
        "keyshell/1 log signing",
        &[account.as_bytes()],
    );
    SigningKey::from_bytes(&seed)
}
