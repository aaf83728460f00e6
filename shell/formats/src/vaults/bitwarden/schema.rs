//! The members of the JSON that have a meaning here.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The field of a passkey in Bitwarden's own form, which is not that of FIDO's exchange format.
pub const PASSKEY: &str = "bitwarden-passkey";

/// A folder, or a collection of an organisation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Folder {
    /// A UUID.
    pub id: String,
    /// With `/` between a folder and the one in it.
    pub name: Option<String>,
}

/// An item.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// A UUID.
    pub id: Option<String>,
    /// The UUID of the folder.
    pub folder_id: Option<String>,
    /// 1 login, 2 secure note, 3 card, 4 identity, 5 SSH key.
    #[serde(rename = "type")]
    pub kind: u32,
    /// The name.
    pub name: Option<String>,
    /// Free text.
    pub notes: Option<String>,
    /// Whether the item is a favourite.
    pub favorite: bool,
    /// Fields that the owner defined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<Custom>>,
    /// The members of a login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    /// The members of a card: texts or null by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_key: Option<Map<String, Value>>,
    /// Earlier passwords, newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_history: Option<Vec<Former>>,
    /// The UUIDs of its collections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection_ids: Option<Vec<String>>,
    /// ISO 8601.
    pub creation_date: Option<String>,
    /// ISO 8601.
    pub revision_date: Option<String>,
    /// The time of deletion, for items in the trash; ISO 8601.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_date: Option<String>,
    /// Other members.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Entry {
    /// The kind of logins.
    pub const LOGIN: u32 = 1;
    /// The kind of notes.
    pub const NOTE: u32 = 2;
    /// The kind of cards.
    pub const CARD: u32 = 3;
    /// The kind of identities.
    pub const IDENTITY: u32 = 4;
    /// The kind of SSH keys.
    pub const SSH_KEY: u32 = 5;
}

/// A field that the owner defined.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Custom {
    /// The name.
    pub name: Option<String>,
    /// The value.
    pub value: Option<String>,
    /// 0 text, 1 hidden, 2 boolean, 3 linked to another field.
    #[serde(rename = "type")]
    pub kind: u32,
    /// Other members: the field that this one is linked to.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// The members of a login.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Login {
    /// The addresses.
    pub uris: Option<Vec<Uri>>,
    /// The user name.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// An otpauth URI or a seed.
    pub totp: Option<String>,
    /// Passkeys.
    #[serde(rename = "fido2Credentials", skip_serializing_if = "Option::is_none")]
    pub passkeys: Option<Vec<Value>>,
    /// Other members.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// An address of a login.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Uri {
    /// The address.
    pub uri: Option<String>,
    /// Other members: the way the address is matched.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// An earlier password.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Former {
    /// The time until which it was in use; ISO 8601.
    pub last_used_date: Option<String>,
    /// The password.
    pub password: Option<String>,
}

/// Kind, member and well-known field of the kinds whose members are texts.
pub const AGREED: [(&str, &str, &str); 10] = [
    ("card", "cardholderName", "holder"),
    ("card", "number", "number"),
    ("card", "code", "code"),
    ("card", "brand", "brand"),
    ("identity", "email", "email"),
    ("identity", "phone", "phone"),
    ("identity", "username", "username"),
    ("ssh-key", "privateKey", "private-key"),
    ("ssh-key", "publicKey", "public-key"),
    ("ssh-key", "keyFingerprint", "fingerprint"),
];

/// Fields of identities that keep their names.
pub const IDENTITY: [&str; 15] = [
    "title",
    "firstName",
    "middleName",
    "lastName",
    "address1",
    "address2",
    "address3",
    "city",
    "state",
    "postalCode",
    "country",
    "company",
    "ssn",
    "passportNumber",
    "licenseNumber",
];
