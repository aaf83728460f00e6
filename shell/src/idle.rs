//! The lock of a REPL that nobody touches: it is taken out from beside the prompt, so that keys are gone while the
//! prompt still waits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use crate::process;
use crate::time::uptime;

/// How long the clock is not looked at, at most: timers stand still while the machine is suspended, and this clock does
/// not.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The limit for questions and the pager, in milliseconds; zero for none.
static LIMIT_MS: AtomicU64 = AtomicU64::new(0);
/// Whether somebody took longer than that to answer, or to leave the pager.
static MISSED: AtomicBool = AtomicBool::new(false);

/// Waits for somebody within a command; false where that took longer than a session may be idle.
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

/// Whether somebody came too late since this was asked last.
pub fn was_missed() -> bool {
    MISSED.swap(false, Ordering::Relaxed)
}

/// When somebody was last here.
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
    /// Begins now; a `limit` of zero is none.
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

    /// Somebody is here.
    pub fn touch(&self) {
        self.state().last = uptime();
    }

    /// Reads a line: time counts meanwhile.
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

    /// Calls `lock` whenever nobody touched the prompt for too long, and if that says that something was locked,
    /// interrupts the prompt so that it is shown anew. Returns after [`Self::ending`].
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
            // Under the lock: when the prompt has returned nobody may be interrupted any more.
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
