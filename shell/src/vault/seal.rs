//! Sealing of values and metadata: padded, then AES-256-GCM-SIV with associated data that say what, whose and when.

use padme_padding::Padme;
use shared::aead::{self, OpenError};
use shared::ids::{AccountId, DeviceId, SecretId, Seq, Version};
use shared::kdf::length_prefixed;
use shared::opaque::SUITE;
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::vault::keys::AccountKeys;

const LENGTH_LEN: usize = 4;
/// Shortest padded value, in bytes: a PIN looks like a key.
const MIN_VALUE: usize = 64;
/// Shortest padded metadata, in bytes.
const MIN_METADATA: usize = 256;

/// One version of one secret under one key epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whose.
    pub account: AccountId,
    /// Which secret.
    pub secret: SecretId,
    /// Which version.
    pub version: Version,
    /// Under which account key.
    pub epoch: u32,
}

impl Place {
    fn aad(&self, label: &[u8], seq: Option<Seq>) -> Vec<u8> {
        let (version, epoch) = (self.version.0.to_be_bytes(), self.epoch.to_be_bytes());
        let seq = seq.map(|seq| seq.0.to_be_bytes());
        let mut fields: Vec<&[u8]> = vec![
            label,
            &[SUITE],
            self.account.as_bytes(),
            self.secret.as_bytes(),
            &version,
            &epoch,
        ];
        fields.extend(seq.as_ref().map(<[u8; 8]>::as_slice));
        length_prefixed(&fields)
    }

    /// Seals a value.
    pub fn seal_value(&self, keys: &AccountKeys, value: &SecretBytes) -> Vec<u8> {
        let key = keys.value(&self.secret, self.version, self.epoch);
        let aad = self.aad(b"keyshell/1 sealed value", None);
        aead::seal_random(&key, &aad, &pad(value.expose(), MIN_VALUE))
    }

    /// Opens a value.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_value(&self, keys: &AccountKeys, sealed: &[u8]) -> Result<SecretBytes, OpenError> {
        let key = keys.value(&self.secret, self.version, self.epoch);
        let aad = self.aad(b"keyshell/1 sealed value", None);
        unpad(&aead::open_random(&key, &aad, sealed)?, MIN_VALUE)
    }

    /// Seals the encoded metadata that the entry at `seq` carries.
    pub fn seal_metadata(&self, keys: &AccountKeys, seq: Seq, encoded: &[u8]) -> Vec<u8> {
        let key = keys.metadata(self.epoch);
        let aad = self.aad(b"keyshell/1 sealed metadata", Some(seq));
        aead::seal_random(&key, &aad, &pad(encoded, MIN_METADATA))
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
        let key = keys.metadata(self.epoch);
        let aad = self.aad(b"keyshell/1 sealed metadata", Some(seq));
        unpad(&aead::open_random(&key, &aad, sealed)?, MIN_METADATA)
    }
}

/// Where the name of a device is said: in which entry about its credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamePlace {
    /// Which device.
    pub device: DeviceId,
    /// Which generation of its credential.
    pub generation: u64,
    /// Position of the entry.
    pub seq: Seq,
    /// Under which account key.
    pub epoch: u32,
}

impl NamePlace {
    fn aad(&self, keys: &AccountKeys) -> Vec<u8> {
        length_prefixed(&[
            b"keyshell/1 sealed device name",
            &[SUITE],
            keys.account().as_bytes(),
            self.device.as_bytes(),
            &self.generation.to_be_bytes(),
            &self.epoch.to_be_bytes(),
            &self.seq.0.to_be_bytes(),
        ])
    }

    /// Seals the name.
    pub fn seal(&self, keys: &AccountKeys, name: &str) -> Vec<u8> {
        let key = keys.metadata(self.epoch);
        aead::seal_random(&key, &self.aad(keys), &pad(name.as_bytes(), MIN_METADATA))
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, keys: &AccountKeys, sealed: &[u8]) -> Result<SecretBytes, OpenError> {
        let key = keys.metadata(self.epoch);
        unpad(
            &aead::open_random(&key, &self.aad(keys), sealed)?,
            MIN_METADATA,
        )
    }
}

/// Where a note is: in which device's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotePlace {
    /// The device that made it.
    pub device: DeviceId,
    /// Position of the entry.
    pub seq: Seq,
    /// Under which account key.
    pub epoch: u32,
}

impl NotePlace {
    fn aad(&self, keys: &AccountKeys) -> Vec<u8> {
        length_prefixed(&[
            b"keyshell/1 sealed note",
            &[SUITE],
            keys.account().as_bytes(),
            self.device.as_bytes(),
            &self.epoch.to_be_bytes(),
            &self.seq.0.to_be_bytes(),
        ])
    }

    /// Seals the text.
    pub fn seal(&self, keys: &AccountKeys, text: &str) -> Vec<u8> {
        let key = keys.metadata(self.epoch);
        aead::seal_random(&key, &self.aad(keys), &pad(text.as_bytes(), MIN_METADATA))
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, keys: &AccountKeys, sealed: &[u8]) -> Result<SecretBytes, OpenError> {
        let key = keys.metadata(self.epoch);
        unpad(
            &aead::open_random(&key, &self.aad(keys), sealed)?,
            MIN_METADATA,
        )
    }
}

/// `length (4, big-endian) || content || zeros`, up to the Padmé size of length and content
/// (Nikitin et al., PETS 2019), but at least `min`.
fn pad(content: &[u8], min: usize) -> Zeroizing<Vec<u8>> {
    let len = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let size = padded_size(content.len(), min);
    let mut padded = Zeroizing::new(Vec::with_capacity(size));
    padded.extend_from_slice(&len.to_be_bytes());
    padded.extend_from_slice(content);
    padded.resize(size, 0);
    padded
}

fn padded_size(len: usize, min: usize) -> usize {
    Padme::padded_len(LENGTH_LEN + len).max(min)
}

/// Only the one padding that [`pad`] makes is accepted.
fn unpad(padded: &SecretBytes, min: usize) -> Result<SecretBytes, OpenError> {
    let (len, rest) = padded
        .expose()
        .split_first_chunk::<LENGTH_LEN>()
        .ok_or(OpenError)?;
    let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| OpenError)?;
    let (content, zeros) = rest.split_at_checked(len).ok_or(OpenError)?;
    if padded.len() != padded_size(len, min) || zeros.iter().any(|byte| *byte != 0) {
        return Err(OpenError);
    }
    Ok(SecretBytes::from(content))
}
