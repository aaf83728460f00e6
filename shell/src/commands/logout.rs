//! `logout`

use clap::Args;
use keyshell_client::agent::Agent;
use serde_json::json;

use crate::error::Result;
use crate::shell::Shell;

/// Close the session, and the session of the agent.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  logout\n  exit   # also closes the session")]
pub struct Logout {}

impl Logout {
    #[allow(clippy::unused_self)]
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let mut closed = shell.account.log_out().await?;
        let agent = Agent::find(&shell.context.home);
        closed |= agent.map(Agent::lock).transpose()?.is_some();
        shell.context.out.done(
            if closed {
                "session closed"
            } else {
                "there was no session"
            },
            &json!({"closed": closed}),
        )
    }
}
