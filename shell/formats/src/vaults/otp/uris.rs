//! `otpauth`: a text with one otpauth URI per line, as many programs export them (Apple's among them, without a label),
//! or with the `otpauth-migration` URIs of Google Authenticator, which stand for several accounts each.

use percent_encoding::percent_decode_str;

use super::account::{MAX_FILE, item};
use super::migration;
use crate::format::{FormatError, Incoming, Loss, Peek, Sink, Source, VaultFormat};
use crate::otpauth::SCHEME;

/// The scheme of Steam's seeds.
const STEAM: &str = "steam://";

/// The format.
pub const FORMAT: VaultFormat = VaultFormat::new(
    "otpauth",
    "a list of otpauth URIs, or the URIs that Google Authenticator exports: one secret per account",
    recognises,
    |source, _, sink| read(source, sink),
);

fn after<'a>(line: &'a str, scheme: &str) -> Option<&'a str> {
    let (begin, rest) = line.split_at_checked(scheme.len())?;
    begin.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.trim_start_matches('\u{feff}').lines();
    let numbered = (1..).zip(lines.map(str::trim));
    numbered.filter(|(_, line)| !line.is_empty())
}

/// A single otpauth URI is a value; more are a list.
fn recognises(_: &Source, peek: &Peek) -> bool {
    let head = String::from_utf8_lossy(&peek.head);
    let mut lines = lines(&head).map(|(_, line)| line);
    let first = lines.next().unwrap_or_default();
    let is_migration = after(first, migration::SCHEME).is_some();
    let is_uri = after(first, SCHEME).is_some() || after(first, STEAM).is_some();
    is_migration || is_uri && lines.next().is_some()
}

fn read(source: &Source, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let file = source.bytes(MAX_FILE)?;
    let text = std::str::from_utf8(file.expose());
    let text = text.map_err(|_| FormatError::malformed("the file is not UTF-8"))?;
    let mut parts = migration::Parts::default();
    for (number, line) in lines(text) {
        if let Some(query) = after(line, migration::SCHEME) {
            for account in parts
                .read(query)
                .map_err(|error| error.in_part(format_args!("line {number}")))?
            {
                sink(match account {
                    Ok(item) => Incoming::Item(Box::new(item)),
                    Err(loss) => Incoming::Lost(loss),
                })?;
            }
        } else if after(line, SCHEME).is_some() || after(line, STEAM).is_some() {
            sink(Incoming::Item(Box::new(item(&title(line), line, "", None))))?;
        } else {
            let what = "it is not an otpauth URI";
            sink(Incoming::Lost(Loss::new(format!("line {number}"), what)))?;
        }
    }
    parts
        .missing()
        .try_for_each(|what| sink(Incoming::Lost(Loss::new("the file", what))))
}

/// The name of a URI's account: the label, with the issuer before it.
fn title(uri: &str) -> String {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let path = after(path, SCHEME).unwrap_or_default();
    let label = path.split_once('/').map_or("", |(_, label)| label);
    let label = percent_decode_str(label).decode_utf8_lossy();
    let query = query.split('#').next().unwrap_or_default();
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    let issuer = parameters.find(|(key, _)| key.eq_ignore_ascii_case("issuer"));
    let issuer = issuer.map(|(_, issuer)| issuer).unwrap_or_default();
    match (issuer.is_empty(), label.is_empty()) {
        (true, _) => label.into_owned(),
        (false, true) => issuer.into_owned(),
        (false, false) if label.contains(':') => label.into_owned(),
        (false, false) => format!("{issuer}:{label}"),
    }
}
