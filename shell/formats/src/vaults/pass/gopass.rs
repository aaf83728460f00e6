//! Texts of `gopass` that are not those of `pass` (<https://www.gopass.pw>): a header of its own, which it wrote for a
//! while, and YAML after a line `---`.
//!
//! Of YAML, `key: value` lines of plain and quoted text are fields. From the first line that is anything else on, the text
//! is the note.

use super::text::line_field;
use crate::model::record::{Record, field};

/// The first line of secrets with a header.
const HEADER: &str = "GOPASS-SECRET-1.0";
/// The line before YAML.
const YAML: &str = "---";

/// The record of a text that `gopass` alone writes.
pub fn read(text: &str) -> Option<Record> {
    let text = text.replace("\r\n", "\n");
    let (first, rest) = text.split_once('\n')?;
    let mut record = Record::new("login");
    match first {
        HEADER => header(rest, &mut record),
        YAML => yaml(rest, &mut record)?,
        password => {
            let (mark, rest) = rest.split_once('\n')?;
            if mark != YAML {
                return None;
            }
            record.push(field::PASSWORD, password);
            yaml(rest, &mut record)?;
        }
    }
    Some(record)
}

/// Fields up to an empty line, then the note.
fn header(text: &str, record: &mut Record) {
    let mut rest = text;
    while !rest.is_empty() {
        let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
        if line.is_empty() {
            rest = behind;
            break;
        }
        let Some(field) = line_field(line) else {
            break;
        };
        if field.name.eq_ignore_ascii_case(field::PASSWORD) {
            record.push(field::PASSWORD, field.value);
        } else {
            record.fields.push(field);
        }
        rest = behind;
    }
    record.push(field::NOTE, rest.strip_suffix('\n').unwrap_or(rest));
}

/// The fields of YAML; `None` if it begins with something else.
fn yaml(text: &str, record: &mut Record) -> Option<()> {
    let mut rest = text;
    let before = record.fields.len();
    while !rest.is_empty() {
        let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
        // A value may go on in indented lines.
        let Some(scalar) = scalar(line).filter(|_| !behind.starts_with([' ', '\t'])) else {
            break;
        };
        record.fields.push(line_field(&scalar)?);
        rest = behind;
    }
    let is_any = record.fields.len() > before;
    record.push(field::NOTE, rest.strip_suffix('\n').unwrap_or(rest));
    is_any.then_some(())
}

/// A line `key: value` with its value unquoted; `None` for a value that is no plain text.
fn scalar(line: &str) -> Option<String> {
    let (key, value) = line.split_once(": ")?;
    let value = value.trim();
    let is_plain_key = key.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let value = match value.chars().next()? {
        quote @ ('"' | '\'') => {
            let inner = value.strip_prefix(quote)?.strip_suffix(quote)?;
            (!inner.contains([quote, '\\'])).then_some(inner)?
        }
        '|' | '>' | '&' | '*' | '!' | '[' | ']' | '{' | '}' | '#' | '%' | '@' | '`' | ',' => {
            return None;
        }
        _ if value.contains(" #") || value.contains(": ") => return None,
        _ => value,
    };
    is_plain_key.then(|| format!("{key}: {value}"))
}
