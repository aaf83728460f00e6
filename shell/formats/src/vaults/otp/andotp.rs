//! `andotp`: the backup of andOTP, plain or sealed. A sealed one is bytes without a mark, so that the format has to be
//! named: rounds of PBKDF2-HMAC-SHA-1 (4 bytes), salt (12), IV (12), AES-256-GCM. Older ones begin with the IV, and their
//! key is SHA-256 of the password.

use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use shared::secret::SecretBytes;

use super::account::{Account, Accounts, MAX_FILE, Members};
use crate::ciphers::{self, Key};
use crate::format::{Ask, FormatError, Peek, Sink, Source, VaultFormat};
use crate::input::json_stream::unexpected;
use crate::round_trip;

/// Most rounds that a file may ask for; andOTP takes 160,000 at most.
const MAX_ROUNDS: u64 = 10_000_000;
/// Length of the salt and of the IV, in bytes.
const SALT: usize = 12;
/// Members that the app writes for itself.
const OWN: [&str; 3] = ["last_used", "thumbnail", "used_frequency"];

/// The format.
pub const FORMAT: VaultFormat = VaultFormat::new(
    "andotp",
    "the backup of andOTP, plain, or sealed with --format andotp: one-time codes, tags",
    recognises,
    read,
);

fn recognises(_: &Source, peek: &Peek) -> bool {
    let head = String::from_utf8_lossy(&peek.head);
    let begin = head.split('}').next().unwrap_or_default();
    let has = |name: &str| begin.contains(&format!("\"{name}\""));
    peek.damage.is_none()
        && begin.trim_start().starts_with('[')
        && ["secret", "digits", "algorithm", "thumbnail"]
            .iter()
            .all(|name| has(name))
}

fn read(source: &Source, ask: &dyn Ask, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let mut file = source.bytes(MAX_FILE)?;
    if !file.expose().trim_ascii_start().starts_with(b"[") {
        file = opened(file.expose(), source, ask)?;
    }
    let entries: Vec<Value> = serde_json::from_slice(file.expose()).map_err(unexpected)?;
    let mut accounts = Accounts::new(sink, &OWN);
    for entry in entries {
        let mut entry = Members::new(entry);
        let account = Account {
            issuer: entry.text("issuer"),
            name: entry.text("label"),
            kind: entry.text("type"),
            secret: entry.text("secret").into(),
            algorithm: Some(entry.text("algorithm")).filter(|name| !name.is_empty()),
            digits: entry.number("digits"),
            period: entry.number("period"),
            counter: entry.number("counter"),
        };
        let tags = round_trip::list(entry.take("tags")).into_iter();
        let tags: Vec<_> = tags.filter_map(round_trip::text).collect();
        let item = account.item("", None).map(|mut item| {
            item.tags = tags;
            item
        });
        accounts.pass(item, &[&entry])?;
    }
    accounts.finish(&Members::new(Value::Null))
}

fn opened(sealed: &[u8], source: &Source, ask: &dyn Ask) -> Result<SecretBytes, FormatError> {
    // The beginning of an older file is any number.
    let new = parts(sealed).filter(|(rounds, ..)| (1..=MAX_ROUNDS).contains(rounds));
    let old = sealed.split_at_checked(SALT);
    let open = |key: &Key| {
        let (iv, rest) = new.map(|(_, _, iv, rest)| (iv, rest)).unzip();
        let by_new = iv
            .zip(rest)
            .and_then(|(iv, rest)| ciphers::decrypt_aes_gcm(key, iv, rest));
        by_new.or_else(|| ciphers::decrypt_aes_gcm(key, old?.0, old?.1))
    };
    let wrong = || {
        FormatError::wrong_passphrase(
            "the backup of andOTP does not open: wrong passphrase, or no such backup",
        )
    };
    let key = source.stretched(|| {
        let password = ask.passphrase()?;
        let mut key = Key::new(Sha256::digest(password.as_bytes()).into());
        if open(&key).is_none()
            && let Some((rounds, salt, ..)) = new
        {
            let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
            pbkdf2::pbkdf2_hmac::<Sha1>(password.as_bytes(), salt, rounds, &mut *key);
        }
        open(&key).ok_or_else(wrong)?;
        Ok(SecretBytes::from(key.as_slice()))
    })?;
    let key = key.expose().try_into().map(Key::new).map_err(|_| wrong())?;
    open(&key).ok_or_else(wrong)
}

/// Rounds, salt, IV and ciphertext.
type Parts<'a> = (u64, &'a [u8], &'a [u8], &'a [u8]);

fn parts(sealed: &[u8]) -> Option<Parts<'_>> {
    let (rounds, rest) = sealed.split_first_chunk()?;
    let (salt, rest) = rest.split_at_checked(SALT)?;
    let (iv, rest) = rest.split_at_checked(SALT)?;
    Some((u32::from_be_bytes(*rounds).into(), salt, iv, rest))
}
