//! Leaves the terminal's alternate screen when the process ends, so that no value stays visible there.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcsetattr};

/// Empties the alternate screen and goes back to the other one.
const BACK: &[u8] = b"\x1b[H\x1b[2J\x1b[?1049l";

/// The terminal that shows its alternate screen. Static, since a signal that ends the process runs no destructors.
static SHOWN: Mutex<Option<File>> = Mutex::new(None);

/// Notes that the alternate screen of this terminal is shown.
pub fn note(terminal: File) {
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(terminal);
}

/// Leaves the alternate screen, if it is shown.
pub fn leave() {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(mut terminal) = shown {
        let _ = terminal.write_all(BACK);
    }
}

/// Leaves the alternate screen and restores these settings of the terminal, before the process ends.
pub fn leave_for(before: Option<&Termios>) {
    leave();
    if let Some(before) = before {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
    }
}
