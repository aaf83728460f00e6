//! The container of a database around its XML: header, checksums, encrypted blocks, compression, attachments.

use std::io::Write as _;

use aes::Aes256;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockEncryptMut as _, KeyIvInit as _};
use chacha20::ChaCha20;
use chacha20::cipher::StreamCipher as _;
use data_encoding::BASE64;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use hmac::{Hmac, Mac as _};
use keyshell_base::files;
use sha2::{Digest as _, Sha256, Sha512};
use shared::secret::{SecretBytes, SecretWriter};
use subtle::ConstantTimeEq as _;
use twofish::Twofish;
use zeroize::{Zeroize as _, Zeroizing};

use super::fields::{field, number, put, split};
use super::header::{Cipher, Header, Old, SEED_LEN};
use super::kdf::{Kdf, composite};
use super::stream::{CHACHA20, InnerStream};
use super::tree::Document;
use super::xml;
use crate::ciphers::{Key, decrypt_cbc};
use crate::error::FormatError;

type HmacSha256 = Hmac<Sha256>;

/// Longest inflated content of a file, and of its attachments together, in bytes.
pub const MAX_PLAIN: usize = 512 * 1024 * 1024;
/// Length of blocks that we write, in bytes.
const BLOCK: usize = 1024 * 1024;
/// Length of hashes, in bytes.
const HASH: usize = 32;
/// Most attachments.
const MAX_BINARIES: usize = 1_000_000;

const END: u8 = 0;
const STREAM: u8 = 1;
const STREAM_KEY: u8 = 2;
const BINARY: u8 = 3;
/// The flag of attachments that programs should protect in memory.
const IS_PROTECTED: u8 = 1;

/// The decrypted content of a file.
pub struct Inner {
    /// The whole content.
    pub plain: SecretBytes,
    /// The offset of the XML document.
    pub xml_at: usize,
    /// The cipher of protected values.
    pub stream: InnerStream,
    /// Attachments, by number.
    pub binaries: Vec<SecretBytes>,
    /// The hash that the XML of KDBX 3 states of the header, in base64.
    pub header_hash: Option<String>,
}

/// The keys of one file.
struct Keys {
    master: Key,
    mac: Zeroizing<[u8; 64]>,
}

impl Keys {
    /// The keys of a file from the key that its key derivation gives.
    fn derive(seed: &[u8; SEED_LEN], stretched: &[u8]) -> Self {
        let master = Sha256::new_with_prefix(seed).chain_update(stretched);
        let mac = Sha512::new_with_prefix(seed).chain_update(stretched);
        Self {
            master: Key::new(master.finalize().into()),
            mac: Zeroizing::new(mac.chain_update([1]).finalize().into()),
        }
    }

    /// The HMAC of a block; the header has the largest number.
    fn code(&self, block: u64, parts: &[&[u8]]) -> Result<HmacSha256, FormatError> {
        let number = block.to_le_bytes();
        let key = Sha512::new_with_prefix(number).chain_update(*self.mac);
        let mut key = key.finalize();
        let mac = <HmacSha256 as hmac::Mac>::new_from_slice(&key);
        key.zeroize();
        let mut mac = mac.map_err(FormatError::library)?;
        for part in parts {
            mac.update(part);
        }
        Ok(mac)
    }
}

fn wrong() -> FormatError {
    FormatError::wrong_passphrase(
        "the database does not open: wrong passphrase, or wrong or missing key file (--key-file)",
    )
}

/// Decrypts a file with the key that its key derivation gives.
///
/// # Errors
/// [`FormatError`]: wrong passphrase, damaged, too much inside.
pub fn open(file: &SecretBytes, header: &Header, stretched: &[u8]) -> Result<Inner, FormatError> {
    let (head, rest) = split(file.expose(), header.len)?;
    let keys = Keys::derive(&header.seed, stretched);
    if let Some(old) = &header.old {
        // A wrong key gives wrong padding, or another start.
        let opened = decrypted(header, &keys, rest.to_vec()).map_err(|_| wrong())?;
        let content = opened.expose().strip_prefix(old.start.expose());
        let content = unhashed(content.ok_or_else(wrong)?)?;
        let hash = BASE64.encode(&Sha256::digest(head));
        return Inner::of_old(plain(header, content)?, old, hash);
    }
    let (hash, rest) = split(rest, HASH)?;
    if !bool::from(Sha256::digest(head).as_slice().ct_eq(hash)) {
        return Err(FormatError::malformed("the database's header is damaged"));
    }
    let (code, blocks) = split(rest, HASH)?;
    let mac = keys.code(u64::MAX, &[head])?;
    mac.verify_slice(code).map_err(|_| wrong())?;
    let sealed = unblocked(blocks, &keys)?;
    Inner::parse(plain(header, decrypted(header, &keys, sealed)?)?)
}

