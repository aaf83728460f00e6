//! `ls`

use std::collections::BTreeMap;

use clap::Args;
use keyshell_client::device::local::{LocalStore, Origin};
use serde_json::json;
use shared::ids::{SecretId, Version};
use wildmatch::WildMatch;

use crate::abbreviations::NUMBER;
use crate::commands::local;
use crate::commands::row::{Here, Row};
use crate::error::Result;
use crate::output::{table, terminal};
use crate::server::OwnAccount;
use crate::shell::Shell;
use crate::time;

/// Columns of a row number up to 9999 and the space after it.
const NUMBER_WIDTH: usize = 6;

/// List secrets.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ls prod/ --long\n  ls --tag live\n  ls --local --long")]
pub struct List {
    /// List only names that contain this text, or match this pattern with * and ?.
    pattern: Option<String>,
    /// List only secrets with this tag.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Show versions, times, tags and notes, and the copies on this device.
    #[arg(long, short)]
    long: bool,
    /// List the secrets in this device's local store; works without the server.
    #[arg(long)]
    local: bool,
}

impl List {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let mut rows: Vec<Row> = if self.local {
            local::rows(&mut shell.account)?
        } else {
            self.stored(&mut shell.account).await?
        };
        rows.retain(|row| self.wants(row));
        let numbered = shell.context.abbreviations.is_some();
        if let Some(known) = &mut shell.context.abbreviations {
            known.list(rows.iter().map(|row| row.name.clone()));
        }
        if shell.context.out.is_json() {
            return shell.context.out.object(&json!({"secrets": rows}));
        }
        if rows.is_empty() {
            shell.context.out.note("no secrets");
            return Ok(());
        }
        let mut lines = if self.long {
            long(rows, self.when(), shell.context.out.is_terminal())
        } else {
            rows.into_iter().map(|row| row.name).collect()
        };
        if numbered && shell.context.out.is_terminal() {
            number(&mut lines, usize::from(self.long));
        }
        shell.context.out.lines(&lines.join("\n"))
    }

    async fn stored(&self, account: &mut OwnAccount) -> Result<Vec<Row>> {
        account.vault().await?;
        // A damaged local store must not prevent the list, and only --long shows the store's copies.
        let store = self
            .long
            .then(|| account.local_store().map(|store| copies(store)));
        let copies = store.and_then(Result::ok).unwrap_or_default();
        let rows = account.secrets().map(|secret| {
            let copy = copies.get(&secret.id);
            Row {
                here: copy.map_or(Here::Nothing, |version| Here::copy(*version, Some(secret))),
                ..Row::from(secret)
            }
        });
        Ok(rows.collect())
    }

    /// Header of the time column: the local store records when a secret was written to it.
    fn when(&self) -> &'static str {
        if self.local { "WRITTEN" } else { "CHANGED" }
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

/// The versions of which this device has a copy.
fn copies(store: &LocalStore) -> BTreeMap<SecretId, Version> {
    let secrets = store.secrets().iter();
    let copies = secrets.filter_map(|secret| match secret.origin {
        Origin::Local => None,
        Origin::Saved(id, version) => Some((id, version)),
    });
    copies.collect()
}

/// A table whose time column is headed `when`; it has no HERE column if no row is on this device.
fn long(rows: Vec<Row>, when: &str, for_person: bool) -> Vec<String> {
    let is_any_here = rows.iter().any(|row| row.here != Here::Nothing);
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
            row.here.text(),
            row.tags.join(","),
            about(&row.fields, row.note),
        ]
    });
    let width = terminal::size().map(|size| size.columns.saturating_sub(NUMBER_WIDTH));
    let text = if is_any_here {
        let header = ["NAME", "VERSION", when, "HERE", "TAGS", "NOTE"];
        table::render(header, rows.collect(), width, &[4, 5])
    } else {
        let rows = rows
            .map(|[name, version, changed, _, tags, note]| [name, version, changed, tags, note]);
        let header = ["NAME", "VERSION", when, "TAGS", "NOTE"];
        table::render(header, rows.collect(), width, &[3, 4])
    };
    text.unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// The fields of an item as they are typed after its name, followed by the note.
fn about(fields: &[String], note: String) -> String {
    let mut words: Vec<String> = fields.iter().map(|field| format!("#{field}")).collect();
    words.extend(Some(note).filter(|note| !note.is_empty()));
    words.join(" ")
}

/// Prefixes each line after the first `skipped` with the number that abbreviates its name.
fn number(lines: &mut [String], skipped: usize) {
    for (position, line) in lines.iter_mut().enumerate() {
        let number = match (position + 1).checked_sub(skipped) {
            None | Some(0) => String::new(),
            Some(number) => format!("{NUMBER}{number}"),
        };
        line.insert_str(0, &format!("{number:<NUMBER_WIDTH$}"));
    }
}
