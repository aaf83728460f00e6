//! The clipboard. A separate process, the holder, keeps the value and clears it after a time, so that a command can return
//! at once and the terminal can be closed. Without a display, the terminal's clipboard is used (OSC 52).

mod display;
mod ownership;
mod terminal;

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use shared::secret::SecretBytes;

use crate::context::Context;
use crate::error::{Error, Result};

/// First argument of the process that holds the clipboard.
pub const HOLDER: &str = "__hold-clipboard";
/// Second argument of the holder: the kind of clipboard.
const DISPLAY: &str = "display";
const TERMINAL: &str = "terminal";
/// Default time until a value is cleared.
const DEFAULT_TIME: Duration = Duration::from_secs(45);
/// Timeout of the display server.
const READY_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval of the holder's checks that the clipboard is still its own.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A holder that blocks in the display server is ended this long after its time.
const GRACE: Duration = Duration::from_secs(10);
const READY: &str = "ready";

/// Copies a value to the clipboard for a time, and reads it back to verify that. Without a display, asks once whether the
/// terminal's clipboard may be used.
///
/// # Errors
/// [`Error::usage`] for binary values, [`Error::failed`] without a display and a terminal.
pub fn copy(context: &Context, value: &SecretBytes, time: Option<Duration>) -> Result<()> {
    if std::str::from_utf8(value.expose()).is_err() {
        let text =
            "the value is binary, which clipboards do not carry: choose --format hex or base64";
        return Err(Error::usage(text));
    }
    let time = time.unwrap_or(DEFAULT_TIME);
    match display_name() {
        Some(name) => {
            let owner_file = context.home.clipboard(&name)?;
            display::copy(value, time, &owner_file)?;
            let seconds = time.as_secs();
            context
                .out
                .note(&format!("in the clipboard for {seconds} seconds"));
            Ok(())
        }
        None => terminal::copy(context, value, time),
    }
}

/// Whether the environment names a display.
pub fn has_display() -> bool {
    display_name().is_some()
}

/// Connects to the display's clipboard, as a check.
///
/// # Errors
/// The reason, as text.
pub fn try_display() -> Result<(), String> {
    let opened = arboard::Clipboard::new();
    opened.map(drop).map_err(|error| error.to_string())
}

/// The display of the environment; `None` over ssh, for example.
fn display_name() -> Option<OsString> {
    let named = |variable| std::env::var_os(variable).filter(|name| !name.is_empty());
    let (wayland, x11) = (named("WAYLAND_DISPLAY"), named("DISPLAY"));
    if wayland.is_none() && x11.is_none() {
        return None;
    }
    let mut name = wayland.unwrap_or_default();
    name.push("\n");
    name.push(x11.unwrap_or_default());
    Some(name)
}

fn unusable(why: &str) -> Error {
    Error::failed(format!(
        "the clipboard cannot be used ({why}): choose --out FILE, or show the value"
    ))
}

/// Starts a holder and waits until it is ready.
fn start_holder(
    kind: &str,
    time: Duration,
    owner_file: &OsStr,
    stdin: Stdio,
    value: Option<&SecretBytes>,
) -> Result<()> {
    let failed = Error::io("starting the clipboard's holder");
    let mut holder = Command::new(std::env::current_exe().map_err(&failed)?)
        .args([HOLDER, kind, &time.as_millis().to_string()])
        .arg(owner_file)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(&failed)?;
    let given = match (holder.stdin.take(), value) {
        (Some(mut stdin), Some(value)) => stdin.write_all(value.expose()),
        _ => Ok(()),
    };
    let said = wait_until_ready(&mut holder);
    if said == READY && given.is_ok() {
        return Ok(());
    }
    // The holder failed, and must not take the clipboard later.
    let _ = holder.kill();
    let _ = holder.wait();
    Err(unusable(if said.is_empty() {
        "the display server does not answer"
    } else {
        &said
    }))
}

fn wait_until_ready(holder: &mut Child) -> String {
    let (said, says) = mpsc::channel();
    if let Some(stdout) = holder.stdout.take() {
        std::thread::spawn(move || {
            let mut line = String::new();
            // Fails after the timeout.
            let _ = BufReader::new(stdout)
                .read_line(&mut line)
                .map(|_| said.send(line));
        });
    }
    let line = says.recv_timeout(READY_TIMEOUT).unwrap_or_default();
    line.trim().to_owned()
}

/// Runs the holder. `arguments` are the kind of clipboard, the time in milliseconds and the ownership file. Standard input
/// is the value, or the terminal.
pub fn hold(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let kind = arguments.next().unwrap_or_default();
    let time = arguments
        .next()
        .and_then(|text| text.to_str()?.parse().ok());
    let (Some(time), Some(owner_file)) = (time.map(Duration::from_millis), arguments.next()) else {
        return ExitCode::from(2);
    };
    let owner_file = PathBuf::from(owner_file);
    // The holder outlives the shell's terminal and folder.
    let _ = rustix::process::setsid();
    let _ = std::env::set_current_dir("/");
    std::thread::spawn(move || {
        std::thread::sleep(time.saturating_add(GRACE));
        std::process::exit(1);
    });
    let held = if kind == DISPLAY {
        display::hold(time, &owner_file)
    } else {
        terminal::hold(time, &owner_file)
    };
    match held {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // The parent may be gone.
            let _ = writeln!(io::stdout(), "{why}");
            ExitCode::FAILURE
        }
    }
}

/// Reports to the shell that the value is in the clipboard. Ignores a shell that was interrupted.
fn say_ready() {
    let _ = writeln!(io::stdout(), "{READY}");
}
