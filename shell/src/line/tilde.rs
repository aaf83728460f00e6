//! Expands `~/` in names of files to the home folder, as shells do.

use std::ffi::OsString;
use std::path::Path;

use clap::Command;

use crate::line::grammar::{self, Kind, Slot};
use crate::line::words::Word;

/// The words of a finished line; unquoted names of files that begin with `~/` are expanded to the folder `home`.
pub fn expand(
    definitions: impl FnOnce() -> Command,
    home: Option<&Path>,
    line: &str,
    words: &[Word],
) -> Vec<OsString> {
    let literal = |word: &Word| OsString::from(&word.text);
    let (Some(home), true) = (home, words.iter().any(|word| tilde(line, word).is_some())) else {
        return words.iter().map(literal).collect();
    };
    let definitions = definitions();
    let expanded = words.iter().enumerate().map(|(at, word)| {
        let before = words.get(..=at).unwrap_or_default();
        match tilde(line, word) {
            Some((option, rest)) if is_file(&definitions, before) => {
                let mut text = OsString::from(option);
                text.push(home.join(rest));
                text
            }
            _ => literal(word),
        }
    });
    expanded.collect()
}

/// Splits a word at an unquoted `~/`: the text before it (empty or `--option=`), and the path after it.
fn tilde<'a>(line: &str, word: &'a Word) -> Option<(&'a str, &'a str)> {
    let raw = line.get(word.start..word.end)?;
    let begins = |raw: &str| raw == "~" || raw.starts_with("~/");
    let split = |text: &'a str| text.split_at_checked(text.find('=')? + 1);
    let (option, path) = match raw.split_once('=') {
        Some((option, value)) if option.starts_with("--") && begins(value) => split(&word.text)?,
        _ if begins(raw) => ("", word.text.as_str()),
        _ => return None,
    };
    let rest = path.strip_prefix('~')?;
    Some((option, rest.trim_start_matches('/')))
}

fn is_file(definitions: &Command, words: &[Word]) -> bool {
    match grammar::slot(definitions, words) {
        Slot::Value(_, argument) => grammar::kind(argument) == Kind::File,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands;
    use crate::line::words;

    fn expanded(line: &str) -> Vec<OsString> {
        let (words, _) = words::finished(line);
        expand(
            commands::definitions,
            Some(Path::new("/home/a b")),
            line,
            &words,
        )
    }

    #[test]
    fn files_are_in_the_home_folder_and_nothing_else_is() {
        for (line, last) in [
            ("put x --file ~/f", "/home/a b/f"),
            ("put x --file ~/'g h' # there", "/home/a b/g h"),
            ("get x --out=~/f", "--out=/home/a b/f"),
            ("import a ~/f", "/home/a b/f"),
            ("man ~", "/home/a b/"),
            (
                "register --recovery-file ~/sheet.txt",
                "/home/a b/sheet.txt",
            ),
            ("put x --file '~/f'", "~/f"),
            ("put x --file \\~/f", "~/f"),
            ("put x --file ~other/f", "~other/f"),
            ("put x --file a~/f", "a~/f"),
            ("put x --note ~/f", "~/f"),
            ("put x --note=~/f", "--note=~/f"),
            ("get ~/f", "~/f"),
            ("run -- cat ~/f", "~/f"),
            ("nonsense ~/f", "~/f"),
        ] {
            assert_eq!(expanded(line).last(), Some(&last.into()), "{line}");
        }
        let line = "put x --file ~/f";
        let (words, _) = words::finished(line);
        let unknown = expand(commands::definitions, None, line, &words);
        assert_eq!(unknown.last(), Some(&"~/f".into()));
    }
}
