//! Completions of a line.

use std::collections::BTreeSet;

use clap::builder::PossibleValue;
use clap::{ArgAction, Command};
use keyshell_base::names::SecretName;
use keyshell_base::text::printable;
use keyshell_formats as formats;
use rustyline::completion::Pair;
use shared::audit_record::AuditedOperation;

use crate::commands::field;
use crate::line::grammar::{self, Kind, Slot};
use crate::line::words::{self, Word};
use crate::output::qr::QR;
use crate::shell::Shell;

/// Maximum candidates for the line editor, which counts them in 16 bits.
const MAX_OFFERED: usize = 1000;

/// The completions of the last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// Texts that replace the line from this byte on.
    Words(usize, Vec<Candidate>),
    /// Files.
    Files,
}

/// One completion.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The completed word.
    text: String,
    /// Whether more of the word may follow: a folder, an item with fields.
    open: bool,
}

impl Candidate {
    fn whole(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            open: false,
        }
    }
}

/// The completions at the end of `line`; names and tags come from the open vault of `shell`.
pub fn offer(definitions: &Command, shell: Option<&Shell>, line: &str) -> Option<Offer> {
    let words = words::words(line)?;
    let last = words.last()?;
    let (mut start, mut typed) = value_part(line, last);
    let candidates = match grammar::slot(definitions, &words) {
        Slot::Command(command) => commands(command),
        Slot::Flag(command) => flags(command, &words),
        Slot::Value(_, argument) => match grammar::kind(argument) {
            Kind::File => return Some(Offer::Files),
            Kind::Name => named(typed, shell?, &words),
            Kind::Reference => {
                let (variable, name) = typed.split_once('=')?;
                // A quoted word has its `=` at another position, and is not completed.
                let raw = line.get(start..)?.strip_prefix(variable)?;
                raw.strip_prefix('=')?;
                start += variable.len() + 1;
                typed = name;
                named(typed, shell?, &words)
            }
            Kind::Tag => all(tags(shell?)),
            Kind::Format => all(formats::names().chain([QR])),
            Kind::Operation => all(AuditedOperation::ALL.map(AuditedOperation::name)),
            Kind::Command => commands(definitions),
            Kind::Listed => all(argument
                .get_possible_values()
                .iter()
                .map(PossibleValue::get_name)),
            Kind::Other => return None,
        },
        Slot::Nothing => return None,
    };
    let fits = |candidate: &Candidate| {
        // Text with control characters is not offered.
        candidate.text.starts_with(typed) && printable(&candidate.text) == candidate.text
    };
    let candidates = candidates.into_iter().filter(fits).collect();
    Some(Offer::Words(start, candidates))
}

/// The last word, if the grammar allows the name of a secret on the server there.
pub fn typed_name<'a>(definitions: &Command, words: &'a [Word]) -> Option<&'a str> {
    match grammar::slot(definitions, words) {
        Slot::Value(_, argument) if grammar::kind(argument) == Kind::Name => {}
        _ => return None,
    }
    let last = words.last().filter(|_| !is_local(words))?;
    Some(&last.text)
}

/// The names and folders that complete `typed`, one level of folders, at most [`MAX_OFFERED`].
pub fn below<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let candidates = folders(typed, names).into_iter();
    let texts = candidates.map(|candidate| candidate.text);
    // Text with control characters is not offered.
    let texts = texts.filter(|text| printable(text) == *text);
    texts.take(MAX_OFFERED).collect()
}

/// The value of a word such as `--format=he`, and its position in the line.
fn value_part<'a>(line: &'a str, last: &'a Word) -> (usize, &'a str) {
    let raw = line.get(last.start..).unwrap_or_default();
    match (raw.split_once('='), last.text.split_once('=')) {
        (Some((flag, _)), Some((same, value))) if flag == same && flag.starts_with("--") => {
            (last.start + flag.len() + 1, value)
        }
        _ => (last.start, &last.text),
    }
}

fn commands(command: &Command) -> BTreeSet<Candidate> {
    let commands = command.get_subcommands().filter(|c| !c.is_hide_set());
    all(commands.map(Command::get_name))
}

fn flags(command: &Command, words: &[Word]) -> BTreeSet<Candidate> {
    let used = |flag: &str| words.iter().rev().skip(1).any(|word| word.text == flag);
    let flags = command.get_arguments().filter_map(|option| {
        let flag = format!("--{}", option.get_long()?);
        let again = matches!(option.get_action(), ArgAction::Append);
        (again || !used(&flag)).then_some(flag)
    });
    all(flags)
}

