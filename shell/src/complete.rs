//! Completes names of secrets for other shells, from an unlocked agent. It asks no question, opens no session and prints
//! no error.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use crate::commands;
use crate::line::words::{self, Word};
use crate::options::Options;
use crate::repl::completer;
use crate::shell::Shell;

/// First argument of a process that completes.
pub const COMPLETE: &str = "__complete";
/// Timeout of the agent's answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Prints the candidates, one per line; names hold no line breaks.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let texts = arguments.map(|word| word.into_string().ok());
    let offered = texts.collect::<Option<Vec<String>>>().and_then(|texts| {
        let (way, rest) = texts.split_first()?;
        match (way.as_str(), rest) {
            ("words", words) => names(words),
            ("bash", [line, current]) => for_bash(line, current),
            _ => None,
        }
    });
    let lines = offered.unwrap_or_default().join("\n");
    // Nowhere to report that standard output is gone.
    let _ = writeln!(io::stdout(), "{lines}");
    ExitCode::SUCCESS
}

/// The candidates for the last of `words`, which are the program's arguments.
fn names(words: &[String]) -> Option<Vec<String>> {
    let program = std::iter::once("keyshell");
    let all = program.chain(words.iter().map(String::as_str));
    let options = Options::try_parse_from(all).ok()?;
    let words = options.words.iter().map(|word| word.to_str());
    let words = words.map(|word| Some(Word::finished(word?.to_owned())));
    let words: Vec<Word> = words.collect::<Option<_>>()?;
    let typed = completer::typed_name(&commands::definitions(), &words)?;
    let mut agent = Shell::new(options).ok()?.account.agent_within(PATIENCE)?;
    let mut names = agent.names(typed).ok()?;
    // A name that begins with - would be parsed as an option.
    let only_values = words.iter().any(|word| word.text == "--");
    names.retain(|name| only_values || !name.starts_with('-'));
    Some(names)
}

/// The candidates for a line of bash up to the cursor, quoted, as replacements of `current`. For bash a word begins after
/// an open quote, and after `:` or `=`.
fn for_bash(line: &str, current: &str) -> Option<Vec<String>> {
    let typed = words::words(line)?;
    let raw = line.get(typed.last()?.start..)?;
    let before = words::words(raw.strip_suffix(current)?)?.pop()?;
    let texts = typed.into_iter().skip(1).map(|word| word.text);
    let names = names(&texts.collect::<Vec<_>>())?;
    let rests = names
        .iter()
        .filter_map(|name| name.strip_prefix(&*before.text));
    let quoted = rests.filter_map(|rest| quoted(rest, before.quote));
    Some(quoted.collect())
}

/// Quotes a text for bash, inside of the open `quote`; `None` if it cannot be written there.
fn quoted(text: &str, quote: Option<char>) -> Option<String> {
    let mut quoted = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        match quote {
            // `!` expands the history, and a \ before it would stay.
            Some('"') if c == '!' => return None,
            Some('"') if matches!(c, '"' | '\\' | '$' | '`') => quoted.extend(['\\', c]),
            Some('\'') if c == '\'' => quoted.push_str(r"'\''"),
            None if is_special(c) => quoted.extend(['\\', c]),
            _ => quoted.push(c),
        }
    }
    Some(quoted)
}

fn is_special(c: char) -> bool {
    let plain = c.is_ascii_alphanumeric() || "-_./@%+=:,".contains(c);
    c.is_whitespace() || (c.is_ascii() && !plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// shlex splits by the rules of POSIX shells.
        #[test]
        fn quoted_text_means_itself(text in "\\PC{1,24}") {
            for quote in [None, Some('"'), Some('\'')] {
                let Some(quoted) = quoted(&text, quote) else {
                    prop_assert!(text.contains('!'));
                    continue;
                };
                let around = quote.map(String::from).unwrap_or_default();
                let line = format!("{around}{quoted}{around}");
                prop_assert_eq!(shlex::split(&line).unwrap(), [text.clone()]);
            }
        }
    }
}
