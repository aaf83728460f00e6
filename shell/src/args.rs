//! The task that the program's arguments select.

use std::path::PathBuf;

use crate::command_names;
use crate::commands::{self, Line};
use crate::error::{Error, Result};
use crate::options::Options;

/// The task of a run.
#[derive(Debug)]
pub enum Task {
    /// An interactive session.
    Interactive,
    /// One command, from the program's arguments.
    Command(Box<Line>),
    /// Command lines given with `-c`.
    Lines(Vec<String>),
    /// A file of command lines.
    Script(PathBuf),
}

/// The task that the options select: a first word that is no command is the path of a script.
///
/// # Errors
/// [`Error::usage`].
pub fn task(options: &Options) -> Result<Task> {
    let Some((first, rest)) = options.words.split_first() else {
        return Ok(match options.lines.as_slice() {
            [] => Task::Interactive,
            lines => Task::Lines(lines.to_vec()),
        });
    };
    if first.to_str().is_some_and(commands::is_known) {
        let line = commands::parse_words(options.words.clone())?;
        return Ok(Task::Command(Box::new(line)));
    }
    let path = PathBuf::from(first);
    if !rest.is_empty() || !path.exists() {
        let name = first.to_string_lossy();
        let commands = match command_names::meant(&name, &commands::definitions()) {
            Some(command) => format!("did you mean `{command}`?"),
            None => "`keyshell help` lists them".to_owned(),
        };
        return Err(Error::usage(format!(
            "`{name}` is no command ({commands}), and no script of that name was found"
        )));
    }
    Ok(Task::Script(path))
}

/// The error for invalid arguments of the program.
pub fn misused(error: &clap::Error) -> Error {
    Error::usage(format!(
        "{}`keyshell --help` shows how",
        commands::clap_message(error)
    ))
}
