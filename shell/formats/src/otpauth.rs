//! URIs of one-time codes (<https://github.com/google/google-authenticator/wiki/Key-Uri-Format>).

/// The scheme.
pub const SCHEME: &str = "otpauth://";
/// Codes by time (RFC 6238).
pub const TOTP: &str = "totp";
/// Codes by counter (RFC 4226).
pub const HOTP: &str = "hotp";
/// The parameters of Steam's codes, as KeePassXC writes them.
pub const STEAM: [(&str, &str); 2] = [("digits", "5"), ("encoder", "steam")];

/// A URI of codes of this kind; all parts are percent-encoded.
pub fn uri<V: AsRef<str>>(
    kind: &str,
    label: &str,
    secret: &str,
    parameters: impl IntoIterator<Item = (&'static str, V)>,
) -> String {
    let mut uri = format!("{SCHEME}{kind}/{label}?secret={secret}");
    for (name, value) in parameters {
        uri.extend(["&", name, "=", value.as_ref()]);
    }
    uri
}

/// The label, percent-encoded, and the decoded parameters of a URI of codes of this kind; `None` for other text.
pub fn parse<'a>(kind: &str, uri: &'a str) -> Option<(&'a str, form_urlencoded::Parse<'a>)> {
    let rest = uri.strip_prefix(SCHEME)?.strip_prefix(kind)?;
    let (label, query) = rest.strip_prefix('/')?.split_once('?')?;
    Some((label, form_urlencoded::parse(query.as_bytes())))
}

/// Percent-encodes a part of a URI as `application/x-www-form-urlencoded` does, but for spaces.
pub fn encoded(text: &str) -> String {
    let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    encoded.replace('+', "%20")
}
