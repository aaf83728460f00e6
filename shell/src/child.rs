//! Runs a command: forwards signals to it, masks its output, and returns its exit status.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Read, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::{Error, Result};
use crate::mask::{Mask, Patterns};
use crate::pty::{Pty, Resize};
use crate::signals::{self, Received};

/// Maximum bytes of output per read.
const CHUNK: usize = 64 * 1024;
/// Exit status of a command that a signal ended is this plus the signal's number, as in shells.
const SIGNALLED: i32 = 128;
/// Exit statuses of shells for a command that does not exist, and for one that cannot be executed.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// An event while a command runs.
enum Event {
    Signal(Received),
    Ended(io::Result<ExitStatus>),
    /// Standard output or standard error is closed.
    Drained,
}

/// Runs a command to its end, and until its outputs are closed; `mask` replaces secrets in them. Returns the exit status,
/// 128 plus the number for signals.
///
/// # Errors
/// [`Error::NotStarted`], [`Error::failed`].
pub fn run(mut command: Command, mask: Option<Patterns>) -> Result<u8> {
    let (events, received) = mpsc::channel();
    // Before the command starts, so that no signal is lost.
    let _redirect = signals::Redirect::to(signals_to(&events));
    let pty = match mask {
        Some(_) => redirect(&mut command).map_err(Error::io("a terminal for the command"))?,
        None => None,
    };
    let mut child = command
        .spawn()
        .map_err(|error| not_started(&command, &error))?;
    // Its environment may hold values, and it holds the command's end of the terminal.
    drop(command);
    let mut open = 0;
    let mut resize = match &pty {
        Some(pty) => own(pty).and_then(Resize::follow).ok(),
        None => None,
    };
    if let Some(patterns) = mask.map(Arc::new) {
        let stdout = pty.or_else(|| child.stdout.take().map(OwnedFd::from));
        let stderr = child.stderr.take().map(OwnedFd::from);
        for (from, to) in [(stdout, own(io::stdout())), (stderr, own(io::stderr()))] {
            let (Some(from), Ok(to)) = (from, to) else {
                continue;
            };
            let mask = Mask::new(Arc::clone(&patterns));
            open += 1;
            pass(
                File::from(from),
                File::from(to),
                mask,
                events.clone(),
                resize.take(),
            );
        }
    }
    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).ok();
    wait_for(child, events);
    watch(&received, process.as_ref(), open)
}

/// Redirects the output of a command that is masked. Where this process writes to a terminal the command does so too, and
/// standard error goes there in the order of the writes; returns our end of that terminal.
fn redirect(command: &mut Command) -> io::Result<Option<OwnedFd>> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if !io::stdout().is_terminal() {
        return Ok(None);
    }
    let Pty { ours, theirs } = Pty::like(io::stdout())?;
    if io::stderr().is_terminal() {
        command.stderr(theirs.try_clone()?);
    }
    command.stdout(theirs);
    Ok(Some(ours))
}

/// Handles events until the command has ended and its outputs are closed. A signal after its end stops the wait.
fn watch(received: &Receiver<Event>, process: Option<&OwnedFd>, mut open: usize) -> Result<u8> {
    let mut ended = None;
    while ended.is_none() || open > 0 {
        match received.recv() {
            Ok(Event::Signal(_)) if ended.is_some() => break,
            Ok(Event::Signal(received)) => pass_on(received, process),
            Ok(Event::Drained) => open = open.saturating_sub(1),
            Ok(Event::Ended(status)) => {
                ended = Some(status.map_err(Error::io("waiting"))?);
            }
            Err(_) => break,
        }
    }
    ended
        .map(status_of)
        .ok_or_else(|| Error::failed("the command was lost"))
}

/// Forwards a signal, unless the terminal has sent it to the command as well.
fn pass_on(received: Received, process: Option<&OwnedFd>) {
    let signal = Signal::from_named_raw(received.signal);
    if let (false, Some(process), Some(signal)) = (received.from_terminal, process, signal) {
        // Fails if the command has just ended.
        let _ = pidfd_send_signal(process, signal);
    }
}

fn status_of(status: ExitStatus) -> u8 {
    let code = status.code();
    let code = code.or_else(|| status.signal().map(|signal| SIGNALLED + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

fn not_started(command: &Command, error: &io::Error) -> Error {
    let program = command.get_program().to_string_lossy();
    let (why, status) = match error.kind() {
        ErrorKind::NotFound => ("the command does not exist".to_owned(), NOT_FOUND),
        ErrorKind::ArgumentListTooLong => {
            let why = "a value is too long for the environment: hand it over with --fd";
            (why.to_owned(), NOT_EXECUTABLE)
        }
        _ => (error.to_string(), NOT_EXECUTABLE),
    };
    Error::NotStarted(format!("`{program}` was not started: {why}"), status)
}

fn own(stream: impl AsFd) -> io::Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}

fn signals_to(events: &Sender<Event>) -> Sender<Received> {
    let (signals, arrive) = mpsc::channel();
    let events = events.clone();
    std::thread::spawn(move || {
        for received in arrive {
            if events.send(Event::Signal(received)).is_err() {
                break;
            }
        }
    });
    signals
}

fn wait_for(mut child: Child, events: Sender<Event>) {
    std::thread::spawn(move || {
        // Fails only if `run` has returned.
        let _ = events.send(Event::Ended(child.wait()));
    });
}

/// Copies output through the mask. Ends if the reader is gone, which closes the pipe, so that the command gets SIGPIPE, or
/// our end of its terminal, which `resize` holds as well.
fn pass(
    mut from: File,
    mut to: File,
    mut mask: Mask,
    events: Sender<Event>,
    resize: Option<Resize>,
) {
    std::thread::spawn(move || {
        let _resize = resize;
        let mut chunk = vec![0; CHUNK];
        loop {
            match from.read(&mut chunk) {
                Ok(0) => break,
                Ok(len) => {
                    let through = mask.push(chunk.get(..len).unwrap_or_default());
                    if to.write_all(&through).is_err() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let _ = to.write_all(&mask.finish());
        let _ = events.send(Event::Drained);
    });
}
