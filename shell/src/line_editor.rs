//! The line editor, for the prompt of the REPL and for single questions.

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{ColorMode, Config, DefaultEditor, Editor, Helper};

use crate::error::{Error, Result};

/// Maximum lines of a history.
pub const MAX_LINES: usize = 1000;

/// Whether `NO_COLOR` is set and not empty (<https://no-color.org>).
pub fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// A line editor.
///
/// # Errors
/// [`Error::failed`] if the terminal cannot be used.
pub fn editor<H: Helper>(helper: Option<H>) -> Result<Editor<H, DefaultHistory>> {
    let config = Config::builder()
        .max_history_size(MAX_LINES)
        .map_err(failed)?
        .completion_type(rustyline::CompletionType::List)
        .auto_add_history(false)
        .color_mode(if no_colour() {
            ColorMode::Disabled
        } else {
            ColorMode::Enabled
        })
        .build();
    let mut editor = Editor::with_config(config).map_err(failed)?;
    editor.set_helper(helper);
    Ok(editor)
}

/// Asks for a line; `now` is the text to edit.
///
/// # Errors
/// [`Error::interrupted`], [`Error::failed`].
pub fn edit_line(question: &str, now: &str) -> Result<String> {
    let mut editor: DefaultEditor = editor(None)?;
    match editor.readline_with_initial(question, (now, "")) {
        Ok(line) => Ok(line.trim().to_owned()),
        Err(ReadlineError::Interrupted | ReadlineError::Eof) => Err(Error::interrupted()),
        Err(error) => Err(failed(error)),
    }
}

/// The error for a terminal that cannot be read.
pub fn failed(error: ReadlineError) -> Error {
    Error::failed(format!("terminal: {error}"))
}
