//! The members of credentials and the fields of records.

use crate::model::record::field;

/// A type of credentials.
pub struct Type {
    /// The name in the file.
    pub name: &'static str,
    /// The kind of a record with such a credential.
    pub kind: &'static str,
    /// The members that are fields.
    pub members: &'static [Member],
}

/// A member that is a field.
pub struct Member {
    /// The name in the file.
    pub name: &'static str,
    /// The field's name.
    pub field: &'static str,
    /// The JSON form.
    pub shape: Shape,
    /// Whether the field alone makes a record have such a credential.
    pub tells: bool,
}

/// The JSON form of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As text.
    Text,
    /// As an editable field of this type.
    Editable(&'static str),
}

/// Type of editable fields that are shown only where asked for.
pub const CONCEALED: &str = "concealed-string";
/// Type of editable fields with the security of a wireless network.
const WIFI: &str = "wifi-network-security-type";
/// Type of editable fields with any text.
pub const STRING: &str = "string";
/// Type of credentials with fields of the owner's own.
pub const CUSTOM: &str = "custom-fields";
/// Type of credentials of one-time codes.
pub const TOTP: &str = "totp";
/// Type of credentials of WebAuthn.
pub const PASSKEY: &str = "passkey";
/// Type of credentials of SSH.
pub const SSH_KEY: &str = "ssh-key";
/// Type of notes.
pub const NOTE: &str = "note";
/// Type of bare passwords.
pub const GENERATED: &str = "generated-password";

const fn member(
    name: &'static str,
    field: &'static str,
    kind: &'static str,
    tells: bool,
) -> Member {
    Member {
        name,
        field,
        shape: Shape::Editable(kind),
        tells,
    }
}

const fn string(name: &'static str, field: &'static str) -> Member {
    member(name, field, STRING, false)
}

const fn telling(name: &'static str, field: &'static str) -> Member {
    member(name, field, STRING, true)
}

const fn date(name: &'static str, field: &'static str) -> Member {
    member(name, field, "date", false)
}

