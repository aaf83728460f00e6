//! Fields that are one field of a record and several strings of a KeePass entry: its own one-time codes (`TimeOtp-*`, <https://keepass.info/help/base/placeholders.html#otp>)
//! and KeePassXC's passkeys (`KPEX_PASSKEY_*`).
//!
//! They are taken only if the same strings come of it on the way out; otherwise they stay as they are, hidden.

use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE, HEXUPPER};
use form_urlencoded::byte_serialize;
use pkcs8::{LineEnding, SecretDocument};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::model::record::{Field, field};
use crate::round_trip::KDBX;

/// How the keys of one-time codes begin.
const TIME_OTP: &str = "TimeOtp-";
const SECRET: &str = "TimeOtp-Secret";
/// Beginnings of keys whose values are secrets, protected or not.
const HIDDEN: [&str; 4] = [TIME_OTP, "HmacOtp-", "KPEX_", "TOTP Seed"];
/// Parameters of one-time codes, what they are in a URI, and what they are unless that is said.
const PARAMETERS: [(&str, &str, &str); 3] = [
    ("TimeOtp-Length", "digits", "6"),
    ("TimeOtp-Period", "period", "30"),
    ("TimeOtp-Algorithm", "algorithm", "HMAC-SHA-1"),
];
/// Algorithms there and in URIs.
const ALGORITHMS: [(&str, &str); 3] = [
    ("HMAC-SHA-1", "SHA1"),
    ("HMAC-SHA-256", "SHA256"),
    ("HMAC-SHA-512", "SHA512"),
];
/// The key of a passkey, in PEM.
const PASSKEY_KEY: &str = "KPEX_PASSKEY_PRIVATE_KEY_PEM";
/// Other strings of a passkey, their members in CXF, and whether they are protected.
const PASSKEY: [(&str, &str, bool); 4] = [
    ("KPEX_PASSKEY_USERNAME", "username", false),
    ("KPEX_PASSKEY_CREDENTIAL_ID", "credentialId", true),
    ("KPEX_PASSKEY_RELYING_PARTY", "rpId", false),
    ("KPEX_PASSKEY_USER_HANDLE", "userHandle", true),
];
const PEM_LABEL: &str = "PRIVATE KEY";

