//! The parser of lines `KEY=value`.

use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::format::{FormatError, Item};

/// White space within a line.
const SPACES: [char; 2] = [' ', '\t'];

/// One `KEY=value`.
pub struct Entry<'a> {
    pub key: &'a str,
    pub value: Zeroizing<String>,
    /// The number of its first line, from 1.
    pub line: usize,
    /// Whether `export` stands before it.
    pub is_exported: bool,
    /// Whether there is white space before the `=`, which shells refuse.
    pub is_spaced: bool,
    /// Whether programs differ in what the value is.
    pub is_doubtful: bool,
}

impl Entry<'_> {
    pub fn item(&self) -> Item {
        let mut item = Item::plain(self.key, SecretBytes::from(self.value.as_bytes()), None);
        if self.is_doubtful {
            let text = "two backslashes in single quotes are taken as a shell takes them; if python-dotenv wrote the \
                        file, they are one: look at the value";
            item.losses.push(text.into());
        }
        item
    }
}

/// The rest of a file.
pub struct Parser<'a> {
    rest: &'a str,
    line: usize,
    /// Whether what only some programs read is an error.
    is_strict: bool,
    /// Whether programs differ in what the last value is.
    is_doubtful: bool,
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Entry<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_to_entry();
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_err() {
            self.rest = "";
        }
        Some(entry)
    }
}

impl<'a> Parser<'a> {
    /// Reads what shells and other programs agree upon.
    pub fn strict(text: &'a str) -> Self {
        Self {
            is_strict: true,
            ..Self::new(text)
        }
    }

    /// Reads dashes in keys and backquotes as quotes too, as Node's dotenv does.
    pub fn new(text: &'a str) -> Self {
        Self {
            rest: text.trim_start_matches('\u{feff}'),
            line: 1,
            is_strict: false,
            is_doubtful: false,
        }
    }

    fn refused(&self, what: &str) -> FormatError {
        FormatError::malformed(format!("line {}: {what}", self.line))
    }

    /// Consumes bytes, up to the end of the text or a character boundary.
    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn skip(&mut self, what: impl Fn(char) -> bool) {
        let len = self.rest.find(|c| !what(c)).unwrap_or(self.rest.len());
        self.take(len);
    }

    /// Skips white space within the line; whether there was any.
    fn skip_spaces(&mut self) -> bool {
        let before = self.rest.len();
        self.skip(|c| SPACES.contains(&c));
        self.rest.len() < before
    }

    /// The length of the rest of the line, without its end.
    fn line_len(&self) -> usize {
        self.rest.find('\n').unwrap_or(self.rest.len())
    }

    fn skip_to_entry(&mut self) {
        loop {
            self.skip(char::is_whitespace);
            if !self.rest.starts_with('#') {
                return;
            }
            self.take(self.line_len());
        }
    }

