//! How a database's passphrase is stretched: what a file may ask for is bounded before anything is computed.

use aes::Aes256;
use aes::cipher::{BlockEncrypt as _, KeyInit as _};
use argon2::{Algorithm, Argon2, Params, Version};
use sha2::{Digest as _, Sha256};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use super::fields::{self, number, split};
use crate::error::FormatError;

/// Most memory, in bytes.
const MAX_MEMORY: u64 = 1024 * 1024 * 1024;
/// Most passes over memory, in bytes altogether: about a minute.
const MAX_WORK: u64 = 64 * MAX_MEMORY;
const MAX_ITERATIONS: u64 = 100_000;
const MAX_LANES: u64 = 64;
/// Most rounds of AES: about half a minute.
const MAX_ROUNDS: u64 = 1 << 30;
/// Longest salt, in bytes.
const MAX_SALT: usize = 256;

/// Parameters of Argon2id in new files: memory in bytes, passes and lanes (RFC 9106, second recommended option).
const RECOMMENDED: (u64, u64, u32) = (64 * 1024 * 1024, 3, 4);
/// The parameters that [`Kdf::fresh`] chooses: cheap ones in tests, which write hundreds of databases.
const FRESH: (u64, u64, u32) = if cfg!(test) {
    (256 * 1024, 1, 4)
} else {
    RECOMMENDED
};

const ARGON2D: [u8; 16] = [
    0xEF, 0x63, 0x6D, 0xDF, 0x8C, 0x29, 0x44, 0x4B, 0x91, 0xF7, 0xA9, 0xA4, 0x03, 0xE3, 0x0A, 0x0C,
];
const ARGON2ID: [u8; 16] = [
    0x9E, 0x29, 0x8B, 0x19, 0x56, 0xDB, 0x47, 0x73, 0xB2, 0x3D, 0xFC, 0x3E, 0xC6, 0xF0, 0xA1, 0xE6,
];
const AES: [[u8; 16]; 2] = [
    [
        0xC9, 0xD9, 0xF3, 0x9A, 0x62, 0x8A, 0x44, 0x60, 0xBF, 0x74, 0x0D, 0x08, 0xC1, 0x8A, 0x4F,
        0xEA,
    ],
    [
        0x7C, 0x02, 0xBB, 0x82, 0x79, 0xA7, 0x4A, 0xC0, 0x92, 0x7D, 0x11, 0x4A, 0x00, 0x64, 0x82,
        0x38,
    ],
];

/// A key of 32 bytes.
pub type Key = Zeroizing<[u8; 32]>;

/// How a passphrase is stretched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kdf {
    /// Argon2d or Argon2id.
    Argon2 {
        /// Which of them.
        is_id: bool,
        /// Version 1.0 instead of 1.3.
        is_old: bool,
        /// Salt.
        salt: Vec<u8>,
        /// In bytes.
        memory: u64,
        /// Passes.
        iterations: u64,
        /// Lanes.
        lanes: u32,
    },
    /// AES, again and again.
    Aes {
        /// Its key.
        seed: [u8; 32],
        /// How often.
        rounds: u64,
    },
}

/// Entries of a variant dictionary by name.
struct Dictionary<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Dictionary<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        const MAJOR: u8 = 1;
        let (version, mut rest) = split(bytes, 2)?;
        if version.get(1) != Some(&MAJOR) {
            let text = "the key derivation parameters of the database have an unknown version";
            return Err(FormatError::unsupported(text));
        }
        let mut entries = Vec::new();
        loop {
            let (kind, behind) = split(rest, 1)?;
            if kind == [0] {
                return Ok(Self(entries));
            }
            let piece = |bytes: &'a [u8]| {
                let (len, rest) = number(bytes)?;
                split(rest, usize::try_from(len).unwrap_or(usize::MAX))
            };
            let (key, behind) = piece(behind)?;
            let (value, behind) = piece(behind)?;
            entries.push((key, value));
            rest = behind;
        }
    }

    fn get(&self, key: &str) -> Option<&'a [u8]> {
        let mut found = self.0.iter().filter(|(own, _)| *own == key.as_bytes());
        found.next().map(|(_, value)| *value)
    }

    /// A number of four or eight bytes.
    fn number(&self, key: &str) -> Option<u64> {
        let value = self.get(key)?;
        let mut whole = [0; 8];
        whole.get_mut(..value.len())?.copy_from_slice(value);
        Some(u64::from_le_bytes(whole))
    }
}

/// A cost parameter within its bounds.
fn cost(what: &'static str, value: Option<u64>, least: u64, most: u64) -> Result<u64, FormatError> {
    let missing = || FormatError::malformed(format!("the database does not state its {what}"));
    FormatError::check_cost(what, value.ok_or_else(missing)?, least..=most)
}

impl Kdf {
    /// What we write.
    pub fn fresh() -> Self {
        let (memory, iterations, lanes) = FRESH;
        Self::Argon2 {
            is_id: true,
            is_old: false,
            salt: SecretBytes::random(32).expose().to_vec(),
            memory,
            iterations,
            lanes,
        }
    }

