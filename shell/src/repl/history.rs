//! The history of the REPL in rustyline's format: `#V2`, then one entry per line with `\` and line breaks escaped.
//!
//! rustyline truncates the file before it writes, and two sessions would overwrite each other's lines.

use std::path::Path;

use keyshell_base::files;
use keyshell_client::device::home;

use crate::commands;
use crate::error::{Error, Result};
use crate::line_editor::MAX_LINES;

/// Maximum length of a saved line, in bytes; longer ones are pasted data.
const MAX_LINE: usize = 4096;
/// More than [`MAX_LINES`] of [`MAX_LINE`] bytes, all of them escaped.
const MAX_FILE: u64 = 16 * 1024 * 1024;
const HEADER: &str = "#V2";
/// Exit statuses of lines with mistakes, which are not saved.
const USAGE: u8 = 2;
const NO_SUCH_SECRET: u8 = 3;
/// Commands that ask for passwords or codes.
const CONFIDENTIAL: [&str; 8] = [
    "account",
    "login",
    "passwd",
    "recover",
    "recovery",
    "register",
    "rotate-key",
    "unlock",
];

/// Commands whose arguments belong to another program, and may hold a password.
const FOREIGN: [&str; 1] = ["run"];

/// Where a line may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// In no history.
    Nowhere,
    /// In the history of this session, to be corrected.
    InMemory,
    /// In the file.
    OnDisk,
}

/// Where a line may be kept after it was run. An unknown command may be a password that was typed in the wrong place, and
/// a wrong argument may be a secret value.
pub fn keep(line: &str, done: &Result<()>) -> Keep {
    let first = line.split_whitespace().next().unwrap_or_default();
    let known = commands::definitions().find_subcommand(first).is_some();
    if line.starts_with(' ') || !known || CONFIDENTIAL.contains(&first) {
        return Keep::Nowhere;
    }
    if FOREIGN.contains(&first) {
        return Keep::InMemory;
    }
    match done {
        Err(error) if matches!(error.status(), USAGE | NO_SUCH_SECRET) => Keep::InMemory,
        _ => Keep::OnDisk,
    }
}

/// Appends a line to the file atomically; lines of other sessions are kept.
///
/// # Errors
/// [`Error::failed`].
pub fn append(path: &Path, line: &str) -> Result<()> {
    if line.len() > MAX_LINE {
        return Ok(());
    }
    let _lock = home::lock(&path.with_extension("lock"))?;
    let reading = Error::io(format!("reading {}", path.display()));
    let content = files::read(path, MAX_FILE).map_err(reading)?;
    let text = content
        .map(|content| String::from_utf8_lossy(content.expose()).into_owned())
        .unwrap_or_default();
    Ok(home::write(path, added(&text, line).as_bytes())?)
}

fn added(text: &str, line: &str) -> String {
    let mut lines: Vec<String> = match text.strip_prefix(HEADER) {
        Some(rest) => rest.lines().map(str::to_owned).collect(),
        // Without the header the lines are not escaped.
        None => text.lines().map(escaped).collect(),
    };
    lines.retain(|line| !line.is_empty());
    let line = escaped(line);
    if lines.last() != Some(&line) {
        lines.push(line);
    }
    let newest = lines.len().saturating_sub(MAX_LINES);
    let kept = lines.iter().skip(newest).map(String::as_str);
    let kept: Vec<&str> = std::iter::once(HEADER).chain(kept).collect();
    kept.join("\n") + "\n"
}

fn escaped(line: &str) -> String {
    line.replace('\\', r"\\").replace('\n', r"\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use keyshell_client::error::Error as ClientError;

    use rustyline::history::{FileHistory, History as _};

    use super::*;

    fn read(path: &Path) -> Vec<String> {
        let mut history = FileHistory::new();
        history.load(path).unwrap();
        history.iter().cloned().collect()
    }

    #[test]
    fn confidential_lines_are_not_kept() {
        for line in [
            "login",
            "register --invite x",
            "passwd",
            "recover x",
            " get a",
            "hunter2",
            "",
            "#",
        ] {
            assert_eq!(kept(line), Keep::Nowhere, "{line:?}");
        }
        assert_eq!(kept("put name hunter2"), Keep::InMemory);
        assert_eq!(kept("get a"), Keep::OnDisk);
        let foreign = "run --env A=b -- mysql -phunter2";
        assert_eq!(kept(foreign), Keep::InMemory);
        assert_eq!(kept("get 'a b' --clip"), Keep::OnDisk);
        let missing = Err(Error::no_such_secret("a"));
        assert_eq!(keep("get a", &missing), Keep::InMemory);
        let unreachable = Err(ClientError::Unreachable("the server".into()).into());
        assert_eq!(keep("get a", &unreachable), Keep::OnDisk);
    }

    /// Where a line is kept that is run without trouble, where it can be.
    fn kept(line: &str) -> Keep {
        keep(line, &commands::parse(line).map(|_| ()))
    }

    #[test]
    fn rustyline_reads_what_was_typed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let typed = [r"put a\b", "get 'ä'", "two\nlines", r"\n"];
        for line in typed {
            append(&path, line).unwrap();
            append(&path, line).unwrap();
        }
        append(&path, &"x".repeat(MAX_LINE + 1)).unwrap();
        assert_eq!(read(&path), typed);
    }

    #[test]
    fn a_history_that_rustyline_wrote_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let mut history = FileHistory::new();
        history.add(r"a\b").unwrap();
        history.save(&path).unwrap();
        append(&path, "new").unwrap();
        assert_eq!(read(&path), [r"a\b", "new"]);
        std::fs::write(&path, "old\\style\n").unwrap();
        append(&path, "new").unwrap();
        assert_eq!(read(&path), [r"old\style", "new"]);
    }

    #[test]
    fn sessions_beside_each_other_keep_all_lines_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        std::thread::scope(|scope| {
            for session in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    (0..10).for_each(|n| append(path, &format!("{session} {n}")).unwrap());
                });
            }
        });
        assert_eq!(read(&path).len(), 40);
        let many: Vec<String> = (0..=MAX_LINES).map(|n| n.to_string()).collect();
        let text = added(&format!("{HEADER}\n{}\n", many.join("\n")), "new");
        assert_eq!(text.lines().count(), 1 + MAX_LINES);
        assert!(text.starts_with("#V2\n2\n") && text.ends_with("\nnew\n"));
    }
}
