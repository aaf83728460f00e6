//! Output: results on standard output, messages and errors on standard error.

pub mod qr;
pub mod reveal;
pub mod table;
pub mod terminal;

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;

use keyshell_base::json;
use keyshell_base::text::printable;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::line_editor::no_colour;

/// Writes results and messages as the options select.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    quiet: bool,
    verbose: bool,
}

impl Output {
    /// The output for the options `--json`, `--quiet` and `--verbose`.
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

    /// Whether standard output is a terminal.
    pub fn is_terminal(self) -> bool {
        io::stdout().is_terminal()
    }

    /// Whether results are coloured: on a terminal, unless `NO_COLOR` is set.
    pub fn has_colours(self) -> bool {
        self.is_terminal() && !no_colour()
    }

    /// Prints a notice, unless `--quiet` is given.
    pub fn note(self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// Prints a message if `--verbose` is given.
    pub fn detail(self, text: &str) {
        if self.verbose {
            self.say(text);
        }
    }

    /// Prints a message.
    pub fn say(self, text: &str) {
        // Nowhere to report that standard error is gone.
        let _ = writeln!(io::stderr().lock(), "{}", printable(text));
    }

    /// Writes a line of a result.
    ///
    /// # Errors
    /// [`Error::failed`] if standard output cannot be written.
    pub fn line(self, text: &str) -> Result<()> {
        let mut line = Zeroizing::new(printable(text));
        line.push('\n');
        self.bytes(line.as_bytes())
    }

    /// Writes lines of a result; through the pager if they do not fit on the terminal. Never used for values.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn lines(self, text: &str) -> Result<()> {
        if terminal::is_long(text) && terminal::page(&format!("{}\n", printable(text))) {
            return Ok(());
        }
        self.line(text)
    }

    /// Writes a table that fits the terminal, as [`Self::lines`] does; nothing without rows. The `elastic` columns
    /// shrink first.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn table<const N: usize>(
        self,
        header: [&str; N],
        rows: impl Iterator<Item = [String; N]>,
        elastic: &[usize],
    ) -> Result<()> {
        let table = table::render(header, rows.collect(), terminal::width(), elastic);
        table.map_or(Ok(()), |table| self.lines(&table))
    }

    /// Writes a result as one line of JSON.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn object(self, object: &impl Serialize) -> Result<()> {
        let json = json::encode(object).map_err(Error::failed)?;
        self.bytes(json.expose())?;
        self.bytes(b"\n")
    }

    /// Writes a result: `object` with `--json`, else `text` unless it is empty.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn either(self, object: &impl Serialize, text: &str) -> Result<()> {
        if self.json {
            self.object(object)
        } else if text.is_empty() {
            Ok(())
        } else {
            self.line(text)
        }
    }

    /// Reports a change: `text` as a notice, and with `--json` `object` as the result.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn done(self, text: &str, object: &impl Serialize) -> Result<()> {
        self.note(text);
        self.either(object, "")
    }

    /// Writes these bytes unchanged.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn bytes(self, bytes: &[u8]) -> Result<()> {
        // Not through the buffer of the standard library, which is never wiped.
        let write = || -> io::Result<()> {
            let stdout = io::stdout().lock().as_fd().try_clone_to_owned()?;
            File::from(stdout).write_all(bytes)
        };
        write().map_err(Error::io("writing the result"))
    }

    /// Prints an error: a line on standard error, or with `--json` an object on standard output.
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
