//! Structured items: a login, a card, an identity, as one JSON value whose fields can be addressed (`docs/items.md`).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::secret::{SecretBytes, SecretWriter};

use crate::error::FormatError;

/// Media type of a record.
pub const CONTENT_TYPE: &str = "application/vnd.keyshell.item+json";
const VERSION: u32 = 1;

/// Well-known field names, which have the same meaning in all formats.
pub mod field {
    /// The user name of a login.
    pub const USERNAME: &str = "username";
    /// The password of a login.
    pub const PASSWORD: &str = "password";
    /// The address of a login; a record may have several.
    pub const URL: &str = "url";
    /// An otpauth URI, or a seed in base32.
    pub const TOTP: &str = "totp";
    /// Free text.
    pub const NOTE: &str = "note";
    /// A passkey: the JSON object of FIDO's Credential Exchange Format, as text.
    pub const PASSKEY: &str = "passkey";
    /// A private key in PEM or OpenSSH's form.
    pub const PRIVATE_KEY: &str = "private-key";
    /// The public key to it, in OpenSSH's form.
    pub const PUBLIC_KEY: &str = "public-key";
    /// The fingerprint of a public key.
    pub const FINGERPRINT: &str = "fingerprint";
    /// The name of the holder on a card.
    pub const HOLDER: &str = "holder";
    /// The number of a card or an account.
    pub const NUMBER: &str = "number";
    /// The expiry month of a card: `YYYY-MM`.
    pub const EXPIRY: &str = "expiry";
    /// The verification code of a card.
    pub const CODE: &str = "code";
    /// The brand of a card.
    pub const BRAND: &str = "brand";
    /// The PIN of a card.
    pub const PIN: &str = "pin";
    /// A contact of an identity.
    pub const EMAIL: &str = "email";
    /// A contact of an identity.
    pub const PHONE: &str = "phone";
}

/// A structured item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the shape: 1.
    item: u32,
    /// The kind: `login`, `note`, `card`, `identity`, `ssh-key`, `totp`, `passkey`, or a kind of a foreign file.
    pub kind: String,
    /// The fields in the order of the file.
    pub fields: Vec<Field>,
    /// Foreign members that formats keep verbatim and export again, by the format's name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub foreign: Map<String, Value>,
    /// Members that a newer version of this program wrote.
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Field {
    /// The name: one of [`field`], or free.
    pub name: String,
    /// The value.
    pub value: String,
    /// Whether the value is shown on request only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Whether the owner defined the field, even if it has a well-known name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub custom: bool,
    /// The type of a value that is not plain text: `bool`, `date`, `month`, `linked`, or a type of a foreign file.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The heading above the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// Members that a newer version of this program wrote.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Field {
    /// A well-known field; hidden if its name is that of a secret.
    pub fn agreed(name: &str, value: impl Into<String>) -> Self {
        let secret = [
            field::PASSWORD,
            field::TOTP,
            field::PASSKEY,
            field::PRIVATE_KEY,
            field::CODE,
            field::PIN,
            field::NUMBER,
        ];
        Self::named(name, value, secret.contains(&name))
    }

    /// A field of a well-known name or of a format's own, whatever the name.
    pub fn named(name: impl Into<String>, value: impl Into<String>, hidden: bool) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            hidden,
            ..Self::default()
        }
    }

    /// A field that the owner defined.
    pub fn custom(name: impl Into<String>, value: impl Into<String>, hidden: bool) -> Self {
        Self {
            custom: true,
            ..Self::named(name, value, hidden)
        }
    }
}

