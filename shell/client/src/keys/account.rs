//! The account keys of all key epochs, and the keys derived from them by HKDF-SHA-512 (RFC 5869); `docs/protocol.md` has
//! the table.

use ed25519_dalek::SigningKey;
use shared::aead::{self, OpenError};
use shared::ids::{AccountId, DeviceId, PublicKey, SecretId, Version};
use shared::kdf::{derive, length_prefixed};
use shared::opaque::SUITE;
use shared::secret::Key;
use shared::vault_log::{FIRST_EPOCH, MAX_EPOCH};
use zeroize::Zeroizing;

/// The account key of each key epoch of an account, from the first to the current one.
#[derive(Debug, Clone)]
pub struct AccountKeys {
    account: AccountId,
    /// The keys before the current one, oldest first.
    former: Vec<Key>,
    current: Key,
    log_key: PublicKey,
}

impl AccountKeys {
    /// The key of a new account.
    pub fn first(account: AccountId, key: Key) -> Self {
        Self::new(account, Vec::new(), key)
    }

    fn new(account: AccountId, former: Vec<Key>, current: Key) -> Self {
        Self {
            account,
            log_key: public(&signing_key(&account, &current)),
            former,
            current,
        }
    }

    /// The keys with those of a further epoch.
    #[must_use]
    pub fn with_next(&self, key: Key) -> Self {
        let mut former = self.former.clone();
        former.push(self.current.clone());
        Self::new(self.account, former, key)
    }

    /// The account.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The current key epoch, from 1.
    pub fn epoch(&self) -> u32 {
        let former = u32::try_from(self.former.len()).unwrap_or(u32::MAX);
        FIRST_EPOCH.saturating_add(former)
    }

    /// The account key of an epoch; `None` for a later one than the current.
    pub fn of_epoch(&self, epoch: u32) -> Option<&Key> {
        if epoch == self.epoch() {
            return Some(&self.current);
        }
        let index = usize::try_from(epoch.checked_sub(FIRST_EPOCH)?).ok()?;
        self.former.get(index)
    }

    /// The current account key, for wrapping.
    pub fn current(&self) -> &Key {
        &self.current
    }

    /// The Ed25519 key that signs vault log entries in the current epoch. Derived at each use, since moving its type
    /// leaves a copy behind.
    pub fn signing(&self) -> SigningKey {
        signing_key(&self.account, &self.current)
    }

    /// The public half of [`Self::signing`].
    pub fn log_key(&self) -> PublicKey {
        self.log_key
    }

    /// The log-signing key of an epoch; `None` for a later one than the current.
    pub fn signing_of(&self, epoch: u32) -> Option<SigningKey> {
        Some(signing_key(&self.account, self.of_epoch(epoch)?))
    }

    /// The public half of the log-signing key of an epoch; `None` for a later one than the current.
    pub fn log_key_of(&self, epoch: u32) -> Option<PublicKey> {
        if epoch == self.epoch() {
            return Some(self.log_key);
        }
        self.signing_of(epoch).map(|key| public(&key))
    }

    /// The AEAD key of metadata, device names and notes of an epoch.
    ///
    /// # Errors
    /// [`OpenError`] for a later epoch than the current one.
    pub fn metadata(&self, epoch: u32) -> Result<Key, OpenError> {
        let key = self.of_epoch(epoch).ok_or(OpenError)?;
        Ok(self.derive(key, "keyshell/2 metadata", &[&epoch.to_be_bytes()]))
    }

    /// The AEAD key of one version of one secret, sealed in an epoch.
    ///
    /// # Errors
    /// [`OpenError`] for a later epoch than the current one.
    pub fn value(&self, secret: &SecretId, version: Version, epoch: u32) -> Result<Key, OpenError> {
        let fields: [&[u8]; 3] = [
            secret.as_bytes(),
            &version.0.to_be_bytes(),
            &epoch.to_be_bytes(),
        ];
        let key = self.of_epoch(epoch).ok_or(OpenError)?;
        Ok(self.derive(key, "keyshell/2 value", &fields))
    }

    /// The AEAD key of the local store in the current epoch.
    pub fn local_store(&self) -> Key {
        self.derive(&self.current, "keyshell/2 local store", &[])
    }

    /// The AEAD keys that the local store had in former epochs, newest first.
    pub fn former_local_stores(&self) -> impl Iterator<Item = Key> {
        let former = self.former.iter().rev();
        former.map(|key| self.derive(key, "keyshell/2 local store", &[]))
    }

    /// The AEAD keys of the cached index on one device: that of the current epoch, then those of former ones, newest
    /// first.
    pub fn device_caches(&self, device: &DeviceId) -> impl Iterator<Item = Key> {
        let keys = std::iter::once(&self.current).chain(self.former.iter().rev());
        keys.map(|key| self.derive(key, "keyshell/2 device cache", &[device.as_bytes()]))
    }

    /// All former account keys, sealed under the current one: `nonce (12) || ciphertext || tag (16)`.
    pub fn seal_history(&self) -> Vec<u8> {
        let mut joined = Zeroizing::new(Vec::with_capacity(self.former.len() * Key::LEN));
        for key in &self.former {
            joined.extend_from_slice(key.expose());
        }
        let epoch = self.epoch();
        let key = history_key(&self.account, &self.current, epoch);
        aead::seal_random(&key, &history_aad(&self.account, epoch), &joined)
    }

    /// The keys of all epochs up to `epoch`, whose account key is `current`. `history` is what [`Self::seal_history`]
    /// made; `None` in the first epoch.
    ///
    /// # Errors
    /// [`OpenError`] for a history that does not open, or has another number of keys.
    pub fn open(
        account: AccountId,
        epoch: u32,
        current: Key,
        history: Option<&[u8]>,
    ) -> Result<Self, OpenError> {
        if !(FIRST_EPOCH..=MAX_EPOCH).contains(&epoch) {
            return Err(OpenError);
        }
        let mut former = Vec::new();
        if let Some(history) = history {
            let key = history_key(&account, &current, epoch);
            let joined = aead::open_random(&key, &history_aad(&account, epoch), history)?;
            for key in joined.expose().chunks(Key::LEN) {
                former.push(Key::from_slice(key).ok_or(OpenError)?);
            }
        }
        let keys = Self::new(account, former, current);
        (keys.epoch() == epoch).then_some(keys).ok_or(OpenError)
    }

    fn derive(&self, root: &Key, label: &str, fields: &[&[u8]]) -> Key {
        let mut all: Vec<&[u8]> = vec![self.account.as_bytes()];
        all.extend_from_slice(fields);
        Key::new(*derive::<32>(root.expose(), label, &all))
    }
}

fn history_key(account: &AccountId, current: &Key, epoch: u32) -> Key {
    let fields: [&[u8]; 2] = [account.as_bytes(), &epoch.to_be_bytes()];
    Key::new(*derive::<32>(
        current.expose(),
        "keyshell/2 key history",
        &fields,
    ))
}

fn history_aad(account: &AccountId, epoch: u32) -> Vec<u8> {
    length_prefixed(&[
        b"keyshell/2 key history",
        &[SUITE],
        account.as_bytes(),
        &epoch.to_be_bytes(),
    ])
}

fn signing_key(account: &AccountId, root: &Key) -> SigningKey {
    let seed = derive::<32>(
        root.expose(),
        "keyshell/2 log signing",
        &[account.as_bytes()],
    );
    SigningKey::from_bytes(&seed)
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey::new(key.verifying_key().to_bytes())
}
