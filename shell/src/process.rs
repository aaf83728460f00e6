//! Protection of the process (no core files, no debugger, a wiped stack) and handling of Ctrl-C.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::termios::{Termios, tcgetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::error::{Error, Result};
use crate::{alternate_screen, signals};

/// Exit status after Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Disables core files, and access of other processes of the same user to the memory.
pub fn harden() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // Best effort: there is no alternative if the system refuses.
    let _ = setrlimit(Resource::Core, none);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Upper bound of a command's stack, in bytes; an unoptimised build uses some 1,250 KiB.
pub const STACK: usize = 3 * 1024 * 1024;
/// Bytes that one call wipes.
const BLOCK: usize = 8 * 1024;

/// Wipes the unused part of this thread's stack, where calls that have returned leave copies of keys.
pub fn wipe_stack() {
    wipe_below(STACK / BLOCK);
}

#[inline(never)]
fn wipe_below(blocks: usize) {
    let mut block = [0_u8; BLOCK];
    std::hint::black_box(&mut block);
    if blocks > 1 {
        wipe_below(blocks - 1);
    }
    // After the call, so that each call has a block of its own.
    std::hint::black_box(&mut block);
}

/// Whether the next SIGINT may come from this process itself.
static EXPECTED: AtomicBool = AtomicBool::new(false);

/// Announces a SIGINT that this process sends to itself: it stops no command.
pub fn expect_interrupt() {
    EXPECTED.store(true, Ordering::SeqCst);
}

/// Withdraws [`expect_interrupt`].
pub fn expect_no_interrupt() {
    EXPECTED.store(false, Ordering::SeqCst);
}

/// The message of an interrupt between two steps of a command.
static LEFT_BEHIND: Mutex<Option<String>> = Mutex::new(None);

/// Sets the message of an interrupt from now on; with `None` it only states that there was one.
pub fn explain_interrupt(text: Option<String>) {
    *LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner) = text;
}

/// Adds to an interrupt what it leaves behind at this moment.
pub fn explained(error: Error) -> Error {
    let left = LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner);
    match &*left {
        Some(text) if error == Error::interrupted() => Error::Stopped(text.clone()),
        _ => error,
    }
}

/// The current effect of an interrupt.
#[derive(Debug)]
enum OnInterrupt {
    /// Ends the process.
    Exit,
    /// No command runs; true after an interrupt, which then stops the next command.
    Note(bool),
    /// Stops the running command; a second interrupt ends the process.
    Stop(Arc<Notify>),
}

/// Handles SIGINT. The line editor reads Ctrl-C as a key instead.
#[derive(Debug, Clone)]
pub struct Interrupts {
    on_interrupt: Arc<Mutex<OnInterrupt>>,
}

impl Interrupts {
    /// Starts to handle interrupts; one ends the process and restores the current terminal modes, since a hidden prompt
    /// switches the echo off. `report` prints what it leaves behind, if [`explain_interrupt`] says something of that.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn watch(report: impl Fn(&Error) + Send + 'static) -> io::Result<Self> {
        let interrupts = Self {
            on_interrupt: Arc::new(Mutex::new(OnInterrupt::Exit)),
        };
        let before: Option<Termios> = tcgetattr(io::stdin()).ok();
        let watched = interrupts.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        // Before the first prompt: a line editor restores the handler that it found.
        let mut coming = {
            let _within = runtime.enter();
            signal(SignalKind::interrupt())?
        };
        std::thread::spawn(move || {
            runtime.block_on(async {
                while coming.recv().await.is_some() {
                    watched.interrupted(before.as_ref(), &report);
                }
            });
        });
        Ok(interrupts)
    }

    /// From now on an interrupt stops a command, the running or the next one, and not the process. Earlier interrupts are
    /// discarded.
    pub fn stop_commands(&self) {
        *self.state() = OnInterrupt::Note(false);
    }

    /// Runs a command until it is done or interrupted; an interrupt drops the future.
    ///
    /// # Errors
    /// Those of the command, [`Error::interrupted`].
    pub async fn stoppable<T>(&self, command: impl Future<Output = Result<T>>) -> Result<T> {
        let stop = Arc::new(Notify::new());
        let before = std::mem::replace(&mut *self.state(), OnInterrupt::Stop(Arc::clone(&stop)));
        if matches!(before, OnInterrupt::Note(true)) {
            self.stop_commands();
            return Err(Error::interrupted());
        }
        let done = tokio::select! {
            biased;
            done = command => done,
            () = stop.notified() => Err(explained(Error::interrupted())),
        };
        self.stop_commands();
        done
    }

    fn state(&self) -> MutexGuard<'_, OnInterrupt> {
        self.on_interrupt
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn interrupted(&self, before: Option<&Termios>, report: impl Fn(&Error)) {
        if signals::go_to_child() {
            return;
        }
        let mut state = self.state();
        let is_ours = EXPECTED.swap(false, Ordering::SeqCst);
        match &*state {
            OnInterrupt::Note(_) | OnInterrupt::Stop(_) if is_ours => {}
            OnInterrupt::Note(_) => *state = OnInterrupt::Note(true),
            OnInterrupt::Stop(stop) => {
                stop.notify_one();
                // A command that never awaits cannot be stopped; the next interrupt ends the process.
                *state = OnInterrupt::Exit;
            }
            OnInterrupt::Exit => {
                alternate_screen::leave_for(before);
                let error = explained(Error::interrupted());
                if error != Error::interrupted() {
                    report(&error);
                }
                std::process::exit(INTERRUPTED);
            }
        }
    }
}
