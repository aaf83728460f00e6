//! `audit`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use shared::audit_record::{Outcome, Record};
use shared::ids::SecretId;

use crate::commands::value;
use crate::error::Error;
use crate::files;
use crate::output::table;
use crate::shell::Shell;
use crate::time;
use crate::vault::audit::{Checked, Mark};
use crate::vault::evidence::Evidence;
use crate::vault::index::Index;
use crate::vault::pins::Pins;

const MAX_FILE: u64 = 256 * 1024 * 1024;

/// Show and verify what the server did.
///
/// Every record is proven against the server's signed checkpoint, which must extend the one that this device has seen.
/// Records that claim to come from the owner but carry no valid mark are FORGED, and end with status 7.
#[derive(Debug, Args)]
pub struct Audit {
    /// Only records about this secret.
    name: Option<String>,
    /// Only from this time on: 2026-11-24, "2026-11-24 12:00", or 2h for the last two hours.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only up to this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only this kind of operation; can be given more than once.
    #[arg(long, value_name = "OP")]
    op: Vec<String>,
    /// Verify such a file offline, instead of asking the server.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "out"])]
    verify: Option<PathBuf>,
    /// Write the records with their proofs to this new file, which verifies offline.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What is asked for.
struct Filter {
    secret: Option<SecretId>,
    since_ms: u64,
    until_ms: u64,
    operations: Vec<String>,
}

impl Filter {
    fn wants(&self, record: &Record) -> bool {
        self.secret.is_none_or(|id| record.secret == Some(id))
            && (self.since_ms..=self.until_ms).contains(&record.time_ms)
            && (self.operations.is_empty()
                || self
                    .operations
                    .iter()
                    .any(|op| op == record.operation.name()))
    }
}

impl Audit {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        if let Some(path) = &self.verify {
            return self.verify_file(shell, path);
        }
        let mut filter = self.filter()?;
        let name = self.name.as_deref().map(value::name).transpose()?;
        let out = shell.out;
        let vault = shell.vault().await?;
        if let Some(name) = &name {
            filter.secret = Some(
                vault
                    .index()
                    .any_named(name)
                    .ok_or_else(|| Error::NoSuchSecret(name.to_string()))?,
            );
        }
        let log = vault.audit_log().await?;
        let chosen: Vec<&Checked> = log
            .records
            .iter()
            .filter(|checked| filter.wants(&checked.record))
            .collect();
        if let Some(path) = &self.out {
            let evidence = Evidence::new(&log, vault.pins(), &chosen)?;
            let json = serde_json::to_vec_pretty(&evidence)
                .map_err(|error| Error::Failed(error.to_string()))?;
            value::write_out(path, &json)?;
            out.note(&format!(
                "{} records written to {}",
                chosen.len(),
                path.display()
            ));
        }
        let forged = log
            .records
            .iter()
            .filter(|checked| checked.mark == Mark::Forged)
            .count();
        let unconfirmed = log
            .records
            .iter()
            .filter(|checked| checked.mark == Mark::Unconfirmed)
            .count();
        let summary = Summary {
            size: log.head.size,
            forged,
            unconfirmed,
        };
        let rows: Vec<Row> = chosen
            .iter()
            .map(|checked| Row::new(&checked.record, Some(checked.mark), Some(vault.index())))
            .collect();
        show(shell, &rows, &summary)?;
        if forged > 0 {
            return Err(Error::unproven(format!(
                "{forged} audit records claim to come from your devices, and carry no valid mark of theirs"
            )));
        }
        Ok(())
    }

    fn filter(&self) -> Result<Filter, Error> {
        let time =
            |text: &Option<String>, default| text.as_deref().map_or(Ok(default), time::parse);
        Ok(Filter {
            secret: None,
            since_ms: time(&self.since, 0)?,
            until_ms: time(&self.until, u64::MAX)?,
            operations: self.op.clone(),
        })
    }

