//! `import`

mod bonds;
mod conflicts;
mod decision;
pub(super) mod link;
pub(super) mod numbers;
pub mod prepare;
pub(super) mod provenance;
mod reading;
mod undo;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use conflicts::OnConflict;
use decision::{Decision, Digests, Summary};
use keyshell_base::names::SecretName;
use keyshell_base::text::plural;
use keyshell_formats::item::Loss;
use keyshell_formats::{Choices, FormatError, csv};
use provenance::Mark;
pub(super) use reading::Reading;
use serde::Serialize;
use serde_json::json;
use shared::ids::Digest;
use write::{Begun, Writer};

use crate::commands::answers::Answers;
use crate::commands::losses;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::shell::Shell;
/// Import secrets from files.
///
/// The format is detected from the content: vaults of many programs, keys and other single secrets, each plain or in an
/// age file; any other content is imported as a value. `help formats` lists the formats. Importing the same file again
/// changes nothing, and continues an interrupted import.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  import bitwarden.json --dry-run\n  import server.key --name prod/tls\n  import table.csv --map name=Title,username=User,password=Secret\n  import undo   # reverts the last import"
)]
pub struct Import {
    #[command(subcommand)]
    undo: Option<Action>,
    /// The files to import; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Read the files in this format instead of detecting it.
    #[arg(long, value_name = "F")]
    format: Option<String>,
    /// Name of the secret, if the file contains none; the default is the file name.
    #[arg(long)]
    name: Option<String>,
    /// Import all secrets into this folder.
    #[arg(long, value_name = "NAME")]
    under: Option<String>,
    /// Columns of a table that has no format of its own: name, username, password, url, totp, note, and others.
    #[arg(long, value_name = "USE=COLUMN,..", value_delimiter = ',', value_parser = pair)]
    map: Vec<(String, String)>,
    /// Decode the HTML entities that LastPass's web page writes into its table.
    #[arg(long)]
    decode_entities: bool,
    /// Only list the secrets that would be imported.
    #[arg(long)]
    dry_run: bool,
    /// Import nothing if keyshell cannot represent all data of the files.
    #[arg(long)]
    strict: bool,
    /// How to import a secret whose name exists; without the option, nothing is imported if any name exists.
    #[arg(long, value_name = "ACTION")]
    on_conflict: Option<OnConflict>,
    /// Read the passphrase of encrypted files from the first line of this file.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Decrypt age files with the private key in this file.
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    /// Open a KeePass database with this key file, and with its passphrase if it has one.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// The subcommands of `import`.
#[derive(Debug, Subcommand)]
enum Action {
    /// Revert the last import with new log entries.
    Undo(undo::Undo),
}

impl Import {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        match self.undo {
            Some(Action::Undo(undo)) => undo.run(shell).await,
            None => Box::pin(self.bring(shell)).await,
        }
    }

    async fn bring(self, shell: &mut Shell) -> Result<()> {
        // The wait that the progress bar covers begins here.
        let progress = Progress::new("importing", 0);
        let choices = Choices {
            identities: self.identity.clone(),
            key_file: self.key_file.clone(),
            map: self.map.clone(),
            decode_entities: self.decode_entities,
            ..Choices::default()
        };
        let answers = Answers::new(shell.context.prompt, self.passphrase_file.clone(), choices);
        let under = self.under.as_deref().map(prepare::folder).transpose();
        let under = under.map_err(|error| Error::usage(format!("--under: {error}")))?;
        let mut reading = Reading::new(answers, under, "; nothing was imported");
        // Only a table has columns.
        let table = (!self.map.is_empty()).then_some(csv::MAPPED.name);
        let format = self.format.as_deref().or(table);
        reading.open(&self.files, format, self.name.as_deref())?;
        let (mut summaries, digest, losses) = survey(&reading)?;
        let out = shell.context.out;
        for (file, format) in reading.formats() {
            out.note(&format!("{file}: read as {format}"));
        }
        self.check(&shell.context, &losses)?;
        let prompt = shell.context.prompt;
        let vault = shell.account.vault().await?;
        let decisions = conflicts::decide(vault, prompt, self.on_conflict, &summaries).await?;
        let begun = Begun::or_fresh(vault.index(), digest);
        bonds::assign(vault.index(), &mut summaries, &decisions, &begun.id);
        conflicts::check_room(&summaries, &decisions)?;
        let mut outcome = Outcome::new(&summaries, &decisions);
        self.check(&shell.context, &outcome.losses)?;
        outcome.losses.splice(..0, losses);
        for Renamed { from, to } in &outcome.renamed {
            out.say(&format!("{from}: imported as `{to}`"));
        }
        let id = if self.dry_run || outcome.names.is_empty() {
            None
        } else {
            let total = outcome.versions as u64;
            let shown = (out, progress);
            let id = begun.id.clone();
            let writer = Writer::new(shell.account.vault().await?, shown, begun, total);
            write_all(reading, writer, summaries, decisions).await?;
            Some(id)
        };
        outcome.report(&shell.context, self.dry_run, id)
    }

    fn check(&self, context: &Context, losses: &[Loss]) -> Result<()> {
        losses::check(context.out, losses, self.strict, "nothing was imported")
    }
}

