//! Structured items: a login, a card, an identity, as one JSON value whose fields can be addressed (`docs/items.md`).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::secret::{SecretBytes, SecretWriter};

use crate::error::FormatError;

/// Media type of a record.
pub const CONTENT_TYPE: &str = "application/vnd.keyshell.item+json";
const VERSION: u32 = 1;

/// Names of fields that formats agree upon.
pub mod field {
    /// Who logs in.
    pub const USERNAME: &str = "username";
    /// What with.
    pub const PASSWORD: &str = "password";
    /// Where; any number of them.
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
    /// Its fingerprint.
    pub const FINGERPRINT: &str = "fingerprint";
    /// Whose name stands on a card.
    pub const HOLDER: &str = "holder";
    /// Of a card or an account.
    pub const NUMBER: &str = "number";
    /// Of a card: `YYYY-MM`.
    pub const EXPIRY: &str = "expiry";
    /// Of a card: its verification code.
    pub const CODE: &str = "code";
    /// Of a card: who issues it.
    pub const BRAND: &str = "brand";
    /// Of a card.
    pub const PIN: &str = "pin";
    /// Of an identity.
    pub const EMAIL: &str = "email";
    /// Of an identity.
    pub const PHONE: &str = "phone";
}

/// A structured item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the shape: 1.
    item: u32,
    /// What it is: `login`, `note`, `card`, `identity`, `ssh-key`, `totp`, `passkey`, or whatever a file says.
    pub kind: String,
    /// Its fields, in the order of the file.
    pub fields: Vec<Field>,
    /// What formats keep verbatim so that it goes out again: by the format's name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub foreign: Map<String, Value>,
    /// What a newer program wrote.
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Field {
    /// Its name: one of [`field`], or free.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether it is shown only where asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Whether the owner made it, whatever its name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub custom: bool,
    /// What is in it where that is no plain text: `bool`, `date`, `month`, `linked`, or whatever a file says.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The heading under which it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// What a newer program wrote.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Field {
    /// A field that formats agree upon.
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
        Self {
            name: name.to_owned(),
            value: value.into(),
            hidden: secret.contains(&name),
            ..Self::default()
        }
    }

    /// A field of one's own.
    pub fn custom(name: impl Into<String>, value: impl Into<String>, hidden: bool) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            hidden,
            custom: true,
            ..Self::default()
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

    /// Adds a field that formats agree upon, unless it is empty.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.fields.push(Field::agreed(name, value));
        }
    }

    /// The first field of this name that formats agree upon.
    pub fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// All fields of this name that formats agree upon.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let is_it = move |field: &&Field| !field.custom && field.name == name;
        self.fields
            .iter()
            .filter(is_it)
            .map(|field| field.value.as_str())
    }

    /// Fields that the owner made.
    pub fn customs(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.custom)
    }

    /// How each field is addressed after a `#`: its name, and from the second of a name on its number (`url.2`).
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

    /// Sets the field at an address; a new one is the owner's own, unless formats agree upon its name.
    pub fn set(&mut self, address: &str, value: String) {
        let place = self.addresses().iter().position(|own| own == address);
        match place.and_then(|place| self.fields.get_mut(place)) {
            Some(field) => field.value = value,
            None => self.fields.push(Field {
                name: address.to_owned(),
                value,
                hidden: true,
                ..Field::default()
            }),
        }
    }

    /// What whoever asks for the item as a whole most likely wants.
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

    /// Keeps what a format says and nobody here understands, so that it goes out again.
    pub fn keep(&mut self, format: &str, what: Map<String, Value>) {
        if !what.is_empty() {
            self.foreign.insert(format.to_owned(), Value::Object(what));
        }
    }

    /// What [`Self::keep`] kept for a format.
    pub fn kept(&self, format: &str) -> Map<String, Value> {
        let kept = self.foreign.get(format).and_then(Value::as_object);
        kept.cloned().unwrap_or_default()
    }

    /// Writes it.
    pub fn encode(&self) -> SecretBytes {
        let mut writer = SecretWriter::default();
        // Maps with text keys, written to memory: there is nothing to fail.
        let written = serde_json::to_writer_pretty(&mut writer, self);
        debug_assert!(written.is_ok());
        writer.finish()
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`FormatError`].
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
    fn what_nobody_understands_stays() {
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