fn all<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> BTreeSet<Candidate> {
    texts.into_iter().map(Candidate::whole).collect()
}

/// Whether the command takes names of the local store.
fn is_local(words: &[Word]) -> bool {
    let is_push = words.first().is_some_and(|word| word.text == "push");
    is_push || words.iter().any(|word| word.text == "--local")
}

fn names<'a>(shell: &'a Shell, words: &[Word]) -> Vec<&'a str> {
    if is_local(words) {
        return shell.account.device.local_names();
    }
    shell.account.secret_names().collect()
}

/// The completions of a name, one level of folders; after the `#` of an item its fields.
fn named(typed: &str, shell: &Shell, words: &[Word]) -> BTreeSet<Candidate> {
    let fields_of = |name: &str| {
        let name = SecretName::parse(name).ok()?;
        let secret = shell.account.open_vault()?.index().find(&name)?;
        Some(field::noted(&secret.metadata))
    };
    let found = folders(typed, names(shell, words).into_iter()).into_iter();
    let mut candidates: BTreeSet<_> = found
        .map(|one| Candidate {
            // No space after it, which would turn `#field` into a comment.
            open: one.open || fields_of(&one.text).is_some_and(|fields| !fields.is_empty()),
            ..one
        })
        .collect();
    if let Some((base, _)) = typed.split_once(field::MARK)
        && let Some(fields) = fields_of(base)
    {
        let texts = fields
            .into_iter()
            .map(|own| format!("{base}{}{own}", field::MARK));
        candidates.extend(texts.map(Candidate::whole));
    }
    candidates
}

fn tags(shell: &Shell) -> BTreeSet<&str> {
    let secrets = shell.account.secrets();
    secrets
        .flat_map(|secret| secret.metadata.tags.iter().map(String::as_str))
        .collect()
}

/// The names and folders that begin with `typed`, one level of folders.
fn folders<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> BTreeSet<Candidate> {
    let folder = typed.rfind('/').map_or(0, |slash| slash + 1);
    let below = names.filter(|name| name.starts_with(typed)).map(|name| {
        let inside = name.get(folder..).and_then(|rest| rest.find('/'));
        match inside.and_then(|slash| name.get(..=folder + slash)) {
            Some(folder) => Candidate {
                text: folder.to_owned(),
                open: true,
            },
            None => Candidate::whole(name),
        }
    });
    below.collect()
}

/// The candidates for the line editor, as replacements of `typed` including its quotes. A single complete one ends with a
/// space. Of several the editor inserts the common beginning; a quote is opened only if that is not empty.
pub fn pairs(typed: &str, candidates: Vec<Candidate>) -> Vec<Pair> {
    let single = candidates.len() == 1;
    let common = common_start(&candidates);
    let quoted =
        typed.starts_with(['"', '\'']) || (!common.is_empty() && words::needs_quotes(common));
    let folder = common_folder(&candidates);
    let pairs = bounded(candidates).into_iter().map(|candidate| {
        let mut replacement = if quoted {
            words::open_quoted(&candidate.text)
        } else {
            candidate.text.clone()
        };
        if !candidate.open {
            replacement.push_str(match (quoted, single) {
                (true, true) => "\" ",
                (true, false) => "\"",
                (false, true) => " ",
                (false, false) => "",
            });
        }
        let display = candidate.text.get(folder..).unwrap_or_default().to_owned();
        Pair {
            display,
            replacement,
        }
    });
    pairs.collect()
}

/// The common beginning of all candidates, which are sorted.
fn common_start(candidates: &[Candidate]) -> &str {
    let (Some(first), Some(last)) = (candidates.first(), candidates.last()) else {
        return "";
    };
    let mut both = first.text.char_indices().zip(last.text.chars());
    let end = both.find(|((_, a), b)| a != b).map(|((at, _), _)| at);
    // Of two with a common beginning, the shorter one is first.
    first
        .text
        .get(..end.unwrap_or(first.text.len()))
        .unwrap_or_default()
}

/// Length of the common folder of all candidates, which the list omits.
fn common_folder(candidates: &[Candidate]) -> usize {
    let folder = |candidate: &Candidate| {
        let name = candidate.text.strip_suffix('/').unwrap_or(&candidate.text);
        name.rfind('/').map_or(0, |slash| slash + 1)
    };
    candidates.iter().map(folder).min().unwrap_or(0)
}