/// A use and a column of `--map`.
fn pair(typed: &str) -> std::result::Result<(String, String), String> {
    let pair = typed
        .split_once('=')
        .filter(|(_, column)| !column.is_empty());
    let pair = pair.map(|(to, from)| (to.trim().to_owned(), from.to_owned()));
    pair.ok_or_else(|| format!("`{typed}` is no USE=COLUMN, such as name=Title"))
}

/// First pass: reads all secrets and keeps only their summaries; also returns the SHA-256 over the digests of all
/// secrets, and the losses.
fn survey(reading: &Reading) -> Result<(Vec<Summary>, Digest, Vec<Loss>)> {
    let mut digests = Digests::default();
    let (mut summaries, mut losses) = (Vec::new(), Vec::new());
    reading.each(&mut |new, lost| {
        losses.extend(lost);
        for new in &new {
            summaries.push(Summary::new(new, digests.next(new)));
        }
        Ok(())
    })?;
    Ok((summaries, digests.all(), losses))
}

/// Second pass: a thread reads the secrets while this task writes them, because the files may be larger than memory.
async fn write_all(
    reading: Reading,
    mut writer: Writer<'_>,
    summaries: Vec<Summary>,
    decisions: Vec<Decision>,
) -> Result<()> {
    /// Secrets in the queue between reader and writer, each at most a few MiB.
    const WAITING: usize = 8;
    let (to_writer, mut secrets) = tokio::sync::mpsc::channel(WAITING);
    let reading = Arc::new(reading);
    let reader = std::thread::spawn(move || {
        reading.each(&mut |new, _| {
            for new in new {
                let gone = |_| FormatError::library("writing the secrets was interrupted");
                to_writer.blocking_send(new).map_err(gone)?;
            }
            Ok(())
        })
    });
    let mut decided = summaries.iter().zip(&decisions);
    let mut digests = Digests::default();
    let changed = || Error::failed("the file changed during the import; import it again");
    while let Some(new) = secrets.recv().await {
        let (summary, decision) = decided.next().ok_or_else(changed)?;
        // The decision holds only for the content of the first pass.
        if digests.next(&new) != summary.digest {
            return Err(changed());
        }
        writer.add(new, summary, decision).await?;
    }
    let ended = reader.join();
    ended.map_err(|_| Error::failed("reading the file failed; import it again to continue"))??;
    if decided.next().is_some() {
        return Err(changed());
    }
    writer.finish().await
}

/// A secret whose name in the vault differs from its name in the file.
#[derive(Debug, Serialize)]
struct Renamed {
    from: String,
    to: String,
}

/// The summary of an import.
#[derive(Default)]
struct Outcome {
    names: Vec<String>,
    versions: usize,
    unchanged: usize,
    skipped: usize,
    renamed: Vec<Renamed>,
    losses: Vec<Loss>,
}

impl Outcome {
    fn new(summaries: &[Summary], decisions: &[Decision]) -> Self {
        let mut outcome = Self::default();
        for (summary, decision) in summaries.iter().zip(decisions) {
            let (name, versions) = match decision {
                Decision::New(name) => {
                    if *name != summary.name {
                        outcome.renamed.push(Renamed {
                            from: summary.name.to_string(),
                            to: name.to_string(),
                        });
                    }
                    (name, summary.versions)
                }
                Decision::Onto(secret) => {
                    let name = &secret.metadata.name;
                    let former = Mark::former(&secret.metadata, summary.room);
                    if former.is_none() && provenance::fits(summary.room) {
                        outcome.lose(name, conflicts::NO_FORMER);
                    }
                    (name, summary.versions)
                }
                Decision::Rest(secret, left) => (&secret.metadata.name, *left),
                Decision::Unchanged(_) => {
                    outcome.unchanged += 1;
                    continue;
                }
                Decision::Skipped => {
                    outcome.skipped += 1;
                    continue;
                }
            };
            if !provenance::fits(summary.room) {
                outcome.lose(name, conflicts::NO_ROOM);
            }
            outcome.names.push(name.to_string());
            outcome.versions += usize::try_from(versions).unwrap_or(usize::MAX);
        }
        outcome
    }

    fn lose(&mut self, name: &SecretName, what: &str) {
        self.losses.push(Loss::new(name.to_string(), what));
    }

    fn report(self, context: &Context, dry_run: bool, id: Option<String>) -> Result<()> {
        let done = if dry_run {
            "would be imported"
        } else {
            "imported"
        };
        let (count, versions) = (self.names.len(), self.versions);
        let (unchanged, skipped) = (self.unchanged, self.skipped);
        context.out.note(&format!(
            "{} in {} {done}, {unchanged} unchanged, {skipped} skipped",
            plural(count, "secret"),
            plural(versions, "version")
        ));
        if !dry_run && count > 0 {
            context.out.note(
                "the file still contains the imported secrets: destroy it if others must not read them",
            );
        }
        let object = json!({
            "imported": self.names, "versions": versions, "unchanged": unchanged, "skipped": skipped,
            "renamed": self.renamed, "lost": self.losses, "dry_run": dry_run, "import": id,
        });
        let listed = self.names.join("\n");
        context
            .out
            .either(&object, if dry_run { &listed } else { "" })?;
        losses::partial(self.losses.len(), "carried over")
    }
}
