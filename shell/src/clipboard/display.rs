//! The clipboard of a display: X11 or Wayland.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use arboard::{Clipboard, SetExtLinux as _};
use keyshell_base::files;
use shared::secret::SecretBytes;

use crate::clipboard::ownership::Ownership;
use crate::clipboard::{DISPLAY, LOOK_EVERY, say_ready, start_holder};
use crate::error::{Error, Result};

/// Maximum length of a value in the clipboard, in bytes.
const MAX_LEN: u64 = 1024 * 1024;

/// Starts a holder with the value.
///
/// # Errors
/// [`Error::failed`].
pub fn copy(value: &SecretBytes, time: Duration, owner_file: &Path) -> Result<()> {
    start_holder(
        DISPLAY,
        time,
        owner_file.as_os_str(),
        Stdio::piped(),
        Some(value),
    )
}

/// Runs the holder, with the value on standard input.
///
/// # Errors
/// [`Error::failed`], [`Error::usage`].
pub fn hold(time: Duration, owner_file: &Path) -> Result<()> {
    let failed = Error::failed;
    let value = files::read_all(std::io::stdin().lock(), MAX_LEN)
        .map_err(Error::io("reading the value"))?;
    let text =
        std::str::from_utf8(value.expose()).map_err(|_| Error::usage("the value is not UTF-8"))?;
    let mut clipboard = Clipboard::new().map_err(failed)?;
    let ownership = Ownership::acquire(owner_file, || {
        let set = clipboard.set().exclude_from_history().text(text);
        set.map_err(failed)?;
        if is_ours(&mut clipboard, text) {
            return Ok(());
        }
        Err(Error::failed(
            "after copying, the clipboard does not hold the value",
        ))
    })?;
    let deadline = Instant::now() + time;
    say_ready();
    while Instant::now() < deadline {
        std::thread::sleep(LOOK_EVERY.min(deadline.saturating_duration_since(Instant::now())));
        // The newer holder serves or has replaced the value.
        if !ownership.is_held() {
            return Ok(());
        }
        if !is_ours(&mut clipboard, text) {
            return ownership.release(|| Ok(()));
        }
    }
    ownership.release(|| clipboard.clear().map_err(failed))
}

fn is_ours(clipboard: &mut Clipboard, text: &str) -> bool {
    clipboard.get_text().is_ok_and(|found| {
        SecretBytes::new(found.into_bytes()) == SecretBytes::from(text.as_bytes())
    })
}