/// All types whose members are fields, in the order in which they are written. Those that need more than that are in
/// [`super::composite`].
pub const TYPES: &[Type] = &[
    Type {
        name: "basic-auth",
        kind: "login",
        members: &[
            telling("username", field::USERNAME),
            member("password", field::PASSWORD, CONCEALED, true),
        ],
    },
    Type {
        name: PASSKEY,
        kind: "passkey",
        members: &[],
    },
    Type {
        name: TOTP,
        kind: "totp",
        members: &[],
    },
    Type {
        name: "api-key",
        kind: "api-key",
        members: &[
            member("key", "key", CONCEALED, true),
            string("username", field::USERNAME),
            string("keyType", "keyType"),
            string("url", field::URL),
            date("validFrom", "validFrom"),
            date("expiryDate", field::EXPIRY),
        ],
    },
    Type {
        name: "credit-card",
        kind: "card",
        members: &[
            member("number", field::NUMBER, CONCEALED, true),
            string("fullName", field::HOLDER),
            string("cardType", field::BRAND),
            member("verificationNumber", field::CODE, CONCEALED, true),
            member("pin", field::PIN, CONCEALED, true),
            member("expiryDate", field::EXPIRY, "year-month", false),
            member("validFrom", "validFrom", "year-month", false),
        ],
    },
    Type {
        name: SSH_KEY,
        kind: "ssh-key",
        members: &[
            Member {
                name: "keyComment",
                field: "keyComment",
                shape: Shape::Text,
                tells: false,
            },
            date("creationDate", "creationDate"),
            date("expiryDate", field::EXPIRY),
            string("keyGenerationSource", "keyGenerationSource"),
        ],
    },
    Type {
        name: "person-name",
        kind: "identity",
        members: &[
            string("title", "title"),
            telling("given", "given"),
            string("givenInformal", "givenInformal"),
            telling("given2", "given2"),
            string("surnamePrefix", "surnamePrefix"),
            telling("surname", "surname"),
            string("surname2", "surname2"),
            string("credentials", "credentials"),
            string("generation", "generation"),
        ],
    },
    Type {
        name: "address",
        kind: "identity",
        members: &[
            telling("streetAddress", "streetAddress"),
            telling("postalCode", "postalCode"),
            telling("city", "city"),
            member("territory", "territory", "subdivision-code", false),
            member("country", "country", "country-code", false),
            string("tel", field::PHONE),
        ],
    },
    Type {
        name: "drivers-license",
        kind: "drivers-license",
        members: &[
            string("fullName", "fullName"),
            date("birthDate", "birthDate"),
            date("issueDate", "issueDate"),
            date("expiryDate", field::EXPIRY),
            string("issuingAuthority", "issuingAuthority"),
            member("territory", "territory", "subdivision-code", false),
            member("country", "country", "country-code", false),
            telling("licenseNumber", "licenseNumber"),
            string("licenseClass", "licenseClass"),
        ],
    },
    Type {
        name: "identity-document",
        kind: "identity-document",
        members: &[
            member("issuingCountry", "issuingCountry", "country-code", false),
            telling("documentNumber", "documentNumber"),
            telling("identificationNumber", "identificationNumber"),
            string("nationality", "nationality"),
            string("fullName", "fullName"),
            date("birthDate", "birthDate"),
            string("birthPlace", "birthPlace"),
            string("sex", "sex"),
            date("issueDate", "issueDate"),
            date("expiryDate", field::EXPIRY),
            string("issuingAuthority", "issuingAuthority"),
        ],
    },
    Type {
        name: "passport",
        kind: "passport",
        members: &[
            member("issuingCountry", "issuingCountry", "country-code", false),
            string("passportType", "passportType"),
            telling("passportNumber", "passportNumber"),
            telling(
                "nationalIdentificationNumber",
                "nationalIdentificationNumber",
            ),
            string("nationality", "nationality"),
            string("fullName", "fullName"),
            date("birthDate", "birthDate"),
            string("birthPlace", "birthPlace"),
            string("sex", "sex"),
            date("issueDate", "issueDate"),
            date("expiryDate", field::EXPIRY),
            string("issuingAuthority", "issuingAuthority"),
        ],
    },
    Type {
        name: "wifi",
        kind: "wifi",
        members: &[
            telling("ssid", "ssid"),
            member("networkSecurityType", "networkSecurityType", WIFI, false),
            member("passphrase", field::PASSWORD, CONCEALED, false),
            member("hidden", "hidden", "boolean", false),
        ],
    },
    Type {
        name: GENERATED,
        kind: "password",
        members: &[Member {
            name: "password",
            field: field::PASSWORD,
            shape: Shape::Text,
            tells: false,
        }],
    },
    Type {
        name: NOTE,
        kind: NOTE,
        members: &[telling("content", field::NOTE)],
    },
];

/// Names of Bitwarden's for fields that have a place here.
const ALIASES: [(&str, &str); 6] = [
    ("firstName", "given"),
    ("middleName", "given2"),
    ("lastName", "surname"),
    ("address1", "streetAddress"),
    ("state", "territory"),
    ("ssn", "identificationNumber"),
];

/// The name of a field, which may be one of Bitwarden's, in [`Member::field`].
pub fn usual(name: &str) -> &str {
    let alias = ALIASES.iter().find(|(theirs, _)| *theirs == name);
    alias.map_or(name, |(_, ours)| *ours)
}

/// The type of this name.
pub fn named(name: &str) -> Option<&'static Type> {
    TYPES.iter().find(|known| known.name == name)
}

/// Types of editable fields beside texts, and what [`Field::content`](crate::model::record::Field::content) says for them.
const CONTENTS: [(&str, &str); 8] = [
    ("boolean", "bool"),
    ("date", "date"),
    ("year-month", "month"),
    ("email", "email"),
    ("number", "number"),
    ("country-code", "country"),
    ("subdivision-code", "subdivision"),
    (WIFI, "wifi-security"),
];

/// The type of a field, from the type of an editable field.
pub fn content(kind: &str) -> Option<&'static str> {
    let found = CONTENTS.iter().find(|(cxf, _)| *cxf == kind);
    found.map(|(_, ours)| *ours)
}

/// The type of an editable field with this content.
pub fn editable(content: &str) -> Option<&'static str> {
    let found = CONTENTS.iter().find(|(_, ours)| *ours == content);
    found.map(|(cxf, _)| *cxf)
}
