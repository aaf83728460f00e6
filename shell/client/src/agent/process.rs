//! The agent's process, seen from the process that locks it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::{Error, Result};

/// The process at the other end of a socket, held by a pidfd: its id is not reused meanwhile. `None`: it has ended.
#[derive(Debug)]
pub struct Process(Option<OwnedFd>);

impl Process {
    /// The process at the other end of `stream`.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn of(stream: &UnixStream) -> Result<Self> {
        let found = socket_peercred(stream).and_then(|peer| {
            match pidfd_open(peer.pid, PidfdFlags::empty()) {
                Ok(process) => Ok(Some(process)),
                // It has just ended.
                Err(Errno::SRCH) => Ok(None),
                Err(error) => Err(error),
            }
        });
        found.map(Self).map_err(|error| failed(error.into()))
    }

    /// Ends the process by SIGTERM, which lets it wipe its keys, then by SIGKILL; waits up to `patience` for each.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn end(self, patience: Duration) -> Result<()> {
        let Some(process) = self.0 else {
            return Ok(());
        };
        for signal in [Signal::TERM, Signal::KILL] {
            match pidfd_send_signal(&process, signal) {
                Ok(()) => {}
                Err(Errno::SRCH) => return Ok(()),
                Err(error) => return Err(failed(error.into())),
            }
            if has_ended(&process, patience)? {
                return Ok(());
            }
        }
        Err(failed(std::io::ErrorKind::TimedOut.into()))
    }
}

fn has_ended(process: &OwnedFd, patience: Duration) -> Result<bool> {
    let mut watched = [PollFd::new(process, PollFlags::IN)];
    let patience = Timespec::try_from(patience).map_err(|_| failed(Errno::INVAL.into()))?;
    let ready = poll(&mut watched, Some(&patience));
    ready
        .map(|ready| ready > 0)
        .map_err(|error| failed(error.into()))
}

fn failed(error: std::io::Error) -> Error {
    Error::io("locking the agent")(error)
}
