//! The clipboard of the terminal, by the escape sequence OSC 52, for sessions without a display, such as over ssh.
//!
//! The sequence has no answer: neither storing nor clearing of the value can be verified.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::ttyname;
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::clipboard::ownership::Ownership;
use crate::clipboard::{LOOK_EVERY, TERMINAL, say_ready, start_holder, unusable};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::terminal;

/// Maximum length that common terminals accept, in bytes before base64.
const MAX_LEN: usize = 74_994;
const BEGIN: &str = "\u{1b}]52;c;";
const END: &str = "\u{7}";
/// Some terminals ignore an empty text; they hold a space afterwards.
const CLEAR: &str = "\u{1b}]52;c;IA==\u{7}\u{1b}]52;c;\u{7}";
const QUESTION: &str = "There is no display here. May values go to your terminal's own clipboard (OSC 52)?\n\
                        It cannot be verified that the terminal stores them, nor that it clears them after the time.\n\
                        The answer is remembered.";

/// Sends a value to the terminal's clipboard, and starts a holder that clears it after the time.
///
/// # Errors
/// [`Error::failed`] without a terminal or the user's permission, [`Error::limit`] for more than 74,994 bytes.
pub fn copy(context: &Context, value: &SecretBytes, time: Duration) -> Result<()> {
    let Ok(mut terminal) = terminal::own() else {
        return Err(unusable("there is no display and no terminal"));
    };
    may_use(context)?;
    if value.len() > MAX_LEN {
        let text = format!("terminals take {MAX_LEN} bytes at most; choose --out FILE");
        return Err(Error::limit(text));
    }
    let failed = |error: io::Error| unusable(&error.to_string());
    let name = ttyname(&terminal, Vec::new()).map_err(|error| failed(error.into()))?;
    let owner_file = context.home.clipboard(&*name.to_string_lossy())?;
    let encoded = Zeroizing::new(data_encoding::BASE64.encode(value.expose()));
    let sequence = Zeroizing::new([BEGIN, &encoded, END].concat());
    let holders = terminal.try_clone().map_err(failed)?;
    // The holder starts first, so that no value is left without one.
    start_holder(
        TERMINAL,
        time,
        owner_file.as_os_str(),
        Stdio::from(holders),
        None,
    )?;
    terminal.write_all(sequence.as_bytes()).map_err(failed)?;
    let seconds = time.as_secs();
    context.out.note(&format!(
        "sent to the terminal's clipboard; whether it arrived cannot be checked\nIn {seconds} seconds the terminal is \
         asked to clear it, whatever it holds then;\nonce the terminal is closed, clear it yourself"
    ));
    if std::env::var_os("TMUX").is_some() {
        context.out.note("tmux passes it on only with `set -g set-clipboard on`, and keeps it among its own buffers then");
    }
    Ok(())
}

/// Checks the permission in the profile, or asks for it once.
fn may_use(context: &Context) -> Result<()> {
    let known = context.profile.get().terminal_clipboard;
    let answer = match (known, context.prompt.is_interactive) {
        (Some(answer), _) => answer,
        (None, false) => {
            return Err(unusable(
                "there is no display, and this run is not interactive, so that the terminal's clipboard cannot be offered",
            ));
        }
        (None, true) => {
            let answer = context.prompt.confirm(QUESTION, "choose --out FILE")?;
            let profile = &context.profile;
            profile.change(|profile| profile.terminal_clipboard = Some(answer))?;
            answer
        }
    };
    if answer {
        return Ok(());
    }
    Err(unusable(
        "there is no display, and the terminal is not to be used: `terminal_clipboard` in the profile",
    ))
}

/// Runs the holder, with the terminal on standard input.
///
/// # Errors
/// [`Error::failed`].
pub fn hold(time: Duration, owner_file: &Path) -> Result<()> {
    let own = || io::stdin().as_fd().try_clone_to_owned();
    let terminal = own().map_err(Error::io("opening the terminal"))?;
    let ownership = Ownership::acquire(owner_file, || Ok(()))?;
    let deadline = Instant::now() + time;
    say_ready();
    while Instant::now() < deadline {
        let left = LOOK_EVERY.min(deadline.saturating_duration_since(Instant::now()));
        if is_closed(&terminal, left) || !ownership.is_held() {
            return ownership.release(|| Ok(()));
        }
    }
    ownership.release(|| {
        let cleared = File::from(terminal).write_all(CLEAR.as_bytes());
        cleared.map_err(Error::io("clearing"))
    })
}

/// Waits for a time; returns true at once if the terminal is closed.
fn is_closed(terminal: &OwnedFd, time: Duration) -> bool {
    let mut terminals = [PollFd::new(terminal, PollFlags::empty())];
    let time = Timespec::try_from(time).ok();
    poll(&mut terminals, time.as_ref()).is_ok_and(|closed| closed > 0)
}
