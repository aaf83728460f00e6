//! Fields that are one field of a record and several strings of a KeePass entry: KeePass's one-time codes (`TimeOtp-*`,
//! `HmacOtp-*`, <https://keepass.info/help/base/placeholders.html#otp>) and KeePassXC's passkeys (`KPEX_PASSKEY_*`).
//!
//! Strings become such a field only if the export of the field gives the same strings; other strings are imported as hidden
//! fields, one field per string. The older ways to write a one-time code, which programs themselves replace by an otpauth
//! URI, are read only: `TOTP Seed` with `TOTP Settings` (KeeTrayTOTP, KeePassXC before 2.7) and KeeOtp's `key=…&step=…`.

use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE, HEXUPPER};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::key::pem;
use crate::model::record::{Field, field};
use crate::otpauth::{self, encoded};
use crate::round_trip::KDBX;

/// A kind of one-time codes of KeePass.
struct Codes {
    /// The kind in URIs.
    kind: &'static str,
    /// The prefix of the keys.
    prefix: &'static str,
    /// The keys of the secret as text, and in [`ENCODINGS`].
    secrets: [&'static str; 4],
    /// Parameters: the key, the name in a URI, the default value.
    parameters: &'static [(&'static str, &'static str, &'static str)],
}

/// The forms of a secret, by the end of its key.
const ENCODINGS: [&str; 4] = ["", "-Hex", "-Base64", "-Base32"];
const CODES: [Codes; 2] = [
    Codes {
        kind: otpauth::TOTP,
        prefix: "TimeOtp-",
        secrets: [
            "TimeOtp-Secret",
            "TimeOtp-Secret-Hex",
            "TimeOtp-Secret-Base64",
            "TimeOtp-Secret-Base32",
        ],
        parameters: &[
            ("TimeOtp-Length", "digits", "6"),
            ("TimeOtp-Period", "period", "30"),
            ("TimeOtp-Algorithm", "algorithm", "HMAC-SHA-1"),
        ],
    },
    Codes {
        kind: otpauth::HOTP,
        prefix: "HmacOtp-",
        secrets: [
            "HmacOtp-Secret",
            "HmacOtp-Secret-Hex",
            "HmacOtp-Secret-Base64",
            "HmacOtp-Secret-Base32",
        ],
        // A URI of such codes states the counter.
        parameters: &[("HmacOtp-Counter", "counter", "")],
    },
];
/// The keys of KeeTrayTOTP.
const SEED: &str = "TOTP Seed";
const SETTINGS: &str = "TOTP Settings";
/// Prefixes of keys whose values are secrets, protected or not.
const HIDDEN: [&str; 4] = ["TimeOtp-", "HmacOtp-", "KPEX_", SEED];
/// Algorithms in KeePass and in URIs.
const ALGORITHMS: [(&str, &str); 3] = [
    ("HMAC-SHA-1", "SHA1"),
    ("HMAC-SHA-256", "SHA256"),
    ("HMAC-SHA-512", "SHA512"),
];
/// The key of the string with the private key of a passkey, in PEM.
const PASSKEY_KEY: &str = "KPEX_PASSKEY_PRIVATE_KEY_PEM";
/// The other strings of a passkey: the key, the member in CXF, whether the string is protected.
const PASSKEY: [(&str, &str, bool); 4] = [
    ("KPEX_PASSKEY_USERNAME", "username", false),
    ("KPEX_PASSKEY_CREDENTIAL_ID", "credentialId", true),
    ("KPEX_PASSKEY_RELYING_PARTY", "rpId", false),
    ("KPEX_PASSKEY_USER_HANDLE", "userHandle", true),
];

/// A string of an entry: key, value, and whether it is protected.
pub type Text = (&'static str, Zeroizing<String>, bool);

/// Whether the value of this key is a secret.
pub fn is_hidden(key: &str) -> bool {
    HIDDEN.iter().any(|begin| key.starts_with(begin))
}

/// A field that was made from several strings, and the keys of the strings.
pub type Taken = (Field, Vec<&'static str>);

/// The field, if exactly the strings whose keys have this prefix are written for it.
fn checked(
    field: Field,
    texts: Option<Vec<Text>>,
    prefix: &str,
    strings: &[(&str, &str)],
) -> Option<Taken> {
    let texts = texts?;
    let given: Vec<_> = strings
        .iter()
        .filter(|(key, _)| key.starts_with(prefix))
        .collect();
    let is_written = |(key, value): &&(&str, &str)| {
        let mut texts = texts.iter();
        texts.any(|(own, text, _)| own == key && text.as_str() == *value)
    };
    let is_whole = given.len() == texts.len() && given.iter().all(is_written);
    is_whole.then(|| (field, texts.into_iter().map(|(key, ..)| key).collect()))
}

fn get<'a>(strings: &[(&str, &'a str)], key: &str) -> Option<&'a str> {
    let found = strings.iter().find(|(own, _)| *own == key);
    found.map(|(_, value)| *value)
}

