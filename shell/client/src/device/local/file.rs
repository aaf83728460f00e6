//! The format of the local store's file:
//!
//! `"KSLOCAL1" || memory KiB (4) || passes (4) || lanes (4) || salt (16) || commitment (32) || wrapped key (60) ||
//! sealed content || SHA-256 of all before (32)`, integers unsigned and big-endian.
//!
//! `"KSLOCAL2"` has `|| item (16)` after the salt: a secret in the keyring wraps the key as well, and this is the id of
//! its item.
//!
//! The checksum distinguishes a damaged file from a wrong password; authenticity comes from the AEAD alone. Keys are
//! derived by Argon2id (RFC 9106) and HKDF-SHA-512 (RFC 5869).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use argon2::{Algorithm, Argon2, Params};
use keyshell_base::files;
use rand::RngCore as _;
use rand::rngs::OsRng;
use shared::aead::{self, NONCE_LEN, TAG_LEN};
use shared::codec::{self, CodecError};
use shared::ids::Digest;
use shared::kdf::{derive, length_prefixed};
use shared::opaque::{KSF_LANES, KSF_MEMORY_KIB, KSF_PASSES, SUITE};
use shared::secret::{Key, SecretBytes};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{LocalError, LocalSecret, Opener, Owner};
use crate::device::keyring::ItemId;
use crate::padding;

const MAGIC: &[u8; 8] = b"KSLOCAL1";
/// Magic of a file whose key a secret in the keyring wraps as well.
const MAGIC_WITH_KEYRING: &[u8; 8] = b"KSLOCAL2";
const SALT_LEN: usize = 16;
const COMMITMENT_LEN: usize = 32;
const WRAPPED_LEN: usize = NONCE_LEN + Key::LEN + TAG_LEN;
/// Bytes up to the end of the item's id.
const FIRST_LEN: usize = MAGIC.len() + 3 * 4 + SALT_LEN + ItemId::LEN;
/// Most bytes before the sealed content.
const HEAD_LEN: usize = FIRST_LEN + COMMITMENT_LEN + WRAPPED_LEN;
/// Longest file that is written and read, in bytes.
const MAX_FILE: u64 = 256 * 1024 * 1024;
/// Shortest padded content, in bytes: the file does not reveal whether it holds no or few secrets.
const MIN_CONTENT: usize = 64 * 1024;
/// Most Argon2id memory that a file may ask for, in KiB.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
/// Most Argon2id passes, and lanes, that a file may ask for.
const MAX_PASSES_OR_LANES: u32 = 16;

/// Argon2id parameters (RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretching {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Stretching {
    const DEFAULT: Self = Self {
        memory_kib: KSF_MEMORY_KIB,
        passes: KSF_PASSES,
        lanes: KSF_LANES,
    };

    fn bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        let fields = [self.memory_kib, self.passes, self.lanes];
        for (place, field) in bytes.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    fn is_acceptable(self) -> bool {
        (KSF_MEMORY_KIB..=MAX_MEMORY_KIB).contains(&self.memory_kib)
            && (KSF_PASSES..=MAX_PASSES_OR_LANES).contains(&self.passes)
            && (1..=MAX_PASSES_OR_LANES).contains(&self.lanes)
    }
}

/// The id of the keyring's item that holds this secret, derived from it: a wrong secret is recognised by its id, which
/// reveals nothing else.
pub fn item_of(owner: Owner, secret: &Key) -> ItemId {
    let id = derive::<{ ItemId::LEN }>(
        secret.expose(),
        "keyshell/2 local keyring item",
        &[owner.account.as_bytes(), owner.device.as_bytes()],
    );
    ItemId::new(*id)
}

/// The store's key, wrapped by the password and, where there is one, the secret in the keyring.
#[derive(Debug, Clone)]
pub struct Wrapping {
    stretching: Stretching,
    salt: [u8; SALT_LEN],
    item: Option<ItemId>,
    commitment: [u8; COMMITMENT_LEN],
    wrapped: Vec<u8>,
}

