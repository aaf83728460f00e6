//! `lock`

use clap::Args;
use keyshell_client::agent::Agent;
use serde_json::json;

use crate::error::Result;
use crate::shell::Shell;

/// Wipe the keys from memory, in the agent too, and close the session; the next command asks for the password.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  lock\n  login   # unlocks, as every command does")]
pub struct Lock {}

impl Lock {
    #[allow(clippy::unused_self)]
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let locked = shell.lock().await?;
        let agent = Agent::find(&shell.context.home);
        let retired = agent.map(Agent::lock).transpose()?;
        let agent = retired.is_some();
        match retired {
            Some(true) => shell.context.out.note("the agent is locked"),
            Some(false) => shell.context.out.note(
                "the agent is locked; the server was not reached, so copies of the agent's credential open sessions \
                 until its lease is over, a minute after the time of `unlock --for`, or until the next command that asks for \
                 the password",
            ),
            None => {}
        }
        // Without a known account there was no agent.
        let unretired = shell.known_account()?.is_some() && shell.account.has_unretired()?;
        if unretired && !agent {
            shell.context.out.note(
                "no agent runs; one has ended without locking, and copies of its credential open sessions until its lease is \
                 over, a minute after the time of `unlock --for`, or until the next command that asks for the password, such as \
                 `sync`",
            );
        } else if !locked && !agent {
            shell.context.out.note("there was nothing to lock");
        }
        let object = json!({
            "locked": locked || agent, "agent": agent, "credential_valid": unretired,
        });
        shell.context.out.either(&object, "")
    }
}
