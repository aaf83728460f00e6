//! What people and programs get to see: results on standard output, everything else on standard error.

pub mod clipboard;
pub mod table;

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use serde_json::Value;

use crate::error::Error;

/// How results are written.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    quiet: bool,
    verbose: bool,
}

impl Output {
    /// As the options say.
    pub fn new(json: bool, quiet: bool, verbose: bool) -> Self {
        Self {
            json,
            quiet,
            verbose,
        }
    }

    /// Whether results are JSON.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Whether results go to a person.
    pub fn is_terminal(self) -> bool {
        io::stdout().is_terminal()
    }

    /// A message beside the result.
    pub fn note(self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// A message for those who asked for more.
    pub fn detail(self, text: &str) {
        if self.verbose {
            self.say(text);
        }
    }

    /// A message that nobody should miss.
    pub fn say(self, text: &str) {
        // Nowhere to report that standard error is gone.
        let _ = writeln!(io::stderr().lock(), "{}", printable(text));
    }

    /// A line of a result.
    ///
    /// # Errors
    /// [`Error::Failed`] if standard output is gone.
    pub fn line(self, text: &str) -> Result<(), Error> {
        self.bytes(format!("{}\n", printable(text)).as_bytes())
    }

    /// A result as one line of JSON.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn object(self, object: &impl Serialize) -> Result<(), Error> {
        let json = serde_json::to_string(object).map_err(|e| Error::Failed(e.to_string()))?;
        self.bytes(format!("{json}\n").as_bytes())
    }

    /// A result for people, or the same for programs.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn either(self, object: &impl Serialize, text: &str) -> Result<(), Error> {
        if self.json {
            self.object(object)
        } else if text.is_empty() {
            Ok(())
        } else {
            self.line(text)
        }
    }

    /// Exactly these bytes.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn bytes(self, bytes: &[u8]) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .map_err(|error| Error::io("writing the result", &error))
    }

    /// An error: one line for people, an object on standard output for programs.
    pub fn error(self, error: &Error) {
        if self.json {
            let object = serde_json::json!({
                "error": {
                    "status": error.status(),
                    "kind": error.kind(),
                    "message": error.to_string(),
                }
            });
            // Nowhere to report that standard output is gone.
            let _ = self.object(&object);
        } else {
            self.say(&format!("keyshell: {error}"));
        }
    }
}

/// Adds a field to a JSON object.
pub fn add(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.insert(key.to_owned(), value);
    }
}

/// Text without what a terminal would act upon: control characters but line breaks and tabs, and characters that turn
/// the direction of writing around.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let harmless = matches!(c, '\n' | '\t') || !(c.is_control() || turns_direction(c));
            let (plain, escaped) = if harmless {
                (Some(c), None)
            } else {
                (None, Some(c.escape_unicode()))
            };
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