impl Wrapping {
    /// Wraps `key` by a password and, if one is given, the keyring's secret.
    pub fn new(owner: Owner, opener: Opener<'_>, key: &Key) -> Result<Self, LocalError> {
        let mut wrapping = Self {
            stretching: Stretching::DEFAULT,
            salt: [0; SALT_LEN],
            item: opener.keyring.map(|secret| item_of(owner, secret)),
            commitment: [0; COMMITMENT_LEN],
            wrapped: Vec::new(),
        };
        OsRng.fill_bytes(&mut wrapping.salt);
        let (wrap_key, commitment) = wrapping.derive(owner, opener)?;
        wrapping.commitment = commitment;
        let aad = wrapping.aad(b"keyshell/2 local key", owner);
        wrapping.wrapped = aead::seal_random(&wrap_key, &aad, key.expose());
        Ok(wrapping)
    }

    /// The keyring's item that is needed besides the password, if any.
    pub fn item(&self) -> Option<ItemId> {
        self.item
    }

    /// Unwraps the key. The commitment is checked first, so that no file opens with two passwords.
    pub fn unwrap(&self, path: &Path, owner: Owner, opener: Opener<'_>) -> Result<Key, LocalError> {
        if !self.stretching.is_acceptable() {
            return Err(LocalError::OutOfBounds(path.to_owned()));
        }
        // A secret that is not needed is ignored: another process may have changed the file since.
        let keyring = self.item.and(opener.keyring);
        if self.item != keyring.map(|secret| item_of(owner, secret)) {
            return Err(LocalError::NoKeyring);
        }
        let (wrap_key, commitment) = self.derive(owner, Opener { keyring, ..opener })?;
        if !bool::from(commitment.ct_eq(&self.commitment)) {
            return Err(LocalError::WrongPassword);
        }
        let aad = self.aad(b"keyshell/2 local key", owner);
        aead::open_random(&wrap_key, &aad, &self.wrapped)
            .ok()
            .and_then(|key| Key::from_slice(key.expose()))
            .ok_or_else(|| LocalError::Damaged(path.to_owned()))
    }

    fn derive(
        &self,
        owner: Owner,
        opener: Opener<'_>,
    ) -> Result<(Key, [u8; COMMITMENT_LEN]), LocalError> {
        let stretched = self.stretch(opener.password)?;
        let (parameters, device) = (self.stretching.bytes(), owner.device);
        let fields: [&[u8]; 4] = [
            owner.account.as_bytes(),
            device.as_bytes(),
            &parameters,
            &self.salt,
        ];
        let okm = match opener.keyring {
            None => derive::<64>(&stretched[..], "keyshell/2 local wrap", &fields),
            Some(secret) => {
                let mixed = Zeroizing::new(length_prefixed(&[&stretched[..], secret.expose()]));
                derive::<64>(&mixed, "keyshell/2 local wrap with keyring", &fields)
            }
        };
        let (first, second) = okm.split_at(Key::LEN);
        let mut key = Zeroizing::new([0; Key::LEN]);
        key.copy_from_slice(first);
        let mut commitment = [0; COMMITMENT_LEN];
        commitment.copy_from_slice(second);
        Ok((Key::new(*key), commitment))
    }

    fn stretch(&self, password: &SecretBytes) -> Result<Zeroizing<[u8; Key::LEN]>, LocalError> {
        let failed = |error: argon2::Error| LocalError::Io(format!("Argon2id: {error}"));
        let Stretching {
            memory_kib,
            passes,
            lanes,
        } = self.stretching;
        let params = Params::new(memory_kib, passes, lanes, Some(Key::LEN)).map_err(failed)?;
        let mut stretched = Zeroizing::new([0; Key::LEN]);
        Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params)
            .hash_password_into(password.expose(), &self.salt, &mut stretched[..])
            .map_err(failed)?;
        Ok(stretched)
    }

    fn aad(&self, label: &[u8], owner: Owner) -> Vec<u8> {
        let (parameters, device) = (self.stretching.bytes(), owner.device);
        let mut fields: Vec<&[u8]> = vec![
            label,
            &[SUITE],
            owner.account.as_bytes(),
            device.as_bytes(),
            &parameters,
            &self.salt,
        ];
        // The additional field separates the two formats.
        fields.extend(self.item.as_ref().map(|item| &item.as_bytes()[..]));
        length_prefixed(&fields)
    }

    /// The file up to the commitment.
    fn first(&self) -> Vec<u8> {
        let magic = self.item.map_or(MAGIC, |_| MAGIC_WITH_KEYRING);
        let mut bytes = [&magic[..], &self.stretching.bytes(), &self.salt].concat();
        bytes.extend(self.item.iter().flat_map(ItemId::as_bytes));
        bytes
    }
}

