//! `recover` and `recovery`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keyshell_base::files;
use keyshell_client::account::KeyChoice;
use keyshell_client::error::Error as ClientError;
use keyshell_client::keys::anchor::Anchor;
use keyshell_client::keys::device_key::DeviceKey;
use keyshell_client::keys::recovery::RecoveryCode;
use keyshell_client::vault::enrol::NewSlot;
use keyshell_client::verification::VerificationError;
use serde_json::json;
use shared::names::AccountName;
use shared::opaque::Slot;

use crate::commands::given_key::GivenKey;
use crate::commands::new_password::NewPassword;
use crate::commands::passwd::uncertain;
use crate::commands::sheet::{Sheet, SheetOptions};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::shell::Shell;

/// Longest file with a recovery code, in bytes.
const MAX_CODE_FILE: u64 = 64 * 1024;

/// Set a new password with the recovery code.
///
/// Works on a device that has never opened the account. The code is valid once: a new code replaces it and is shown
/// once. All other sessions end; the credentials of other devices stay valid. For an account with a device key, a new
/// device also needs --with-key, or --code-file with a sheet that contains the key. Without the key, the new password
/// alone opens the account, and devices that have the key need `login --without-key`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  recover\n  recover --code-file sheet.txt --recovery-file new-sheet.txt"
)]
pub struct Recover {
    /// Read the recovery code from this file: a recovery sheet, or the code alone.
    #[arg(long, value_name = "FILE")]
    code_file: Option<PathBuf>,
    /// Refuse a server that shows an older or another state than this code names: the state code of the recovery sheet.
    #[arg(long, value_name = "CODE")]
    expect: Option<String>,
    #[command(flatten)]
    key: GivenKey,
    #[command(flatten)]
    sheet: SheetOptions,
    #[command(flatten)]
    new: NewPassword,
}

impl Recover {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let account = shell.account.name()?;
        self.sheet.announce(&shell.context);
        let OnSheet { code, key, anchor } = self.code(&shell.context)?;
        let key = self.key.get(shell, &account, key)?;
        let anchor = match &self.expect {
            Some(code) => Some(Anchor::parse(code)?),
            None => anchor,
        };
        shell.account.log_out().await?;
        let has_code = anchor.is_some();
        shell.account.device.expected = anchor;
        if let Some(key) = key {
            shell.account.device.choose_key(key);
        }
        let recovered = self.recover(shell, &account, &code).await;
        shell.account.device.choose_key(KeyChoice::Stored);
        shell.account.device.expected = None;
        if let Err(error) = &recovered
            && has_code
            && error.is_verification()
        {
            shell.account.distrust_until_code(&error.to_string());
        }
        recovered
    }

    async fn recover(
        &self,
        shell: &mut Shell,
        account: &AccountName,
        code: &RecoveryCode,
    ) -> Result<()> {
        let connected = shell.account.connect_to_recover().await?;
        let password = self.new.get(shell, account, None)?;
        let next = RecoveryCode::random();
        let anchor = shell.account.device.anchor(account)?;
        let mut sheet = Sheet::new(shell, &connected, account, &next, anchor)?;
        let kept = sheet.keep(&self.sheet)?;
        let recovered =
            shell
                .account
                .recover(connected, code.as_secret(), &password, next.as_secret());
        if let Err(error) = recovered.await {
            let is_unchanged = matches!(
                error,
                ClientError::RecoveryRefused
                    | ClientError::Verification(
                        VerificationError::OlderThanExpected { .. }
                            | VerificationError::OtherThanExpected
                    )
            );
            if is_unchanged {
                kept.discard();
                return Err(error.into());
            }
            return Err(kept.report_after(&shell.context, &sheet, uncertain(error.into())));
        }
        shell.account.device.store_key(account)?;
        shell.context.out.note(
            "the new password and the new recovery code are valid, the old ones are not; other sessions have ended; `devices` \
             lists the devices that open sessions by their own credentials",
        );
        kept.report(shell, &mut sheet)
    }

    /// The recovery code, and what else is on the sheet.
    fn code(&self, context: &Context) -> Result<OnSheet> {
        if let Some(path) = &self.code_file {
            let doing = format!("reading the recovery code from {}", path.display());
            let sheet = files::read_text(path, MAX_CODE_FILE).map_err(Error::io(doing))?;
            let text = std::str::from_utf8(sheet.expose()).unwrap_or_default();
            let code = RecoveryCode::from_sheet(text)?;
            return Ok(OnSheet {
                code,
                key: DeviceKey::from_sheet(text)?,
                anchor: Anchor::from_sheet(text)?,
            });
        }
        context.prompt.require("give --code-file")?;
        let code = RecoveryCode::parse(&context.prompt.hidden("Recovery code: ")?)?;
        Ok(OnSheet {
            code,
            key: None,
            anchor: None,
        })
    }
}

/// The content of a recovery sheet.
struct OnSheet {
    code: RecoveryCode,
    key: Option<DeviceKey>,
    anchor: Option<Anchor>,
}

/// Renew or revoke the recovery code.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  recovery renew\n  recovery off")]
pub struct Recovery {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Replace the recovery code with a new one; the old code becomes invalid.
    Renew {
        #[command(flatten)]
        sheet: SheetOptions,
    },
    /// Revoke the recovery code; without the password, the data can then never be decrypted.
    Off {
        /// Do not ask for confirmation.
        #[arg(long)]
        yes: bool,
    },
}

impl Recovery {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        match self.action {
            Action::Renew { sheet } => renew(shell, &sheet).await,
            Action::Off { yes } => off(shell, yes).await,
        }
    }
}

async fn renew(shell: &mut Shell, options: &SheetOptions) -> Result<()> {
    let account = shell.account.name()?;
    options.announce(&shell.context);
    shell.account.freshly_authenticated_vault().await?;
    let connected = shell.account.connect().await?;
    let code = RecoveryCode::random();
    let anchor = shell.account.device.anchor(&account)?;
    let mut sheet = Sheet::new(shell, &connected, &account, &code, anchor)?;
    let kept = sheet.keep(options)?;
    let new = [NewSlot::new(Slot::Recovery, code.as_secret())];
    let vault = shell.account.freshly_authenticated_vault().await?;
    if let Err(error) = vault.begin_epoch(&new, &[]).await {
        return Err(kept.report_after(&shell.context, &sheet, error.into()));
    }
    shell.context.out.note("the old recovery code is invalid");
    kept.report(shell, &mut sheet)
}

async fn off(shell: &mut Shell, yes: bool) -> Result<()> {
    let question = "Without a recovery code, the data cannot be decrypted if the password is lost. Revoke the code?";
    if !yes && !shell.context.prompt.confirm(question, "give --yes")? {
        return Err(Error::declined());
    }
    shell
        .account
        .freshly_authenticated_vault()
        .await?
        .revoke(&[Slot::Recovery])
        .await?;
    shell.context.out.done(
        "the recovery code is revoked; `recovery renew` creates a new one",
        &json!({"recovery": false}),
    )
}
