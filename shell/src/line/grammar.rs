//! The roles of words in a command line, by the definitions of the commands.

use clap::{Arg, ArgAction, Command, ValueHint};

use crate::line::words::Word;

/// The role of a word.
#[derive(Debug, Clone, Copy)]
pub enum Slot<'a> {
    /// The name of a subcommand of this command.
    Command(&'a Command),
    /// An option of this command.
    Flag(&'a Command),
    /// A value of this command's option or positional argument.
    Value(&'a Command, &'a Arg),
    /// No word is allowed there.
    Nothing,
}

/// The kind of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The name of a secret.
    Name,
    /// A variable, a `=`, and the name of a secret.
    Reference,
    /// A tag.
    Tag,
    /// A format.
    Format,
    /// An operation of the audit log.
    Operation,
    /// A command.
    Command,
    /// A file.
    File,
    /// One of the values that the definition lists.
    Listed,
    /// Anything else.
    Other,
}

/// Ids of arguments that are names of secrets.
pub const NAMES: [&str; 3] = ["name", "new", "pattern"];

/// The kind of an argument's values.
pub fn kind(argument: &Arg) -> Kind {
    match argument.get_id().as_str() {
        id if NAMES.contains(&id) => Kind::Name,
        "env" | "fd" => Kind::Reference,
        "tag" | "untag" => Kind::Tag,
        "format" => Kind::Format,
        "op" => Kind::Operation,
        "command" => Kind::Command,
        _ if argument.get_value_hint() == ValueHint::AnyPath => Kind::File,
        _ if !argument.get_possible_values().is_empty() => Kind::Listed,
        _ => Kind::Other,
    }
}

/// The role of the last of these words.
pub fn slot<'a>(line: &'a Command, words: &[Word]) -> Slot<'a> {
    let Some((last, before)) = words.split_last() else {
        return Slot::Nothing;
    };
    let mut at = Position::new(line);
    for word in before {
        if !at.pass(&word.text) {
            return Slot::Nothing;
        }
    }
    at.slot(&last.text)
}

/// A position in a command line.
struct Position<'a> {
    command: &'a Command,
    /// The option whose value comes next.
    open: Option<&'a Arg>,
    /// Number of positional values before it.
    passed: usize,
    /// After `--` nothing is an option.
    only_values: bool,
}

impl<'a> Position<'a> {
    fn new(command: &'a Command) -> Self {
        Self {
            command,
            open: None,
            passed: 0,
            only_values: false,
        }
    }

    /// Moves past a word; false if the word is not allowed.
    fn pass(&mut self, word: &str) -> bool {
        if self.command.has_subcommands() && self.passed == 0 && self.open.is_none() {
            if let Some(command) = self.command.find_subcommand(word) {
                *self = Self::new(command);
                return true;
            }
            if self.needs_subcommand() {
                return false;
            }
        }
        if self.open.take().is_some() && !word.starts_with('-') {
            return true;
        }
        if !self.only_values && word == "--" {
            self.only_values = true;
        } else if self.is_flag(word) {
            if let Some(name) = word.strip_prefix("--") {
                self.open = self.option(name).filter(|option| takes_value(option));
            }
        } else {
            self.passed += 1;
        }
        true
    }

    fn slot(&self, word: &str) -> Slot<'a> {
        if self.needs_subcommand() {
            return Slot::Command(self.command);
        }
        if let Some(option) = self.open.filter(|_| !word.starts_with('-')) {
            return Slot::Value(self.command, option);
        }
        if self.is_flag(word) {
            let option = word.strip_prefix("--").and_then(|word| {
                let (name, _) = word.split_once('=')?;
                self.option(name).filter(|option| takes_value(option))
            });
            return option.map_or(Slot::Flag(self.command), |option| {
                Slot::Value(self.command, option)
            });
        }
        self.positional()
            .map_or(Slot::Nothing, |value| Slot::Value(self.command, value))
    }

    /// `import` takes files, or `undo` in their place.
    fn needs_subcommand(&self) -> bool {
        self.command.has_subcommands() && !self.command.is_args_conflicts_with_subcommands_set()
    }

    fn is_flag(&self, word: &str) -> bool {
        !self.only_values && word.starts_with('-')
    }

    fn option(&self, name: &str) -> Option<&'a Arg> {
        let mut options = self.command.get_arguments();
        options.find(|option| option.get_long() == Some(name))
    }

    /// The next positional argument; the last one may take several values.
    fn positional(&self) -> Option<&'a Arg> {
        let all: Vec<&Arg> = self.command.get_positionals().collect();
        let many = |last: &&&Arg| matches!(last.get_action(), ArgAction::Append);
        let next = all.get(self.passed);
        next.or_else(|| all.last().filter(many)).copied()
    }
}

fn takes_value(option: &Arg) -> bool {
    option.get_action().takes_values()
}

/// The name of an argument's value in the help.
pub fn value_name(argument: &Arg) -> String {
    let named = argument.get_value_names().and_then(|names| names.first());
    named.map_or_else(
        || argument.get_id().as_str().to_uppercase(),
        ToString::to_string,
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::commands;
    use crate::line::words::words;

    fn told(line: &str) -> String {
        let definitions = commands::definitions();
        match slot(&definitions, &words(line).unwrap()) {
            Slot::Command(_) => "command".to_owned(),
            Slot::Flag(command) => format!("flag of {}", command.get_name()),
            Slot::Value(command, value) => {
                format!(
                    "{} of {}: {:?}",
                    value_name(value),
                    command.get_name(),
                    kind(value)
                )
            }
            Slot::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn every_place_is_known() {
        for (line, expected) in [
            ("", "command"),
            ("ge", "command"),
            ("nonsense ", "nothing"),
            ("get ", "NAME of get: Name"),
            ("get a ", "nothing"),
            ("get --", "flag of get"),
            ("get -- ", "NAME of get: Name"),
            ("get -- -", "NAME of get: Name"),
            ("get a --format ", "F of get: Format"),
            ("get --format hex ", "NAME of get: Name"),
            ("get --format=h", "F of get: Format"),
            ("get --clip ", "NAME of get: Name"),
            ("get a --out ", "FILE of get: File"),
            ("put a --tag x --tag ", "TAG of put: Tag"),
            ("put a --file f", "FILE of put: File"),
            ("edit a --untag ", "TAG of edit: Tag"),
            ("mv a ", "NEW of mv: Name"),
            ("devices rename ", "NAME of rename: Other"),
            ("import a b ", "FILE of import: File"),
            ("import a --on-conflict ", "ACTION of import: Listed"),
            ("audit --op ", "OP of audit: Operation"),
            ("help ", "COMMAND of help: Command"),
            ("ls pro", "PATTERN of ls: Name"),
        ] {
            assert_eq!(told(line), expected, "{line:?}");
        }
    }
}
