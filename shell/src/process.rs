//! What the process does about itself: no core files, no debugger, a clean terminal after Ctrl-C.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::error::Error;
use crate::{alternate_screen, signals};

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

/// How deep the stack of a command gets, and more than that: an unoptimised one takes some 1,250 KiB.
pub const STACK: usize = 3 * 1024 * 1024;
/// How much one call wipes.
const BLOCK: usize = 8 * 1024;

/// Wipes what calls that have returned left behind on this thread's stack: keys are moved through it, and a prompt that
/// waits overwrites little.
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

/// Whether the process is about to interrupt itself, or may be.
static EXPECTED: AtomicBool = AtomicBool::new(false);

/// From now on the next interrupt is our own: whoever causes it goes by it already, and no command needs to.
pub fn expect_interrupt() {
    EXPECTED.store(true, Ordering::SeqCst);
}

/// There was, and will be, none of our own.
pub fn expect_no_interrupt() {
    EXPECTED.store(false, Ordering::SeqCst);
}

/// What an interrupt does at the moment.
#[derive(Debug)]
enum Then {
    /// Ends the process.
    Leave,
    /// Nothing yet: nothing is running. Whether one came all the same, which is then for the next command.
    Nothing(bool),
    /// Asks a command to stop; a second one ends the process.
    Stop(Arc<Notify>),
}

/// What Ctrl-C does to running commands. The REPL's own prompt reads it as a key, and so do hidden prompts.
#[derive(Debug, Clone)]
pub struct Interrupts {
    then: Arc<Mutex<Then>>,
}

impl Interrupts {
    /// From now on an interrupt ends the process, with the terminal as it is now: a hidden prompt switches the echo
    /// off.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn watch() -> io::Result<Self> {
        let interrupts = Self {
            then: Arc::new(Mutex::new(Then::Leave)),
        };
        let before: Option<Termios> = tcgetattr(io::stdin()).ok();
        let watched = interrupts.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        // Before there is a prompt: a line editor puts back what it found when it began to read.
        let mut coming = {
            let _within = runtime.enter();
            signal(SignalKind::interrupt())?
        };
        std::thread::spawn(move || {
            runtime.block_on(async {
                while coming.recv().await.is_some() {
                    watched.interrupted(before.as_ref());
                }
            });
        });
        Ok(interrupts)
    }

    /// From now on an interrupt ends no more than a command: the running one, or the next. One that came before counts
    /// for nothing.
    pub fn stop_commands(&self) {
        *self.then() = Then::Nothing(false);
    }

    /// Runs a command until it is done or interrupted. It is dropped where it waits.
    ///
    /// # Errors
    /// Those of the command, [`Error::Interrupted`].
    pub async fn stoppable<T>(
        &self,
        command: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let stop = Arc::new(Notify::new());
        let before = std::mem::replace(&mut *self.then(), Then::Stop(Arc::clone(&stop)));
        if matches!(before, Then::Nothing(true)) {
            self.stop_commands();
            return Err(Error::Interrupted);
        }
        let done = tokio::select! {
            biased;
            done = command => done,
            () = stop.notified() => Err(Error::Interrupted),
        };
        self.stop_commands();
        done
    }

    fn then(&self) -> MutexGuard<'_, Then> {
        self.then.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn interrupted(&self, before: Option<&Termios>) {
        if signals::are_for_another() {
            return;
        }
        let mut then = self.then();
        let is_ours = EXPECTED.swap(false, Ordering::SeqCst);
        match &*then {
            Then::Nothing(_) | Then::Stop(_) if is_ours => {}
            Then::Nothing(_) => *then = Then::Nothing(true),
            Then::Stop(stop) => {
                stop.notify_one();
                // What does not wait for anything does not stop by itself.
                *then = Then::Leave;
            }
            Then::Leave => {
                alternate_screen::leave();
                if let Some(before) = before {
                    let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
                }
                std::process::exit(INTERRUPTED);
            }
        }
    }
}
