//! Sealing of values, metadata, device names and notes: padding, then AES-256-GCM-SIV (RFC 8452). Each ciphertext is
//! bound to its context, the fields of which are its associated data. Content is sealed in the current key epoch, and
//! opened in the epoch that the log names for it.

use shared::aead::{self, OpenError};
use shared::ids::{AccountId, DeviceId, SecretId, Seq, Version};
use shared::kdf::length_prefixed;
use shared::opaque::SUITE;
use shared::secret::{Key, SecretBytes};

use crate::keys::account::AccountKeys;
use crate::padding;

/// Shortest padded value, in bytes: a PIN is as long as a key.
const MIN_VALUE: usize = 64;
/// Shortest padded metadata, in bytes.
const MIN_METADATA: usize = 256;
const VALUE_LABEL: &[u8] = b"keyshell/2 sealed value";
const METADATA_LABEL: &[u8] = b"keyshell/2 sealed metadata";

/// The context of a value and its metadata: one version of one secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretContext {
    /// The secret.
    pub secret: SecretId,
    /// The version.
    pub version: Version,
}

impl SecretContext {
    fn aad(&self, account: &AccountId, label: &[u8], epoch: u32) -> Vec<u8> {
        length_prefixed(&[
            label,
            &[SUITE],
            account.as_bytes(),
            self.secret.as_bytes(),
            &self.version.0.to_be_bytes(),
            &epoch.to_be_bytes(),
        ])
    }

    /// Seals a value.
    ///
    /// # Errors
    /// [`OpenError`]; never in the current epoch.
    pub fn seal_value(
        &self,
        keys: &AccountKeys,
        value: &SecretBytes,
    ) -> Result<Vec<u8>, OpenError> {
        let epoch = keys.epoch();
        let key = keys.value(&self.secret, self.version, epoch)?;
        let aad = self.aad(&keys.account(), VALUE_LABEL, epoch);
        Ok(aead::seal_random(
            &key,
            &aad,
            &padding::pad(value.expose(), MIN_VALUE),
        ))
    }

    /// Opens a value that was sealed in this epoch.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_value(
        &self,
        keys: &AccountKeys,
        epoch: u32,
        sealed: &[u8],
    ) -> Result<SecretBytes, OpenError> {
        let key = keys.value(&self.secret, self.version, epoch)?;
        let aad = self.aad(&keys.account(), VALUE_LABEL, epoch);
        open_padded(&key, &aad, sealed, MIN_VALUE)
    }

    /// Seals encoded metadata.
    ///
    /// # Errors
    /// [`OpenError`]; never in the current epoch.
    pub fn seal_metadata(&self, keys: &AccountKeys, encoded: &[u8]) -> Result<Vec<u8>, OpenError> {
        let epoch = keys.epoch();
        let aad = self.aad(&keys.account(), METADATA_LABEL, epoch);
        Ok(seal_padded(&keys.metadata(epoch)?, &aad, encoded))
    }

    /// Opens metadata that were sealed in this epoch.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_metadata(
        &self,
        keys: &AccountKeys,
        epoch: u32,
        sealed: &[u8],
    ) -> Result<SecretBytes, OpenError> {
        let aad = self.aad(&keys.account(), METADATA_LABEL, epoch);
        open_padded(&keys.metadata(epoch)?, &aad, sealed, MIN_METADATA)
    }
}

/// The context of a text that stands beside an entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextContext {
    /// A device's name, in an entry about its credential.
    DeviceName {
        /// The device.
        device: DeviceId,
        /// The generation of its credential.
        generation: u64,
        /// Position of the entry.
        seq: Seq,
    },
    /// A note.
    Note {
        /// The device that signs the entry.
        device: DeviceId,
        /// Position of the entry.
        seq: Seq,
    },
}

impl TextContext {
    fn aad(&self, account: &AccountId, epoch: u32) -> Vec<u8> {
        let epoch = epoch.to_be_bytes();
        match self {
            Self::DeviceName {
                device,
                generation,
                seq,
            } => length_prefixed(&[
                b"keyshell/2 sealed device name",
                &[SUITE],
                account.as_bytes(),
                device.as_bytes(),
                &generation.to_be_bytes(),
                &epoch,
                &seq.0.to_be_bytes(),
            ]),
            Self::Note { device, seq } => length_prefixed(&[
                b"keyshell/2 sealed note",
                &[SUITE],
                account.as_bytes(),
                device.as_bytes(),
                &epoch,
                &seq.0.to_be_bytes(),
            ]),
        }
    }

    /// Seals the text.
    ///
    /// # Errors
    /// [`OpenError`]; never in the current epoch.
    pub fn seal(&self, keys: &AccountKeys, text: &[u8]) -> Result<Vec<u8>, OpenError> {
        let epoch = keys.epoch();
        let aad = self.aad(&keys.account(), epoch);
        Ok(seal_padded(&keys.metadata(epoch)?, &aad, text))
    }

    /// Opens a text that was sealed in this epoch.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        &self,
        keys: &AccountKeys,
        epoch: u32,
        sealed: &[u8],
    ) -> Result<SecretBytes, OpenError> {
        let aad = self.aad(&keys.account(), epoch);
        open_padded(&keys.metadata(epoch)?, &aad, sealed, MIN_METADATA)
    }
}

fn seal_padded(key: &Key, aad: &[u8], content: &[u8]) -> Vec<u8> {
    aead::seal_random(key, aad, &padding::pad(content, MIN_METADATA))
}

fn open_padded(key: &Key, aad: &[u8], sealed: &[u8], min: usize) -> Result<SecretBytes, OpenError> {
    let padded = aead::open_random(key, aad, sealed)?;
    let content = padding::unpad(padded.expose(), min).ok_or(OpenError)?;
    Ok(SecretBytes::from(content))
}
