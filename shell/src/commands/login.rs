//! `login`

use clap::Args;
use keyshell_client::account::KeyChoice;
use keyshell_client::error::Error as ClientError;
use keyshell_client::keys::anchor::Anchor;
use serde_json::json;

use crate::commands::given_key::GivenKey;
use crate::error::{Error, Result};
use crate::shell::Shell;

/// Open a session.
///
/// Commands that need a session open one themselves; `login` also saves the server, the account and the pin to the
/// profile, and the device key of an account that was registered --with-key. `login --key-in keyring` moves a stored
/// device key into the keyring.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  login\n  login --with-key   # a new device\n  status   # shows account and server"
)]
pub struct Login {
    #[command(flatten)]
    key: GivenKey,
    /// Delete this device's copy of the device key, because the account was recovered without it.
    #[arg(long, conflicts_with_all = ["with_key", "key_file", "key_in"])]
    without_key: bool,
    /// Refuse a server that shows an older or another state than this code names: the state code of the recovery sheet, or
    /// of `devices add` on another device.
    #[arg(long, value_name = "CODE")]
    expect: Option<String>,
    /// Trust the server again although the check of a state code failed, because the code was of another account or of
    /// before a loss that you have acknowledged.
    #[arg(long, conflicts_with = "expect")]
    without_code: bool,
}

impl Login {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let account = shell.account.name()?;
        let expected = self.expect.as_deref().map(Anchor::parse).transpose()?;
        let given = self.key.get(shell, &account, None)?;
        shell.account.log_out().await?;
        shell.account.device.choose_key(match given {
            Some(given) => given,
            None if self.without_key => KeyChoice::Without,
            None => KeyChoice::Stored,
        });
        if self.without_code {
            shell.account.forget_code()?;
        }
        let has_code = expected.is_some();
        shell.account.device.expected = expected;
        let opened = shell.account.log_in(true).await;
        shell.account.device.expected = None;
        if let Err(error) = opened {
            shell.account.device.choose_key(KeyChoice::Stored);
            let error = Error::from(error);
            if has_code && error.is_verification() {
                shell.account.distrust_until_code(&error.to_string());
            }
            return Err(error);
        }
        shell.account.device.store_key(&account)?;
        let open = shell
            .account
            .open_vault()
            .ok_or(ClientError::SessionEnded)?;
        let count = open.index().secrets().len();
        let object = json!({"account": account.as_str(), "secrets": count});
        shell.context.out.done(
            &format!("session open for `{account}`: {count} secrets"),
            &object,
        )
    }
}
