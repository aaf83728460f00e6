//! The kinds of items, and their well-known fields.

use crate::model::record::field;

/// The category of notes.
pub const NOTE: &str = "003";
/// The category of identities.
pub const IDENTITY: &str = "004";
/// The kind of categories that are not in the table.
pub const OTHER: &str = "other";

/// Categories and kinds of records.
const KINDS: [(&str, &str); 22] = [
    ("001", "login"),
    ("002", "card"),
    (NOTE, "note"),
    (IDENTITY, "identity"),
    ("005", "password"),
    ("006", "document"),
    ("100", "software-license"),
    ("101", "bank-account"),
    ("102", "database"),
    ("103", "drivers-license"),
    ("104", "outdoor-license"),
    ("105", "membership"),
    ("106", "passport"),
    ("107", "rewards-program"),
    ("108", "social-security-number"),
    ("109", "wifi"),
    ("110", "server"),
    ("111", "email-account"),
    ("112", "api-key"),
    ("113", "medical-record"),
    ("114", "ssh-key"),
    ("115", "crypto-wallet"),
];

/// Category, id and well-known name of fields. Names of identities and documents are those of CXF.
const FIELDS: [(&str, &str, &str); 49] = [
    ("002", "cardholder", field::HOLDER),
    ("002", "ccnum", field::NUMBER),
    ("002", "cvv", field::CODE),
    ("002", "expiry", field::EXPIRY),
    ("002", "type", field::BRAND),
    ("002", "pin", field::PIN),
    ("002", "validFrom", "validFrom"),
    (IDENTITY, "firstname", "given"),
    (IDENTITY, "initial", "given2"),
    (IDENTITY, "lastname", "surname"),
    (IDENTITY, "username", field::USERNAME),
    (IDENTITY, "email", field::EMAIL),
    (IDENTITY, "defphone", field::PHONE),
    ("101", "owner", field::HOLDER),
    ("101", "accountNo", field::NUMBER),
    ("101", "telephonePin", field::PIN),
    ("102", "username", field::USERNAME),
    ("102", "password", field::PASSWORD),
    ("103", "fullname", "fullName"),
    ("103", "birthdate", "birthDate"),
    ("103", "number", "licenseNumber"),
    ("103", "class", "licenseClass"),
    ("103", "state", "territory"),
    ("103", "country", "country"),
    ("103", "expiry_date", field::EXPIRY),
    ("106", "type", "passportType"),
    ("106", "issuing_country", "issuingCountry"),
    ("106", "number", "passportNumber"),
    ("106", "fullname", "fullName"),
    ("106", "sex", "sex"),
    ("106", "nationality", "nationality"),
    ("106", "issuing_authority", "issuingAuthority"),
    ("106", "birthdate", "birthDate"),
    ("106", "birthplace", "birthPlace"),
    ("106", "issue_date", "issueDate"),
    ("106", "expiry_date", field::EXPIRY),
    ("109", "network_name", "ssid"),
    ("109", "wireless_security", "networkSecurityType"),
    ("109", "wireless_password", field::PASSWORD),
    ("110", "url", field::URL),
    ("110", "username", field::USERNAME),
    ("110", "password", field::PASSWORD),
    ("111", "pop_username", field::USERNAME),
    ("111", "pop_password", field::PASSWORD),
    ("112", "username", field::USERNAME),
    ("112", "credential", "key"),
    ("112", "type", "keyType"),
    ("112", "hostname", field::URL),
    ("112", "expires", field::EXPIRY),
];

/// Members of the address of an identity.
const ADDRESS: [(&str, &str); 5] = [
    ("street", "streetAddress"),
    ("city", "city"),
    ("state", "territory"),
    ("zip", "postalCode"),
    ("country", "country"),
];

/// The kind of a category.
pub fn kind(category: &str) -> Option<&'static str> {
    let found = KINDS.iter().find(|(own, _)| *own == category);
    found.map(|(_, kind)| *kind)
}

/// The well-known name of a field of a category, by its id.
pub fn agreed(category: &str, id: &str) -> Option<&'static str> {
    let mut fields = FIELDS.iter();
    let found = fields.find(|(of, own, _)| *of == category && *own == id);
    found.map(|(_, _, agreed)| *agreed)
}

/// The well-known name of a part of the address of an identity.
pub fn part_of_address(part: &str) -> Option<&'static str> {
    let found = ADDRESS.iter().find(|(own, _)| *own == part);
    found.map(|(_, agreed)| *agreed)
}
