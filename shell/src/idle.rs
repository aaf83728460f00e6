//! The idle lock of the REPL. Another thread wipes the keys while the prompt still waits for a line.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use crate::process;
use crate::time::uptime;

/// Longest interval between checks of the uptime: timers stop while the machine is suspended, the uptime does not.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The limit for questions and the pager, in milliseconds; zero for none.
static LIMIT_MS: AtomicU64 = AtomicU64::new(0);
/// Whether an answer, or the exit of the pager, came after the limit.
static MISSED: AtomicBool = AtomicBool::new(false);

/// Waits for the user within a command; false if that took longer than the idle limit.
pub fn waiting<T>(wait: impl FnOnce() -> T) -> (T, bool) {
    let begun = uptime();
    let waited_for = wait();
    let limit = LIMIT_MS.load(Ordering::Relaxed);
    let taken = uptime().saturating_sub(begun).as_millis();
    let is_late = limit != 0 && taken >= u128::from(limit);
    if is_late {
        MISSED.store(true, Ordering::Relaxed);
    }
    (waited_for, !is_late)
}

/// Whether an answer came after the limit since the last call.
pub fn was_missed() -> bool {
    MISSED.swap(false, Ordering::Relaxed)
}

/// The idle time of the REPL.
#[derive(Debug)]
pub struct Idle {
    /// Zero for never.
    limit: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    last: Duration,
    /// Whether the prompt waits for a line.
    reading: bool,
    over: bool,
}

impl Idle {
    /// Starts the idle time; a `limit` of zero means none.
    pub fn new(limit: Duration) -> Self {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        LIMIT_MS.store(limit_ms, Ordering::Relaxed);
        Self {
            limit,
            state: Mutex::new(State {
                last: uptime(),
                reading: false,
                over: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Notes a keystroke.
    pub fn touch(&self) {
        self.state().last = uptime();
    }

    /// Reads a line; idle time is counted meanwhile.
    pub fn reading<T>(&self, read: impl FnOnce() -> T) -> T {
        self.turn(true);
        let line = read();
        self.turn(false);
        line
    }

    fn turn(&self, reading: bool) {
        let mut state = self.state();
        state.last = uptime();
        state.reading = reading;
        self.changed.notify_all();
    }

    /// Ends [`Self::watch`] when it is dropped.
    pub fn ending(&self) -> Ending<'_> {
        Ending(self)
    }

    /// Calls `lock` when the prompt has been idle for the limit; if that returns true, interrupts the prompt so that it is
    /// redrawn. Returns after [`Self::ending`].
    pub fn watch(&self, lock: impl Fn() -> bool) {
        if self.limit.is_zero() {
            return;
        }
        let mut state = self.state();
        while !state.over {
            if !state.reading {
                state = self.wait(state, None);
                continue;
            }
            let left = (state.last + self.limit).saturating_sub(uptime());
            if !left.is_zero() {
                state = self.wait(state, Some(left.min(LOOK_EVERY)));
                continue;
            }
            drop(state);
            let locked = lock();
            state = self.state();
            state.last = uptime();
            // Under the mutex: after the prompt has returned, a signal would interrupt a command.
            if locked && state.reading {
                process::expect_interrupt();
                let _ = kill_process(getpid(), Signal::INT);
            }
        }
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        at_most: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        match at_most {
            None => self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner),
            Some(time) => {
                let waited = self.changed.wait_timeout(state, time);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Idle::ending`].
#[derive(Debug)]
pub struct Ending<'a>(&'a Idle);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.state().over = true;
        self.0.changed.notify_all();
    }
}
