//! What the process does about itself: no core files, no debugger, a clean terminal after Ctrl-C.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use crate::signals;

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

/// Leaves at Ctrl-C with the terminal as it was: a hidden prompt switches the echo off.
///
/// The REPL's own prompt reads Ctrl-C as a key, so that this concerns running commands and questions.
pub fn leave_at_interrupt() {
    let before: Option<Termios> = tcgetattr(std::io::stdin()).ok();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        let Ok(runtime) = runtime else { return };
        let interrupted = runtime.block_on(async {
            let mut coming = signal(SignalKind::interrupt()).ok()?;
            loop {
                coming.recv().await?;
                if !signals::are_for_another() {
                    return Some(());
                }
            }
        });
        if interrupted.is_none() {
            return;
        }
        if let Some(before) = before {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
        }
        std::process::exit(INTERRUPTED);
    });
}
