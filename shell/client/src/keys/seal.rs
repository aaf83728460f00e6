//! Sealing of values, metadata, device names, notes and former keys: padding, then AES-256-GCM-SIV (RFC 8452). Each
//! ciphertext is bound to its context, the fields of which are its associated data.

use shared::aead::{self, OpenError};
use shared::ids::{DeviceId, SecretId, Seq, Version};
use shared::kdf::length_prefixed;
use shared::opaque::SUITE;
use shared::secret::{Key, SecretBytes};
use zeroize::Zeroizing;

use crate::keys::account::{AccountKeys, FormerKeys};
use crate::padding;

/// Shortest padded value, in bytes: a PIN is as long as a key.
const MIN_VALUE: usize = 64;
/// Shortest padded metadata, in bytes.
const MIN_METADATA: usize = 256;

/// The context of a value and its metadata: one version of one secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretContext {
    /// The secret.
    pub secret: SecretId,
    /// The version.
    pub version: Version,
}

impl SecretContext {
    fn aad(&self, keys: &AccountKeys, label: &[u8], seq: Option<Seq>) -> Vec<u8> {
        let (version, epoch) = (self.version.0.to_be_bytes(), keys.epoch().to_be_bytes());
        let seq = seq.map(|seq| seq.0.to_be_bytes());
        let account = keys.account();
        let mut fields: Vec<&[u8]> = vec![
            label,
            &[SUITE],
            account.as_bytes(),
            self.secret.as_bytes(),
            &version,
            &epoch,
        ];
        fields.extend(seq.as_ref().map(<[u8; 8]>::as_slice));
        length_prefixed(&fields)
    }

    /// Seals a value.
    pub fn seal_value(&self, keys: &AccountKeys, value: &SecretBytes) -> Vec<u8> {
        let key = keys.value(&self.secret, self.version);
        let aad = self.aad(keys, b"keyshell/1 sealed value", None);
        aead::seal_random(&key, &aad, &padding::pad(value.expose(), MIN_VALUE))
    }

    /// Opens a value.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_value(&self, keys: &AccountKeys, sealed: &[u8]) -> Result<SecretBytes, OpenError> {
        let key = keys.value(&self.secret, self.version);
        let aad = self.aad(keys, b"keyshell/1 sealed value", None);
        open_padded(&key, &aad, sealed, MIN_VALUE)
    }

    /// Seals the encoded metadata that the entry at `seq` carries.
    pub fn seal_metadata(&self, keys: &AccountKeys, seq: Seq, encoded: &[u8]) -> Vec<u8> {
        let key = keys.metadata();
        let aad = self.aad(keys, b"keyshell/1 sealed metadata", Some(seq));
        aead::seal_random(&key, &aad, &padding::pad(encoded, MIN_METADATA))
    }

    /// Opens the metadata that the entry at `seq` carries.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_metadata(
        &self,
        keys: &AccountKeys,
        seq: Seq,
        sealed: &[u8],
    ) -> Result<SecretBytes, OpenError> {
        let key = keys.metadata();
        let aad = self.aad(keys, b"keyshell/1 sealed metadata", Some(seq));
        open_padded(&key, &aad, sealed, MIN_METADATA)
    }
}

/// The context of a device name: an entry about the device's credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceNameContext {
    /// The device.
    pub device: DeviceId,
    /// The generation of its credential.
    pub generation: u64,
    /// Position of the entry.
    pub seq: Seq,
}

impl DeviceNameContext {
    fn aad(&self, keys: &AccountKeys) -> Vec<u8> {
        length_prefixed(&[
            b"keyshell/1 sealed device name",
            &[SUITE],
            keys.account().as_bytes(),
            self.device.as_bytes(),
            &self.generation.to_be_bytes(),
            &keys.epoch().to_be_bytes(),
            &self.seq.0.to_be_bytes(),
        ])
    }

    /// Seals the name.
    pub fn seal(&self, keys: &AccountKeys, name: &[u8]) -> Vec<u8> {
        let key = keys.metadata();
        aead::seal_random(&key, &self.aad(keys), &padding::pad(name, MIN_METADATA))
    }

    /// Opens the ciphertext.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, keys: &AccountKeys, sealed: &[u8]) -> Result<SecretBytes, OpenError> {
        let key = keys.metadata();
        open_padded(&key, &self.aad(keys), sealed, MIN_METADATA)
    }
}

/// The context of a note: an entry of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoteContext {
    /// The device that signs the entry.
    pub device: DeviceId,
    /// Position of the entry.
    pub seq: Seq,
}

impl NoteContext {
    fn aad(&self, keys: &AccountKeys) -> Vec<u8> {
        length_prefixed(&[
            b"keyshell/1 sealed note",
            &[SUITE],
            keys.account().as_bytes(),
            self.device.as_bytes(),
            &keys.epoch().to_be_bytes(),
            &self.seq.0.to_be_bytes(),
        ])
    }

    /// Seals the text.
    pub fn seal(&self, keys: &AccountKeys, text: &[u8]) -> Vec<u8> {
        let key = keys.metadata();
        aead::seal_random(&key, &self.aad(keys), &padding::pad(text, MIN_METADATA))
    }

    /// Opens the ciphertext.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, keys: &AccountKeys, sealed: &[u8]) -> Result<SecretBytes, OpenError> {
        let key = keys.metadata();
        open_padded(&key, &self.aad(keys), sealed, MIN_METADATA)
    }
}

/// The context of former keys: the entry that begins a key epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormerKeysContext {
    /// The key epoch that the entry begins.
    pub begun: u32,
    /// Position of the entry.
    pub seq: Seq,
}

impl FormerKeysContext {
    fn aad(&self, keys: &AccountKeys) -> Vec<u8> {
        length_prefixed(&[
            b"keyshell/1 sealed former keys",
            &[SUITE],
            keys.account().as_bytes(),
            &self.begun.to_be_bytes(),
            &keys.epoch().to_be_bytes(),
            &self.seq.0.to_be_bytes(),
        ])
    }

    /// Seals the keys, 64 bytes.
    pub fn seal(&self, keys: &AccountKeys, former: &FormerKeys) -> Vec<u8> {
        let mut both = Zeroizing::new(Vec::with_capacity(2 * Key::LEN));
        both.extend_from_slice(former.request_tag.expose());
        both.extend_from_slice(former.local_store.expose());
        aead::seal_random(&keys.metadata(), &self.aad(keys), &both)
    }

    /// Opens them.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, keys: &AccountKeys, sealed: &[u8]) -> Result<FormerKeys, OpenError> {
        let opened = aead::open_random(&keys.metadata(), &self.aad(keys), sealed)?;
        let (first, second) = opened
            .expose()
            .split_at_checked(Key::LEN)
            .ok_or(OpenError)?;
        Ok(FormerKeys {
            request_tag: Key::from_slice(first).ok_or(OpenError)?,
            local_store: Key::from_slice(second).ok_or(OpenError)?,
        })
    }
}

fn open_padded(key: &Key, aad: &[u8], sealed: &[u8], min: usize) -> Result<SecretBytes, OpenError> {
    let padded = aead::open_random(key, aad, sealed)?;
    let content = padding::unpad(padded.expose(), min).ok_or(OpenError)?;
    Ok(SecretBytes::from(content))
}
