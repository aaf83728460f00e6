//! `devices`

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand};
use serde_json::json;
use shared::ids::DeviceId;
use shared::opaque::Slot;
use shared::wire::slots::SessionInfo;

use crate::device;
use crate::error::Error;
use crate::output::{table, terminal};
use crate::shell::Shell;
use crate::time;
use crate::vault::Vault;

/// List your devices and their sessions, or shut one out.
///
/// A device is listed once it wrote an entry of the vault log, or got a credential of its own: an interactive keyshell
/// and the agent have one, by which they open sessions again without the password. Sessions are what the server says.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  devices\n  devices revoke laptop")]
pub struct Devices {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Revoke a device's credential, and end its sessions.
    Revoke {
        /// Its name, or the beginning of its id.
        device: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Give this device another name.
    Rename {
        /// The name.
        #[arg(id = "called", value_name = "NAME")]
        name: String,
    },
}

impl Devices {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        match self.what {
            None => list(shell).await,
            Some(What::Revoke { device, yes }) => revoke(shell, &device, yes).await,
            Some(What::Rename { name }) => rename(shell, &name).await,
        }
    }
}

/// One device, as the log names it.
struct Row {
    id: DeviceId,
    name: String,
    seen_ms: Option<(u64, u64)>,
    credential: &'static str,
    sessions: Vec<SessionInfo>,
}

async fn list(shell: &mut Shell) -> Result<(), Error> {
    let vault = shell.vault().await?;
    let own = vault.session().device();
    let sessions = vault.slots().await?.sessions;
    let rows = rows(vault, &sessions);
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
    let is_terminal = shell.out.is_terminal();
    let seen =
        |at: Option<u64>| at.map_or_else(|| "none".into(), |ms| time::for_reader(ms, is_terminal));
    let lines = rows.iter().map(|row| {
        let this = if row.id == own { " (this one)" } else { "" };
        [
            format!("{}{this}", row.name),
            device::short_id(&row.id),
            row.credential.to_owned(),
            seen(row.seen_ms.map(|(first, _)| first)),
            seen(row.seen_ms.map(|(_, last)| last)),
            session_list(&row.sessions),
        ]
    });
    let header = [
        "DEVICE",
        "ID",
        "CREDENTIAL",
        "FIRST ENTRY",
        "LAST ENTRY",
        "SESSIONS",
    ];
    let width = terminal::size().map(|size| size.columns);
    let table = table::render(header, lines.collect(), width, 1).unwrap_or_default();
    shell.out.either(&json!(objects), &table)
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
                Some(state) if state.wrapped.is_none() => "revoked",
                Some(_) => "own",
            },
            sessions: by_device.remove(&id).unwrap_or_default(),
        })
        .collect()
}

fn session_list(sessions: &[SessionInfo]) -> String {
    let each = sessions.iter().map(|session| {
        let by = match session.slot {
            Slot::Password => "password",
            Slot::Recovery => "recovery code",
            Slot::Device(_) => "own credential",
        };
        format!(
            "{} (by {by}, idle {} s)",
            session.remote, session.idle_seconds
        )
    });
    each.collect::<Vec<_>>().join(", ")
}

async fn revoke(shell: &mut Shell, wanted: &str, yes: bool) -> Result<(), Error> {
    let vault = shell.vault().await?;
    let sessions = vault.slots().await?.sessions;
    let rows = rows(vault, &sessions);
    let fitting: Vec<&Row> = rows
        .iter()
        .filter(|row| row.name == wanted || row.id.to_string().starts_with(wanted))
        .collect();
    let row = match &*fitting {
        [row] => row,
        [] => {
            return Err(Error::Usage(format!(
                "no device is called `{wanted}`; `devices` lists them"
            )));
        }
        several => {
            let ids: Vec<String> = several.iter().map(|row| row.id.to_string()).collect();
            return Err(Error::Usage(format!(
                "`{wanted}` may be any of {}; give more of the id",
                ids.join(", ")
            )));
        }
    };
    let (id, name) = (row.id, row.name.clone());
    let question = format!("Revoke the credential of `{name}`, and end its sessions?");
    if !yes && !shell.prompt.confirm(&question, "give --yes")? {
        return Err(Error::Interrupted);
    }
    let vault = shell.persons_vault().await?;
    vault.revoke(Slot::Device(id)).await?;
    shell.out.note(&format!(
        "`{name}` is shut out; if somebody has it who may know the password, `passwd` comes next, and if its memory may be read `rotate-key`"
    ));
    let object = json!({"device": id, "name": name, "revoked": true});
    shell.out.either(&object, "")
}

async fn rename(shell: &mut Shell, name: &str) -> Result<(), Error> {
    let name = crate::commands::value::name(name)?;
    let vault = shell.persons_vault().await?;
    vault.rename_device(&name).await?;
    let object = json!({"device": vault.session().device(), "name": name.as_str()});
    shell
        .out
        .note(&format!("this device is `{name}` from now on"));
    shell.out.either(&object, "")
}
