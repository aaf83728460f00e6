//! Templates: text in which `{{ NAME }}` is replaced by the value of a secret.

use std::io::Write as _;

use clap::ValueEnum;
use keyshell_base::json;
use keyshell_base::names::SecretName;
use shared::secret::{SecretBytes, SecretWriter};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::mask::UNRESERVED;

const OPEN: &[u8] = b"{{";
const CLOSE: &[u8] = b"}}";
/// A parsed template.
#[derive(Debug)]
pub struct Template<'a> {
    parts: Vec<Part<'a>>,
}

#[derive(Debug)]
enum Part<'a> {
    Text(&'a [u8]),
    Reference(SecretName, Filter),
}

/// The encoding of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Filter {
    #[value(skip)]
    Raw,
    Base64,
    #[value(name = "base64url")]
    Base64Url,
    Hex,
    Url,
    Json,
}

impl<'a> Template<'a> {
    /// Parses a template.
    ///
    /// # Errors
    /// [`Error::usage`] with the number of the line.
    pub fn parse(source: &'a [u8]) -> Result<Self> {
        let mut parts = Vec::new();
        let (mut rest, mut line) = (source, 1);
        while let Some((text, after)) = split_at(rest, OPEN) {
            line += line_ends(text);
            if text.ends_with(b"\\") {
                let plain = text.len() - 1;
                parts.push(Part::Text(text.get(..plain).unwrap_or_default()));
                parts.push(Part::Text(OPEN));
                rest = after;
                continue;
            }
            parts.push(Part::Text(text));
            let at = |error| Error::usage(format!("line {line} of the template: {error}"));
            let (part, behind) = reference(after).map_err(at)?;
            parts.push(part);
            rest = behind;
        }
        parts.push(Part::Text(rest));
        Ok(Self { parts })
    }

    /// The referenced names, one per reference.
    pub fn names(&self) -> Vec<SecretName> {
        let names = self.parts.iter().filter_map(|part| match part {
            Part::Reference(name, _) => Some(name.clone()),
            Part::Text(_) => None,
        });
        names.collect()
    }

    /// Renders the template with one value per name of [`Self::names`].
    ///
    /// # Errors
    /// [`Error::usage`] for a value that its filter cannot encode.
    pub fn fill(&self, values: &[SecretBytes]) -> Result<SecretBytes> {
        let failed = Error::io("filling the template");
        let mut filled = SecretWriter::default();
        let mut values = values.iter();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.write_all(text).map_err(&failed)?,
                Part::Reference(name, filter) => {
                    let value = values.next().ok_or_else(|| {
                        Error::failed(format!("`{name}` has no value in this template"))
                    })?;
                    let text = filter.apply(name, value)?;
                    filled.write_all(text.expose()).map_err(&failed)?;
                }
            }
        }
        Ok(filled.finish())
    }
}

fn split_at<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut windows = text.windows(mark.len());
    let found = windows.position(|window| window == mark)?;
    Some((text.get(..found)?, text.get(found + mark.len()..)?))
}

fn line_ends(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').skip(1).count()
}

/// Parses a reference after its opening braces; returns it and the text after the closing ones.
fn reference(text: &[u8]) -> Result<(Part<'_>, &[u8])> {
    let not_closed = || Error::usage("{{ is not closed on its line");
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let quoted = line.trim_ascii_start().strip_prefix(b"\"");
    let (name, behind) = if let Some(quoted) = quoted {
        split_at(quoted, b"\"").ok_or_else(not_closed)?
    } else {
        let (inside, _) = split_at(line, CLOSE).ok_or_else(not_closed)?;
        let end = inside.iter().position(|byte| *byte == b'|');
        line.split_at(end.unwrap_or(inside.len()))
    };
    let (filter, _) = split_at(behind, CLOSE).ok_or_else(not_closed)?;
    // Length of the reference in the text.
    let used = line.len() - behind.len() + filter.len() + CLOSE.len();
    let text_of =
        |bytes| std::str::from_utf8(bytes).map_err(|_| Error::usage("a name is not UTF-8"));
    let name = text_of(name)?.trim();
    let name =
        SecretName::parse(name).map_err(|error| Error::usage(format!("`{name}`: {error}")))?;
    let filter = Filter::parse(text_of(filter)?.trim())?;
    let rest = text.get(used..).unwrap_or_default();
    Ok((Part::Reference(name, filter), rest))
}

