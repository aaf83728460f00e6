//! The outer header of a database: cipher, compression and key derivation.

use shared::secret::SecretBytes;
use uuid::{Uuid, uuid};

use super::fields::{field, number, put, short_field};
use super::kdf::Kdf;
use crate::error::FormatError;

/// The first bytes of databases of KeePass 2.
pub const MAGIC: &[u8] = &[0x03, 0xD9, 0xA2, 0x9A, 0x67, 0xFB, 0x4B, 0xB5];
/// The version that is written: 4.0, which all programs of KDBX 4 read.
const VERSION: [u8; 4] = [0, 0, 4, 0];
/// Longest value of a field, in bytes: the fields that are read have at most 256; public custom data may be longer.
const MAX_FIELD: usize = 1024 * 1024;
/// Length of the seed, in bytes.
pub const SEED_LEN: usize = 32;
/// Length of the known start of the content of KDBX 3, in bytes.
pub const START_LEN: usize = 32;

const END: u8 = 0;
const CIPHER: u8 = 2;
const COMPRESSION: u8 = 3;
const MASTER_SEED: u8 = 4;
const TRANSFORM_SEED: u8 = 5;
const TRANSFORM_ROUNDS: u8 = 6;
const IV: u8 = 7;
const STREAM_KEY: u8 = 8;
const START: u8 = 9;
const STREAM: u8 = 10;
const KDF: u8 = 11;

const AES_256: Uuid = uuid!("31c1f2e6-bf71-4350-be58-05216afc5aff");
const CHACHA20: Uuid = uuid!("d6038a2b-8b6f-4cb5-a524-339a31dbb59a");
const TWOFISH: Uuid = uuid!("ad68f29f-576f-4bb9-a36a-d47af965346c");

/// The cipher of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// AES-256 in CBC mode.
    Aes256,
    /// Twofish in CBC mode, which is read only.
    Twofish,
    /// ChaCha20 (RFC 8439).
    ChaCha20,
}

/// The header.
#[derive(Debug)]
pub struct Header {
    /// The cipher of the content.
    pub cipher: Cipher,
    /// Whether the content is compressed.
    pub is_compressed: bool,
    /// The master seed, which is hashed together with the derived key.
    pub seed: [u8; SEED_LEN],
    /// The initialisation vector of the cipher.
    pub iv: Vec<u8>,
    /// The key derivation and its parameters.
    pub kdf: Kdf,
    /// The length of the header in the file, in bytes.
    pub len: usize,
    /// The fields that KDBX 3 has in this header.
    pub old: Option<Old>,
}

/// The fields of the header of KDBX 3 that KDBX 4 has elsewhere.
#[derive(Debug, Default)]
pub struct Old {
    /// The first bytes of the decrypted content.
    pub start: SecretBytes,
    /// The number of the cipher of protected values.
    pub stream: u32,
    /// Its key.
    pub stream_key: SecretBytes,
}

impl Header {
    /// Reads the header at the beginning of a file.
    ///
    /// # Errors
    /// [`FormatError`] for files that are neither KDBX 3 nor KDBX 4, for missing fields and for key derivations over their cost limits.
    pub fn parse(file: &[u8]) -> Result<Self, FormatError> {
        let is_none = || FormatError::not_this_format("this is not a KeePass database");
        let rest = file.strip_prefix(MAGIC).ok_or_else(is_none)?;
        let (version, mut rest) = number(rest)?;
        let major = version >> 16;
        if !(3..=4).contains(&major) {
            return Err(FormatError::unsupported(format!(
                "this is KDBX {major}, but KDBX 3 and 4 are read: open it in KeePass or KeePassXC and save it as KDBX 4"
            )));
        }
        let mut old = (major == 3).then(Old::default);
        let (mut aes_seed, mut rounds) = (None, None);
        let (mut cipher, mut is_compressed, mut seed, mut iv, mut kdf) =
            (None, None, None, None, None);
        loop {
            let (kind, value, behind) = match old {
                Some(_) => short_field(rest)?,
                None => field(rest, MAX_FIELD)?,
            };
            rest = behind;
            match (kind, &mut old) {
                (TRANSFORM_SEED, Some(_)) => aes_seed = <[u8; 32]>::try_from(value).ok(),
                (TRANSFORM_ROUNDS, Some(_)) => {
                    rounds = value.try_into().ok().map(u64::from_le_bytes);
                }
                (STREAM_KEY, Some(old)) => old.stream_key = SecretBytes::from(value),
                (START, Some(old)) => old.start = SecretBytes::from(value),
                (STREAM, Some(old)) => old.stream = number(value)?.0,
                (END, _) => break,
                (CIPHER, _) => cipher = Some(parse_cipher(value)?),
                (COMPRESSION, _) => is_compressed = Some(parse_compression(value)?),
                (MASTER_SEED, _) => seed = <[u8; SEED_LEN]>::try_from(value).ok(),
                (IV, _) => iv = Some(value.to_vec()),
                (KDF, None) => kdf = Some(Kdf::parse(value)?),
                // Comments, public custom data, and fields of newer versions.
                _ => {}
            }
        }
        if old.is_some() {
            kdf = aes_seed.map(|seed| Kdf::aes(seed, rounds)).transpose()?;
        }
        let is_whole = old.as_ref().is_none_or(|old| old.start.len() == START_LEN);
        let missing =
            |what: &str| FormatError::malformed(format!("the database's header has no {what}"));
        Ok(Self {
            cipher: cipher.ok_or_else(|| missing("cipher"))?,
            is_compressed: is_compressed.unwrap_or(false),
            seed: seed.ok_or_else(|| missing("seed of 32 bytes"))?,
            iv: iv.ok_or_else(|| missing("IV"))?,
            kdf: kdf.ok_or_else(|| missing("parameters of the key"))?,
            len: file.len() - rest.len(),
            old: if is_whole {
                old
            } else {
                return Err(missing("start of 32 bytes"));
            },
        })
    }

    /// Writes the header.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = [MAGIC, &VERSION].concat();
        let cipher = match self.cipher {
            Cipher::Aes256 => AES_256,
            Cipher::Twofish => TWOFISH,
            Cipher::ChaCha20 => CHACHA20,
        };
        put(&mut out, CIPHER, cipher.as_bytes());
        let compression = u32::from(self.is_compressed);
        put(&mut out, COMPRESSION, &compression.to_le_bytes());
        put(&mut out, MASTER_SEED, &self.seed);
        put(&mut out, IV, &self.iv);
        put(&mut out, KDF, &self.kdf.encode());
        put(&mut out, END, b"\r\n\r\n");
        out
    }
}

fn parse_cipher(value: &[u8]) -> Result<Cipher, FormatError> {
    match Uuid::from_slice(value) {
        Ok(AES_256) => Ok(Cipher::Aes256),
        Ok(TWOFISH) => Ok(Cipher::Twofish),
        Ok(CHACHA20) => Ok(Cipher::ChaCha20),
        _ => {
            let text = "the database is encrypted with a cipher other than AES-256, Twofish and ChaCha20: choose one of \
                        these in its settings and save it";
            Err(FormatError::unsupported(text))
        }
    }
}

fn parse_compression(value: &[u8]) -> Result<bool, FormatError> {
    match number(value)?.0 {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(FormatError::unsupported(
            "the compression of the database is unknown",
        )),
    }
}
