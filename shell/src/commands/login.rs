//! `login`

use clap::Args;
use serde_json::json;

use crate::error::Error;
use crate::shell::Shell;

/// Open a session.
///
/// Commands that need one open it by themselves; `login` also saves server, account and pin to the profile.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  login\n  status   # says who and where")]
pub struct Login {}

impl Login {
    #[allow(clippy::unused_self)]
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        shell.log_out().await?;
        shell.log_in(true).await?;
        let account = shell.account()?;
        let open = shell.open_vault().ok_or(Error::SessionEnded)?;
        let count = open.index().secrets().len();
        let object = json!({"account": account.as_str(), "secrets": count});
        shell
            .out
            .note(&format!("session open for `{account}`: {count} secrets"));
        shell.out.either(&object, "")
    }
}