    fn entry(&mut self) -> Result<Entry<'a>, FormatError> {
        let line = self.line;
        let mut key = self.key()?;
        let mut is_spaced = self.skip_spaces();
        let is_exported = key == "export" && is_spaced && !self.rest.starts_with('=');
        if is_exported {
            key = self.key()?;
            is_spaced = self.skip_spaces();
        }
        if !self.rest.starts_with('=') {
            return Err(self.refused("`=` is expected after the key"));
        }
        self.take(1);
        self.is_doubtful = false;
        Ok(Entry {
            key,
            value: self.value()?,
            line,
            is_exported,
            is_spaced,
            is_doubtful: self.is_doubtful,
        })
    }

    fn key(&mut self) -> Result<&'a str, FormatError> {
        if !self.rest.starts_with(begins_key) {
            return Err(self.refused("the line is not empty, a comment or KEY=value"));
        }
        let end = self.rest.find(|c| !continues_key(c));
        let key = self.take(end.unwrap_or(self.rest.len()));
        if self.is_strict && key.contains('-') {
            return Err(self.refused("the key has a `-`, which shells refuse"));
        }
        Ok(key)
    }

    fn value(&mut self) -> Result<Zeroizing<String>, FormatError> {
        let is_spaced = self.skip_spaces();
        let value = match self.rest.chars().next() {
            Some('\'') => self.literal()?,
            Some('"') => self.escaped()?,
            Some('`') if !self.is_strict => self.backquoted()?,
            Some('`') => {
                let text =
                    "a value in backquotes, which a shell runs and other programs take literally";
                return Err(self.refused(text));
            }
            _ => return Ok(self.bare(is_spaced)),
        };
        self.skip_spaces();
        if !ends_line(self.rest) {
            return Err(self.refused("text after the closing quote"));
        }
        self.take(self.line_len());
        Ok(value)
    }

    fn literal(&mut self) -> Result<Zeroizing<String>, FormatError> {
        let unclosed = self.refused("the quote is not closed");
        self.take(1);
        let closes = |(at, _): &(usize, &str)| {
            let (before, behind) = self.rest.split_at_checked(*at).unwrap_or_default();
            !before.ends_with('\\') || ends_line(behind.get(1..).unwrap_or_default())
        };
        let mut quotes = self.rest.match_indices('\'');
        let (len, _) = quotes.find(closes).ok_or(unclosed)?;
        let mut value = Zeroizing::new(String::with_capacity(len));
        let written = self.take(len);
        self.is_doubtful = written.contains(r"\\");
        for (number, part) in written.split("\\'").enumerate() {
            if number > 0 {
                value.push('\'');
            }
            value.push_str(part);
        }
        self.take(1);
        Ok(value)
    }

    /// In backquotes everything stands for itself.
    fn backquoted(&mut self) -> Result<Zeroizing<String>, FormatError> {
        let unclosed = self.refused("the quote is not closed");
        self.take(1);
        let len = self.rest.find('`').ok_or(unclosed)?;
        let value = Zeroizing::new(self.take(len).to_owned());
        self.take(1);
        Ok(value)
    }

    fn escaped(&mut self) -> Result<Zeroizing<String>, FormatError> {
        let unclosed = self.refused("the quote is not closed");
        self.take(1);
        // The buffer never grows: a value is not longer than its text.
        let mut value = Zeroizing::new(String::with_capacity(self.quoted()));
        loop {
            let len = self.rest.find(['"', '\\']).unwrap_or(self.rest.len());
            value.push_str(self.take(len));
            let mut next = self.rest.chars();
            match (next.next(), next.next()) {
                (Some('"'), _) => {
                    self.take(1);
                    return Ok(value);
                }
                (Some('\\'), Some(escape)) => {
                    self.take(1 + escape.len_utf8());
                    match escape {
                        'n' => value.push('\n'),
                        'r' => value.push('\r'),
                        't' => value.push('\t'),
                        '"' | '\\' | '$' | '`' => value.push(escape),
                        other => value.extend(['\\', other]),
                    }
                }
                _ => return Err(unclosed),
            }
        }
    }

    /// The length of what stands in double quotes from here.
    fn quoted(&self) -> usize {
        let mut escaped = false;
        let end = self.rest.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        end.unwrap_or_default()
    }

    /// To the end of the line, or before a comment; `is_spaced` is whether a `#` right here begins one.
    fn bare(&mut self, is_spaced: bool) -> Zeroizing<String> {
        let line = self.take(self.line_len());
        let begins_comment = |(at, _): &(usize, &str)| {
            let before = line.get(..*at).unwrap_or_default();
            before.ends_with(SPACES) || before.is_empty() && is_spaced
        };
        let comment = line.match_indices('#').find(begins_comment);
        let value = comment.and_then(|(at, _)| line.get(..at)).unwrap_or(line);
        Zeroizing::new(value.trim_end().to_owned())
    }
}

pub fn is_key(key: &str) -> bool {
    key.starts_with(begins_key) && key.chars().all(continues_key)
}

fn begins_key(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn continues_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

/// Whether there is nothing but a comment before the end of the line.
fn ends_line(text: &str) -> bool {
    let behind = text.trim_start_matches([' ', '\t', '\r']);
    behind.is_empty() || behind.starts_with(['\n', '#'])
}