impl Record {
    /// A record without fields.
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            item: VERSION,
            kind: kind.into(),
            fields: Vec::new(),
            foreign: Map::new(),
            other: Map::new(),
        }
    }

    /// Adds a well-known field, unless the value is empty.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.fields.push(Field::agreed(name, value));
        }
    }

    /// The value of the first well-known field of this name.
    pub fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// The values of all well-known fields of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let is_it = move |field: &&Field| !field.custom && field.name == name;
        self.fields
            .iter()
            .filter(is_it)
            .map(|field| field.value.as_str())
    }

    /// The fields that the owner defined.
    pub fn customs(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.custom)
    }

    /// The address of each field, which follows a `#`: the name, and from the second field of a name on a number (`url.2`).
    pub fn addresses(&self) -> Vec<String> {
        let mut seen = std::collections::HashMap::new();
        let number = |field: &Field| {
            let count: &mut u32 = seen.entry(field.name.clone()).or_default();
            *count += 1;
            match *count {
                1 => field.name.clone(),
                more => format!("{}.{more}", field.name),
            }
        };
        self.fields.iter().map(number).collect()
    }

    /// The field at an address.
    pub fn at(&self, address: &str) -> Option<&Field> {
        let place = self.addresses().iter().position(|own| own == address)?;
        self.fields.get(place)
    }

    /// Sets the field at an address, or adds a hidden field of this name.
    pub fn set(&mut self, address: &str, value: String) {
        let place = self.addresses().iter().position(|own| own == address);
        match place.and_then(|place| self.fields.get_mut(place)) {
            Some(field) => field.value = value,
            None => self.fields.push(Field::named(address, value, true)),
        }
    }

    /// The field that is printed for the item as a whole.
    pub fn main_field(&self) -> Option<&Field> {
        let wanted = match self.kind.as_str() {
            "card" => field::NUMBER,
            "ssh-key" => field::PRIVATE_KEY,
            "note" => field::NOTE,
            "totp" => field::TOTP,
            _ => field::PASSWORD,
        };
        let main = self.fields.iter().find(|field| field.name == wanted);
        main.or_else(|| self.fields.iter().find(|field| field.hidden))
            .or_else(|| self.fields.first())
    }

    /// Keeps foreign members of a format, which its export writes again.
    pub fn keep(&mut self, format: &str, what: Map<String, Value>) {
        if !what.is_empty() {
            self.foreign.insert(format.to_owned(), Value::Object(what));
        }
    }

    /// The foreign members that [`Self::keep`] was given for a format.
    pub fn kept(&self, format: &str) -> Map<String, Value> {
        let kept = self.foreign.get(format).and_then(Value::as_object);
        kept.cloned().unwrap_or_default()
    }

    /// Writes the record as JSON.
    pub fn encode(&self) -> SecretBytes {
        let mut writer = SecretWriter::default();
        // Maps with text keys, written to memory: there is nothing to fail.
        let written = serde_json::to_writer_pretty(&mut writer, self);
        debug_assert!(written.is_ok());
        writer.finish()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`FormatError`] for other JSON, and for records of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let record: Self = serde_json::from_slice(bytes).map_err(|error| {
            FormatError::not_this_format(format!("this is not a record: {error}"))
        })?;
        if record.item != VERSION {
            let text = format!(
                "this is version {} of records, but this program reads version {VERSION}: use a newer keyshell",
                record.item
            );
            return Err(FormatError::unsupported(text));
        }
        Ok(record)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn login() -> Record {
        let mut record = Record::new("login");
        record.push(field::USERNAME, "anna");
        record.push(field::PASSWORD, "hunter2");
        record.push(field::URL, "https://a.example");
        record.push(field::URL, "https://b.example");
        record.fields.push(Field::custom("PIN", "1234", true));
        record
    }

    #[test]
    fn fields_have_addresses() {
        let record = login();
        let addresses = record.addresses();
        assert_eq!(addresses, ["username", "password", "url", "url.2", "PIN"]);
        assert_eq!(record.at("url.2").unwrap().value, "https://b.example");
        assert!(record.at("url.3").is_none());
        assert_eq!(record.main_field().unwrap().value, "hunter2");
    }

    #[test]
    fn unknown_members_are_kept() {
        let json = br#"{"item":1,"kind":"x","fields":[{"name":"a","value":"b","new":[1]}],"later":{"c":null}}"#;
        let record = Record::decode(json).unwrap();
        let again: Value = serde_json::from_slice(record.encode().expose()).unwrap();
        assert_eq!(again, serde_json::from_slice::<Value>(json).unwrap());
    }

    #[test]
    fn another_version_is_refused() {
        let error = Record::decode(br#"{"item":2,"kind":"x","fields":[]}"#);
        assert!(error.unwrap_err().to_string().contains("newer keyshell"));
    }
}
