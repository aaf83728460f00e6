//! The interactive session.

mod history;

use std::path::Path;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, DefaultEditor, Editor};
use tokio::runtime::Runtime;

use crate::commands;
use crate::error::Error;
use crate::shell::Shell;

/// Reads lines and runs them until `exit` or Ctrl-D. An error ends its line, not the session.
///
/// # Errors
/// [`Error::Failed`] where the terminal cannot be used.
pub fn run(runtime: &Runtime, shell: &mut Shell) -> Result<(), Error> {
    let mut editor = editor()?;
    let file = shell.home.history();
    // There is none before the first session.
    let _ = editor.load_history(&file);
    shell
        .out
        .note("keyshell: `help` lists the commands, `exit` or Ctrl-D leaves");
    while !shell.leaving {
        match editor.readline(&prompt(shell)) {
            Ok(line) => {
                if !line.trim().is_empty() {
                    editor.add_history_entry(line.as_str()).map_err(failed)?;
                    keep(shell, &file, &line);
                }
                run_line(runtime, shell, &line);
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

fn keep(shell: &Shell, file: &Path, line: &str) {
    if let Err(error) = history::append(file, line) {
        shell
            .out
            .detail(&format!("the history was not saved: {error}"));
    }
}

fn run_line(runtime: &Runtime, shell: &mut Shell, line: &str) {
    let done = match commands::parse(line) {
        Ok(Some(line)) => runtime.block_on(commands::run(shell, line)),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        shell.out.error(&error);
    }
}

fn prompt(shell: &Shell) -> String {
    let account = shell.known_account();
    let account = account.as_deref().unwrap_or("nobody");
    let state = match shell.open_vault() {
        Some(_) => "",
        None => " (locked)",
    };
    crate::output::printable(&format!("{account}{state}> "))
}

fn editor() -> Result<Editor<(), FileHistory>, Error> {
    let config = Config::builder()
        .max_history_size(history::MAX_LINES)
        .map_err(failed)?
        .auto_add_history(false)
        .build();
    DefaultEditor::with_config(config).map_err(failed)
}

/// Asks for a line, beginning with what it is now.
///
/// # Errors
/// [`Error::Interrupted`], [`Error::Failed`].
pub fn edit_line(question: &str, now: &str) -> Result<String, Error> {
    match editor()?.readline_with_initial(question, (now, "")) {
        Ok(line) => Ok(line.trim().to_owned()),
        Err(ReadlineError::Interrupted | ReadlineError::Eof) => Err(Error::Interrupted),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: ReadlineError) -> Error {
    Error::Failed(format!("terminal: {error}"))
}