/// Seals all secrets: `nonce (12) || AEAD(length (4) || content || zeros)`.
pub fn seal_content(
    owner: Owner,
    wrapping: &Wrapping,
    key: &Key,
    secrets: &[LocalSecret],
) -> Result<Vec<u8>, LocalError> {
    let unfit = |_: CodecError| LocalError::Io("the local store cannot be encoded".into());
    // Checked before anything is copied, since the content may be very long.
    let len = codec::encoded_len(&secrets).map_err(unfit)?;
    if file_len(len).is_none_or(|len| len > MAX_FILE) {
        return Err(LocalError::Full(MAX_FILE >> 20));
    }
    let content = codec::encode(&secrets)
        .map(SecretBytes::new)
        .map_err(unfit)?;
    let padded = padding::pad(content.expose(), MIN_CONTENT);
    let aad = wrapping.aad(b"keyshell/2 local content", owner);
    Ok(aead::seal_random(key, &aad, &padded))
}

/// Length of the file with this many bytes of content.
fn file_len(content: usize) -> Option<u64> {
    u64::try_from(
        HEAD_LEN + NONCE_LEN + padding::padded_len(content, MIN_CONTENT) + TAG_LEN + Digest::LEN,
    )
    .ok()
}

/// Opens content that [`seal_content`] made.
pub fn open_content(
    path: &Path,
    owner: Owner,
    wrapping: &Wrapping,
    key: &Key,
    sealed: &[u8],
) -> Result<Vec<LocalSecret>, LocalError> {
    let damaged = || LocalError::Damaged(path.to_owned());
    let aad = wrapping.aad(b"keyshell/2 local content", owner);
    let padded =
        aead::open_random(key, &aad, sealed).map_err(|_| LocalError::OtherKey(path.to_owned()))?;
    let content = padding::unpad(padded.expose(), MIN_CONTENT).ok_or_else(damaged)?;
    codec::decode(content, content.len()).map_err(|_| damaged())
}

/// Writes the file atomically.
pub fn write(path: &Path, wrapping: &Wrapping, content: &[u8]) -> Result<(), LocalError> {
    files::replace(path, &assemble(wrapping, content)).map_err(|error| writing(path, &error))
}

/// Writes a new file; an existing one is an error.
pub fn write_new(path: &Path, wrapping: &Wrapping, content: &[u8]) -> Result<(), LocalError> {
    files::create_new(path, &assemble(wrapping, content)).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            LocalError::Exists(path.to_owned())
        } else {
            writing(path, &error)
        }
    })
}

fn writing(path: &Path, error: &io::Error) -> LocalError {
    LocalError::Io(format!("writing {}: {error}", path.display()))
}

