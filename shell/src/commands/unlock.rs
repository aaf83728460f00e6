//! `unlock`

use std::time::Duration;

use clap::Args;
use keyshell_client::account::Renewal;
use keyshell_client::agent::Agent;
use serde_bytes::ByteBuf;
use serde_json::json;
use shared::wire::register::Lease;

use crate::agent;
use crate::agent::Handover;
use crate::error::{Error, Result};
use crate::shell::Shell;

/// Start the agent; until the agent locks, commands need no password.
///
/// The agent keeps a session open in the background, in memory that is locked against swapping if the system allows
/// that. It locks after a time without use, after the machine was suspended, at `lock` and at `logout`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  unlock --for 1h\n  unlock --no-reveal --reason 'deploy by the build script'"
)]
pub struct Unlock {
    /// Lock after this time without use.
    #[arg(
        long = "for",
        value_name = "TIME",
        value_parser = crate::time::span,
        default_value = "15m"
    )]
    time: Duration,
    /// Serve only `run` with its mask, `inject` into a file, and `totp`: for a script or program that must not see the
    /// values.
    #[arg(long)]
    no_reveal: bool,
    /// Record this reason in the vault log; `audit` shows it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Unlock {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        if shell.context.options().embedded {
            let text = "`unlock` needs a server that outlives this process: the private server of --embedded ends with it";
            return Err(Error::usage(text));
        }
        let account = shell.account.name()?;
        shell.account.freshly_authenticated_vault().await?;
        // Ends the previous agent of this profile, which the new one replaces.
        Agent::find(&shell.context.home)
            .map(Agent::lock)
            .transpose()?;
        // An agent that is killed cannot end its credential: the server does, this long after the last use.
        shell.account.renewal.lease = Lease {
            seconds: lease_seconds(self.time),
            renewed: true,
        };
        let secret = shell.account.make_credential().await?;
        if let Some(reason) = &self.reason {
            let mode = if self.no_reveal { " --no-reveal" } else { "" };
            let note = format!("unlock{mode}: {reason}");
            shell
                .account
                .freshly_authenticated_vault()
                .await?
                .note(&note)
                .await?;
        }
        let handover = Handover {
            account: account.as_str().to_owned(),
            secret: ByteBuf::from(secret.expose().to_vec()),
            idle_ms: u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX),
            reveals: !self.no_reveal,
            reason: self.reason.clone(),
        };
        shell.account.note_handed_over()?;
        let mut options = shell.account.connector.options().clone();
        options.account = Some(handover.account.clone());
        agent::start(&options, &handover)?;
        let status = Agent::find(&shell.context.home).and_then(|mut agent| agent.status());
        let status = status.ok_or_else(|| {
            Error::failed("the agent ended right after its start; try `unlock` again")
        })?;
        let time = humantime::format_duration(self.time);
        let uses = if status.reveals {
            ""
        } else {
            " for `run` with its mask, `inject` into a file and `totp` only"
        };
        shell.context.out.note(&format!(
            "unlocked{uses}: locks after {time} without use, or at `lock`"
        ));
        if !status.memory_locked {
            shell.context.out.note(
                "the agent's memory could not be locked, and its keys may be swapped out: raise `ulimit -l`, or encrypt the swap",
            );
        }
        let object = json!({
            "unlocked": true, "reveals": status.reveals, "pid": status.pid,
            "seconds": status.seconds_left, "memory_locked": status.memory_locked,
        });
        shell.context.out.either(&object, "")
    }
}

/// The lease of an agent's credential: a minute longer than the agent stays unlocked without use.
fn lease_seconds(idle: Duration) -> u32 {
    let longest = Renewal::default().lease.seconds;
    u32::try_from(idle.as_secs().saturating_add(60)).map_or(longest, |seconds| seconds.min(longest))
}
