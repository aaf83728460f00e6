//! `account`

use clap::{Args, Subcommand};
use serde_json::json;

use crate::error::Error;
use crate::shell::Shell;

/// Delete the account.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  account delete\n  account delete --confirm alice")]
pub struct Account {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Delete the account with everything that the server holds of it; nothing can bring it back.
    ///
    /// The server's last signed checkpoint of the audit log, which covers the record of the deletion, is shown as a
    /// receipt. What this device keeps of the account goes as well, the local store included.
    Delete {
        /// Do not ask for the name: this is it.
        #[arg(long, value_name = "ACCOUNT")]
        confirm: Option<String>,
    },
}

impl Account {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        match self.what {
            What::Delete { confirm } => delete(shell, confirm).await,
        }
    }
}

async fn delete(shell: &mut Shell, confirm: Option<String>) -> Result<(), Error> {
    let account = shell.account.name()?;
    let vault = shell.account.freshly_authenticated_vault().await?;
    let secrets = vault.index().secrets().len();
    let local = shell.account.local_store()?.secrets().len();
    let typed = if let Some(typed) = confirm {
        typed
    } else {
        shell.context.out.say(&format!(
                "This deletes `{account}` on the server, with {secrets} secrets, all their versions and the audit log, and \
                 {local} secrets in the local store of this device. Nothing brings them back; `export --all` first \
                 keeps a copy."
            ));
        shell.context.prompt.line(
            "Type the account's name to delete it: ",
            "give --confirm ACCOUNT",
        )?
    };
    if typed != account.as_str() {
        let text = format!("that is not the account's name (`{account}`); nothing was deleted");
        return Err(Error::Usage(text));
    }
    // Typing may have taken long.
    shell.account.freshly_authenticated_vault().await?;
    let receipt = shell.account.delete().await?;
    shell.context.out.note(&format!(
        "`{account}` is deleted. The server's last signed word on it, for your files:"
    ));
    let object = json!({"account": account.as_str(), "deleted": true, "receipt": receipt});
    shell.context.out.either(&object, receipt.trim_end())
}
