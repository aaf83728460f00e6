//! Dim hints after the cursor: the rest of the newest line with the same beginning, or the next argument.

use clap::Command;
use keyshell_base::text::printable;
use rustyline::Context;
use rustyline::hint::Hint;
use rustyline::history::SearchDirection;

use crate::abbreviations;
use crate::line::grammar::{self, Slot};
use crate::line::words;

/// A hint.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    text: String,
    /// Whether the right arrow inserts it.
    is_input: bool,
}

impl Hint for Shown {
    fn display(&self) -> &str {
        &self.text
    }

    fn completion(&self) -> Option<&str> {
        self.is_input.then_some(self.text.as_str())
    }
}

/// The hint for a line with the cursor at `position`; lines for which `failed` returns true are not offered.
pub fn hint(
    definitions: &Command,
    line: &str,
    position: usize,
    context: &Context<'_>,
    failed: impl Fn(&str) -> bool,
) -> Option<Shown> {
    if position < line.len() || line.trim().is_empty() {
        return None;
    }
    if let Some(text) = begun_like(line, context, failed) {
        return Some(Shown {
            text,
            is_input: true,
        });
    }
    next(definitions, line).map(|text| Shown {
        text,
        is_input: false,
    })
}

/// The rest of the newest line in the history that begins like this one, without lines that hold a number of an `ls`.
fn begun_like(line: &str, context: &Context<'_>, failed: impl Fn(&str) -> bool) -> Option<String> {
    let history = context.history();
    let newest = history.len().saturating_sub(1);
    let mut at = context.history_index().min(newest);
    loop {
        let found = history.starts_with(line, at, SearchDirection::Reverse);
        let found = found.ok().flatten()?;
        let rest = found.entry.get(line.len()..)?;
        if rest.is_empty() {
            return None;
        }
        if printable(rest) == rest && !failed(&found.entry) && !has_number(&found.entry) {
            return Some(rest.to_owned());
        }
        at = found.idx.checked_sub(1)?;
    }
}

/// Whether a line holds a number of an earlier `ls`.
fn has_number(line: &str) -> bool {
    let (words, _) = words::finished(line);
    words
        .iter()
        .any(|word| abbreviations::number(&word.text).is_some())
}

/// After a space, the name of the option's value, or those of the remaining arguments.
fn next(definitions: &Command, line: &str) -> Option<String> {
    let words = words::words(line)?;
    if !words.last()?.text.is_empty() || !line.ends_with(' ') {
        return None;
    }
    let Slot::Value(command, argument) = grammar::slot(definitions, &words) else {
        return None;
    };
    if argument.get_long().is_some() {
        return Some(grammar::value_name(argument));
    }
    let mut rest = command
        .get_positionals()
        .skip_while(|other| other.get_id() != argument.get_id());
    let rest: Vec<String> = rest.by_ref().map(usage).collect();
    Some(rest.join(" "))
}

fn usage(argument: &clap::Arg) -> String {
    let name = grammar::value_name(argument);
    if argument.is_required_set() {
        name
    } else {
        format!("[{name}]")
    }
}

#[cfg(test)]
mod tests {
    use rustyline::history::{FileHistory, History as _};

    use super::*;
    use crate::commands::definitions;

    fn shown(history: &[&str], line: &str) -> Option<(String, bool)> {
        let mut lines = FileHistory::new();
        for line in history {
            assert!(lines.add(line).is_ok());
        }
        let context = Context::new(&lines);
        let failed = |line: &str| line.contains("gone");
        let shown = hint(&definitions(), line, line.len(), &context, failed)?;
        Some((shown.text, shown.is_input))
    }

    #[test]
    fn the_next_argument_is_named() {
        let next = |line| {
            shown(&[], line).map(|(text, is_input)| {
                assert!(!is_input);
                text
            })
        };
        assert_eq!(next("get ").as_deref(), Some("NAME"));
        assert_eq!(next("mv ").as_deref(), Some("NAME NEW"));
        assert_eq!(next("mv a ").as_deref(), Some("NEW"));
        assert_eq!(next("ls ").as_deref(), Some("[PATTERN]"));
        assert_eq!(next("get a --clip --for ").as_deref(), Some("TIME"));
        for line in ["", " ", "get", "get a", "get a ", "nonsense ", "get '"] {
            assert_eq!(next(line), None, "{line:?}");
        }
    }

    #[test]
    fn the_newest_line_that_began_like_this_comes_first() {
        let history = ["get prod/db", "get prod/web --clip", "ls"];
        let expected = Some(("prod/web --clip".to_owned(), true));
        assert_eq!(shown(&history, "get "), expected);
        assert_eq!(
            shown(&history, "mv ").map(|(_, is_input)| is_input),
            Some(false)
        );
        assert_eq!(shown(&["get a\u{202e}b"], "get a"), None);
        // No line that failed, and no number of an old list.
        let history = ["get prod/db", "get gone", "get %2"];
        let expected = Some(("prod/db".to_owned(), true));
        assert_eq!(shown(&history, "get "), expected);
        assert_eq!(shown(&["get gone"], "get g"), None);
    }
}