    /// Reads parameters, and refuses those that would take too much.
    ///
    /// # Errors
    /// [`FormatError`], naming the bound.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let dictionary = Dictionary::parse(bytes)?;
        let kind = dictionary.get("$UUID").unwrap_or_default();
        if AES.iter().any(|known| kind == known) {
            let rounds = cost("rounds of AES", dictionary.number("R"), 1, MAX_ROUNDS)?;
            let seed = dictionary.get("S").and_then(|seed| seed.try_into().ok());
            let seed = seed
                .ok_or_else(|| FormatError::malformed("the seed for AES is not 32 bytes long"))?;
            return Ok(Self::Aes { seed, rounds });
        }
        if kind != ARGON2D && kind != ARGON2ID {
            let text = "the key derivation of the database is unknown";
            return Err(FormatError::unsupported(text));
        }
        let lanes = cost("lanes of Argon2", dictionary.number("P"), 1, MAX_LANES)?;
        let least = 8 * 1024 * lanes;
        let memory = cost(
            "bytes of memory of Argon2",
            dictionary.number("M"),
            least,
            MAX_MEMORY,
        )?;
        let most = MAX_ITERATIONS.min(MAX_WORK / memory);
        let iterations = cost("passes of Argon2", dictionary.number("I"), 1, most)?;
        let is_plain = ["K", "A"]
            .iter()
            .all(|key| dictionary.get(key).is_none_or(<[u8]>::is_empty));
        let salt = dictionary.get("S").unwrap_or_default();
        let version = dictionary.number("V");
        if !is_plain
            || !(8..=MAX_SALT).contains(&salt.len())
            || !matches!(version, Some(0x10 | 0x13))
        {
            let text = "the parameters of Argon2 in the database's header are not supported";
            return Err(FormatError::unsupported(text));
        }
        Ok(Self::Argon2 {
            is_id: kind == ARGON2ID,
            is_old: version == Some(0x10),
            salt: salt.to_vec(),
            memory,
            iterations,
            lanes: u32::try_from(lanes).unwrap_or(1),
        })
    }

    /// Writes parameters.
    pub fn encode(&self) -> Vec<u8> {
        const U32: u8 = 0x04;
        const U64: u8 = 0x05;
        const BYTES: u8 = 0x42;
        let mut out = vec![0, 1];
        let mut put = |kind: u8, key: &str, value: &[u8]| {
            fields::put(&mut out, kind, key.as_bytes());
            let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
            out.extend(len.to_le_bytes());
            out.extend(value);
        };
        match self {
            Self::Argon2 {
                is_id,
                is_old,
                salt,
                memory,
                iterations,
                lanes,
            } => {
                put(BYTES, "$UUID", if *is_id { &ARGON2ID } else { &ARGON2D });
                let version: u32 = if *is_old { 0x10 } else { 0x13 };
                put(U32, "V", &version.to_le_bytes());
                put(BYTES, "S", salt);
                put(U64, "M", &memory.to_le_bytes());
                put(U64, "I", &iterations.to_le_bytes());
                put(U32, "P", &lanes.to_le_bytes());
            }
            Self::Aes { seed, rounds } => {
                let [_, uuid] = &AES;
                put(BYTES, "$UUID", uuid);
                put(BYTES, "S", seed);
                put(U64, "R", &rounds.to_le_bytes());
            }
        }
        out.push(0);
        out
    }

    /// Stretches.
    ///
    /// # Errors
    /// [`FormatError`] for parameters that cannot be, or where memory is short.
    pub fn stretch(&self, composite: &Key) -> Result<Key, FormatError> {
        match self {
            Self::Argon2 {
                is_id,
                is_old,
                salt,
                memory,
                iterations,
                lanes,
            } => {
                let failed = |error| FormatError::library(format!("Argon2: {error}"));
                let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
                let params =
                    Params::new(small(memory / 1024), small(*iterations), *lanes, Some(32));
                let params = params.map_err(failed)?;
                let (algorithm, version) = (
                    if *is_id {
                        Algorithm::Argon2id
                    } else {
                        Algorithm::Argon2d
                    },
                    if *is_old {
                        Version::V0x10
                    } else {
                        Version::V0x13
                    },
                );
                let argon2 = Argon2::new(algorithm, version, params);
                let mut key = Key::default();
                let stretched = argon2.hash_password_into(&**composite, salt, &mut *key);
                stretched.map_err(failed)?;
                Ok(key)
            }
            Self::Aes { seed, rounds } => {
                let cipher = Aes256::new(seed.into());
                let mut blocks = [aes::Block::default(); 2];
                for (block, half) in blocks.iter_mut().zip(composite.chunks(16)) {
                    block.copy_from_slice(half);
                }
                for _ in 0..*rounds {
                    cipher.encrypt_blocks(&mut blocks);
                }
                let [first, second] = blocks;
                let hash = Sha256::new_with_prefix(first)
                    .chain_update(second)
                    .finalize();
                Ok(Key::new(hash.into()))
            }
        }
    }
}

/// The key that a passphrase alone makes.
pub fn composite(passphrase: &str) -> Key {
    let hash = Sha256::digest(passphrase.as_bytes());
    Key::new(Sha256::digest(hash).into())
}
