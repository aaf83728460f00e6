//! The line editor's helper: completion, hints and colours. It is called at every keystroke, and resets the idle time.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use clap::Command;
use keyshell_base::names::SecretName;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use crate::commands;
use crate::idle::Idle;
use crate::repl::completer::{self, Offer};
use crate::repl::highlighter;
use crate::repl::hinter::{self, Shown};
use crate::shell::Shell;

/// The line editor's helper.
pub struct LineHelper<'a> {
    shell: &'a Mutex<Shell>,
    idle: &'a Idle,
    definitions: Command,
    files: FilenameCompleter,
    /// Without colours a hint would look like what was typed.
    coloured: bool,
    /// The line at the last keystroke.
    typed: RefCell<String>,
    /// Lines that failed, which are not offered as hints.
    failed: RefCell<BTreeSet<String>>,
}

impl<'a> LineHelper<'a> {
    /// A helper for all commands, and for the secrets of an open vault.
    pub fn new(shell: &'a Mutex<Shell>, idle: &'a Idle, coloured: bool) -> Self {
        Self {
            shell,
            idle,
            definitions: commands::definitions(),
            files: FilenameCompleter::new(),
            coloured,
            typed: RefCell::default(),
            failed: RefCell::default(),
        }
    }

    /// Notes whether the last run of a line failed.
    pub fn note_run(&self, line: &str, failed: bool) {
        let mut lines = self.failed.borrow_mut();
        if failed {
            lines.insert(line.to_owned());
        } else {
            lines.remove(line);
        }
    }

    /// Takes the line at the last keystroke.
    pub fn take_typed(&self) -> String {
        self.typed.take()
    }

    /// The shell; `None` while the idle lock holds it.
    fn shell(&self) -> Option<MutexGuard<'a, Shell>> {
        self.shell.try_lock().ok()
    }

    fn key(&self, line: &str) {
        self.idle.touch();
        line.clone_into(&mut self.typed.borrow_mut());
    }
}

impl Helper for LineHelper<'_> {}

impl Validator for LineHelper<'_> {}

impl Completer for LineHelper<'_> {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        self.idle.touch();
        let before = line.get(..position).unwrap_or_default();
        let shell = self.shell();
        match completer::offer(&self.definitions, shell.as_deref(), before) {
            Some(Offer::Words(start, candidates)) => {
                let typed = before.get(start..).unwrap_or_default();
                Ok((start, completer::pairs(typed, candidates)))
            }
            Some(Offer::Files) => self.files.complete_path(line, position),
            None => Ok((position, Vec::new())),
        }
    }
}

impl Hinter for LineHelper<'_> {
    type Hint = Shown;

    fn hint(&self, line: &str, position: usize, context: &Context<'_>) -> Option<Shown> {
        self.key(line);
        if !self.coloured {
            return None;
        }
        let failed = self.failed.borrow();
        hinter::hint(&self.definitions, line, position, context, |line| {
            failed.contains(line)
        })
    }
}

impl Highlighter for LineHelper<'_> {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        let shell = self.shell();
        let vault = shell
            .as_deref()
            .and_then(|shell| shell.account.open_vault());
        highlighter::colour(&self.definitions, line, |name| {
            let name = SecretName::parse(name).ok();
            let found = vault
                .zip(name)
                .map(|(vault, name)| vault.index().find(&name).is_some());
            found.unwrap_or(false)
        })
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(highlighter::dim(hint))
    }

    fn highlight_char(&self, line: &str, _: usize, kind: CmdKind) -> bool {
        self.key(line);
        kind != CmdKind::MoveCursor
    }
}