fn assemble(wrapping: &Wrapping, content: &[u8]) -> Vec<u8> {
    let mut bytes = [
        &wrapping.first()[..],
        &wrapping.commitment,
        &wrapping.wrapped,
        content,
    ]
    .concat();
    let checksum = Digest::of(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    bytes
}

/// Reads the file up to the sealed content, and checks the checksum.
pub fn read(path: &Path) -> Result<(Wrapping, Vec<u8>), LocalError> {
    let bytes = files::read_existing(path, MAX_FILE)
        .map_err(|error| LocalError::Io(format!("reading {}: {error}", path.display())))?;
    parse(bytes.expose()).ok_or_else(|| LocalError::Damaged(path.to_owned()))
}

fn parse(bytes: &[u8]) -> Option<(Wrapping, Vec<u8>)> {
    let (bytes, checksum) = bytes.split_last_chunk::<{ Digest::LEN }>()?;
    if Digest::of(bytes).as_bytes() != checksum {
        return None;
    }
    let (mut wrapping, rest) = parse_first(bytes)?;
    let (commitment, rest) = rest.split_first_chunk()?;
    let (wrapped, content) = rest.split_at_checked(WRAPPED_LEN)?;
    wrapping.commitment = *commitment;
    wrapping.wrapped = wrapped.to_vec();
    Some((wrapping, content.to_vec()))
}

/// The fields before the commitment, and the rest of the file.
fn parse_first(bytes: &[u8]) -> Option<(Wrapping, &[u8])> {
    let (magic, rest) = bytes.split_first_chunk()?;
    let (memory_kib, rest) = rest.split_first_chunk()?;
    let (passes, rest) = rest.split_first_chunk()?;
    let (lanes, rest) = rest.split_first_chunk()?;
    let (salt, rest) = rest.split_first_chunk()?;
    let (item, rest) = match magic {
        MAGIC => (None, rest),
        MAGIC_WITH_KEYRING => {
            let (item, rest) = rest.split_first_chunk()?;
            (Some(ItemId::new(*item)), rest)
        }
        _ => return None,
    };
    let wrapping = Wrapping {
        stretching: Stretching {
            memory_kib: u32::from_be_bytes(*memory_kib),
            passes: u32::from_be_bytes(*passes),
            lanes: u32::from_be_bytes(*lanes),
        },
        salt: *salt,
        item,
        commitment: [0; COMMITMENT_LEN],
        wrapped: Vec::new(),
    };
    Some((wrapping, rest))
}

/// The keyring's item that the file names, if any; the rest of the file is neither read nor checked.
pub fn read_item(path: &Path) -> Result<Option<ItemId>, LocalError> {
    let reading = |error| LocalError::Io(format!("reading {}: {error}", path.display()));
    let file = File::open(path).map_err(reading)?;
    let mut first = Vec::with_capacity(FIRST_LEN);
    file.take(FIRST_LEN as u64)
        .read_to_end(&mut first)
        .map_err(reading)?;
    let (wrapping, _) = parse_first(&first).ok_or_else(|| LocalError::Damaged(path.to_owned()))?;
    Ok(wrapping.item)
}

/// Serialises a value as MessagePack `bin`; it is wiped after use.
pub mod secret_bytes {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use shared::secret::SecretBytes;

    pub fn serialize<S: Serializer>(value: &SecretBytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(value.expose())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SecretBytes, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(from)?;
        Ok(SecretBytes::new(bytes.into_vec()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use shared::ids::{AccountId, DeviceId};

    use super::*;

    #[test]
    fn the_length_of_a_file_is_known_before_it_is_written() {
        let owner = Owner {
            account: AccountId::new([1; 16]),
            device: DeviceId::new([2; 16]),
        };
        let key = Key::random();
        let password = SecretBytes::random(8);
        let opener = Opener {
            password: &password,
            keyring: Some(&key),
        };
        let wrapping = Wrapping::new(owner, opener, &key).unwrap();
        for len in [0, 1000, 70_000, 300_000] {
            let secrets = [LocalSecret {
                name: "a".into(),
                tags: Vec::new(),
                note: "x".repeat(len),
                content_type: None,
                origin: crate::device::local::Origin::Local,
                version: shared::ids::Version(1),
                changed_ms: 0,
                value: SecretBytes::random(len),
            }];
            let content = seal_content(owner, &wrapping, &key, &secrets).unwrap();
            let bytes = assemble(&wrapping, &content);
            let known = file_len(codec::encoded_len(&secrets).unwrap());
            assert_eq!(u64::try_from(bytes.len()).ok(), known);
        }
        let longest = usize::try_from(MAX_FILE).unwrap();
        assert!(file_len(longest).unwrap() > MAX_FILE);
    }
}
