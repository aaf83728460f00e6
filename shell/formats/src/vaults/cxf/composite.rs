//! Credentials whose members together are one field: one-time codes, passkeys, SSH keys.

use data_encoding::BASE64URL_NOPAD;
use form_urlencoded::byte_serialize;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::key::pem;
use crate::otpauth;

/// Takes the members of one-time codes: an otpauth URI, or the bare seed where everything else is as usual.
pub fn take_totp(credential: &mut Map<String, Value>) -> Option<String> {
    let text = |key: &str| credential.get(key).and_then(Value::as_str);
    let number = |key: &str| credential.get(key).and_then(Value::as_u64);
    let secret = text("secret")?.to_owned();
    let algorithm = text("algorithm").unwrap_or("sha1").to_ascii_uppercase();
    if !matches!(&*algorithm, "SHA1" | "SHA256" | "SHA512") {
        return None;
    }
    let period = number("period").unwrap_or(30);
    let digits = number("digits").unwrap_or(6);
    let (issuer, username) = (text("issuer"), text("username"));
    let parameters = [
        ("issuer", issuer.map(encoded)),
        ("algorithm", (algorithm != "SHA1").then_some(algorithm)),
        ("digits", (digits != 6).then(|| digits.to_string())),
        ("period", (period != 30).then(|| period.to_string())),
    ];
    let stated = parameters
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let mut stated = stated.peekable();
    let value = if stated.peek().is_none() && username.is_none() && is_base32(&secret) {
        secret
    } else {
        let label = match (issuer, username) {
            (Some(issuer), Some(username)) => format!("{}:{}", encoded(issuer), encoded(username)),
            (_, name) => encoded(name.unwrap_or_default()),
        };
        let secret: String = byte_serialize(secret.as_bytes()).collect();
        otpauth::uri(otpauth::TOTP, &label, &secret, stated)
    };
    for key in [
        "secret",
        "algorithm",
        "period",
        "digits",
        "issuer",
        "username",
    ] {
        credential.remove(key);
    }
    Some(value)
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn is_base32(text: &str) -> bool {
    let mut letters = text.bytes();
    !text.is_empty() && letters.all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7' | b'='))
}

/// The members of a one-time code, unless it is none that CXF knows.
pub fn totp(value: &str) -> Option<Map<String, Value>> {
    let mut members = Map::new();
    let (mut algorithm, mut digits, mut period) = ("sha1".to_owned(), 6_u64, 30_u64);
    if is_base32(value) {
        members.insert("secret".into(), value.into());
    } else {
        let (label, parameters) = otpauth::parse(otpauth::TOTP, value)?;
        for (key, value) in parameters {
            match &*key {
                "secret" | "issuer" => {
                    members.insert(key.into_owned(), value.into_owned().into());
                }
                "algorithm" => algorithm = value.to_ascii_lowercase(),
                "digits" => digits = value.parse().ok()?,
                "period" => period = value.parse().ok()?,
                _ => return None,
            }
        }
        let account = label.split_once(':').map_or(label, |(_, account)| account);
        let account = percent_decode_str(account).decode_utf8().ok()?;
        if !account.is_empty() {
            members.insert("username".into(), account.into_owned().into());
        }
    }
    let is_known = matches!(&*algorithm, "sha1" | "sha256" | "sha512");
    if !is_known || !members.contains_key("secret") {
        return None;
    }
    members.insert("algorithm".into(), algorithm.into());
    members.insert("digits".into(), digits.into());
    members.insert("period".into(), period.into());
    Some(members)
}

/// Takes a passkey: all members, as JSON.
pub fn take_passkey(credential: &mut Map<String, Value>) -> Option<String> {
    let kind = credential.remove("type")?;
    let whole = Value::Object(std::mem::take(credential));
    credential.insert("type".into(), kind);
    Some(whole.to_string())
}

/// The members of a passkey.
pub fn passkey(value: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(value).ok()? {
        Value::Object(members) if !members.contains_key("type") => Some(members),
        _ => None,
    }
}

/// Takes a key of SSH: the private key in PEM, and its type where the key does not tell it.
pub fn take_ssh_key(credential: &mut Map<String, Value>) -> Option<(String, Option<String>)> {
    let text = pem::from_base64url(credential.get("privateKey")?.as_str()?)?;
    let told = pem::ssh_type(pem::pkcs8_der(&text)?.as_bytes());
    let stated = credential.get("keyType").and_then(Value::as_str);
    let other = stated.filter(|stated| told != Some(*stated));
    let other = other.map(str::to_owned);
    credential.remove("privateKey");
    if credential.get("keyType").is_some_and(Value::is_string) {
        credential.remove("keyType");
    }
    Some((text.to_string(), other))
}

/// The members of a key of SSH; none unless it is PKCS #8 in PEM, and of a known type.
pub fn ssh_key(value: &str, stated: Option<&str>) -> Option<Map<String, Value>> {
    let document = pem::pkcs8_der(value)?;
    let kind = stated.or_else(|| pem::ssh_type(document.as_bytes()))?;
    let key = BASE64URL_NOPAD.encode(document.as_bytes());
    let members = [("keyType", kind.into()), ("privateKey", key.into())];
    Some(Map::from_iter(
        members.map(|(name, value)| (name.to_owned(), value)),
    ))
}
