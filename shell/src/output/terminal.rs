//! The terminal that results are shown on.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

use rustix::termios::tcgetwinsize;

use crate::idle;

/// Shows a page and leaves it standing, colours as they are, and ends by itself where everything fits.
const PAGER: &str = "less -FRX";

/// A terminal's size, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
}

/// The size of the terminal on standard output; `None` where there is none, or it does not say.
pub fn size() -> Option<Size> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = tcgetwinsize(stdout).ok()?;
    let known = size.ws_col > 0 && size.ws_row > 0;
    known.then(|| Size {
        columns: size.ws_col.into(),
        rows: size.ws_row.into(),
    })
}

/// Whether a text takes more than one screen.
pub fn is_long(text: &str) -> bool {
    let Some(size) = size() else { return false };
    // One row is for the prompt.
    text.lines().count() >= size.rows
}

/// Shows a text through the pager; false where it does not start.
pub fn page(text: &str) -> bool {
    let chosen = std::env::var("PAGER").unwrap_or_else(|_| PAGER.to_owned());
    if chosen.trim().is_empty() {
        return false;
    }
    let pager = Command::new("sh")
        .args(["-c", &chosen])
        // No shell out of it, and no file of what was looked for.
        .env("LESSSECURE", "1")
        .env("LESSHISTFILE", "-")
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut pager) = pager else { return false };
    if let Some(mut stdin) = pager.stdin.take() {
        // Who leaves the pager early does not want the rest.
        let _ = stdin.write_all(text.as_bytes());
    }
    // 127: the shell did not find it.
    let (ended, _) = idle::waiting(|| pager.wait());
    ended.is_ok_and(|status| status.code() != Some(127))
}
