//! What the process does about itself: no core files, no debugger, a clean terminal after Ctrl-C; signals are for the
//! command that runs, where there is one.

use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::emulate_default_handler;
use signal_hook::low_level::siginfo::Cause;

/// Exit status after Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Keeps memory out of core files, and other processes of the same user out of memory.
pub fn harden() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // Where the system refuses, there is nothing else to do.
    let _ = setrlimit(Resource::Core, none);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// What can be passed on to a command.
const SIGNALS: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// Who gets the signals that arrive; nobody but this process, most of the time.
static TAKER: Mutex<Option<Sender<Received>>> = Mutex::new(None);

/// A signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// Whether a terminal sent it, which sends it to all that run there.
    pub from_terminal: bool,
}

/// Takes signals from now on. At Ctrl-C, and for other signals that end a process, it ends with the terminal as it was: a
/// hidden prompt switches the echo off.
///
/// The REPL's own prompt reads Ctrl-C as a key, so that this concerns running commands and questions.
///
/// # Errors
/// What the operating system says.
pub fn handle_signals() -> io::Result<()> {
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
            let taker = TAKER.lock().unwrap_or_else(PoisonError::into_inner);
            let is_passed_on = taker.as_ref().is_some_and(|to| to.send(received).is_ok());
            drop(taker);
            if !is_passed_on {
                end_by(received.signal, before.as_ref());
            }
        }
    });
    Ok(())
}

fn end_by(signal: i32, terminal: Option<&Termios>) {
    if let Some(terminal) = terminal {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, terminal);
    }
    if signal != SIGINT {
        let _ = emulate_default_handler(signal);
    }
    std::process::exit(INTERRUPTED);
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
pub struct SignalsElsewhere(());

impl SignalsElsewhere {
    /// Sends signals there.
    pub fn to(taker: Sender<Received>) -> Self {
        *TAKER.lock().unwrap_or_else(PoisonError::into_inner) = Some(taker);
        Self(())
    }
}

impl Drop for SignalsElsewhere {
    fn drop(&mut self) {
        *TAKER.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
