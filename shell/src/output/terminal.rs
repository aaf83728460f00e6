//! The terminal on standard output, and the pager.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

use rustix::termios::tcgetwinsize;

use crate::idle;

/// The default pager: exits if everything fits, passes colours through, and leaves the text on the screen.
const PAGER: &str = "less -FRX";

/// A terminal's size, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
}

/// The size of the terminal on standard output; `None` without a terminal or a known size.
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

/// Opens the terminal that controls this process, also where standard input and output are redirected.
///
/// # Errors
/// Errors of the operating system, if there is none.
pub fn own() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/tty")
}

/// Columns of the terminal on standard output; `None` without a terminal or a known size.
pub fn width() -> Option<usize> {
    size().map(|size| size.columns)
}

/// Whether a text takes more than one screen.
pub fn is_long(text: &str) -> bool {
    let Some(size) = size() else { return false };
    // One row is for the prompt.
    text.lines().count() >= size.rows
}

/// Shows a text through the pager; false if the pager cannot be started.
pub fn page(text: &str) -> bool {
    let chosen = std::env::var("PAGER").unwrap_or_else(|_| PAGER.to_owned());
    if chosen.trim().is_empty() {
        return false;
    }
    let pager = Command::new("sh")
        .args(["-c", &chosen])
        // Disables shell commands in less, and its file of searches.
        .env("LESSSECURE", "1")
        .env("LESSHISTFILE", "-")
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut pager) = pager else { return false };
    if let Some(mut stdin) = pager.stdin.take() {
        // Fails if the user quits the pager before the end.
        let _ = stdin.write_all(text.as_bytes());
    }
    // 127: the shell did not find it.
    let (ended, _) = idle::waiting(|| pager.wait());
    ended.is_ok_and(|status| status.code() != Some(127))
}
