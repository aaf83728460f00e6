//! The outer header of a database: cipher, compression and key derivation.

use uuid::{Uuid, uuid};

use super::fields::{field, number, put};
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

const END: u8 = 0;
const CIPHER: u8 = 2;
const COMPRESSION: u8 = 3;
const MASTER_SEED: u8 = 4;
const IV: u8 = 7;
const KDF: u8 = 11;

const AES_256: Uuid = uuid!("31c1f2e6-bf71-4350-be58-05216afc5aff");
const CHACHA20: Uuid = uuid!("d6038a2b-8b6f-4cb5-a524-339a31dbb59a");

/// The cipher of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// AES-256 in CBC mode.
    Aes256,
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
}

impl Header {
    /// Reads the header at the beginning of a file.
    ///
    /// # Errors
    /// [`FormatError`] for files that are not KDBX 4, for missing fields and for key derivations over their cost limits.
    pub fn parse(file: &[u8]) -> Result<Self, FormatError> {
        let is_none = || FormatError::not_this_format("this is not a KeePass database");
        let rest = file.strip_prefix(MAGIC).ok_or_else(is_none)?;
        let (version, mut rest) = number(rest)?;
        let major = version >> 16;
        if major != 4 {
            return Err(FormatError::unsupported(format!(
                "this is KDBX {major}, but only KDBX 4 is read: open it in KeePass or KeePassXC and save it as KDBX 4"
            )));
        }
        let (mut cipher, mut is_compressed, mut seed, mut iv, mut kdf) =
            (None, None, None, None, None);
        loop {
            let (kind, value, behind) = field(rest, MAX_FIELD)?;
            rest = behind;
            match kind {
                END => break,
                CIPHER => cipher = Some(parse_cipher(value)?),
                COMPRESSION => is_compressed = Some(parse_compression(value)?),
                MASTER_SEED => seed = <[u8; SEED_LEN]>::try_from(value).ok(),
                IV => iv = Some(value.to_vec()),
                KDF => kdf = Some(Kdf::parse(value)?),
                // Comments, public custom data, and fields of newer versions.
                _ => {}
            }
        }
        let missing =
            |what: &str| FormatError::malformed(format!("the database's header has no {what}"));
        Ok(Self {
            cipher: cipher.ok_or_else(|| missing("cipher"))?,
            is_compressed: is_compressed.unwrap_or(false),
            seed: seed.ok_or_else(|| missing("seed of 32 bytes"))?,
            iv: iv.ok_or_else(|| missing("IV"))?,
            kdf: kdf.ok_or_else(|| missing("parameters of the key"))?,
            len: file.len() - rest.len(),
        })
    }

    /// Writes the header.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = [MAGIC, &VERSION].concat();
        let cipher = match self.cipher {
            Cipher::Aes256 => AES_256,
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
        Ok(CHACHA20) => Ok(Cipher::ChaCha20),
        _ => {
            let text = "the database is encrypted with a cipher other than AES-256 and ChaCha20: choose one of these in \
                        its settings and save it";
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
