//! `jwks`: a JWK set (RFC 7517, section 5), one secret per key. A key that is converted into PEM or bytes is a secret as
//! from `jwk`; any other one (RSA, P-384, public keys) is its JSON.

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared::secret::SecretBytes;

use crate::format::{FormatError, Incoming, Item, Loss, Peek, Sink, Source, VaultFormat};
use crate::input::json_stream::unexpected;
use crate::key::jwk;
use crate::secrets;

/// Longest file, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;
/// Media type of a key (RFC 7517, section 8.5.1).
const JWK: &str = "application/jwk+json";

/// The format.
pub const FORMAT: VaultFormat = VaultFormat::new(
    "jwks",
    "a JWK set: one secret per key, in PEM or bytes where `jwk` converts it, else as its JSON",
    recognises,
    |source, _, sink| read(source, sink),
);

#[derive(serde::Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

fn recognises(source: &Source, peek: &Peek) -> bool {
    if !peek.has_keys(&["keys"]) {
        return false;
    }
    let Ok(file) = source.bytes(MAX_FILE) else {
        return false;
    };
    let set: Result<Set<'_>, _> = serde_json::from_slice(file.expose());
    let is_key = |key: &&RawValue| jwk::parse(key.get().as_bytes()).is_ok();
    set.is_ok_and(|set| !set.keys.is_empty() && set.keys.iter().all(is_key))
}

fn read(source: &Source, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let file = source.bytes(MAX_FILE)?;
    let set: Set<'_> = serde_json::from_slice(file.expose()).map_err(unexpected)?;
    for (number, key) in (1_usize..).zip(set.keys) {
        let text = key.get().as_bytes();
        let document =
            jwk::parse(text).map_err(|error| error.in_part(format_args!("key {number}")))?;
        let name = document.kid.clone().filter(|kid| !kid.trim().is_empty());
        // As `jwk` writes it: a name with its folders.
        let name = name.unwrap_or_else(|| format!("key {number}"));
        // What is not converted is kept as it is.
        let converted = document
            .is_taken()
            .then(|| secrets::jwk::decode(text).ok())
            .flatten();
        let item = match converted {
            Some(secret) => Item {
                content_type: secret.content_type,
                losses: secret.lost,
                ..Item::plain(name, secret.value, None)
            },
            None => Item {
                content_type: Some(JWK.into()),
                ..Item::plain(name, SecretBytes::from(text), None)
            },
        };
        sink(Incoming::Item(Box::new(item)))?;
    }
    for name in set.other.keys() {
        sink(Incoming::Lost(Loss::new(
            "the set",
            secrets::jwk::member(name),
        )))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::registry::detect;
    use crate::testing::read_file;

    #[test]
    fn each_key_of_a_set_is_a_secret() {
        // RFC 8037, appendix A.1.
        let set = json!({
            "keys": [
                {"kty": "OKP", "crv": "Ed25519", "kid": "web/sign", "use": "sig",
                 "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
                 "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
                {"kty": "oct", "kid": "bytes", "k": "AAECAw"},
                {"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "AQAB"},
                {"kty": "OKP", "crv": "Ed25519", "kid": "public", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
            ],
            "issuer": "x",
        });
        let text = set.to_string();
        let source = Source::memory(SecretBytes::from(text.as_bytes()), "");
        assert_eq!(detect(&source).unwrap().name(), "jwks");
        let (items, missing) = read_file(&FORMAT, text.as_bytes()).unwrap();
        assert_eq!(missing, ["the set: member `issuer`"]);
        let told: Vec<_> = items
            .iter()
            .map(|item| {
                let value = item.newest().unwrap().value.expose();
                let begin = String::from_utf8_lossy(&value[..value.len().min(9)]).into_owned();
                (
                    item.name.as_str(),
                    item.content_type.as_deref().unwrap_or(""),
                    begin,
                )
            })
            .collect();
        let expected = [
            ("web/sign", "application/x-pem-file", "-----BEGI".to_owned()),
            ("bytes", "", "\0\u{1}\u{2}\u{3}".to_owned()),
            ("key 3", JWK, "{\"d\":\"AQA".to_owned()),
            ("public", JWK, "{\"crv\":\"E".to_owned()),
        ];
        assert_eq!(told, expected);
        assert_eq!(items[0].losses, ["member `use`"]);
    }

    #[test]
    fn other_json_with_keys_is_no_set() {
        for text in [
            "{\"keys\":[]}",
            "{\"keys\":[1]}",
            "{\"keys\":[{\"a\":1}]}",
            "{\"keys\":{}}",
        ] {
            let source = Source::memory(SecretBytes::from(text.as_bytes()), "");
            assert_eq!(detect(&source).unwrap().name(), "raw", "{text}");
            assert!(text.contains("[]") || read_file(&FORMAT, text.as_bytes()).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = read_file(&FORMAT, text.as_bytes());
            let _ = read_file(&FORMAT, format!("{{\"keys\":[{text}]}}").as_bytes());
        }
    }
}
