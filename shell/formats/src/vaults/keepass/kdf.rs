//! The key derivation of a database. Costs that a file asks for are checked before anything is computed.

use aes::Aes256;
use aes::cipher::{BlockEncrypt as _, KeyInit as _};
use argon2::{Algorithm, Version};
use sha2::{Digest as _, Sha256};
use shared::secret::SecretBytes;
use uuid::{Uuid, uuid};

use super::fields::{self, number, split};
use crate::ciphers::{self, Key};
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

const ARGON2D: Uuid = uuid!("ef636ddf-8c29-444b-91f7-a9a403e30a0c");
const ARGON2ID: Uuid = uuid!("9e298b19-56db-4773-b23d-fc3ec6f0a1e6");
/// AES-KDF of KDBX 3, which KDBX 4 allows as well.
const AES_KDBX3: Uuid = uuid!("c9d9f39a-628a-4460-bf74-0d08c18a4fea");
const AES: Uuid = uuid!("7c02bb82-79a7-4ac0-927d-114a00648238");

/// A key derivation with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kdf {
    /// Argon2d or Argon2id.
    Argon2(Argon2),
    /// Repeated encryption with AES-256.
    Aes {
        /// The key of the cipher.
        seed: [u8; 32],
        /// The number of rounds.
        rounds: u64,
    },
}

/// Parameters of Argon2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argon2 {
    /// Argon2d or Argon2id.
    pub algorithm: Algorithm,
    /// 1.0 or 1.3.
    pub version: Version,
    /// The salt, 8 to 256 bytes.
    pub salt: Vec<u8>,
    /// Memory in bytes.
    pub memory: u64,
    /// Passes over the memory.
    pub iterations: u64,
    /// Lanes.
    pub lanes: u32,
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
    /// The key derivation of a new file: Argon2id with a random salt.
    pub fn fresh() -> Self {
        let (memory, iterations, lanes) = FRESH;
        Self::Argon2(Argon2 {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            salt: SecretBytes::random(32).expose().to_vec(),
            memory,
            iterations,
            lanes,
        })
    }

    /// AES-KDF with this seed and number of rounds.
    ///
    /// # Errors
    /// [`FormatError`] for a missing number, and for one over its limit.
    pub fn aes(seed: [u8; 32], rounds: Option<u64>) -> Result<Self, FormatError> {
        let rounds = cost("rounds of AES", rounds, 1, MAX_ROUNDS)?;
        Ok(Self::Aes { seed, rounds })
    }

    /// Reads parameters.
    ///
    /// # Errors
    /// [`FormatError`] for unknown key derivations, and for costs over their limits.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let dictionary = Dictionary::parse(bytes)?;
        match Uuid::from_slice(dictionary.get("$UUID").unwrap_or_default()) {
            Ok(AES | AES_KDBX3) => {
                let rounds = dictionary.number("R");
                let seed = dictionary.get("S").and_then(|seed| seed.try_into().ok());
                let short = || FormatError::malformed("the seed for AES is not 32 bytes long");
                Self::aes(seed.ok_or_else(short)?, rounds)
            }
            Ok(ARGON2D) => Argon2::parse(Algorithm::Argon2d, &dictionary).map(Self::Argon2),
            Ok(ARGON2ID) => Argon2::parse(Algorithm::Argon2id, &dictionary).map(Self::Argon2),
            _ => {
                let text = "the key derivation of the database is unknown";
                Err(FormatError::unsupported(text))
            }
        }
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
            Self::Argon2(kdf) => {
                let is_id = kdf.algorithm == Algorithm::Argon2id;
                let uuid = if is_id { ARGON2ID } else { ARGON2D };
                put(BYTES, "$UUID", uuid.as_bytes());
                put(U32, "V", &u32::from(kdf.version).to_le_bytes());
                put(BYTES, "S", &kdf.salt);
                put(U64, "M", &kdf.memory.to_le_bytes());
                put(U64, "I", &kdf.iterations.to_le_bytes());
                put(U32, "P", &kdf.lanes.to_le_bytes());
            }
            Self::Aes { seed, rounds } => {
                put(BYTES, "$UUID", AES.as_bytes());
                put(BYTES, "S", seed);
                put(U64, "R", &rounds.to_le_bytes());
            }
        }
        out.push(0);
        out
    }

    /// Derives the key from the composite key.
    ///
    /// # Errors
    /// [`FormatError`] for parameters that the algorithm does not allow, or where memory is short.
    pub fn stretch(&self, composite: &Key) -> Result<Key, FormatError> {
        match self {
            Self::Argon2(kdf) => {
                let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
                let costs = (small(kdf.memory / 1024), small(kdf.iterations), kdf.lanes);
                let variant = (kdf.algorithm, kdf.version);
                ciphers::argon2(variant, costs, &**composite, &kdf.salt)
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
                let hash = Sha256::new_with_prefix(first).chain_update(second);
                Ok(Key::new(hash.finalize().into()))
            }
        }
    }
}

impl Argon2 {
    fn parse(algorithm: Algorithm, dictionary: &Dictionary<'_>) -> Result<Self, FormatError> {
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
        let version = match dictionary.number("V") {
            Some(0x10) => Some(Version::V0x10),
            Some(0x13) => Some(Version::V0x13),
            _ => None,
        };
        let is_supported = is_plain && (8..=MAX_SALT).contains(&salt.len());
        let version = version.filter(|_| is_supported).ok_or_else(|| {
            let text = "the parameters of Argon2 in the database's header are not supported";
            FormatError::unsupported(text)
        })?;
        Ok(Self {
            algorithm,
            version,
            salt: salt.to_vec(),
            memory,
            iterations,
            lanes: u32::try_from(lanes).unwrap_or(1),
        })
    }
}

/// The composite key of a database that a passphrase, a key file or both protect.
pub fn composite(passphrase: Option<&str>, key_file: Option<&Key>) -> Key {
    let mut hash = Sha256::new();
    if let Some(passphrase) = passphrase {
        hash.update(Sha256::digest(passphrase.as_bytes()));
    }
    if let Some(key) = key_file {
        hash.update(**key);
    }
    Key::new(hash.finalize().into())
}