/// The one-time code that strings of an entry state.
pub fn take_code(strings: &[(&str, &str)], title: &str) -> Option<Taken> {
    let mut taken = CODES.iter().filter_map(|codes| codes.take(strings, title));
    taken.next().or_else(|| take_seed(strings, title))
}

impl Codes {
    fn take(&self, strings: &[(&str, &str)], title: &str) -> Option<Taken> {
        let (secret_key, ..) = self.secrets.split_first()?;
        let (key, secret) = strings
            .iter()
            .find(|(key, _)| key.starts_with(secret_key))?;
        let form = key.strip_prefix(secret_key)?;
        let secret = match form {
            "" => BASE32_NOPAD.encode(secret.as_bytes()),
            "-Hex" => BASE32_NOPAD.encode(&HEXLOWER_PERMISSIVE.decode(secret.as_bytes()).ok()?),
            "-Base64" => BASE32_NOPAD.encode(&BASE64.decode(secret.as_bytes()).ok()?),
            "-Base32" => (*secret).to_owned(),
            _ => return None,
        };
        let (mut stated, mut parameters) = (Vec::new(), Vec::new());
        for (key, parameter, usual) in self.parameters {
            let Some(value) = get(strings, key) else {
                continue;
            };
            stated.push(*key);
            if value != *usual {
                let known = ALGORITHMS.iter().find(|(theirs, _)| *theirs == value);
                parameters.push((
                    *parameter,
                    encoded(known.map_or(value, |(_, value)| *value)),
                ));
            }
        }
        let uri = otpauth::uri(self.kind, &encoded(title), &encoded(&secret), parameters);
        let mut field = Field::named(field::TOTP, uri, true);
        let note = json!({"secret": form, "stated": stated});
        field.other.insert(KDBX.into(), note);
        let texts = code(&field);
        checked(field, texts, self.prefix, strings)
    }

    /// The strings of a one-time code that was imported from strings of this kind.
    fn texts(&self, field: &Field) -> Option<Vec<Text>> {
        let note = field.other.get(KDBX)?;
        let form = note.get("secret")?.as_str()?;
        let stated = note.get("stated")?.as_array()?;
        let (_, parameters) = otpauth::parse(self.kind, &field.value)?;
        let (secrets, mut others): (Vec<_>, Vec<_>) =
            parameters.partition(|(key, _)| key == "secret");
        // KeePass has one secret.
        let [(_, secret)] = secrets.as_slice() else {
            return None;
        };
        let bytes = || {
            let bytes = BASE32_NOPAD.decode(secret.as_bytes()).ok();
            bytes.map(Zeroizing::new)
        };
        let secret = match form {
            "" => String::from_utf8(bytes()?.to_vec()).ok()?,
            "-Hex" => HEXUPPER.encode(&bytes()?),
            "-Base64" => BASE64.encode(&bytes()?),
            _ => secret.to_string(),
        };
        let place = ENCODINGS.iter().position(|own| *own == form)?;
        let mut texts = vec![(*self.secrets.get(place)?, Zeroizing::new(secret), true)];
        for (key, parameter, usual) in self.parameters {
            let place = others.iter().position(|(own, _)| own == parameter);
            let value = match place.map(|place| others.remove(place).1) {
                Some(value) if *parameter == "algorithm" => {
                    let known = ALGORITHMS.iter().find(|(_, uri)| *uri == value)?;
                    known.0.to_owned()
                }
                Some(value) => value.into_owned(),
                None if stated.iter().any(|own| own == key) => (*usual).to_owned(),
                None => continue,
            };
            texts.push((*key, Zeroizing::new(value), false));
        }
        // KeePass has no strings for other parameters.
        others.is_empty().then_some(texts)
    }
}

