//! `import`

mod answers;
pub(super) mod mark;
pub mod prepare;
mod reading;
mod settle;
mod undo;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use rand::RngCore as _;
use rand::rngs::OsRng;
use serde_json::json;

use crate::error::Error;
use crate::formats::item::Loss;
use crate::formats::{Choices, FormatError};
use crate::output::plural;
use crate::progress::Progress;
use crate::shell::Shell;
use settle::{Decision, OnConflict, Summaries, Summary};
use write::Writer;

pub use answers::Answers;
pub(super) use reading::Reading;
/// Bring secrets in from files.
///
/// What a file is is known by its content: whole vaults of many programs, keys and other single secrets, each plain or in an
/// age file; anything else is the value itself. `help formats` lists them. The same file again changes nothing, and goes on
/// where an import was broken off.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  import bitwarden.json --dry-run\n  import server.key --name prod/tls\n  import undo   # takes the last import back"
)]
pub struct Import {
    #[command(subcommand)]
    undo: Option<Action>,
    /// The files; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Read them in this format, whatever they look like.
    #[arg(long, value_name = "F")]
    format: Option<String>,
    /// Name of the secret, where the file does not hold one; else the file's name.
    #[arg(long)]
    name: Option<String>,
    /// Put everything into this folder.
    #[arg(long, value_name = "NAME")]
    under: Option<String>,
    /// Only show what would happen.
    #[arg(long)]
    dry_run: bool,
    /// Import nothing if something cannot be carried over.
    #[arg(long)]
    strict: bool,
    /// What to do with names that exist; without it nothing is imported then.
    #[arg(long, value_name = "WHAT")]
    on_conflict: Option<OnConflict>,
    /// Read the passphrase of sealed files from the first line of this file.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Open age files with the private key in this file.
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
}

/// What else there is to do.
#[derive(Debug, Subcommand)]
enum Action {
    /// Take the last import back, as new entries of the log.
    Undo(undo::Undo),
}

impl Import {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        match self.undo {
            Some(Action::Undo(undo)) => undo.run(shell).await,
            None => self.bring(shell).await,
        }
    }

    async fn bring(self, shell: &mut Shell) -> Result<(), Error> {
        // What a person waits for begins here.
        let progress = Progress::new("importing", 0);
        let choices = Choices {
            identities: self.identity.clone(),
            ..Choices::default()
        };
        let answers = Answers::new(shell.prompt, self.passphrase_file.clone(), choices);
        let mut reading = Reading::new(answers, self.under.clone(), "; nothing was imported");
        reading.open(&self.files, self.format.as_deref(), self.name.as_deref())?;
        let (summaries, losses) = survey(&reading)?;
        if self.strict && !losses.is_empty() {
            list(shell, &losses);
            let text = format!(
                "{} cannot be carried over; nothing was imported",
                plural(losses.len(), "thing")
            );
            return Err(Error::Failed(text));
        }
        let prompt = shell.prompt;
        let vault = shell.vault().await?;
        let decisions = settle::settle(vault, prompt, self.on_conflict, &summaries).await?;
        let outcome = Outcome::new(&summaries, &decisions, losses);
        list(shell, &outcome.losses);
        let id = if self.dry_run || outcome.names.is_empty() {
            None
        } else {
            let id = fresh_id();
            let shown = (shell.out, progress);
            let total = outcome.versions as u64;
            let writer = Writer::new(shell.vault().await?, shown, id.clone(), total);
            write_all(reading, writer, summaries, decisions).await?;
            Some(id)
        };
        outcome.report(shell, self.dry_run, id)
    }
}

/// Reads everything once, without keeping it.
fn survey(reading: &Reading) -> Result<(Vec<Summary>, Vec<Loss>), Error> {
    let mut summaries = Summaries::default();
    let mut losses = Vec::new();
    reading.each(&mut |new, lost| {
        for new in &new {
            summaries.add(new);
        }
        losses.extend(lost);
        Ok(())
    })?;
    Ok((summaries.all, losses))
}

