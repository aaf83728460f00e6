//! The key schedule below the account key. `docs/protocol.md` has the table.

use ed25519_dalek::SigningKey;
use shared::ids::{AccountId, DeviceId, PublicKey, SecretId, Version};
use shared::kdf::derive;
use shared::secret::Key;

/// What outlives an account key that was replaced: it proves and opens what was made with it and is not told again, on
/// the device and in the audit log, and nothing that the server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerKeys {
    /// See [`AccountKeys::request_tag`].
    pub request_tag: Key,
    /// See [`AccountKeys::local_store`].
    pub local_store: Key,
}

/// The account key and what descends from it.
#[derive(Debug, Clone)]
pub struct AccountKeys {
    account: AccountId,
    epoch: u32,
    root: Key,
    log_key: PublicKey,
}

impl AccountKeys {
    /// Derives what every session needs. `epoch` counts the account keys, from [`shared::vault_log::FIRST_EPOCH`].
    pub fn new(account: AccountId, epoch: u32, root: Key) -> Self {
        let signing = signing_key(&account, &root);
        Self {
            account,
            epoch,
            log_key: PublicKey::new(signing.verifying_key().to_bytes()),
            root,
        }
    }

    /// Whose keys.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The how many-th account key it is, from 1.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The account key itself, for wrapping it.
    pub fn root(&self) -> &Key {
        &self.root
    }

    /// Signs vault log entries (Ed25519). Made anew for every use: its type would leave a copy wherever it is moved from.
    pub fn signing(&self) -> SigningKey {
        signing_key(&self.account, &self.root)
    }

    /// The public half of [`Self::signing`].
    pub fn log_key(&self) -> PublicKey {
        self.log_key
    }

    /// Seals metadata.
    pub fn metadata(&self) -> Key {
        self.derive("keyshell/1 metadata", &[&self.epoch.to_be_bytes()])
    }

    /// Seals one version of one secret.
    pub fn value(&self, secret: &SecretId, version: Version) -> Key {
        let fields: [&[u8]; 3] = [
            secret.as_bytes(),
            &version.0.to_be_bytes(),
            &self.epoch.to_be_bytes(),
        ];
        self.derive("keyshell/1 value", &fields)
    }

    /// Marks requests for the audit log.
    pub fn request_tag(&self) -> Key {
        self.derive("keyshell/1 request tag", &[])
    }

    /// Keeps the local store.
    pub fn local_store(&self) -> Key {
        self.derive("keyshell/1 local store", &[])
    }

    /// What is to outlive it.
    pub fn former(&self) -> FormerKeys {
        FormerKeys {
            request_tag: self.request_tag(),
            local_store: self.local_store(),
        }
    }

    /// Keeps the index on one device.
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