/// A string of an entry: key, value, and whether it is protected.
pub type Text = (&'static str, Zeroizing<String>, bool);

/// Whether the value of this key is a secret.
pub fn is_hidden(key: &str) -> bool {
    HIDDEN.iter().any(|begin| key.starts_with(begin))
}

/// A field that was made of several strings, and their keys.
pub type Taken = (Field, Vec<&'static str>);

fn hidden(name: &str, value: String) -> Field {
    Field {
        name: name.into(),
        value,
        hidden: true,
        ..Field::default()
    }
}

/// The field, if it goes out as all the strings whose keys begin so.
fn checked(
    field: Field,
    texts: Option<Vec<Text>>,
    begin: &str,
    strings: &[(&str, &str)],
) -> Option<Taken> {
    let texts = texts?;
    let mut given = strings.iter().filter(|(key, _)| key.starts_with(begin));
    let is_same = given.all(|(key, value)| {
        let mut texts = texts.iter();
        texts.any(|(own, text, _)| own == key && text.as_str() == *value)
    });
    let count = strings.iter().filter(|(key, _)| key.starts_with(begin));
    let is_whole = is_same && count.count() == texts.len();
    is_whole.then(|| (field, texts.into_iter().map(|(key, ..)| key).collect()))
}

/// The one-time code that the strings of an entry say.
pub fn take_code(strings: &[(&str, &str)], title: &str) -> Option<Taken> {
    let get = |key: &str| {
        strings
            .iter()
            .find(|(own, _)| *own == key)
            .map(|(_, value)| *value)
    };
    let (key, secret) = strings.iter().find(|(key, _)| key.starts_with(SECRET))?;
    let form = key.strip_prefix(SECRET)?;
    let secret = match form {
        "" => BASE32_NOPAD.encode(secret.as_bytes()),
        "-Hex" => BASE32_NOPAD.encode(&HEXLOWER_PERMISSIVE.decode(secret.as_bytes()).ok()?),
        "-Base64" => BASE32_NOPAD.encode(&BASE64.decode(secret.as_bytes()).ok()?),
        "-Base32" => (*secret).to_owned(),
        _ => return None,
    };
    let encoded = |text: &str| {
        byte_serialize(text.as_bytes())
            .collect::<String>()
            .replace('+', "%20")
    };
    let mut uri = format!(
        "otpauth://totp/{}?secret={}",
        encoded(title),
        encoded(&secret)
    );
    let mut stated = Vec::new();
    for (key, parameter, usual) in PARAMETERS {
        let Some(value) = get(key) else { continue };
        stated.push(key);
        if value != usual {
            let known = ALGORITHMS.iter().find(|(theirs, _)| *theirs == value);
            let value = known.map_or(value, |(_, value)| *value);
            uri.extend(["&", parameter, "=", &encoded(value)]);
        }
    }
    let mut field = hidden(field::TOTP, uri);
    let note = json!({"secret": form, "stated": stated});
    field.other.insert(KDBX.into(), note);
    let texts = code(&field);
    checked(field, texts, TIME_OTP, strings)
}

/// The strings of a one-time code that came as such.
pub fn code(field: &Field) -> Option<Vec<Text>> {
    let note = field.other.get(KDBX)?;
    let form = note.get("secret")?.as_str()?;
    let stated = note.get("stated")?.as_array()?;
    let (_, query) = field
        .value
        .strip_prefix("otpauth://totp/")?
        .split_once('?')?;
    let mut texts: Vec<Text> = Vec::new();
    let mut others = Vec::new();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if key == "secret" {
            let bytes = || {
                BASE32_NOPAD
                    .decode(value.as_bytes())
                    .ok()
                    .map(Zeroizing::new)
            };
            texts.push(match form {
                "" => (
                    SECRET,
                    Zeroizing::new(String::from_utf8(bytes()?.to_vec()).ok()?),
                    true,
                ),
                "-Hex" => (
                    "TimeOtp-Secret-Hex",
                    Zeroizing::new(HEXUPPER.encode(&bytes()?)),
                    true,
                ),
                "-Base64" => (
                    "TimeOtp-Secret-Base64",
                    Zeroizing::new(BASE64.encode(&bytes()?)),
                    true,
                ),
                "-Base32" => (
                    "TimeOtp-Secret-Base32",
                    Zeroizing::new(value.into_owned()),
                    true,
                ),
                _ => return None,
            });
        } else {
            others.push((key, value));
        }
    }
    for (key, parameter, usual) in PARAMETERS {
        let place = others.iter().position(|(own, _)| own == parameter);
        let value = match place.map(|place| others.remove(place).1) {
            Some(value) if parameter == "algorithm" => {
                let known = ALGORITHMS.iter().find(|(_, uri)| *uri == value)?;
                known.0.to_owned()
            }
            Some(value) => value.into_owned(),
            None if stated.iter().any(|own| own == key) => usual.to_owned(),
            None => continue,
        };
        texts.push((key, Zeroizing::new(value), false));
    }
    // What KeePass has no string for, or has twice.
    let is_whole = others.is_empty()
        && texts
            .iter()
            .filter(|text| text.0.starts_with(SECRET))
            .count()
            == 1;
    is_whole.then_some(texts)
}

/// The passkey that the strings of an entry say.
pub fn take_passkey(strings: &[(&str, &str)]) -> Option<Taken> {
    let get = |key: &str| {
        strings
            .iter()
            .find(|(own, _)| *own == key)
            .map(|(_, value)| *value)
    };
    let (_, key) = SecretDocument::from_pem(get(PASSKEY_KEY)?).ok()?;
    // CXF wants a name to show as well.
    let mut members = Map::from_iter([("userDisplayName".to_owned(), "".into())]);
    members.insert("key".into(), BASE64URL_NOPAD.encode(key.as_bytes()).into());
    for (key, member, _) in PASSKEY {
        members.insert(member.into(), get(key)?.into());
    }
    let field = hidden(field::PASSKEY, Value::Object(members).to_string());
    let texts = passkey(&field.value);
    checked(field, texts, "KPEX_PASSKEY_", strings)
}

/// The strings of a passkey, as far as KeePassXC knows what is in it.
pub fn passkey(value: &str) -> Option<Vec<Text>> {
    let passkey: Value = serde_json::from_str(value).ok()?;
    let text = |member: &str| passkey.get(member)?.as_str();
    let key = BASE64URL_NOPAD.decode(text("key")?.trim_end_matches('=').as_bytes());
    let key = SecretDocument::try_from(key.ok()?).ok()?;
    let pem = key.to_pem(PEM_LABEL, LineEnding::LF).ok()?;
    let mut texts = vec![(PASSKEY_KEY, pem, true)];
    for (key, member, is_protected) in PASSKEY {
        texts.push((key, Zeroizing::new(text(member)?.to_owned()), is_protected));
    }
    Some(texts)
}
