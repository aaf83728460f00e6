//! `audit`

use std::path::{Path, PathBuf};

use clap::Args;
use keyshell_base::files;
use keyshell_client::device::pins::Pins;
use keyshell_client::index::{Index, device_name};
use keyshell_client::vault::audit::{AuditLog, AuditQuery, VerifiedRecord};
use keyshell_client::vault::audit_verifier::Attribution;
use keyshell_client::vault::evidence::Evidence;
use keyshell_client::verification::VerificationError;
use serde_json::{Value, json};
use shared::audit_record::{AuditedOperation, Outcome, Record};
use shared::ids::SecretId;
use shared::merkle::Frontier;

use crate::commands::status::fingerprint;
use crate::commands::{naming, value};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::shell::Shell;
use crate::time;

const MAX_FILE: u64 = 256 * 1024 * 1024;

/// Verify and show the audit log, the server's record of operations.
///
/// Every record is verified against the server's signed checkpoint, which must extend the last one that this device has
/// verified. A record that claims to come from the owner but has no valid mark is shown as FORGED, and the exit status
/// is 7.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  audit prod/db --since 7days\n  audit --op put --op get --out audit.json"
)]
pub struct Audit {
    /// Show only records about this secret.
    name: Option<String>,
    /// Show only records from this time on: 2026-11-24, "2026-11-24 12:00", or 2h for the last two hours.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Show only records up to this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Show only this kind of operation; can be given more than once.
    #[arg(long, value_name = "OP", value_parser = operation)]
    op: Vec<AuditedOperation>,
    /// Also show the fingerprint of the log's first RECORDS records, to compare it with `status` on another device.
    #[arg(long, value_name = "RECORDS", conflicts_with = "verify")]
    at: Option<usize>,
    /// Verify a file that `audit --out` wrote, without the server.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "out"])]
    verify: Option<PathBuf>,
    /// Also write the records with their proofs to this new file; `audit --verify FILE` verifies it offline.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The records to show.
struct Filter {
    secret: Option<SecretId>,
    since_ms: u64,
    until_ms: u64,
    operations: Vec<AuditedOperation>,
}

fn operation(name: &str) -> Result<AuditedOperation, String> {
    AuditedOperation::named(name).ok_or_else(|| {
        let names = AuditedOperation::ALL.map(AuditedOperation::name);
        format!("the operations are {}", names.join(", "))
    })
}

impl Filter {
    fn wants(&self, record: &Record) -> bool {
        self.secret.is_none_or(|id| record.secret == Some(id))
            && (self.since_ms..=self.until_ms).contains(&record.time_ms)
            && (self.operations.is_empty() || self.operations.contains(&record.operation))
    }
}

impl Audit {
    pub(super) fn is_offline(&self) -> bool {
        self.verify.is_some()
    }

    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        if let Some(path) = &self.verify {
            return self.verify_file(shell, path);
        }
        let mut filter = self.filter()?;
        let name = match &self.name {
            Some(name) => Some(naming::existing(shell, name).await?),
            None => None,
        };
        let out = shell.context.out;
        let vault = shell.account.vault().await?;
        if let Some(name) = &name {
            filter.secret = Some(
                vault
                    .index()
                    .any_named(name)
                    .ok_or_else(|| Error::no_such_secret(name))?,
            );
        }
        let wanted = AuditQuery {
            records: &|record| filter.wants(record),
            leaves: self.out.is_some() || self.at.is_some(),
        };
        let log = vault.audit_log(wanted).await?;
        let at = self.at.map(|size| fingerprint_at(&log, size)).transpose()?;
        if let Some(path) = &self.out {
            let evidence = Evidence::new(&log, vault.pins())?;
            let json = serde_json::to_vec_pretty(&evidence).map_err(Error::failed)?;
            value::write_out(path, &json)?;
            out.note(&format!(
                "{} records written to {}",
                log.records.len(),
                path.display()
            ));
        }
        let summary = Summary {
            size: log.head.size,
            forged: log.forged,
            unconfirmed: log.unconfirmed,
            gaps: log.gaps,
            pinned: true,
            at,
        };
        let rows: Vec<Row> = log
            .records
            .iter()
            .map(|checked| Row::new(&checked.record, Some(checked), Some(vault.index())))
            .collect();
        show(&shell.context, &rows, &summary)?;
        if log.forged > 0 {
            return Err(VerificationError::ForgedRecords(log.forged).into());
        }
        Ok(())
    }

    fn filter(&self) -> Result<Filter> {
        let time =
            |text: &Option<String>, default| text.as_deref().map_or(Ok(default), time::parse);
        Ok(Filter {
            secret: None,
            since_ms: time(&self.since, 0)?,
            until_ms: time(&self.until, u64::MAX)?,
            operations: self.op.clone(),
        })
    }

