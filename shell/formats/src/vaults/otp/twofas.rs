//! `2fas`: the backup of 2FAS, plain or sealed (PBKDF2-HMAC-SHA-256 with 10,000 rounds, AES-256-GCM).

use data_encoding::BASE64;
use serde_json::Value;
use sha2::Sha256;
use shared::secret::SecretBytes;

use super::account::{Account, Accounts, MAX_FILE, Members, groups};
use crate::ciphers::{self, Key};
use crate::format::{Ask, FormatError, Sink, Source, VaultFormat};
use crate::input::json_stream::unexpected;
use crate::round_trip;

const ROUNDS: u32 = 10_000;
/// Members that the app writes for itself.
const OWN: [&str; 12] = [
    "appOrigin",
    "appVersionCode",
    "appVersionName",
    "badge",
    "icon",
    "link",
    "order",
    "reference",
    "schemaVersion",
    "serviceTypeID",
    "source",
    "updatedAt",
];

/// The format.
pub const FORMAT: VaultFormat = VaultFormat::new(
    "2fas",
    "the backup of 2FAS, plain or sealed: one-time codes, groups as tags, times",
    |_, peek| {
        peek.has_keys(&["services", "schemaVersion"])
            || peek.has_keys(&["servicesEncrypted", "schemaVersion"])
    },
    read,
);

fn read(source: &Source, ask: &dyn Ask, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let file = source.bytes(MAX_FILE)?;
    let mut backup = Members::new(serde_json::from_slice(file.expose()).map_err(unexpected)?);
    let sealed = backup.text("servicesEncrypted");
    let services = if sealed.is_empty() {
        backup.take("services").unwrap_or_default()
    } else {
        backup.take("services");
        opened(&sealed, source, ask)?
    };
    let known = groups(backup.take("groups"), "id");
    let mut accounts = Accounts::new(sink, &OWN);
    let Value::Array(services) = services else {
        return Err(FormatError::malformed(
            "the backup of 2FAS has no list of services",
        ));
    };
    for service in services {
        let mut service = Members::new(service);
        let mut otp = service.inner("otp");
        let (shown, label) = (service.text("name"), otp.text("label"));
        let (issuer, name) = (otp.text("issuer"), otp.text("account"));
        let first = |one: String, other: &str| {
            if one.is_empty() {
                other.to_owned()
            } else {
                one
            }
        };
        let account = Account {
            issuer: first(issuer.clone(), &shown),
            name: first(name.clone(), &label),
            kind: otp.text("tokenType"),
            secret: service.text("secret").into(),
            algorithm: Some(otp.text("algorithm")).filter(|name| !name.is_empty()),
            digits: otp.number("digits"),
            period: otp.number("period"),
            counter: otp.number("counter"),
        };
        let group = service.text("groupId");
        let updated = service.number("updatedAt");
        let item = account.item("", updated).map(|mut item| {
            let tag = known.get(&group).cloned().and_then(round_trip::text);
            item.tags.extend(tag);
            let lost = [
                (&shown, &account.issuer, "the name"),
                (&label, &account.name, "the label"),
            ];
            for (text, stated, what) in lost {
                if !text.is_empty() && text != stated {
                    item.losses.push(format!(
                        "{what} `{}` that the app shows",
                        text.escape_debug()
                    ));
                }
            }
            item
        });
        accounts.pass(item, &[&service, &otp])?;
    }
    accounts.finish(&backup)
}

/// The services of a sealed backup: ciphertext, salt and IV in base64, separated by colons.
fn opened(sealed: &str, source: &Source, ask: &dyn Ask) -> Result<Value, FormatError> {
    let damaged = || FormatError::malformed("the backup of 2FAS is damaged");
    let parts: Result<Vec<_>, _> = sealed
        .split(':')
        .map(|part| BASE64.decode(part.as_bytes()))
        .collect();
    let parts = parts.map_err(|_| damaged())?;
    let [ciphertext, salt, iv] = parts.as_slice() else {
        return Err(damaged());
    };
    let key = source.stretched(|| {
        let mut key = Key::default();
        pbkdf2::pbkdf2_hmac::<Sha256>(ask.passphrase()?.as_bytes(), salt, ROUNDS, &mut *key);
        ciphers::decrypt_aes_gcm(&key, iv, ciphertext).ok_or_else(|| {
            FormatError::wrong_passphrase("the backup of 2FAS does not open: wrong passphrase")
        })?;
        Ok(SecretBytes::from(key.as_slice()))
    })?;
    let key = key
        .expose()
        .try_into()
        .map(Key::new)
        .map_err(|_| damaged())?;
    let plain = ciphers::decrypt_aes_gcm(&key, iv, ciphertext).ok_or_else(damaged)?;
    serde_json::from_slice(plain.expose()).map_err(unexpected)
}