/// Reads everything again, in a thread of its own, and writes it as it comes: the files may be longer than memory.
async fn write_all(
    reading: Reading,
    mut writer: Writer<'_>,
    summaries: Vec<Summary>,
    decisions: Vec<Decision>,
) -> Result<(), Error> {
    /// How many secrets wait, each of at most a few MiB.
    const WAITING: usize = 8;
    let (to_writer, mut secrets) = tokio::sync::mpsc::channel(WAITING);
    let reading = Arc::new(reading);
    let reader = std::thread::spawn(move || {
        reading.each(&mut |new, _| {
            for new in new {
                let gone = |_| FormatError::new("writing was broken off");
                to_writer.blocking_send(new).map_err(gone)?;
            }
            Ok(())
        })
    });
    let mut settled = summaries.iter().zip(&decisions);
    let changed = || Error::Failed("the file changed while it was read; import it again".into());
    while let Some(new) = secrets.recv().await {
        let (summary, decision) = settled.next().ok_or_else(changed)?;
        if new.metadata.name != summary.name {
            return Err(changed());
        }
        writer.add(new, summary.digest, decision).await?;
    }
    let ended = reader.join();
    ended.map_err(|_| Error::Failed("reading the file was broken off".into()))??;
    if settled.next().is_some() {
        return Err(changed());
    }
    writer.finish().await
}

fn fresh_id() -> String {
    let mut id = [0; 16];
    OsRng.fill_bytes(&mut id);
    data_encoding::HEXLOWER.encode(&id)
}

fn list(shell: &Shell, losses: &[Loss]) {
    for loss in losses {
        shell.out.say(&format!("not carried over: {loss}"));
    }
}

/// What an import comes to.
struct Outcome {
    names: Vec<String>,
    versions: usize,
    unchanged: usize,
    skipped: usize,
    losses: Vec<Loss>,
}

impl Outcome {
    fn new(summaries: &[Summary], decisions: &[Decision], losses: Vec<Loss>) -> Self {
        let mut outcome = Self {
            names: Vec::new(),
            versions: 0,
            unchanged: 0,
            skipped: 0,
            losses,
        };
        for (summary, decision) in summaries.iter().zip(decisions) {
            let (name, versions) = match decision {
                Decision::New(name) => (name, summary.versions),
                Decision::Onto(secret) => (&secret.metadata.name, summary.versions),
                Decision::Rest(secret, left) => (&secret.metadata.name, *left),
                Decision::Unchanged => {
                    outcome.unchanged += 1;
                    continue;
                }
                Decision::Skipped => {
                    outcome.skipped += 1;
                    continue;
                }
            };
            outcome.names.push(name.to_string());
            outcome.versions += usize::try_from(versions).unwrap_or(usize::MAX);
        }
        outcome
    }

    fn report(self, shell: &Shell, dry_run: bool, id: Option<String>) -> Result<(), Error> {
        let done = if dry_run {
            "would be imported"
        } else {
            "imported"
        };
        let (count, versions) = (self.names.len(), self.versions);
        let (unchanged, skipped) = (self.unchanged, self.skipped);
        shell.out.note(&format!(
            "{} in {} {done}, {unchanged} here already, {skipped} skipped",
            plural(count, "secret"),
            plural(versions, "version")
        ));
        if !dry_run {
            shell.out.note(
                "the file still holds what was imported: destroy it if nobody else should read it",
            );
        }
        let object = json!({
            "imported": self.names, "versions": versions, "unchanged": unchanged, "skipped": skipped,
            "lost": self.losses, "dry_run": dry_run, "import": id,
        });
        let listed = if dry_run {
            self.names.join("\n")
        } else {
            String::new()
        };
        shell.out.either(&object, &listed)?;
        match self.losses.len() {
            0 => Ok(()),
            lost => Err(Error::Partial(format!(
                "{} could not be carried over, as listed above",
                plural(lost, "thing")
            ))),
        }
    }
}