    fn verify_file(&self, shell: &mut Shell, path: &Path) -> Result<()> {
        let content = files::read_text(path, MAX_FILE).map_err(Error::reading(path))?;
        let evidence = Evidence::parse(content.expose())?;
        let (head, records) = evidence.verify()?;
        let pins = known_pins(shell)?;
        let pinned = match &pins {
            Some(pins) => evidence.is_known(pins, head)?,
            None => false,
        };
        let is_newest = pins.and_then(|pins| pins.audit) == Some(head);
        if pinned && !is_newest {
            shell.context.out.say(
                "the checkpoint does not have the size that this device has verified last; `audit --at RECORDS` shows whether both \
                belong to one log",
            );
        }
        if !pinned {
            shell.context.out.say(&format!(
                "this profile does not know the account and server of the file; the records are verified only against the \
                checkpoint key {}",
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
            pinned,
            ..Summary::default()
        };
        show(&shell.context, &rows, &summary)
    }
}

fn known_pins(shell: &mut Shell) -> Result<Option<Pins>> {
    match shell.known_account()? {
        Some(account) => Ok(shell.account.device.pins_file(&account).load()?),
        None => Ok(None),
    }
}

#[derive(Default)]
struct Summary {
    size: u64,
    forged: usize,
    unconfirmed: usize,
    gaps: u64,
    /// Whether the checkpoint is signed by the key that this device has pinned.
    pinned: bool,
    /// A number of records, and the fingerprint of the log at that size.
    at: Option<(usize, String)>,
}

/// The fingerprint of the first `size` records, as `status` shows it.
fn fingerprint_at(log: &AuditLog, size: usize) -> Result<(usize, String)> {
    let leaves = log.leaves.get(..size).ok_or_else(|| {
        Error::usage(format!(
            "the log has only {} records; give a smaller --at",
            log.head.size
        ))
    })?;
    let mut tree = Frontier::new();
    for leaf in leaves {
        tree.push(*leaf);
    }
    Ok((size, fingerprint(&tree.root())))
}

impl Summary {
    fn line(&self, shown: usize) -> String {
        let state = match (self.forged, self.pinned) {
            (0, true) => "verified",
            (0, false) => "verified under an unknown key",
            _ => "NOT VERIFIED",
        };
        let logins = match self.unconfirmed {
            0 => String::new(),
            1 => "; 1 login without a following request: was it yours?".to_owned(),
            many => format!("; {many} logins without a following request: were they yours?"),
        };
        let gaps = match self.gaps {
            0 => String::new(),
            gaps => {
                format!("; {gaps} of your requests have no record: was the server's disk full?")
            }
        };
        let (size, forged) = (self.size, self.forged);
        format!("{state}: {shown} of {size} records shown, {forged} forged{logins}{gaps}")
    }
}

struct Row {
    object: Value,
    cells: [String; 7],
}

impl Row {
    fn new(record: &Record, checked: Option<&VerifiedRecord>, index: Option<&Index>) -> Self {
        let mark = checked.map(|checked| checked.attribution);
        let note = note(checked, index);
        let secret = record.secret.map(|id| {
            let name = index.and_then(|index| index.name_of(&id));
            name.map_or_else(|| id.to_string(), ToString::to_string)
        });
        let outcome = outcome(record.outcome);
        let device = record.device.map(|device| match index {
            Some(index) => index.credentials().device_name(&device),
            None => device_name::short_id(&device),
        });
        let from = match &device {
            Some(device) => format!("{} {device}", record.remote),
            None => record.remote.clone(),
        };
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
                "note": note,
                "outcome": outcome,
                "count": record.count,
                "session": record.session,
                "device": record.device,
                "device_name": device,
                "remote": record.remote,
                "mark": mark.map(Attribution::name),
            }),
            cells: [
                record.index.to_string(),
                time::local(record.time_ms),
                format!("{}{count}", record.operation.name()),
                secret
                    .or(note.map(|note| format!("\"{note}\"")))
                    .unwrap_or_default(),
                outcome.to_owned(),
                from,
                mark.map_or("not checked", Attribution::name).to_owned(),
            ],
        }
    }
}

/// The owner's note in a log entry without a secret, such as the reason of an `unlock`.
fn note(checked: Option<&VerifiedRecord>, index: Option<&Index>) -> Option<String> {
    let entry = checked?.record.entry.as_ref()?;
    Some(index?.note(entry)?.to_owned())
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::NotFound => "not found",
        Outcome::Conflict => "conflict",
        Outcome::Refused => "refused",
    }
}

/// Columns that are shortened first on a narrow terminal.
const SECRET_AND_FROM: [usize; 2] = [3, 5];

fn show(context: &Context, rows: &[Row], summary: &Summary) -> Result<()> {
    if context.out.is_json() {
        let records: Vec<&Value> = rows.iter().map(|row| &row.object).collect();
        return context.out.object(&json!({
            "verified": summary.forged == 0,
            "pinned": summary.pinned,
            "size": summary.size,
            "forged": summary.forged,
            "unconfirmed_logins": summary.unconfirmed,
            "requests_without_record": summary.gaps,
            "at": summary.at.as_ref().map(|(size, fingerprint)| json!({"records": size, "fingerprint": fingerprint})),
            "records": records,
        }));
    }
    let cells = rows.iter().map(|row| row.cells.clone());
    let header = [
        "#",
        "TIME",
        "OPERATION",
        "SECRET",
        "OUTCOME",
        "FROM",
        "MARK",
    ];
    context.out.table(header, cells, &SECRET_AND_FROM)?;
    if let Some((size, fingerprint)) = &summary.at {
        context
            .out
            .line(&format!("audit log  {size} records, {fingerprint}"))?;
    }
    context.out.line(&summary.line(rows.len()))
}
