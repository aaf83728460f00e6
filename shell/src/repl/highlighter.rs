//! Colours of a line while it is typed.

use std::borrow::Cow;

use clap::Command;

use crate::line::grammar::{self, Kind, Slot};
use crate::line::words::{self, Word};

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// Makes a hint dim.
pub fn dim(hint: &str) -> String {
    format!("{DIM}{hint}{RESET}")
}

/// Colours unknown commands and options red, commands and existing names green.
pub fn colour<'l>(
    definitions: &Command,
    line: &'l str,
    exists: impl Fn(&str) -> bool,
) -> Cow<'l, str> {
    let Some(words) = words::words(line) else {
        return Cow::Borrowed(line);
    };
    let mut coloured = String::new();
    let mut done = 0;
    for (position, word) in words.iter().enumerate() {
        let so_far = words.get(..=position).unwrap_or_default();
        let is_last = position + 1 == words.len();
        let Some(colour) = of(definitions, so_far, word, is_last, &exists) else {
            continue;
        };
        let (Some(before), Some(raw)) =
            (line.get(done..word.start), line.get(word.start..word.end))
        else {
            continue;
        };
        for part in [before, colour, raw, RESET] {
            coloured.push_str(part);
        }
        done = word.end;
    }
    if done == 0 {
        return Cow::Borrowed(line);
    }
    coloured.push_str(line.get(done..).unwrap_or_default());
    Cow::Owned(coloured)
}

fn of(
    definitions: &Command,
    so_far: &[Word],
    word: &Word,
    is_last: bool,
    exists: &impl Fn(&str) -> bool,
) -> Option<&'static str> {
    if word.text.is_empty() {
        return None;
    }
    match grammar::slot(definitions, so_far) {
        Slot::Command(command) => {
            if command.find_subcommand(&word.text).is_some() {
                return Some(GREEN);
            }
            let mut names = command.get_subcommands().map(Command::get_name);
            let may_become = is_last && names.any(|name| name.starts_with(&word.text));
            (!may_become).then_some(RED)
        }
        Slot::Flag(command) => {
            // `--` alone ends the options.
            let name = word
                .text
                .strip_prefix("--")
                .filter(|name| !name.is_empty())?;
            let mut flags = command.get_arguments().filter_map(clap::Arg::get_long);
            let known = flags.any(|flag| flag == name || (is_last && flag.starts_with(name)));
            (!known).then_some(RED)
        }
        Slot::Value(_, argument) if grammar::kind(argument) == Kind::Name => {
            exists(&word.text).then_some(GREEN)
        }
        Slot::Value(..) | Slot::Nothing => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::definitions;

    fn coloured(line: &str) -> String {
        let exists = |name: &str| name == "my db";
        let coloured = colour(&definitions(), line, exists);
        let coloured = coloured.replace(RED, "<").replace(GREEN, "{");
        coloured.replace(RESET, "|")
    }

    #[test]
    fn known_words_are_green_and_unknown_ones_red() {
        for (line, expected) in [
            ("", ""),
            ("ge", "ge"),
            ("get", "{get|"),
            ("gat", "<gat|"),
            ("ge ", "<ge| "),
            ("get 'my db' --clip", "{get| {'my db'| --clip"),
            ("get other --clop", "{get| other <--clop|"),
            ("get other --cl", "{get| other --cl"),
            ("get -- --clop", "{get| -- --clop"),
            ("  get my\\ db", "  {get| {my\\ db|"),
            ("gat x", "<gat| x"),
            ("# get", "# get"),
        ] {
            assert_eq!(coloured(line), expected);
        }
    }
}
