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
    /// 1 login, 2 secure note, and the numbers of [`NESTED`].
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
    /// Earlier passwords, newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_history: Option<Vec<Former>>,
    /// The UUIDs of its collections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection_ids: Option<Vec<Option<String>>>,
    /// ISO 8601.
    pub creation_date: Option<String>,
    /// ISO 8601.
    pub revision_date: Option<String>,
    /// The time of deletion, for items in the trash; ISO 8601.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_date: Option<String>,
    /// Other members, among them those of [`NESTED`].
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Entry {
    /// The kind of logins.
    pub const LOGIN: u32 = 1;
    /// The kind of notes.
    pub const NOTE: u32 = 2;
}

/// Number, kind and member of the items whose fields are texts in an object of their own.
pub const NESTED: [(u32, &str, &str); 6] = [
    (3, "card", "card"),
    (4, "identity", "identity"),
    (5, "ssh-key", "sshKey"),
    (6, BANK_ACCOUNT, "bankAccount"),
    (7, DRIVERS_LICENSE, "driversLicense"),
    (8, PASSPORT, "passport"),
];
const BANK_ACCOUNT: &str = "bank-account";
const DRIVERS_LICENSE: &str = "drivers-license";
const PASSPORT: &str = "passport";

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

/// Kind, member and well-known field of the kinds whose members are texts. Names of documents are those of CXF.
pub const AGREED: [(&str, &str, &str); 24] = [
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
    (BANK_ACCOUNT, "nameOnAccount", "holder"),
    (BANK_ACCOUNT, "accountNumber", "number"),
    (BANK_ACCOUNT, "pin", "pin"),
    (BANK_ACCOUNT, "bankContactPhone", "phone"),
    (DRIVERS_LICENSE, "firstName", "given"),
    (DRIVERS_LICENSE, "middleName", "given2"),
    (DRIVERS_LICENSE, "lastName", "surname"),
    (DRIVERS_LICENSE, "dateOfBirth", "birthDate"),
    (DRIVERS_LICENSE, "issuingCountry", "country"),
    (DRIVERS_LICENSE, "issuingState", "territory"),
    (DRIVERS_LICENSE, "expirationDate", "expiry"),
    (PASSPORT, "givenName", "given"),
    (PASSPORT, "dateOfBirth", "birthDate"),
    (PASSPORT, "expirationDate", "expiry"),
];

/// Kind and member of fields that keep their names, and whether they are hidden.
pub const OWN: [(&str, &str, bool); 37] = [
    ("identity", "title", false),
    ("identity", "firstName", false),
    ("identity", "middleName", false),
    ("identity", "lastName", false),
    ("identity", "address1", false),
    ("identity", "address2", false),
    ("identity", "address3", false),
    ("identity", "city", false),
    ("identity", "state", false),
    ("identity", "postalCode", false),
    ("identity", "country", false),
    ("identity", "company", false),
    ("identity", "ssn", false),
    ("identity", "passportNumber", false),
    ("identity", "licenseNumber", false),
    ("card", "expYear", false),
    ("card", "expMonth", false),
    (BANK_ACCOUNT, "bankName", false),
    (BANK_ACCOUNT, "accountType", false),
    (BANK_ACCOUNT, "routingNumber", false),
    (BANK_ACCOUNT, "branchNumber", false),
    (BANK_ACCOUNT, "swiftCode", false),
    (BANK_ACCOUNT, "iban", true),
    (DRIVERS_LICENSE, "licenseNumber", true),
    (DRIVERS_LICENSE, "issueDate", false),
    (DRIVERS_LICENSE, "issuingAuthority", false),
    (DRIVERS_LICENSE, "licenseClass", false),
    (PASSPORT, "surname", false),
    (PASSPORT, "sex", false),
    (PASSPORT, "birthPlace", false),
    (PASSPORT, "nationality", false),
    (PASSPORT, "passportNumber", true),
    (PASSPORT, "nationalIdentificationNumber", true),
    (PASSPORT, "passportType", false),
    (PASSPORT, "issuingCountry", false),
    (PASSPORT, "issuingAuthority", false),
    (PASSPORT, "issueDate", false),
];