/// At most [`MAX_OFFERED`] candidates, with the last one, so that their common beginning is that of all.
fn bounded(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    if candidates.len() > MAX_OFFERED {
        let last = candidates.pop();
        candidates.truncate(MAX_OFFERED - 1);
        candidates.extend(last);
    }
    candidates
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::commands::definitions;

    fn replacements(candidates: BTreeSet<Candidate>) -> Vec<String> {
        let pairs = pairs("", candidates.into_iter().collect());
        pairs.into_iter().map(|pair| pair.replacement).collect()
    }

    fn offered(line: &str) -> Vec<String> {
        match offer(&definitions(), None, line) {
            Some(Offer::Words(start, candidates)) => {
                let texts = pairs(&line[start..], candidates).into_iter();
                texts.map(|pair| pair.replacement).collect()
            }
            Some(Offer::Files) => vec!["files".to_owned()],
            None => Vec::new(),
        }
    }

    #[test]
    fn commands_flags_and_values_come_from_the_definitions() {
        assert_eq!(offered("hel"), ["help "]);
        assert_eq!(offered("he"), ["help "]);
        assert_eq!(offered("l"), ["lock", "login", "logout", "ls"]);
        assert_eq!(offered("get x --cl"), ["--clip "]);
        assert!(offered("get x --clip --cl").is_empty());
        assert_eq!(offered("put x --tag a --ta"), ["--tag "]);
        assert_eq!(offered("get x --format he"), ["hex "]);
        assert_eq!(offered("get x --format=he"), ["hex "]);
        assert_eq!(offered("import x --on-conflict r"), ["rename", "replace"]);
        assert_eq!(offered("audit --op logo"), ["logout "]);
        assert_eq!(offered("help ge"), ["gen", "get"]);
        assert_eq!(offered("put x --file /t"), ["files"]);
        assert!(offered("get a b").is_empty());
        assert!(offered("get # ge").is_empty());
    }

    #[test]
    fn names_come_folder_by_folder_and_quoted_where_they_must_be() {
        let names = [
            "a",
            "my web/x y",
            "prod/db/main",
            "prod/db/replica",
            "prod/web",
        ];
        let below = |typed: &str| replacements(folders(typed, names.into_iter()));
        assert_eq!(below("prod"), ["prod/"]);
        assert_eq!(below("prod/"), ["prod/db/", "prod/web"]);
        assert_eq!(below("prod/db/m"), ["prod/db/main "]);
        assert_eq!(below("my"), ["\"my web/"]);
        assert_eq!(below("my web/"), ["\"my web/x y\" "]);
        assert_eq!(below("my web/x"), ["\"my web/x y\" "]);
        let shown = pairs(
            "",
            folders("prod/", names.into_iter()).into_iter().collect(),
        );
        let shown: Vec<String> = shown.into_iter().map(|pair| pair.display).collect();
        assert_eq!(shown, ["db/", "web"]);
    }

    /// The editor puts in what all replacements begin with.
    #[test]
    fn a_quote_is_opened_only_where_something_follows_it() {
        let both = |typed: &str, texts: [&str; 2]| {
            let candidates: BTreeSet<Candidate> = all(texts);
            pairs(typed, candidates.into_iter().collect())
                .into_iter()
                .map(|pair| pair.replacement)
                .collect::<Vec<_>>()
        };
        assert_eq!(both("", ["a", "my web"]), ["a", "my web"]);
        assert_eq!(both("p", ["prod a", "prod-b"]), ["prod a", "prod-b"]);
        assert_eq!(both("m", ["my a", "my b"]), ["\"my a\"", "\"my b\""]);
        assert_eq!(
            both("\"p", ["prod a", "prod-b"]),
            ["\"prod a\"", "\"prod-b\""]
        );
        assert_eq!(both("", ["é 1", "è 1"]), ["è 1", "é 1"]);
        let one = |typed: &str, text: &str| {
            let pairs = pairs(typed, vec![Candidate::whole(text)]);
            pairs
                .into_iter()
                .map(|pair| pair.replacement)
                .collect::<String>()
        };
        assert_eq!(one("a", "alone"), "alone ");
        assert_eq!(one("'a", "alone"), "\"alone\" ");
        assert_eq!(one("m", "my web"), "\"my web\" ");
    }

    #[test]
    fn no_more_are_offered_than_the_editor_counts() {
        let names: Vec<String> = (0..70_000).map(|n| format!("n{n:05}")).collect();
        let all = folders("", names.iter().map(String::as_str));
        let pairs = pairs("", all.into_iter().collect());
        assert_eq!(pairs.len(), MAX_OFFERED);
        assert_eq!(pairs.last().unwrap().display, "n69999");
    }
}
