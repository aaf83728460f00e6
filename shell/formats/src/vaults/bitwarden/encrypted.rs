//! Bitwarden's JSON sealed with a password. The password is stretched (PBKDF2-HMAC-SHA-256 or Argon2id), expanded to two
//! keys (HKDF-Expand with `enc` and `mac`), and everything is AES-256-CBC, then HMAC-SHA-256 over IV and ciphertext.

use argon2::{Algorithm, Version};
use data_encoding::BASE64;
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use shared::secret::SecretBytes;

use super::read;
use crate::ciphers::{self, Key};
use crate::format::{Ask, FormatError, Sink, Source, VaultFormat};
use crate::input::json_stream::unexpected;

/// Longest file, in bytes: it is opened in memory.
const MAX_LEN: u64 = 512 * 1024 * 1024;
/// Most rounds of PBKDF2; Bitwarden takes 2,000,000 at most.
const MAX_ROUNDS: u64 = 10_000_000;
/// Most memory that Argon2id may take, in MiB; Bitwarden takes 1,024 at most.
const MAX_MEMORY: u64 = 1024;
/// Most passes over memory, in MiB altogether: about a quarter of a minute. Bitwarden takes ten passes at most.
const MAX_WORK: u64 = 16 * MAX_MEMORY;
const MAX_PASSES: u64 = 10_000;
/// Most lanes of Argon2id.
const MAX_LANES: u64 = 16;
/// Longest salt, in bytes; Bitwarden's is 16 bytes in base64.
const MAX_SALT: usize = 1024;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Envelope {
    password_protected: bool,
    salt: String,
    kdf_type: u32,
    kdf_iterations: u32,
    kdf_memory: Option<u32>,
    kdf_parallelism: Option<u32>,
    #[serde(rename = "encKeyValidation_DO_NOT_EDIT")]
    validation: String,
    data: String,
}

/// The format that is encrypted with a password.
pub const ENCRYPTED: VaultFormat = VaultFormat::new(
    "bitwarden-encrypted",
    "Bitwarden's JSON sealed with a password: as bitwarden",
    |_, peek| peek.has_keys(&["encrypted", "encKeyValidation_DO_NOT_EDIT"]),
    open,
);

fn open(source: &Source, ask: &dyn Ask, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let bytes = source.whole_text(MAX_LEN)?;
    let envelope: Envelope = serde_json::from_slice(bytes.expose()).map_err(unexpected)?;
    if !envelope.password_protected {
        return Err(FormatError::unsupported(read::ACCOUNT_KEY));
    }
    let stretched = source.stretched(|| {
        let stretched = envelope.stretched(&ask.passphrase()?)?;
        let stretched = SecretBytes::from(stretched.as_slice());
        Keys::expanded(&stretched)?
            .open(&envelope.validation)
            .map_err(|_| FormatError::wrong_passphrase("the file does not open: wrong password"))?;
        Ok(stretched)
    })?;
    let keys = Keys::expanded(stretched)?;
    let plain = keys.open(&envelope.data)?;
    read::all(&Source::memory(plain, &source.shown), sink)
}

impl Envelope {
    fn stretched(&self, password: &str) -> Result<Key, FormatError> {
        FormatError::check_size("the salt is too long", self.salt.len(), MAX_SALT, "bytes")?;
        match self.kdf_type {
            0 => {
                let mut stretched = Key::default();
                FormatError::check_cost(
                    "rounds of PBKDF2",
                    self.kdf_iterations.into(),
                    1..=MAX_ROUNDS,
                )?;
                pbkdf2::pbkdf2_hmac::<Sha256>(
                    password.as_bytes(),
                    self.salt.as_bytes(),
                    self.kdf_iterations,
                    &mut *stretched,
                );
                Ok(stretched)
            }
            1 => self.argon2id(password),
            other => {
                let text = format!("the key derivation {other} of the file is unknown");
                Err(FormatError::unsupported(text))
            }
        }
    }

    fn argon2id(&self, password: &str) -> Result<Key, FormatError> {
        let memory = self.kdf_memory.unwrap_or_default();
        let lanes = self.kdf_parallelism.unwrap_or_default();
        FormatError::check_cost("MiB of Argon2id", memory.into(), 1..=MAX_MEMORY)?;
        let most = MAX_PASSES.min(MAX_WORK / u64::from(memory));
        FormatError::check_cost("passes of Argon2id", self.kdf_iterations.into(), 1..=most)?;
        FormatError::check_cost("lanes of Argon2id", lanes.into(), 1..=MAX_LANES)?;
        let salt = Sha256::digest(self.salt.as_bytes());
        ciphers::argon2(
            (Algorithm::Argon2id, Version::V0x13),
            (memory * 1024, self.kdf_iterations, lanes),
            password.as_bytes(),
            &salt,
        )
    }
}

#[derive(Default)]
struct Keys {
    enc: Key,
    mac: Key,
}

impl Keys {
    fn expanded(stretched: &SecretBytes) -> Result<Self, FormatError> {
        let expand = Hkdf::<Sha256>::from_prk(stretched.expose());
        let expand = expand.map_err(FormatError::library)?;
        let mut keys = Self::default();
        for (label, key) in [("enc", &mut keys.enc), ("mac", &mut keys.mac)] {
            expand
                .expand(label.as_bytes(), &mut **key)
                .map_err(FormatError::library)?;
        }
        Ok(keys)
    }

    /// Opens `2.IV|CIPHERTEXT|MAC`; nothing is decrypted before the MAC is right.
    fn open(&self, sealed: &str) -> Result<SecretBytes, FormatError> {
        let bad = || {
            FormatError::malformed(
                "the file does not open: it was altered, or its encryption is unknown",
            )
        };
        let parts = sealed.strip_prefix("2.").ok_or_else(bad)?;
        let mut parts = parts.split('|').map(|part| BASE64.decode(part.as_bytes()));
        let (Some(Ok(iv)), Some(Ok(content)), Some(Ok(tag)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        let mut mac = <Hmac<Sha256>>::new_from_slice(&*self.mac).map_err(|_| bad())?;
        mac.update(&iv);
        mac.update(&content);
        mac.verify_slice(&tag).map_err(|_| bad())?;
        ciphers::decrypt_aes_cbc(&self.enc, &iv, content).ok_or_else(bad)
    }
}
