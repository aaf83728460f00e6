//! URIs of one-time codes (<https://github.com/google/google-authenticator/wiki/Key-Uri-Format>).

/// The scheme and the kind: codes by time (RFC 6238).
const TOTP: &str = "otpauth://totp/";

/// A URI; all parts are percent-encoded.
pub fn uri<V: AsRef<str>>(
    label: &str,
    secret: &str,
    parameters: impl IntoIterator<Item = (&'static str, V)>,
) -> String {
    let mut uri = format!("{TOTP}{label}?secret={secret}");
    for (name, value) in parameters {
        uri.extend(["&", name, "=", value.as_ref()]);
    }
    uri
}

/// The label, percent-encoded, and the decoded parameters of a URI; `None` for other text.
pub fn parse(uri: &str) -> Option<(&str, form_urlencoded::Parse<'_>)> {
    let (label, query) = uri.strip_prefix(TOTP)?.split_once('?')?;
    Some((label, form_urlencoded::parse(query.as_bytes())))
}

/// Percent-encodes a part of a URI as `application/x-www-form-urlencoded` does, but for spaces.
pub fn encoded(text: &str) -> String {
    let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    encoded.replace('+', "%20")
}
