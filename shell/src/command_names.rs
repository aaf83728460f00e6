//! Suggestions for names of commands that do not exist.

use crate::abbreviations;
use crate::error::Error;

/// Names of commands in other programs for secrets and files, and the command here.
pub const ELSEWHERE: [(&str, &str); 22] = [
    ("?", "help"),
    ("add", "put"),
    ("cat", "get"),
    ("copy", "get"),
    ("create", "gen"),
    ("delete", "rm"),
    ("dir", "ls"),
    ("find", "ls"),
    ("generate", "gen"),
    ("grep", "ls"),
    ("insert", "put"),
    ("list", "ls"),
    ("move", "mv"),
    ("new", "put"),
    ("otp", "totp"),
    ("read", "get"),
    ("remove", "rm"),
    ("search", "ls"),
    ("set", "put"),
    ("show", "get"),
    ("signin", "login"),
    ("signup", "register"),
];

/// The error for a command that does not exist.
pub fn unknown(command: &str, definitions: &clap::Command) -> Error {
    Error::usage(match meant(command, definitions) {
        Some(near) => format!("there is no command `{command}`; did you mean `{near}`?"),
        None => format!("there is no command `{command}`; `help` lists them"),
    })
}

/// The command to suggest for another word.
pub fn meant(word: &str, definitions: &clap::Command) -> Option<String> {
    let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == word);
    if let Some((_, command)) = elsewhere {
        return Some((*command).to_owned());
    }
    let names = definitions.get_subcommands().map(clap::Command::get_name);
    abbreviations::nearest(word, names).map(str::to_owned)
}
