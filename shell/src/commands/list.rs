//! `ls`

use clap::Args;
use serde_json::{Value, json};
use wildmatch::WildMatch;

use crate::commands::local;
use crate::error::Error;
use crate::output::{add, table, terminal};
use crate::repl::resolve::NUMBER;
use crate::shell::Shell;
use crate::time;
use crate::vault::index::Secret;

/// What a number and the space behind it take, up to 9999 secrets.
const NUMBER_WIDTH: usize = 6;

/// List secrets.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ls prod/ --long\n  ls --tag live")]
pub struct List {
    /// Part of a name, or a pattern with * and ?.
    pattern: Option<String>,
    /// Only those with this tag.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Show versions, times, tags and notes.
    #[arg(long, short)]
    long: bool,
    /// What this device's local store holds; works without the server.
    #[arg(long)]
    local: bool,
}

/// One row, wherever it comes from.
#[derive(Debug)]
pub struct Row {
    /// Name.
    pub name: String,
    /// Newest version.
    pub version: u64,
    /// When it was last changed.
    pub changed_ms: u64,
    /// Tags.
    pub tags: Vec<String>,
    /// Note.
    pub note: String,
    /// Whether it is a copy of a secret on the server; `None` where that is no question.
    pub saved: Option<bool>,
}

impl From<&Secret> for Row {
    fn from(secret: &Secret) -> Self {
        Self {
            name: secret.metadata.name.to_string(),
            version: secret.newest().map_or(0, |info| info.version.0),
            changed_ms: secret.changed_ms,
            tags: secret.metadata.tags.clone(),
            note: secret.metadata.note.clone(),
            saved: None,
        }
    }
}

impl Row {
    fn to_json(&self) -> Value {
        let mut object = json!({
            "name": self.name,
            "version": self.version,
            "changed_ms": self.changed_ms,
            "tags": self.tags,
            "note": self.note,
        });
        if let Some(saved) = self.saved {
            add(&mut object, "saved", json!(saved));
        }
        object
    }
}

impl List {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        let mut rows: Vec<Row> = if self.local {
            local::rows(shell)?
        } else {
            let secrets = shell.vault().await?.index().secrets();
            secrets.into_iter().map(Row::from).collect()
        };
        rows.retain(|row| self.wants(row));
        let numbered = shell.abbreviations.is_some();
        if let Some(known) = &mut shell.abbreviations {
            known.list(rows.iter().map(|row| row.name.clone()));
        }
        if shell.out.is_json() {
            let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
            return shell.out.object(&json!({"secrets": rows}));
        }
        if rows.is_empty() {
            shell.out.note("no secrets");
            return Ok(());
        }
        let mut lines = if self.long {
            long(rows, shell.out.is_terminal())
        } else {
            rows.into_iter().map(|row| row.name).collect()
        };
        if numbered && shell.out.is_terminal() {
            number(&mut lines, usize::from(self.long));
        }
        shell.out.lines(&lines.join("\n"))
    }

    fn wants(&self, row: &Row) -> bool {
        let by_tag = self.tag.as_ref().is_none_or(|tag| row.tags.contains(tag));
        let by_name = self.pattern.as_ref().is_none_or(|pattern| {
            if pattern.contains(['*', '?']) {
                WildMatch::new(pattern).matches(&row.name)
            } else {
                row.name.to_lowercase().contains(&pattern.to_lowercase())
            }
        });
        by_tag && by_name
    }
}

/// A table, with a header.
fn long(rows: Vec<Row>, for_person: bool) -> Vec<String> {
    let rows = rows.into_iter().map(|row| {
        let changed = if for_person {
            time::ago(row.changed_ms)
        } else {
            time::local(row.changed_ms)
        };
        [
            row.name,
            row.version.to_string(),
            changed,
            row.tags.join(","),
            row.note,
        ]
    });
    let header = ["NAME", "VERSION", "CHANGED", "TAGS", "NOTE"];
    let width = terminal::size().map(|size| size.columns.saturating_sub(NUMBER_WIDTH));
    let text = table::render(header, rows.collect(), width, 2).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Puts before each line but the first `skipped` the number by which it can be named.
fn number(lines: &mut [String], skipped: usize) {
    for (position, line) in lines.iter_mut().enumerate() {
        let number = match (position + 1).checked_sub(skipped) {
            None | Some(0) => String::new(),
            Some(number) => format!("{NUMBER}{number}"),
        };
        line.insert_str(0, &format!("{number:<NUMBER_WIDTH$}"));
    }
}
