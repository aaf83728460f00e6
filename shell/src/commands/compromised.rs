//! `compromised`

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use keyshell_base::text::plural;
use keyshell_client::keys::password::Password;
use keyshell_client::keys::recovery::RecoveryCode;
use keyshell_client::vault::Vault;
use keyshell_client::vault::audit::{AuditLog, AuditQuery};
use keyshell_client::vault::audit_verifier::Attribution;
use keyshell_client::verification::VerificationError;
use serde_json::json;
use shared::audit_record::{AuditedOperation, Outcome, Record};
use shared::ids::SecretId;
use shared::names::AccountName;
use shared::opaque::Slot;

use crate::commands::new_password::NewPassword;
use crate::commands::passwd::uncertain;
use crate::commands::sheet::{Sheet, SheetOptions};
use crate::error::{Error, Result};
use crate::process::explain_interrupt;
use crate::shell::Shell;
use crate::time;

/// The message of an interrupt after the credentials were replaced.
const UNFINISHED: &str = "interrupted; the new password and the new recovery code are valid, the old ones and the devices are not, and \
                          not all data are re-encrypted: `compromised` with the new password continues";

/// Shut out somebody who may know the password or have a device.
///
/// Replaces the password and the recovery code, revokes the credentials of all devices, begins a new account key, and
/// re-encrypts all data under it: what others know then opens nothing any more, not even together with a copy of the
/// server. Then it lists the secrets that were read, which may be known to others: change them where they are used. If the
/// command is interrupted, run it again to continue. If the password is not valid any more, use `recover` first.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  compromised\n  compromised --since 2026-11-24 --recovery-file sheet.svg"
)]
pub struct Compromised {
    /// List the secrets that were read from this time on: 2026-11-24, "2026-11-24 12:00", or 7days.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    new: NewPassword,
    #[command(flatten)]
    sheet: SheetOptions,
}

impl Compromised {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let account = shell.account.name()?;
        let since_ms = self.since.as_deref().map_or(Ok(0), time::parse)?;
        let pins = shell.account.device.pins_file(&account).load()?;
        if !pins.is_some_and(|pins| pins.is_replacing_account_key()) {
            self.sheet.announce(&shell.context);
        }
        let password = shell.account.log_in_again().await?;
        let vault = shell.account.vault().await?;
        let password = if are_replaced(vault) {
            let text = "continuing the re-encryption that was interrupted; the credentials were replaced before (if you have \
                        not seen the new recovery code: `recovery renew`)";
            shell.context.out.note(text);
            password
        } else {
            self.replace_credentials(shell, &account, &password).await?
        };
        explain_interrupt(Some(UNFINISHED.into()));
        let unreadable = shell.account.replace_account_key(&password).await?;
        explain_interrupt(Some(
            "interrupted; all credentials are replaced and all data are re-encrypted; the secrets that were read are not listed: \
             `audit` lists who read what"
                .into(),
        ));
        shell
            .context
            .out
            .note("all data are re-encrypted under the new account key");
        report(shell, since_ms, unreadable).await
    }

    /// Replaces password and recovery code, and revokes all devices; returns the new password.
    async fn replace_credentials(
        &self,
        shell: &mut Shell,
        account: &AccountName,
        old: &Password,
    ) -> Result<Password> {
        let vault = shell.account.vault().await?;
        let own = vault.session().device();
        let credentials = vault.index().credentials();
        let names = credentials
            .in_use()
            .into_iter()
            .filter_map(|slot| match slot {
                Slot::Device(id) if id == own => {
                    Some(format!("{}, this device", credentials.device_name(&id)))
                }
                Slot::Device(id) => Some(credentials.device_name(&id)),
                Slot::Password | Slot::Recovery => None,
            });
        let names: Vec<String> = names.collect();
        let question = if names.is_empty() {
            "Replace password, recovery code and account key, and end all other sessions?"
                .to_owned()
        } else {
            format!(
                "Replace password, recovery code and account key, revoke {} ({}), and end all other sessions?",
                plural(names.len(), "device"),
                names.join("; ")
            )
        };
        if !self.yes && !shell.context.prompt.confirm(&question, "give --yes")? {
            return Err(Error::declined());
        }
        let new = self.new.get(shell, account, Some(old))?;
        let connected = shell.account.connect().await?;
        let code = RecoveryCode::random();
        let anchor = shell.account.device.anchor(account)?;
        let mut sheet = Sheet::new(shell, &connected, account, &code, anchor)?;
        let kept = sheet.keep(&self.sheet)?;
        // The session may have expired while the new password was typed.
        shell.account.freshly_authenticated_vault().await?;
        explain_interrupt(Some(format!(
            "interrupted; it is unknown whether password and recovery code are replaced ({}): run `compromised` again with the \
             new password, or with the old one if the new one is refused",
            kept.whereabouts()
        )));
        let replaced = shell.account.replace_credentials(&new, code.as_secret());
        if let Err(error) = replaced.await {
            return Err(kept.report_after(&shell.context, &sheet, uncertain(error.into())));
        }
        shell
            .context
            .out
            .note("the new password and the new recovery code are valid, the old ones and the devices are not");
        let next = match &self.sheet.recovery_file {
            Some(_) => "",
            None => "; if you have not written the new recovery code down: `recovery renew`",
        };
        explain_interrupt(Some(format!("{UNFINISHED}{next}")));
        kept.report(shell, &mut sheet)?;
        Ok(new)
    }
}