/// The content without its compression.
fn plain(header: &Header, opened: SecretBytes) -> Result<SecretBytes, FormatError> {
    if header.is_compressed {
        inflated(&opened, MAX_PLAIN)
    } else {
        Ok(opened)
    }
}

/// Checks and joins the blocks of KDBX 3: number, hash, length, content; the last one is empty.
fn unhashed(mut blocks: &[u8]) -> Result<SecretBytes, FormatError> {
    let damaged = || FormatError::malformed("the database is damaged");
    let mut content = Vec::with_capacity(blocks.len());
    for block in 0_u32.. {
        let (own, rest) = number(blocks)?;
        let (hash, rest) = split(rest, HASH)?;
        let (len, rest) = number(rest)?;
        let (part, rest) = split(rest, usize::try_from(len).unwrap_or(usize::MAX))?;
        let is_last = part.is_empty();
        let expected = if is_last {
            [0; HASH]
        } else {
            Sha256::digest(part).into()
        };
        if own != block || !bool::from(expected.as_slice().ct_eq(hash)) {
            return Err(damaged());
        }
        if is_last {
            break;
        }
        content.extend_from_slice(part);
        blocks = rest;
    }
    Ok(SecretBytes::new(content))
}

/// Checks and joins the blocks.
fn unblocked(mut blocks: &[u8], keys: &Keys) -> Result<Vec<u8>, FormatError> {
    let damaged = |_| FormatError::malformed("the database is damaged");
    let mut sealed = Vec::with_capacity(blocks.len());
    for block in 0_u64.. {
        let (code, rest) = split(blocks, HASH)?;
        let (len, rest) = number(rest)?;
        let (content, rest) = split(rest, usize::try_from(len).unwrap_or(usize::MAX))?;
        let mac = keys.code(block, &[&block.to_le_bytes(), &len.to_le_bytes(), content])?;
        mac.verify_slice(code).map_err(damaged)?;
        if content.is_empty() {
            break;
        }
        sealed.extend_from_slice(content);
        blocks = rest;
    }
    Ok(sealed)
}

fn decrypted(
    header: &Header,
    keys: &Keys,
    mut sealed: Vec<u8>,
) -> Result<SecretBytes, FormatError> {
    let bad = || FormatError::malformed("the database is damaged");
    match header.cipher {
        Cipher::Aes256 => decrypt_cbc::<Aes256>(&keys.master, &header.iv, sealed).ok_or_else(bad),
        Cipher::Twofish => decrypt_cbc::<Twofish>(&keys.master, &header.iv, sealed).ok_or_else(bad),
        Cipher::ChaCha20 => {
            let cipher = ChaCha20::new_from_slices(&*keys.master, &header.iv);
            let mut cipher = cipher.map_err(|_| bad())?;
            cipher.try_apply_keystream(&mut sealed).map_err(|_| bad())?;
            Ok(SecretBytes::new(sealed))
        }
    }
}

/// Inflates to at most `most` bytes.
///
/// # Errors
/// [`FormatError`] for damaged data, and as soon as there is more.
pub fn inflated(compressed: &SecretBytes, most: usize) -> Result<SecretBytes, FormatError> {
    let decoder = GzDecoder::new(compressed.expose());
    files::read_all(decoder, most as u64).map_err(|error| {
        if error.kind() == std::io::ErrorKind::FileTooLarge {
            let what = "the content is too large when it is inflated";
            FormatError::too_large(what, most as u64 >> 20, "MiB")
        } else {
            FormatError::malformed("the compressed content is damaged")
        }
    })
}

