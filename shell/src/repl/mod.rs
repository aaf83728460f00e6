//! The interactive session.

pub mod completer;
mod highlighter;
mod hinter;
mod history;
mod line_helper;
mod prompt_line;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustyline::Editor;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use tokio::runtime::Runtime;

use crate::abbreviations::Abbreviations;
use crate::commands;
use crate::error::{Error, Result};
use crate::idle::{self, Idle};
use crate::line::words;
use crate::line_editor::{editor, failed, no_colour};
use crate::output::Output;
use crate::process::{Interrupts, STACK, expect_no_interrupt, wipe_stack};
use crate::repl::history::Keep;
use crate::repl::line_helper::LineHelper;
use crate::shell::Shell;

/// Reads lines and runs them until `exit` or Ctrl-D. An error ends its line, not the session.
///
/// # Errors
/// [`Error::failed`] if the terminal cannot be used, and those of [`Shell::leave`].
pub fn run(runtime: &Runtime, mut shell: Shell, interrupts: &Interrupts) -> Result<()> {
    let idle = Idle::new(shell.context.options().idle_lock);
    shell.context.abbreviations = Some(Abbreviations::default());
    let out = shell.context.out;
    let shell = Mutex::new(shell);
    let repl = Repl {
        runtime,
        shell: &shell,
        interrupts,
        idle: &idle,
        out,
    };
    let outcome = std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(2 * STACK)
            .spawn_scoped(scope, || idle.watch(|| repl.lock_idle()))
            .map_err(Error::io("starting the idle lock"))?;
        let _ending = idle.ending();
        repl.read_lines()
    });
    let mut shell = shell.into_inner().unwrap_or_else(PoisonError::into_inner);
    let left = runtime.block_on(interrupts.stoppable(shell.leave()));
    outcome.and(left)
}

type LineEditor<'a> = Editor<LineHelper<'a>, FileHistory>;

struct Repl<'a> {
    runtime: &'a Runtime,
    /// Held while a command runs, and while an idle session is being locked.
    shell: &'a Mutex<Shell>,
    interrupts: &'a Interrupts,
    idle: &'a Idle,
    out: Output,
}

impl Repl<'_> {
    fn read_lines(&self) -> Result<()> {
        let coloured = io::stdout().is_terminal() && !no_colour();
        let helper = LineHelper::new(self.shell, self.idle, coloured);
        let mut editor: LineEditor<'_> = editor(Some(helper))?;
        // With a printer the editor waits for signals as well as for keys. Only terminals have one.
        let _printer = editor.create_external_printer();
        let file = self.shell().context.home.history();
        // Fails before the first session, which creates the file.
        let _ = editor.load_history(&file);
        self.out
            .note("keyshell: `help` lists the commands, Tab completes, `exit` or Ctrl-D leaves");
        let mut typed = String::new();
        while !self.shell().context.leaving {
            let prompt = prompt_line::prompt(&mut self.shell());
            let initial = std::mem::take(&mut typed);
            self.interrupts.stop_commands();
            let line = self
                .idle
                .reading(|| editor.readline_with_initial(&prompt, (&initial, "")));
            let locked = self.tell_of_lock();
            match line {
                Ok(text) => self.run_lines(&mut editor, &file, &text)?,
                Err(ReadlineError::Interrupted) if locked => {
                    // The line editor has consumed the signal.
                    expect_no_interrupt();
                    let helper = editor.helper();
                    typed = helper.map(LineHelper::take_typed).unwrap_or_default();
                }
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    fn shell(&self) -> MutexGuard<'_, Shell> {
        self.shell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks an idle session; returns whether there were keys to wipe.
    fn lock_idle(&self) -> bool {
        let mut shell = self.shell();
        if !shell.account.is_unlocked() {
            return false;
        }
        // An error of verification is remembered, and the next command reports it.
        let _ = self.runtime.block_on(shell.lock());
        wipe_stack();
        true
    }

    /// If the session was locked, clears the screen and reports it.
    fn tell_of_lock(&self) -> bool {
        let mut shell = self.shell();
        let Some(values_were_shown) = shell.context.take_locked() else {
            return false;
        };
        clear_screen(values_were_shown);
        self.out
            .note("locked: the keys are wiped; the next command asks for the password");
        true
    }

    /// Runs a line, or several pasted ones; Ctrl-C skips the rest.
    fn run_lines(&self, editor: &mut LineEditor<'_>, file: &Path, text: &str) -> Result<()> {
        for line in words::lines(text) {
            let done = self.run_line(line);
            if idle::was_missed() {
                self.lock_idle();
            }
            wipe_stack();
            self.tell_of_lock();
            self.keep(editor, file, line, &done)?;
            let is_stopped = done.as_ref().is_err_and(Error::is_stopped);
            if is_stopped || self.shell().context.leaving {
                break;
            }
        }
        Ok(())
    }

    fn keep(
        &self,
        editor: &mut LineEditor<'_>,
        file: &Path,
        line: &str,
        done: &Result<()>,
    ) -> Result<()> {
        let keep = history::keep(line, done);
        if let Some(helper) = editor.helper() {
            helper.note_run(line, keep == Keep::InMemory);
        }
        if keep != Keep::Nowhere {
            editor.add_history_entry(line).map_err(failed)?;
        }
        if keep == Keep::OnDisk
            && let Err(error) = history::append(file, line)
        {
            let text = format!("the history was not saved: {error}");
            self.out.detail(&text);
        }
        Ok(())
    }

    /// Runs a line and prints its error.
    fn run_line(&self, line: &str) -> Result<()> {
        let mut shell = self.shell();
        let parsed = commands::parse(line);
        let changes = matches!(&parsed, Ok(Some(line)) if line.changes_something());
        let done = parsed.and_then(|line| match line {
            Some(line) => {
                let command = commands::run(&mut shell, line);
                self.runtime.block_on(self.interrupts.stoppable(command))
            }
            None => Ok(()),
        });
        if let Err(error) = &done {
            let is_unknown = error.is_stopped() && shell.account.drop_unfinished() && changes;
            if is_unknown && *error == Error::interrupted() {
                self.out.say("interrupted; it is unknown whether the change was stored: check before you repeat it");
            } else {
                self.out.error(error);
            }
        }
        done
    }
}

/// Clears the screen, and with `scrollback` the terminal's scrollback buffer.
fn clear_screen(scrollback: bool) {
    if !io::stdout().is_terminal() {
        return;
    }
    let sequence: &[u8] = if scrollback {
        b"\x1b[H\x1b[2J\x1b[3J"
    } else {
        b"\x1b[H\x1b[2J"
    };
    let mut stdout = io::stdout().lock();
    // Nowhere to report that the terminal is gone.
    let _ = stdout.write_all(sequence).and_then(|()| stdout.flush());
}
