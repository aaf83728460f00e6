//! `account`

use clap::{Args, Subcommand};
use serde_json::json;

use crate::error::{Error, Result};
use crate::shell::Shell;

/// Delete the account.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  account delete\n  account delete --confirm alice")]
pub struct Account {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Delete the account and all its data on the server; this cannot be undone.
    ///
    /// The server's last signed checkpoint of the audit log, which covers the record of the deletion, is printed as a
    /// receipt. All data of the account on this device is deleted too, the local store included.
    Delete {
        /// Name of the account, as confirmation; without it, keyshell asks.
        #[arg(long, value_name = "ACCOUNT")]
        confirm: Option<String>,
    },
}

impl Account {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        match self.action {
            Action::Delete { confirm } => delete(shell, confirm).await,
        }
    }
}

async fn delete(shell: &mut Shell, confirm: Option<String>) -> Result<()> {
    let account = shell.account.name()?;
    let vault = shell.account.freshly_authenticated_vault().await?;
    let secrets = vault.index().secrets().len();
    let local = shell.account.local_store()?.secrets().len();
    let typed = if let Some(typed) = confirm {
        typed
    } else {
        shell.context.out.say(&format!(
                "This deletes `{account}` on the server with {secrets} secrets, all their versions and the audit log, and \
                {local} secrets in the local store of this device. It cannot be undone; to keep a copy, press Ctrl-C \
                and run `export --all --out FILE`."
            ));
        shell.context.prompt.line(
            "Type the account's name to delete it: ",
            "give --confirm ACCOUNT",
        )?
    };
    if typed != account.as_str() {
        let text = format!("the name does not match the account `{account}`; nothing was deleted");
        return Err(Error::usage(text));
    }
    // The session may have expired while the name was typed.
    shell.account.freshly_authenticated_vault().await?;
    let receipt = shell.account.delete().await?;
    shell.context.out.note(&format!(
        "account `{account}` deleted; the server's signed receipt, the last checkpoint of its audit log:"
    ));
    let object = json!({"account": account.as_str(), "deleted": true, "receipt": receipt});
    shell.context.out.either(&object, receipt.trim_end())
}