impl Inner {
    /// The content of KDBX 3, which has no inner header.
    fn of_old(plain: SecretBytes, old: &Old, header_hash: String) -> Result<Self, FormatError> {
        Ok(Self {
            plain,
            xml_at: 0,
            stream: InnerStream::new(old.stream, old.stream_key.expose())?,
            binaries: Vec::new(),
            header_hash: Some(header_hash),
        })
    }

    /// Reads the inner header.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn parse(plain: SecretBytes) -> Result<Self, FormatError> {
        let mut rest = plain.expose();
        let (mut number_of, mut key) = (None, SecretBytes::default());
        let mut binaries = Vec::new();
        loop {
            let (kind, value, behind) = field(rest, MAX_PLAIN)?;
            rest = behind;
            match kind {
                END => break,
                STREAM => number_of = Some(number(value)?.0),
                STREAM_KEY => key = SecretBytes::from(value),
                BINARY => {
                    let content = value.get(1..).unwrap_or_default();
                    binaries.push(SecretBytes::from(content));
                    let what = "the database has too many attachments";
                    FormatError::check_size(what, binaries.len(), MAX_BINARIES, "attachments")?;
                }
                _ => {}
            }
        }
        let missing =
            || FormatError::malformed("the database does not state the cipher of protected values");
        let stream = InnerStream::new(number_of.ok_or_else(missing)?, key.expose())?;
        let xml_at = plain.len() - rest.len();
        Ok(Self {
            plain,
            xml_at,
            stream,
            binaries,
            header_hash: None,
        })
    }
}

/// Encrypts a document.
///
/// # Errors
/// Errors of compression and of Argon2, where memory is short.
pub fn seal(document: &Document, passphrase: &str) -> Result<SecretBytes, FormatError> {
    let mut seed = [0; SEED_LEN];
    seed.copy_from_slice(SecretBytes::random(SEED_LEN).expose());
    let header = Header {
        cipher: Cipher::Aes256,
        is_compressed: true,
        seed,
        iv: SecretBytes::random(16).expose().to_vec(),
        kdf: Kdf::fresh(),
        len: 0,
        old: None,
    };
    let stretched = header.kdf.stretch(&composite(Some(passphrase), None))?;
    let keys = Keys::derive(&header.seed, &*stretched);
    let cipher = cbc::Encryptor::<Aes256>::new_from_slices(&*keys.master, &header.iv);
    let cipher = cipher.map_err(FormatError::library)?;
    let sealed = cipher.encrypt_padded_vec_mut::<Pkcs7>(compressed(document)?.expose());
    let head = header.encode();
    let mut out = head.clone();
    out.extend(Sha256::digest(&head));
    out.extend(keys.code(u64::MAX, &[&head])?.finalize().into_bytes());
    let blocks = sealed.chunks(BLOCK).chain(std::iter::once(&[][..]));
    for (number, block) in (0_u64..).zip(blocks) {
        let len = u32::try_from(block.len()).unwrap_or(u32::MAX).to_le_bytes();
        let code = keys.code(number, &[&number.to_le_bytes(), &len, block])?;
        out.extend(code.finalize().into_bytes());
        out.extend(len);
        out.extend(block);
    }
    Ok(SecretBytes::new(out))
}

/// Inner header and XML, compressed.
fn compressed(document: &Document) -> Result<SecretBytes, FormatError> {
    let key = SecretBytes::random(64);
    let mut stream = InnerStream::new(CHACHA20, key.expose())?;
    let mut write = || {
        let mut out = GzEncoder::new(SecretWriter::default(), Compression::default());
        let mut head = Zeroizing::new(Vec::new());
        put(&mut head, STREAM, &CHACHA20.to_le_bytes());
        put(&mut head, STREAM_KEY, key.expose());
        out.write_all(&head)?;
        for binary in &document.binaries {
            let len = u32::try_from(binary.len() + 1).unwrap_or(u32::MAX);
            out.write_all(&[BINARY])?;
            out.write_all(&len.to_le_bytes())?;
            out.write_all(&[IS_PROTECTED])?;
            out.write_all(binary.expose())?;
        }
        out.write_all(&[END, 0, 0, 0, 0])?;
        xml::write(&mut out, &document.root, &mut stream)?;
        out.finish().map(SecretWriter::finish)
    };
    write().map_err(FormatError::library)
}
