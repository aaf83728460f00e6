//! A terminal for a command whose output is masked: programs write colours and progress to terminals only.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use signal_hook::consts::SIGWINCH;
use signal_hook::iterator::{Handle, Signals};

/// A pseudoterminal.
#[derive(Debug)]
pub struct Pty {
    /// The end that reads what the command writes.
    pub ours: OwnedFd,
    /// The command's end.
    pub theirs: OwnedFd,
}

impl Pty {
    /// A terminal of the size of `shown`, to which the output is copied. It passes bytes as they are written, since `shown`
    /// translates line breaks.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn like(shown: impl AsFd) -> io::Result<Self> {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let name = ptsname(&ours, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = open(name, flags, Mode::empty())?;
        let mut modes = tcgetattr(&theirs)?;
        modes.make_raw();
        tcsetattr(&theirs, OptionalActions::Now, &modes)?;
        tcsetwinsize(&theirs, tcgetwinsize(shown)?)?;
        Ok(Self { ours, theirs })
    }
}

/// Keeps the size of a pseudoterminal that of the terminal on standard output, until it is dropped.
#[derive(Debug)]
pub struct Resize(Handle);

impl Resize {
    /// Follows changes of the size from now on.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn follow(pty: OwnedFd) -> io::Result<Self> {
        let mut signals = Signals::new([SIGWINCH])?;
        let handle = signals.handle();
        std::thread::spawn(move || {
            for _ in signals.forever() {
                // Without it the command only uses the size of before.
                let _ = tcgetwinsize(io::stdout()).and_then(|size| tcsetwinsize(&pty, size));
            }
        });
        Ok(Self(handle))
    }
}

impl Drop for Resize {
    fn drop(&mut self) {
        self.0.close();
    }
}