/// The strings of a one-time code that was imported from such strings.
pub fn code(field: &Field) -> Option<Vec<Text>> {
    CODES.iter().find_map(|codes| codes.texts(field))
}

/// The one-time code of KeeTrayTOTP's strings. Settings that have more than two parts stay a field.
fn take_seed(strings: &[(&str, &str)], title: &str) -> Option<Taken> {
    let seed = get(strings, SEED)?;
    let settings = get(strings, SETTINGS);
    let mut parts = settings.unwrap_or("30;6").split(';');
    let (period, digits) = (parts.next()?, parts.next()?);
    let mut keys = vec![SEED];
    keys.extend(
        settings
            .filter(|_| parts.next().is_none())
            .map(|_| SETTINGS),
    );
    let mut parameters = vec![("period", period)];
    match digits {
        "S" => parameters.extend(otpauth::STEAM),
        digits => parameters.push(("digits", digits)),
    }
    let field = Field::named(
        field::TOTP,
        plain_uri(otpauth::TOTP, title, seed, &parameters)?,
        true,
    );
    Some((field, keys))
}

/// The URI of the one-time code that the text of [`OTP`](super::entry::OTP) is: as it is, unless KeeOtp wrote it.
pub fn uri(text: &str, title: &str) -> Option<String> {
    if !text.starts_with("key=") && !text.contains("&key=") {
        return None;
    }
    let (mut seed, mut kind, mut parameters) = (None, otpauth::TOTP, Vec::new());
    for (key, value) in text.split('&').filter_map(|part| part.split_once('=')) {
        match (key, value.to_ascii_lowercase().as_str()) {
            ("key", _) => seed = Some(value),
            ("type", "totp") => {}
            ("type", "hotp") => kind = otpauth::HOTP,
            ("step", _) => parameters.push(("period", value)),
            ("size", _) => parameters.push(("digits", value)),
            ("counter", _) => parameters.push(("counter", value)),
            ("otpHashMode", _) => parameters.push(("algorithm", value)),
            _ => return None,
        }
    }
    plain_uri(kind, title, seed?, &parameters)
}

/// A URI; `None` where the seed is not base32 or a number is none.
fn plain_uri(
    kind: &str,
    title: &str,
    seed: &str,
    parameters: &[(&'static str, &str)],
) -> Option<String> {
    let letters = percent_encoding::percent_decode_str(seed)
        .decode_utf8()
        .ok()?;
    let letters = letters.chars().filter(|c| !matches!(c, ' ' | '-' | '='));
    let seed: String = letters.collect::<String>().to_ascii_uppercase();
    let bytes = BASE32_NOPAD.decode(seed.as_bytes()).map(Zeroizing::new);
    bytes.ok().filter(|bytes| !bytes.is_empty())?;
    let mut stated = Vec::new();
    for (name, value) in parameters {
        let value = value.trim();
        match *name {
            "algorithm" => stated.push((*name, value.to_ascii_uppercase())),
            "encoder" => stated.push((*name, value.to_owned())),
            _ => stated.push((*name, value.parse::<u64>().ok()?.to_string())),
        }
    }
    Some(otpauth::uri(kind, &encoded(title), &seed, stated))
}

/// The passkey that strings of an entry state.
pub fn take_passkey(strings: &[(&str, &str)]) -> Option<Taken> {
    let key = pem::pkcs8_der(get(strings, PASSKEY_KEY)?)?;
    // CXF requires a display name.
    let mut members = Map::from_iter([("userDisplayName".to_owned(), "".into())]);
    members.insert("key".into(), BASE64URL_NOPAD.encode(key.as_bytes()).into());
    for (key, member, _) in PASSKEY {
        members.insert(member.into(), get(strings, key)?.into());
    }
    let field = Field::named(field::PASSKEY, Value::Object(members).to_string(), true);
    let texts = passkey(&field.value);
    checked(field, texts, "KPEX_PASSKEY_", strings)
}

/// The strings of a passkey; `None` where a member of KeePassXC's is missing.
pub fn passkey(value: &str) -> Option<Vec<Text>> {
    let passkey: Value = serde_json::from_str(value).ok()?;
    let text = |member: &str| passkey.get(member)?.as_str();
    let mut texts = vec![(PASSKEY_KEY, pem::from_base64url(text("key")?)?, true)];
    for (key, member, is_protected) in PASSKEY {
        texts.push((key, Zeroizing::new(text(member)?.to_owned()), is_protected));
    }
    Some(texts)
}
