//! The clipboard that a terminal looks after, where there is no display: over ssh. The escape sequence is OSC 52.
//!
//! It goes one way: whether the terminal took the value, and whether it is still there later, nobody can tell.

use std::fs::File;
use std::io::Write as _;
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
use crate::error::Error;
use crate::prompt::Prompt;

/// The terminal that this process belongs to.
const OWN: &str = "/dev/tty";
/// What terminals can be expected to take, in bytes before encoding.
const MAX_LEN: usize = 74_994;
const BEGIN: &str = "\u{1b}]52;c;";
const END: &str = "\u{7}";
/// Some terminals take an empty text for nothing to do: these hold a space afterwards.
const CLEAR: &str = "\u{1b}]52;c;IA==\u{7}\u{1b}]52;c;\u{7}";
const QUESTION: &str = "There is no display here. May values go to your terminal's own clipboard (OSC 52)?\n\
                        Whether it takes them cannot be checked, nor that they are gone after the time.\n\
                        The answer is remembered.";

/// Sends a value to the terminal, and has it cleared after a while.
///
/// # Errors
/// [`Error::Failed`] where there is no terminal or it must not be used, [`Error::Limit`].
pub fn copy(context: &Context, value: &SecretBytes, time: Duration) -> Result<(), Error> {
    let terminal = File::options().read(true).write(true).open(OWN);
    let Ok(mut terminal) = terminal else {
        return Err(unusable("there is no display and no terminal"));
    };
    may_use(context)?;
    if value.len() > MAX_LEN {
        let text = format!("terminals take {MAX_LEN} bytes at most; choose --out FILE");
        return Err(Error::Limit(text));
    }
    let name = ttyname(&terminal, Vec::new()).map_err(|error| unusable(&error.to_string()))?;
    let owner_file = context.home.clipboard(&*name.to_string_lossy())?;
    let encoded = Zeroizing::new(data_encoding::BASE64.encode(value.expose()));
    let sequence = Zeroizing::new([BEGIN, &encoded, END].concat());
    let holders = terminal
        .try_clone()
        .map_err(|error| unusable(&error.to_string()))?;
    // First, so that nothing is there that nobody clears.
    start_holder(
        TERMINAL,
        time,
        owner_file.as_os_str(),
        Stdio::from(holders),
        None,
    )?;
    terminal
        .write_all(sequence.as_bytes())
        .map_err(|error| unusable(&error.to_string()))?;
    let seconds = time.as_secs();
    context.out.note(&format!(
        "sent to the terminal's clipboard; whether it arrived cannot be checked\nIn {seconds} seconds the terminal is \
         asked to clear it, whatever it holds then;\nonce the terminal is closed, clear it yourself"
    ));
    if std::env::var_os("TMUX").is_some() {
        context.out
            .note("tmux passes it on only with `set -g set-clipboard on`, and keeps it among its own buffers then");
    }
    Ok(())
}

/// Asks once.
fn may_use(context: &Context) -> Result<(), Error> {
    let answer = match (context.profile.get().terminal_clipboard, context.prompt) {
        (Some(answer), _) => answer,
        (None, Prompt::Nobody) => {
            return Err(unusable(
                "there is no display, and this run is not interactive, so that the terminal's clipboard cannot be offered",
            ));
        }
        (None, Prompt::Person) => {
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

/// What the holder does: the terminal is its standard input.
///
/// # Errors
/// One line that says why.
pub fn hold(time: Duration, owner_file: &Path) -> Result<(), String> {
    try_hold(time, owner_file).map_err(|error| error.to_string())
}

fn try_hold(time: Duration, owner_file: &Path) -> Result<(), Error> {
    let own = || std::io::stdin().as_fd().try_clone_to_owned();
    let terminal = own().map_err(|error| Error::io("opening the terminal", &error))?;
    let ownership = Ownership::acquire(owner_file, || Ok::<(), Error>(()))?;
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
        cleared.map_err(|error| Error::io("clearing", &error))
    })
}

/// Waits for so long, or until the terminal is closed.
fn is_closed(terminal: &OwnedFd, time: Duration) -> bool {
    let mut terminals = [PollFd::new(terminal, PollFlags::empty())];
    let time = Timespec::try_from(time).ok();
    poll(&mut terminals, time.as_ref()).is_ok_and(|closed| closed > 0)
}
