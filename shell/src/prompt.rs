//! Questions to the user at the terminal. Without a user, a question is an error; it never blocks.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use keyshell_base::text::printable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{QueueSelector, tcflush};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::{idle, process};

/// Asks questions, if the run is interactive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prompt {
    /// Whether questions can be asked; otherwise they are errors, because standard input is not a terminal, or
    /// `--non-interactive` was given.
    pub is_interactive: bool,
}

impl Prompt {
    /// Fails if the run is not interactive.
    ///
    /// # Errors
    /// [`Error::usage`] with the hint `instead`.
    pub fn require(self, instead: &str) -> Result<()> {
        if self.is_interactive {
            return Ok(());
        }
        let text = format!("input is needed, and this run is not interactive: {instead}");
        Err(Error::usage(text))
    }

    /// Asks for a secret, without echo.
    ///
    /// # Errors
    /// [`Error::usage`] if the run is not interactive or the answer came after the idle limit,
    /// [`Error::interrupted`].
    pub fn hidden(self, question: &str) -> Result<Zeroizing<String>> {
        self.require("give --password-file or --password-command")?;
        // At Ctrl-C the prompt both raises SIGINT and returns an error.
        process::expect_interrupt();
        let (typed, in_time) = idle::waiting(|| rpassword::prompt_password(question));
        let typed = typed.map(Zeroizing::new);
        let interrupted = |error: &io::Error| error.kind() == io::ErrorKind::Interrupted;
        if !typed.as_ref().is_err_and(interrupted) {
            process::expect_no_interrupt();
        }
        let typed = typed.map_err(asking)?;
        in_time.then_some(typed).ok_or_else(too_late)
    }

    /// Asks for a secret, and refuses several pasted lines: those after the first would be run as commands.
    ///
    /// # Errors
    /// As [`Self::hidden`]; [`Error::usage`] for several lines, which are discarded.
    pub fn hidden_whole(self, question: &str) -> Result<Zeroizing<String>> {
        let typed = self.hidden(question)?;
        let stdin = io::stdin();
        let now = Timespec::default();
        let mut waiting = [PollFd::new(&stdin, PollFlags::IN)];
        if matches!(poll(&mut waiting, Some(&now)), Ok(1..)) {
            let _ = tcflush(&stdin, QueueSelector::IFlush);
            let text = "several lines were pasted, and a prompt takes one; nothing was stored: \
                        give the value with --file or on standard input";
            return Err(Error::usage(text));
        }
        Ok(typed)
    }

    /// Asks for a line.
    ///
    /// # Errors
    /// As [`Self::hidden`]; `instead` is the hint for runs that are not interactive.
    pub fn line(self, question: &str, instead: &str) -> Result<String> {
        self.require(instead)?;
        if io::stdin().is_terminal() && io::stdout().is_terminal() {
            // The line editor reads Ctrl-C as a key, so that it ends the question and not the session.
            let (line, in_time) =
                idle::waiting(|| crate::line_editor::edit_line(&printable(question), ""));
            return if in_time { line } else { Err(too_late()) };
        }
        let mut stderr = io::stderr().lock();
        let mut line = String::new();
        write!(stderr, "{}", printable(question))
            .and_then(|()| stderr.flush())
            .and_then(|()| io::stdin().lock().read_line(&mut line))
            .map_err(asking)?;
        if line.is_empty() {
            return Err(Error::interrupted());
        }
        Ok(line.trim().to_owned())
    }

    /// Asks a yes-or-no question; every answer but `y` and `yes` is a no.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn confirm(self, question: &str, instead: &str) -> Result<bool> {
        let answer = self.line(&format!("{question} [y/N] "), instead)?;
        Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
    }
}

/// After the idle limit the answer may come from another person than the owner.
fn too_late() -> Error {
    Error::usage("no answer within the time of the idle lock; nothing was done")
}

fn asking(error: io::Error) -> Error {
    if matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::UnexpectedEof
    ) {
        Error::interrupted()
    } else {
        Error::io("asking")(error)
    }
}
