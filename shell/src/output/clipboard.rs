//! The clipboard. A process of its own holds the value, so that a one-shot can return at once, and clears it after the
//! time if it is still there.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use arboard::{Clipboard, SetExtLinux as _};
use shared::secret::SecretBytes;

use crate::error::Error;
use crate::files;
use crate::shell::Shell;

/// First argument of the process that holds the clipboard.
pub const HOLDER: &str = "__hold-clipboard";
/// How long a value stays, where nothing else is asked for.
const DEFAULT_TIME: Duration = Duration::from_secs(45);
const READY: &str = "ready";
/// How long the display server may take.
const READY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the holder looks whether the clipboard is still its own.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// What display servers can be expected to carry, in bytes.
const MAX_LEN: u64 = 1024 * 1024;

/// Copies a value to the clipboard for a while, and says so once it was read back from there.
///
/// # Errors
/// [`Error::Usage`] for binary values, [`Error::Failed`] where there is no display.
pub fn copy(shell: &Shell, value: &SecretBytes, time: Option<Duration>) -> Result<(), Error> {
    if std::str::from_utf8(value.expose()).is_err() {
        let text =
            "the value is binary, which clipboards do not carry: choose --format hex or base64";
        return Err(Error::Usage(text.into()));
    }
    let time = time.unwrap_or(DEFAULT_TIME);
    start_holder(value, time)?;
    let seconds = time.as_secs();
    shell
        .out
        .note(&format!("in the clipboard for {seconds} seconds"));
    Ok(())
}

fn start_holder(value: &SecretBytes, time: Duration) -> Result<(), Error> {
    let failed = |error: io::Error| Error::io("starting the clipboard's holder", &error);
    let mut holder = Command::new(std::env::current_exe().map_err(failed)?)
        .arg(HOLDER)
        .arg(time.as_millis().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // Ctrl-C at the shell is not for the holder.
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = holder.stdin.take() {
        stdin.write_all(value.expose()).map_err(failed)?;
    }
    let (said, says) = mpsc::channel();
    if let Some(stdout) = holder.stdout.take() {
        std::thread::spawn(move || {
            let mut line = String::new();
            // Nobody listens any more after the time-out.
            let _ = BufReader::new(stdout)
                .read_line(&mut line)
                .map(|_| said.send(line));
        });
    }
    let line = says.recv_timeout(READY_TIMEOUT).unwrap_or_default();
    if line.trim() == READY {
        return Ok(());
    }
    // Not our clipboard then; it must not take it later either.
    let _ = holder.kill();
    let _ = holder.wait();
    let why = if line.trim().is_empty() {
        "it does not answer"
    } else {
        line.trim()
    };
    Err(Error::Failed(format!(
        "the clipboard cannot be used ({why}); without a display choose --out FILE, or show the value"
    )))
}

/// What the holder does: `arguments` are the milliseconds; the value comes on standard input.
pub fn hold(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let time = arguments.next().and_then(|text| text.parse().ok());
    let Some(time) = time.map(Duration::from_millis) else {
        return ExitCode::from(2);
    };
    match try_hold(time) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // The parent may be gone.
            let _ = writeln!(io::stdout(), "{why}");
            ExitCode::FAILURE
        }
    }
}

fn try_hold(time: Duration) -> Result<(), String> {
    let value = files::read_all(io::stdin().lock(), MAX_LEN).map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(value.expose()).map_err(|error| error.to_string())?;
    let mut clipboard = Clipboard::new().map_err(|error| error.to_string())?;
    clipboard
        .set()
        .exclude_from_history()
        .text(text)
        .map_err(|error| error.to_string())?;
    if !is_ours(&mut clipboard, text) {
        return Err("the value was not found there after copying".into());
    }
    let deadline = Instant::now() + time;
    writeln!(io::stdout(), "{READY}").map_err(|error| error.to_string())?;
    while Instant::now() < deadline {
        std::thread::sleep(LOOK_EVERY.min(deadline.saturating_duration_since(Instant::now())));
        if !is_ours(&mut clipboard, text) {
            return Ok(());
        }
    }
    clipboard.clear().map_err(|error| error.to_string())
}

fn is_ours(clipboard: &mut Clipboard, text: &str) -> bool {
    clipboard.get_text().is_ok_and(|found| {
        SecretBytes::new(found.into_bytes()) == SecretBytes::from(text.as_bytes())
    })
}
