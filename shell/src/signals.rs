//! Signals: for the command that runs, where there is one, else for us.

use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::emulate_default_handler;
use signal_hook::low_level::siginfo::Cause;

use crate::alternate_screen;

/// What can be passed on to a command.
const SIGNALS: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];
/// A terminal sends to all that run there; a command may have ended of it before we notice that it was sent.
const LATE: Duration = Duration::from_millis(300);

/// Who gets the signals that arrive; nobody but this process, most of the time.
static TAKER: Mutex<Taker> = Mutex::new(Taker {
    now: None,
    released: None,
});

#[derive(Debug)]
struct Taker {
    now: Option<Sender<Received>>,
    released: Option<Instant>,
}

/// A signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// Whether a terminal sent it, which sends it to all that run there.
    pub from_terminal: bool,
}

/// Takes signals from now on. Those that end a process and are for nobody else end this one, with the terminal as it was:
/// a hidden prompt switches the echo off. Ctrl-C is left to [`crate::process`].
///
/// # Errors
/// What the operating system says.
pub fn take() -> io::Result<()> {
    let before: Option<Termios> = tcgetattr(io::stdin()).ok();
    let ignored = ignored_signals();
    let wanted = SIGNALS.iter().filter(|signal| !ignored.contains(signal));
    let mut signals = SignalsInfo::<WithOrigin>::new(wanted)?;
    std::thread::spawn(move || {
        for origin in signals.forever() {
            let received = Received {
                signal: origin.signal,
                from_terminal: origin.cause == Cause::Kernel,
            };
            if !pass_on(received) && received.signal != SIGINT {
                end_by(received.signal, before.as_ref());
            }
        }
    });
    Ok(())
}

/// Whether an interrupt that arrives now is, or was, meant for a command.
pub fn are_for_another() -> bool {
    let taker = taker();
    let late = taker.released.is_some_and(|at| at.elapsed() < LATE);
    taker.now.is_some() || late
}

fn taker() -> MutexGuard<'static, Taker> {
    TAKER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pass_on(received: Received) -> bool {
    let taker = taker();
    let late = taker.released.is_some_and(|at| at.elapsed() < LATE);
    match &taker.now {
        Some(to) => to.send(received).is_ok(),
        // Only what a keyboard sends: a terminal that is closed sends too.
        None => late && received.from_terminal && received.signal == SIGQUIT,
    }
}

fn end_by(signal: i32, terminal: Option<&Termios>) {
    alternate_screen::leave();
    if let Some(terminal) = terminal {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, terminal);
    }
    let _ = emulate_default_handler(signal);
}

/// Signals that whoever started this process wants ignored, as `nohup` does.
fn ignored_signals() -> Vec<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let mask = mask.unwrap_or_default();
    let is_ignored = |signal: &i32| mask & (1 << (signal - 1)) != 0;
    SIGNALS.into_iter().filter(is_ignored).collect()
}

/// While it lives, signals go to another.
#[derive(Debug)]
pub struct Elsewhere(());

impl Elsewhere {
    /// Sends signals there.
    pub fn to(another: Sender<Received>) -> Self {
        taker().now = Some(another);
        Self(())
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let mut taker = taker();
        taker.now = None;
        taker.released = Some(Instant::now());
    }
}