/// Whether this command was interrupted after it had replaced all credentials, as the vault log says.
fn are_replaced(vault: &Vault) -> bool {
    let (epoch, credentials) = (vault.index().epoch(), vault.index().credentials());
    let mut in_use = credentials.iter().filter(|(_, state)| state.keys.is_some());
    vault.is_replacing_account_key() && in_use.all(|(_, state)| state.epoch == epoch)
}

/// The reads of one secret.
#[derive(Default)]
struct Reads {
    count: u64,
    first_ms: u64,
    last_ms: u64,
    devices: BTreeSet<String>,
}

/// The reads of each secret, by the owner's records. Those of sessions in which this device re-encrypted are left out:
/// that reads everything. Another device could hide its reads in that way.
fn reads(log: &AuditLog, vault: &Vault) -> BTreeMap<SecretId, Reads> {
    let own_records = || {
        let records = log
            .records
            .iter()
            .map(|checked| (checked.attribution, &checked.record));
        records.filter_map(|(by, record)| (by == Attribution::Own).then_some(record))
    };
    let here = Some(vault.session().device());
    let reseals = own_records()
        .filter(|record| record.operation == AuditedOperation::Reseal && record.device == here);
    let reencrypting: BTreeSet<_> = reseals.filter_map(|record| record.session).collect();
    let is_read = |record: &&Record| {
        let session = record.session.as_ref();
        record.operation == AuditedOperation::Get
            && !session.is_some_and(|session| reencrypting.contains(session))
    };
    let mut reads: BTreeMap<SecretId, Reads> = BTreeMap::new();
    for record in own_records().filter(is_read) {
        let Some(secret) = record.secret else {
            continue;
        };
        let read = reads.entry(secret).or_insert_with(|| Reads {
            first_ms: record.time_ms,
            ..Reads::default()
        });
        read.count += 1;
        read.last_ms = record.time_ms;
        let credentials = vault.index().credentials();
        let device = record.device.map(|id| credentials.device_name(&id));
        read.devices.extend(device);
    }
    reads
}

/// Lists the secrets that were read, as the audit log says.
async fn report(shell: &mut Shell, since_ms: u64, unreadable: u64) -> Result<()> {
    let out = shell.context.out;
    let account = shell.account.name()?;
    let vault = shell.account.vault().await?;
    let is_read = |record: &Record| {
        let is_asked = matches!(
            record.operation,
            AuditedOperation::Get | AuditedOperation::Reseal
        );
        is_asked && record.outcome == Outcome::Done && record.time_ms >= since_ms
    };
    let wanted = AuditQuery {
        records: &is_read,
        leaves: false,
    };
    let log = vault.audit_log(wanted).await?;
    let reads = reads(&log, vault);
    let name = |id: &SecretId| {
        let name = vault.index().name_of(id).map(ToString::to_string);
        name.unwrap_or_else(|| id.to_string())
    };
    let mut reads: Vec<_> = reads.iter().map(|(id, read)| (name(id), read)).collect();
    reads.sort_by_key(|(_, read)| Reverse(read.last_ms));
    let verified = match log.forged {
        0 => Ok(()),
        forged => Err(VerificationError::ForgedRecords(forged).into()),
    };
    if out.is_json() {
        let secrets = reads.iter().map(|(name, read)| {
            json!({
                "name": name, "reads": read.count, "first_ms": read.first_ms, "last_ms": read.last_ms,
                "devices": read.devices,
            })
        });
        out.object(&json!({
            "account": account.as_str(), "read": secrets.collect::<Vec<_>>(), "forged": log.forged,
            "unconfirmed_logins": log.unconfirmed, "requests_without_record": log.gaps,
            "unreadable": unreadable,
        }))?;
        return verified;
    }
    if unreadable > 0 {
        out.say(&format!(
            "{} cannot be read and stay as they are; `ls` and `info` show which secrets",
            plural(usize::try_from(unreadable).unwrap_or(usize::MAX), "version")
        ));
    }
    if log.gaps > 0 || log.unconfirmed > 0 {
        let text = format!(
            "{} of your devices have no record, and {} no following request: reads may be missing in this list",
            plural(usize::try_from(log.gaps).unwrap_or(usize::MAX), "request"),
            plural(log.unconfirmed, "login")
        );
        out.note(&text);
    }
    if reads.is_empty() {
        out.note("the audit log has no read of a secret in this time");
    } else {
        out.note("these secrets were read, by you or by others: change those that you did not read yourself");
    }
    let rows = reads.iter().map(|(name, read)| {
        [
            name.clone(),
            read.count.to_string(),
            time::local(read.first_ms),
            time::local(read.last_ms),
            read.devices.iter().cloned().collect::<Vec<_>>().join(", "),
        ]
    });
    out.table(
        ["SECRET", "READS", "FIRST", "LAST", "DEVICES"],
        rows,
        &[0, 4],
    )?;
    out.note(
        "reads of a stolen device's own copies, and of a copy of the server's data by somebody who knew the password, are in \
         no log: if that is possible, change all secrets",
    );
    verified
}