impl Filter {
    fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::Raw);
        }
        let name = text.strip_prefix('|').map(str::trim).unwrap_or_default();
        Self::from_str(name, false).map_err(|_| {
            Error::usage(format!(
                "`{text}` is not a filter; the filters are base64, base64url, hex, url and json"
            ))
        })
    }

    fn apply(self, name: &SecretName, value: &SecretBytes) -> Result<SecretBytes> {
        let bytes = value.expose();
        let encoded = match self {
            Self::Raw => return Ok(value.clone()),
            Self::Json => return json_text(name, value),
            Self::Base64 => data_encoding::BASE64.encode(bytes),
            Self::Base64Url => data_encoding::BASE64URL.encode(bytes),
            Self::Hex => data_encoding::HEXLOWER.encode(bytes),
            Self::Url => percent_encoding::percent_encode(bytes, UNRESERVED).to_string(),
        };
        Ok(SecretBytes::new(encoded.into_bytes()))
    }
}

/// The value as the content of a JSON string, without its quotes.
fn json_text(name: &SecretName, value: &SecretBytes) -> Result<SecretBytes> {
    let text = std::str::from_utf8(value.expose()).map_err(|_| {
        Error::usage(format!(
            "`{name}` is binary, which JSON cannot hold: choose base64"
        ))
    })?;
    let quoted = json::encode(&text).map_err(Error::failed)?;
    let inside = Zeroizing::new(quoted.expose().to_vec());
    let inside = inside.strip_prefix(b"\"").unwrap_or(&inside);
    let inside = inside.strip_suffix(b"\"").unwrap_or(inside);
    Ok(SecretBytes::from(inside))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fill(source: &str, values: &[&[u8]]) -> Result<Vec<u8>, Error> {
        let values: Vec<SecretBytes> = values.iter().map(|value| (*value).into()).collect();
        let filled = Template::parse(source.as_bytes())?.fill(&values)?;
        Ok(filled.expose().to_vec())
    }

    fn names(source: &str) -> Vec<String> {
        let names = Template::parse(source.as_bytes()).unwrap().names();
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn references_become_values_and_everything_else_stays() {
        let filled = fill(
            "a={{ x }}\nb={{prod/db pass | base64}} {{ \"q|}}\" |json}}}\n\\{{ z }} {}} \\",
            &[b"1{{x}}", &[0, 255], b"a\"\n"],
        );
        let expected = "a=1{{x}}\nb=AP8= a\\\"\\n}\n{{ z }} {}} \\";
        assert_eq!(String::from_utf8(filled.unwrap()).unwrap(), expected);
        assert_eq!(names("{{ x }}{{a b|hex}}{{\"|\"}}"), ["x", "a b", "|"]);
        let filled = fill(
            "{{a|hex}} {{a|url}} {{a|base64url}}",
            &[b"\xff/", b"a/b +", b"\xff\xfe"],
        );
        assert_eq!(filled.unwrap(), b"ff2f a%2Fb%20%2B __4=");
        assert_eq!(fill("", &[]).unwrap(), b"");
    }

    #[test]
    fn invalid_references_are_refused_with_their_line() {
        for (source, why) in [
            ("\n{{ x", "line 2"),
            ("{{ x \n }}", "not closed"),
            ("{{}}", "line 1"),
            ("{{ | hex }}", "line 1"),
            ("\n\n{{ x | rot13 }}", "line 3"),
            ("{{ \"x }}", "not closed"),
            ("{{ \"x\" y }}", "not a filter"),
        ] {
            let error = fill(source, &[b"v"]).unwrap_err();
            assert_eq!(error.status(), 2, "{source}");
            assert!(error.to_string().contains(why), "{source}: {error}");
        }
        let error = fill("{{ x | json }}", &[&[255]]).unwrap_err();
        assert!(error.to_string().contains("base64"), "{error}");
    }

    proptest! {
        #[test]
        fn text_without_references_stays_as_it_is(text in "[^{]*(\\{[^{]+)*") {
            prop_assert_eq!(fill(&text, &[]).unwrap(), text.as_bytes());
        }

        #[test]
        fn no_template_makes_it_panic(text in "([{}|\"\\\\ \na]|\\{\\{|\\}\\})*") {
            let _ = fill(&text, &[b"v", b"w"]);
        }
    }
}
