//! Receives signals, and forwards them to the command that runs; without one they act on this process.

use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::termios::{Termios, tcgetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::emulate_default_handler;
use signal_hook::low_level::siginfo::Cause;

use crate::alternate_screen;

/// The signals that are forwarded to a command.
const SIGNALS: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];
/// A terminal signals all processes at once: a command may end before this process receives the signal. For this long a
/// signal still belongs to the command.
const LATE: Duration = Duration::from_millis(300);

/// The current receiver of signals.
static ROUTE: Mutex<Route> = Mutex::new(Route {
    child: None,
    released: None,
});

#[derive(Debug)]
struct Route {
    child: Option<Sender<Received>>,
    released: Option<Instant>,
}

impl Route {
    /// Whether a command has just ended.
    fn is_late(&self) -> bool {
        self.released.is_some_and(|at| at.elapsed() < LATE)
    }
}

/// A signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// Whether a terminal sent it, and with that to the running command as well.
    pub from_terminal: bool,
}

/// Starts to receive signals. Those that are not forwarded end the process and restore the current terminal modes, since
/// a hidden prompt switches the echo off; [`crate::process`] handles SIGINT.
///
/// # Errors
/// Those of the operating system.
pub fn install() -> io::Result<()> {
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
                alternate_screen::leave_for(before.as_ref());
                let _ = emulate_default_handler(received.signal);
            }
        }
    });
    Ok(())
}

/// Whether a signal that arrives now belongs to a command that runs or has just ended.
pub fn go_to_child() -> bool {
    let route = route();
    route.child.is_some() || route.is_late()
}

fn route() -> MutexGuard<'static, Route> {
    ROUTE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pass_on(received: Received) -> bool {
    let route = route();
    match &route.child {
        Some(to) => to.send(received).is_ok(),
        // Of the late ones only SIGQUIT: SIGHUP means that the terminal was closed.
        None => route.is_late() && received.from_terminal && received.signal == SIGQUIT,
    }
}

/// The signals that the parent process set to be ignored, as `nohup` does.
fn ignored_signals() -> Vec<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let mask = mask.unwrap_or_default();
    let is_ignored = |signal: &i32| mask & (1 << (signal - 1)) != 0;
    SIGNALS.into_iter().filter(is_ignored).collect()
}

/// Forwards signals to a command until it is dropped.
#[derive(Debug)]
pub struct Redirect(());

impl Redirect {
    /// Sends all signals to this channel.
    pub fn to(another: Sender<Received>) -> Self {
        route().child = Some(another);
        Self(())
    }
}

impl Drop for Redirect {
    fn drop(&mut self) {
        let mut route = route();
        route.child = None;
        route.released = Some(Instant::now());
    }
}
