//! `devices`

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand};
use keyshell_base::text::printable;
use keyshell_client::error::Error as ClientError;
use keyshell_client::index::device_name;
use keyshell_client::vault::Vault;
use serde_json::json;
use shared::ids::DeviceId;
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::wire::slots::SessionInfo;

use crate::commands::new_device::NewDevice;
use crate::error::{Error, Result};
use crate::output::qr::Qr;
use crate::output::{table, terminal};
use crate::shell::Shell;
use crate::time;

/// List your devices and their sessions, revoke a device, or rename this one.
///
/// A device is listed once it has written an entry of the vault log or has a credential of its own. An interactive
/// keyshell and the agent have one, with which they reopen sessions without the password. Sessions are an unverified
/// statement of the server.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  devices\n  devices revoke laptop\n  devices add")]
pub struct Devices {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Revoke the credential of a device, and end its sessions.
    Revoke {
        /// Name of the device, or the beginning of its id.
        device: String,
        /// Do not ask for confirmation.
        #[arg(long)]
        yes: bool,
    },
    /// Show what a new device needs: server, account, and the state code that `login --expect` verifies.
    Add,
    /// Rename this device.
    Rename {
        /// New name of this device.
        #[arg(id = "called", value_name = "NAME")]
        name: String,
    },
}

impl Devices {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        match self.action {
            None => list(shell).await,
            Some(Action::Revoke { device, yes }) => revoke(shell, &device, yes).await,
            Some(Action::Add) => add(shell).await,
            Some(Action::Rename { name }) => rename(shell, &name).await,
        }
    }
}

/// One device of the vault log with its sessions.
struct Row {
    id: DeviceId,
    name: String,
    seen_ms: Option<(u64, u64)>,
    credential: &'static str,
    sessions: Vec<SessionInfo>,
}

async fn list(shell: &mut Shell) -> Result<()> {
    let vault = shell.account.vault().await?;
    let own = vault.session().device();
    let sessions = vault.slots().await?.sessions;
    let mut rows = rows(vault, &sessions);
    // Oldest first; devices without a log entry last.
    rows.sort_by_key(|row| row.seen_ms.map_or(u64::MAX, |(first, _)| first));
    let objects: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "device": row.id,
                "name": row.name,
                "this": row.id == own,
                "credential": row.credential,
                "first_seen_ms": row.seen_ms.map(|(first, _)| first),
                "last_seen_ms": row.seen_ms.map(|(_, last)| last),
                "sessions": row.sessions,
            })
        })
        .collect();
    let width = terminal::width();
    let table = table(&rows, own, width);
    shell.context.out.either(&json!(objects), &table)
}

/// One line per device and one per session. With a `width` in columns, the lines are for a terminal: at most that long,
/// with relative times.
fn table(rows: &[Row], own: DeviceId, width: Option<usize>) -> String {
    let seen = |at: Option<u64>| match (at, width) {
        (None, _) => "none".to_owned(),
        (Some(ms), Some(_)) => time::ago(ms),
        (Some(ms), None) => time::local(ms),
    };
    let cells = rows.iter().map(|row| {
        let this = if row.id == own { " (this one)" } else { "" };
        [
            format!("{}{this}", row.name),
            device_name::short_id(&row.id),
            row.credential.to_owned(),
            seen(row.seen_ms.map(|(first, _)| first)),
            seen(row.seen_ms.map(|(_, last)| last)),
        ]
    });
    let header = ["DEVICE", "ID", "CREDENTIAL", "FIRST ENTRY", "LAST ENTRY"];
    let table = table::render(header, cells.collect(), width, &[0]).unwrap_or_default();
    let mut lines: Vec<String> = Vec::new();
    // The header line has no sessions.
    let sessions = std::iter::once(&[][..]).chain(rows.iter().map(|row| &*row.sessions));
    for (line, sessions) in table.lines().zip(sessions) {
        lines.push(line.to_owned());
        lines.extend(sessions.iter().map(|session| {
            let text = format!("  session from {}", session_text(session));
            width.map_or_else(|| text.clone(), |width| table::cut(&text, width))
        }));
    }
    lines.join("\n")
}

fn rows(vault: &Vault, sessions: &[SessionInfo]) -> Vec<Row> {
    let credentials = vault.index().credentials();
    let mut by_device: BTreeMap<DeviceId, Vec<SessionInfo>> = BTreeMap::new();
    for session in sessions {
        let device = session.device.or(match session.slot {
            Slot::Device(device) => Some(device),
            Slot::Password | Slot::Recovery => None,
        });
        if let Some(device) = device {
            by_device.entry(device).or_default().push(session.clone());
        }
    }
    let named = credentials.iter().filter_map(|(slot, _)| match slot {
        Slot::Device(device) => Some(*device),
        Slot::Password | Slot::Recovery => None,
    });
    let known: BTreeSet<DeviceId> = named
        .chain(credentials.devices().keys().copied())
        .chain(by_device.keys().copied())
        .collect();
    known
        .into_iter()
        .map(|id| Row {
            id,
            name: credentials.device_name(&id),
            seen_ms: credentials.devices().get(&id).copied(),
            credential: match credentials.get(&Slot::Device(id)) {
                None => "none",
                Some(state) if state.keys.is_none() => "revoked",
                Some(_) => "own",
            },
            sessions: by_device.remove(&id).unwrap_or_default(),
        })
        .collect()
}

fn session_text(session: &SessionInfo) -> String {
    let by = match session.slot {
        Slot::Password => "password",
        Slot::Recovery => "recovery code",
        Slot::Device(_) => "own credential",
    };
    let idle = session.idle_seconds;
    let remote = printable(&session.remote).replace(['\n', '\t'], " ");
    format!("{remote}, by {by}, idle {idle} s")
}

