//! `aegis`: the export of Aegis (<https://github.com/beemdevelopment/Aegis/blob/master/docs/vault.md>), plain or sealed: a
//! key of 32 bytes is in one slot per password (scrypt, AES-256-GCM), and seals the database (AES-256-GCM).

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use serde::Deserialize;
use serde_json::Value;
use shared::secret::SecretBytes;

use super::account::{Account, Accounts, MAX_FILE, Members, groups};
use crate::ciphers::{self, Key};
use crate::format::{Ask, FormatError, Sink, Source, VaultFormat};
use crate::input::json_stream::unexpected;
use crate::round_trip;

/// Most slots that are tried.
const MAX_SLOTS: usize = 8;
/// The type of slots that a password opens.
const PASSWORD: u64 = 1;
/// Members that the app writes for itself.
const OWN: [&str; 4] = ["icon", "icon_hash", "icon_mime", "version"];

/// The format.
pub const FORMAT: VaultFormat = VaultFormat::new(
    "aegis",
    "the export of Aegis, plain or sealed: one-time codes, notes, groups as tags, favourites",
    |_, peek| peek.has_keys(&["version", "header", "db"]),
    read,
);

#[derive(Deserialize)]
struct Vault {
    version: u32,
    header: Header,
    db: Value,
}

#[derive(Deserialize)]
struct Header {
    slots: Option<Vec<Slot>>,
    params: Option<Sealing>,
}

#[derive(Deserialize)]
struct Slot {
    #[serde(rename = "type")]
    kind: u64,
    key: String,
    key_params: Sealing,
    #[serde(default)]
    n: u64,
    #[serde(default)]
    r: u32,
    #[serde(default)]
    p: u32,
    #[serde(default)]
    salt: String,
}

#[derive(Deserialize)]
struct Sealing {
    nonce: String,
    tag: String,
}

fn read(source: &Source, ask: &dyn Ask, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let file = source.bytes(MAX_FILE)?;
    let vault: Vault = serde_json::from_slice(file.expose()).map_err(unexpected)?;
    if vault.version != 1 {
        let text = format!(
            "this is version {} of Aegis's export, but version 1 is read",
            vault.version
        );
        return Err(FormatError::unsupported(text));
    }
    let db = match (&vault.header.params, vault.db) {
        (Some(params), Value::String(sealed)) => {
            let slots = vault.header.slots.unwrap_or_default();
            let key = source.stretched(|| master(&slots, ask))?;
            let sealed = BASE64.decode(sealed.as_bytes()).map_err(|_| damaged())?;
            let key = key
                .expose()
                .try_into()
                .map(Key::new)
                .map_err(|_| damaged())?;
            let plain = params.open(&key, sealed).ok_or_else(damaged)?;
            serde_json::from_slice(plain.expose()).map_err(unexpected)?
        }
        (_, db) => db,
    };
    accounts(Members::new(db), sink)
}

fn damaged() -> FormatError {
    FormatError::malformed("the export of Aegis is damaged")
}

fn hex(text: &str) -> Result<Vec<u8>, FormatError> {
    HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .map_err(|_| damaged())
}

impl Sealing {
    fn open(&self, key: &Key, mut sealed: Vec<u8>) -> Option<SecretBytes> {
        sealed.extend(HEXLOWER_PERMISSIVE.decode(self.tag.as_bytes()).ok()?);
        let nonce = HEXLOWER_PERMISSIVE.decode(self.nonce.as_bytes()).ok()?;
        ciphers::decrypt_aes_gcm(key, &nonce, &sealed)
    }
}

/// The key that seals the database, from the first slot that the password opens.
fn master(slots: &[Slot], ask: &dyn Ask) -> Result<SecretBytes, FormatError> {
    let slots: Vec<_> = slots.iter().filter(|slot| slot.kind == PASSWORD).collect();
    let what = "the export of Aegis has too many passwords";
    FormatError::check_size(what, slots.len(), MAX_SLOTS, "slots")?;
    if slots.is_empty() {
        let text = "no password opens the export of Aegis: export it again with one";
        return Err(FormatError::unsupported(text));
    }
    for slot in &slots {
        ciphers::check_scrypt(slot.n, slot.r, slot.p)?;
    }
    let password = ask.passphrase()?;
    for slot in slots {
        let salt = hex(&slot.salt)?;
        let key = ciphers::scrypt(password.as_bytes(), &salt, (slot.n, slot.r, slot.p))?;
        if let Some(key) = slot.key_params.open(&key, hex(&slot.key)?) {
            return Ok(key);
        }
    }
    Err(FormatError::wrong_passphrase(
        "the export of Aegis does not open: wrong passphrase",
    ))
}

fn accounts(mut db: Members, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let known = groups(db.take("groups"), "uuid");
    let mut accounts = Accounts::new(sink, &OWN);
    let Some(Value::Array(entries)) = db.take("entries") else {
        return Err(FormatError::malformed("the export of Aegis has no entries"));
    };
    for entry in entries {
        let mut entry = Members::new(entry);
        let mut info = entry.inner("info");
        // An id of the app's own.
        entry.take("uuid");
        let account = Account {
            issuer: entry.text("issuer"),
            name: entry.text("name"),
            kind: entry.text("type"),
            secret: info.text("secret").into(),
            algorithm: Some(info.text("algo")).filter(|name| !name.is_empty()),
            digits: info.number("digits"),
            period: info.number("period"),
            counter: info.number("counter"),
        };
        let note = entry.text("note");
        let in_groups = round_trip::list(entry.take("groups")).into_iter();
        let tag = |id: Value| known.get(id.as_str()?)?.as_str().map(str::to_owned);
        // Before groups had ids.
        let group = Some(entry.text("group")).filter(|name| !name.is_empty());
        let tags: Vec<_> = in_groups.filter_map(tag).chain(group).collect();
        let is_favourite = entry.take("favorite") == Some(Value::Bool(true));
        let item = account.item(&note, None).map(|mut item| {
            item.tags = tags;
            if is_favourite {
                item.mark_favourite();
            }
            item
        });
        accounts.pass(item, &[&entry, &info])?;
    }
    accounts.finish(&db)
}
