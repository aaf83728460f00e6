//! What the program's arguments ask for.

use std::path::PathBuf;

use crate::command_names;
use crate::commands::{self, Line};
use crate::error::Error;
use crate::options::Options;

/// What a run is for.
#[derive(Debug)]
pub enum Task {
    /// Somebody types commands.
    Interactive,
    /// One command, from the program's arguments.
    Command(Box<Line>),
    /// Lines given with `-c`.
    Lines(Vec<String>),
    /// A file of lines.
    Script(PathBuf),
}

/// What the arguments ask for: a word that is no command is a file of commands.
///
/// # Errors
/// [`Error::Usage`].
pub fn task(options: &Options) -> Result<Task, Error> {
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
        return Err(Error::Usage(format!(
            "`{name}` is no command ({commands}), and no script of that name was found"
        )));
    }
    Ok(Task::Script(path))
}

/// What is wrong with the program's arguments.
pub fn misused(error: &clap::Error) -> Error {
    Error::Usage(format!(
        "{}`keyshell --help` shows how",
        commands::told(error)
    ))
}
