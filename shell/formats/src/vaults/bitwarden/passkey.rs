//! Passkeys: as Bitwarden writes them (`fido2Credentials`), and as FIDO's Credential Exchange Format does, which is how
//! fields have them here.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Map, Value};
use uuid::{Uuid, Variant, Version};
use zeroize::Zeroizing;

use super::schema::PASSKEY;
use crate::key::pem;
use crate::model::record::{Field, field};
use crate::round_trip::{self, BITWARDEN};

/// The prefix of an id that is not a UUID.
const NO_UUID: &str = "b64.";
/// The members that every passkey of Bitwarden has.
const USUAL: [(&str, &str); 5] = [
    ("keyType", "public-key"),
    ("keyAlgorithm", "ECDSA"),
    ("keyCurve", "P-256"),
    ("counter", "0"),
    ("discoverable", "true"),
];
/// Members of both formats: the name in Bitwarden, and the name in FIDO's format.
const MEMBERS: [(&str, &str); 5] = [
    ("rpId", "rpId"),
    ("keyValue", "key"),
    ("userHandle", "userHandle"),
    ("userName", "username"),
    ("userDisplayName", "userDisplayName"),
];
/// The members of Bitwarden that may be null.
const OPTIONAL: [&str; 2] = ["userName", "userDisplayName"];
const ID: &str = "credentialId";
const CREATED: &str = "creationDate";

/// A passkey of Bitwarden's as a field: in FIDO's form if that says all of it together with what is kept beside it, else
/// as it is.
pub fn field(given: &Value) -> Field {
    let exchanged = exchanged(given).filter(|field| {
        bitwarden(field, None).is_some_and(|(again, lost)| again == *given && lost.is_empty())
    });
    exchanged.unwrap_or_else(|| Field::named(PASSKEY, given.to_string(), true))
}

fn exchanged(given: &Value) -> Option<Field> {
    let mut rest = given.as_object()?.clone();
    let mut members = Map::new();
    members.insert(ID.into(), raw_id(rest.remove(ID)?.as_str()?)?.into());
    for (theirs, name) in MEMBERS {
        let text = match rest.get(theirs)? {
            Value::String(text) => text.clone(),
            // FIDO's format always has a text here; null is kept beside it.
            Value::Null if OPTIONAL.contains(&theirs) => {
                members.insert(name.into(), "".into());
                continue;
            }
            _ => return None,
        };
        rest.remove(theirs);
        members.insert(name.into(), text.into());
    }
    for (name, usual) in USUAL {
        if rest.get(name).and_then(Value::as_str) == Some(usual) {
            rest.remove(name);
        }
    }
    let value = Value::Object(members).to_string();
    let mut field = Field::named(field::PASSKEY, value, true);
    if !rest.is_empty() {
        field.other.insert(BITWARDEN.into(), Value::Object(rest));
    }
    Some(field)
}

/// A passkey in FIDO's form as Bitwarden's, and which members Bitwarden has no place for; none for keys that it does not
/// use. `created` is when it was made, if nothing says so.
pub fn bitwarden(field: &Field, created: Option<&str>) -> Option<(Value, Vec<String>)> {
    let mut members: Map<String, Value> = serde_json::from_str(&field.value).ok()?;
    let mut take = |name: &str| round_trip::text(members.remove(name)?);
    let kept = field.other.get(BITWARDEN).and_then(Value::as_object);
    let mut passkey = kept.cloned().unwrap_or_default();
    let id = BASE64URL_NOPAD.decode(take(ID)?.as_bytes()).ok()?;
    passkey.insert(ID.into(), their_id(&id).into());
    for (theirs, name) in MEMBERS {
        let text = take(name)?;
        if theirs == "keyValue" && !is_p256(&text) {
            return None;
        }
        // Null is written again unless the field has a text.
        if !text.is_empty() || !passkey.contains_key(theirs) {
            passkey.insert(theirs.into(), text.into());
        }
    }
    for (name, usual) in USUAL {
        passkey.entry(name).or_insert_with(|| usual.into());
    }
    if let Some(created) = created {
        passkey.entry(CREATED).or_insert_with(|| created.into());
    }
    let lost = members.into_iter().map(|(name, _)| name).collect();
    Some((Value::Object(passkey), lost))
}

/// The bytes of an id in base64url.
fn raw_id(text: &str) -> Option<String> {
    if let Some(raw) = text.strip_prefix(NO_UUID) {
        return Some(raw.to_owned());
    }
    let hex = text.replace('-', "");
    let bytes = HEXLOWER.decode(hex.as_bytes()).ok()?;
    Some(BASE64URL_NOPAD.encode(&bytes))
}

fn their_id(bytes: &[u8]) -> String {
    // Not every 16 bytes are a UUID of version 4.
    let uuid = Uuid::from_slice(bytes).ok().filter(|uuid| {
        uuid.get_version() == Some(Version::Random) && uuid.get_variant() == Variant::RFC4122
    });
    uuid.map_or_else(
        || format!("{NO_UUID}{}", BASE64URL_NOPAD.encode(bytes)),
        |uuid| uuid.to_string(),
    )
}

/// Whether a private key in PKCS #8 and base64url is of P-256, the only curve that Bitwarden uses.
fn is_p256(key: &str) -> bool {
    let der = BASE64URL_NOPAD.decode(key.as_bytes()).map(Zeroizing::new);
    der.is_ok_and(|der| pem::ssh_type(&der) == Some(pem::SSH_P256))
}