    fn verify_file(&self, shell: &mut Shell, path: &Path) -> Result<(), Error> {
        let doing = format!("reading {}", path.display());
        let content =
            files::read_existing(path, MAX_FILE).map_err(|error| Error::io(&doing, &error))?;
        let evidence = Evidence::parse(content.expose())?;
        let pins = known_pins(shell)?;
        let is_pinned = pins.as_ref().is_some_and(|pins| {
            pins.account == evidence.account
                && pins.server.server == evidence.server
                && pins.server.checkpoint_key == evidence.checkpoint_key
        });
        let (head, records) = evidence.verify()?;
        if !is_pinned {
            shell.out.say(&format!(
                "this profile does not know the file's account; what is proven below holds for the server whose \
                 checkpoint key is {}",
                evidence.checkpoint_key
            ));
        }
        let filter = self.filter()?;
        let rows: Vec<Row> = records
            .iter()
            .filter(|record| filter.wants(record))
            .map(|record| Row::new(record, None, None))
            .collect();
        let summary = Summary {
            size: head.size,
            forged: 0,
            unconfirmed: 0,
        };
        show(shell, &rows, &summary)
    }
}

fn known_pins(shell: &mut Shell) -> Result<Option<Pins>, Error> {
    if shell.known_account().is_none() {
        return Ok(None);
    }
    let account = shell.account()?;
    shell.pins_file(&account).load()
}

struct Summary {
    size: u64,
    forged: usize,
    unconfirmed: usize,
}

struct Row {
    object: Value,
    cells: [String; 7],
}

impl Row {
    fn new(record: &Record, mark: Option<Mark>, index: Option<&Index>) -> Self {
        let secret = record.secret.map(|id| {
            let name = index.and_then(|index| index.name_of(&id));
            name.map_or_else(|| id.to_string(), ToString::to_string)
        });
        let outcome = outcome(record.outcome);
        let device = record.device.map(|device| device.to_string());
        let count = if record.count == 1 {
            String::new()
        } else {
            format!(" x{}", record.count)
        };
        Self {
            object: json!({
                "index": record.index,
                "time_ms": record.time_ms,
                "operation": record.operation.name(),
                "secret": secret,
                "secret_id": record.secret,
                "outcome": outcome,
                "count": record.count,
                "session": record.session,
                "device": record.device,
                "remote": record.remote,
                "mark": mark.map(Mark::name),
            }),
            cells: [
                record.index.to_string(),
                time::local(record.time_ms),
                format!("{}{count}", record.operation.name()),
                secret.unwrap_or_default(),
                outcome.to_owned(),
                format!(
                    "{} {}",
                    record.remote,
                    device.map_or_else(String::new, |id| id.chars().take(8).collect())
                ),
                mark.map_or("not checked", Mark::name).to_owned(),
            ],
        }
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::NotFound => "not found",
        Outcome::Conflict => "conflict",
        Outcome::Refused => "refused",
    }
}

fn show(shell: &Shell, rows: &[Row], summary: &Summary) -> Result<(), Error> {
    let Summary {
        size,
        forged,
        unconfirmed,
    } = summary;
    if shell.out.is_json() {
        let records: Vec<&Value> = rows.iter().map(|row| &row.object).collect();
        return shell.out.object(&json!({
            "verified": *forged == 0,
            "size": size,
            "forged": forged,
            "unconfirmed_logins": unconfirmed,
            "records": records,
        }));
    }
    let cells = rows.iter().map(|row| row.cells.clone()).collect();
    let header = [
        "#",
        "TIME",
        "OPERATION",
        "SECRET",
        "OUTCOME",
        "FROM",
        "MARK",
    ];
    if let Some(text) = table::render(header, cells) {
        shell.out.line(&text)?;
    }
    let state = if *forged == 0 {
        "verified"
    } else {
        "NOT VERIFIED"
    };
    let logins = match unconfirmed {
        0 => String::new(),
        1 => "; 1 login then did nothing: was it yours?".to_owned(),
        many => format!("; {many} logins then did nothing: were they yours?"),
    };
    shell.out.line(&format!(
        "{state}: {} of {size} records shown, {forged} forged{logins}",
        rows.len()
    ))
}