async fn revoke(shell: &mut Shell, wanted: &str, yes: bool) -> Result<()> {
    let vault = shell.account.vault().await?;
    let own = vault.session().device();
    let sessions = vault.slots().await?.sessions;
    let rows = rows(vault, &sessions);
    let fitting: Vec<&Row> = rows
        .iter()
        .filter(|row| row.name == wanted || row.id.to_string().starts_with(wanted))
        .collect();
    let row = match &*fitting {
        [row] => row,
        [] => {
            return Err(Error::usage(format!(
                "no device is named `{wanted}`; `devices` lists them"
            )));
        }
        several => {
            let ids: Vec<String> = several.iter().map(|row| row.id.to_string()).collect();
            return Err(Error::usage(format!(
                "`{wanted}` matches several devices: {}; give more digits of the id",
                ids.join(", ")
            )));
        }
    };
    let (id, name) = (row.id, row.name.clone());
    let (question, done) = revoking(&name, id == own);
    if !yes && !shell.context.prompt.confirm(&question, "give --yes")? {
        return Err(Error::declined());
    }
    let vault = shell.account.freshly_authenticated_vault().await?;
    vault.revoke(&[Slot::Device(id)]).await?;
    let object = json!({"device": id, "name": name, "revoked": true});
    shell.context.out.done(&done, &object)
}

/// The question before a device is revoked, and the notice after it.
fn revoking(name: &str, is_own: bool) -> (String, String) {
    if is_own {
        return (
            format!("`{name}` is this device. Revoke its credential, and end its sessions?"),
            format!("`{name}` (this device) is revoked; the next command asks for the password"),
        );
    }
    (
        format!("Revoke the credential of `{name}`, and end its sessions?"),
        format!(
            "`{name}` is revoked; if it was stolen, run `passwd` in case the thief knows the password, and `rotate-key` in case its memory was read"
        ),
    )
}

/// Shows the command for a new device, at a terminal as a QR code too. Nothing in it is secret.
async fn add(shell: &mut Shell) -> Result<()> {
    let account = shell.account.name()?;
    shell.account.vault().await?;
    let connected = shell.account.connect().await?;
    let new = NewDevice::new(shell, &connected, &account);
    let anchor = shell.account.device.anchor(&account)?;
    let code = anchor.ok_or(ClientError::SessionEnded)?.text();
    let has_key = shell.account.device.device_key(&account)?.is_some();
    let with_key = if has_key { " --with-key" } else { "" };
    let command = new.command(&format!("login --expect {code}{with_key}"), " ");
    let out = shell.context.out;
    if out.is_json() {
        return out.object(&json!({
            "server": new.server, "pin": new.pin, "account": account.as_str(), "state_code": code, "command": command,
        }));
    }
    let asked = if has_key {
        "the password and the device key"
    } else {
        "the password"
    };
    out.note(&format!(
        "on the new device, type or scan this command; it asks for {asked}:"
    ));
    out.line(&command)?;
    if let Some(width) = terminal::width() {
        let qr = Qr::new(&SecretBytes::from(command.as_bytes()))?;
        if qr.columns() <= width {
            return out.bytes(qr.text(out.has_colours()).as_bytes());
        }
    }
    Ok(())
}

async fn rename(shell: &mut Shell, name: &str) -> Result<()> {
    let name = crate::commands::value::name(name)?;
    let lease = shell.account.renewal.lease;
    let vault = shell.account.freshly_authenticated_vault().await?;
    vault.rename_device(&name, lease).await?;
    let object = json!({"device": vault.session().device(), "name": name.as_str()});
    shell
        .context
        .out
        .done(&format!("this device is now named `{name}`"), &object)
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    #[test]
    fn revoking_this_device_is_asked_with_a_question_of_its_own() {
        let (question, done) = revoking("laptop", true);
        assert!(question.contains("is this device") && done.contains("(this device)"));
        let (question, done) = revoking("laptop", false);
        assert!(!question.contains("is this device") && done.contains("`rotate-key`"));
    }

    #[test]
    fn devices_and_their_sessions_fit_into_a_terminal() {
        let own = DeviceId::new([7; 16]);
        let session = |remote: &str, slot| SessionInfo {
            slot,
            device: Some(own),
            remote: remote.to_owned(),
            age_seconds: 90_000,
            idle_seconds: 86_400,
            own: false,
        };
        let rows = [
            Row {
                id: own,
                name: "the laptop at home".to_owned(),
                seen_ms: Some((1_000, keyshell_base::time::now_ms())),
                credential: "own",
                sessions: vec![
                    session("2001:db8:1234:5678:9abc:def0:1234:5678", Slot::Device(own)),
                    session("127.0.0.1", Slot::Password),
                ],
            },
            Row {
                id: DeviceId::new([8; 16]),
                name: "phone".to_owned(),
                seen_ms: None,
                credential: "revoked",
                sessions: Vec::new(),
            },
        ];
        let text = table(&rows, own, Some(80));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.width() <= 80), "{text}");
        let [_, laptop, first, second, phone] = lines.as_slice() else {
            panic!("{text}");
        };
        assert!(
            laptop.contains("home (this one)") && laptop.ends_with("now"),
            "{text}"
        );
        assert_eq!(
            *first,
            "  session from 2001:db8:1234:5678:9abc:def0:1234:5678, by own credential, idle…"
        );
        assert_eq!(
            *second,
            "  session from 127.0.0.1, by password, idle 86400 s"
        );
        assert!(
            phone.starts_with("phone") && phone.contains("revoked"),
            "{text}"
        );
        let narrow = table(&rows, own, Some(40));
        assert!(narrow.lines().all(|line| line.width() <= 40), "{narrow}");
        assert!(table(&rows, own, None).contains("1970-01-01"));
    }
}
