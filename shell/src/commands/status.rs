//! `status`

use clap::Args;
use keyshell_client::account::Connect as _;
use keyshell_client::agent::Agent;
use keyshell_client::device::pins::Pins;
use serde_json::json;
use shared::ids::Digest;

use crate::error::{Error, Result};
use crate::shell::Shell;

/// Length of a fingerprint in hex digits, enough to compare two devices by eye.
const FINGERPRINT: usize = 32;

/// Show the account, the server, the session, and the verified state of the logs.
///
/// Two devices that show the same fingerprint at the same number of entries have verified the same vault log. The audit
/// log grows with every command: to compare it, pass the number of records that `status` shows on one device to `audit
/// --at RECORDS` on the other.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  status\n  audit --at 120   # if `status` elsewhere shows 120 records"
)]
pub struct Status {}

impl Status {
    #[allow(clippy::unused_self)]
    pub(super) fn run(self, shell: &mut Shell) -> Result<()> {
        let account = shell.known_account()?;
        let (pins, keyring, distrust) = match &account {
            Some(account) => {
                let device = &shell.account.device;
                let pins = device.pins_file(account).load()?;
                let keyring = matches!(device.store_item(account), Ok(Some(_)));
                (pins, keyring, shell.account.distrusted()?)
            }
            None => (None, false, None),
        };
        let is_reencrypting = pins.as_ref().is_some_and(Pins::is_replacing_account_key);
        let account = account.map(|account| account.as_str().to_owned());
        let agent = Agent::find(&shell.context.home).and_then(|mut agent| agent.status());
        let session = shell.account.open_vault().is_some();
        let server = shell.account.connector.server_name();
        let head = pins.as_ref().map(
            |pins| json!({"entries": pins.head.seq, "fingerprint": fingerprint(&pins.head.hash)}),
        );
        let audit = pins
            .as_ref()
            .and_then(|pins| pins.audit)
            .map(|head| json!({"records": head.size, "fingerprint": fingerprint(&head.root)}));
        let object = json!({
            "profile": shell.context.home.profile(),
            "account": account,
            "server": server,
            "session": session,
            "vault_log": head,
            "audit_log": audit,
            "keyring": keyring,
            "distrust": distrust.as_ref().map(|distrust| &distrust.what),
            "reencrypting": is_reencrypting,
            "agent": agent,
        });
        let none = || "none".to_owned();
        let mut lines = vec![
            format!("profile    {}", shell.context.home.profile()),
            format!("account    {}", account.unwrap_or_else(none)),
            format!("server     {}", server.unwrap_or_else(none)),
            format!("session    {}", if session { "open" } else { "closed" }),
        ];
        if keyring {
            lines.push("keyring    required to open the local store offline".into());
        }
        if let Some(agent) = &agent {
            lines.push(format!("agent      {}", describe(agent)));
        }
        if let Some(what) = distrust {
            lines.push(format!("trust      {}", Error::from(what)));
        }
        if is_reencrypting {
            let text = "data are not all re-encrypted under the new account key: `rotate-key`, or `compromised` if that was \
                        interrupted, continues";
            lines.push(format!("unfinished {text}"));
        }
        if let Some(pins) = pins {
            lines.push(format!(
                "vault log  {} entries, {}",
                pins.head.seq,
                fingerprint(&pins.head.hash)
            ));
            if let Some(head) = pins.audit {
                lines.push(format!(
                    "audit log  {} records, {}",
                    head.size,
                    fingerprint(&head.root)
                ));
            }
        }
        shell.context.out.either(&object, &lines.join("\n"))
    }
}

fn describe(agent: &keyshell_client::agent::Status) -> String {
    let left = humantime::format_duration(std::time::Duration::from_secs(agent.seconds_left));
    let reveals = if agent.reveals {
        ""
    } else {
        ", reveals nothing"
    };
    let reason = agent.reason.as_ref();
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    format!("unlocked, locks in {left} without use{reveals}{reason}")
}

/// The first [`FINGERPRINT`] characters of a hash.
pub fn fingerprint(hash: &Digest) -> String {
    hash.to_string().chars().take(FINGERPRINT).collect()
}
