//! `register`

use clap::Args;
use keyshell_client::account::{Connect as _, KeyChoice, Purpose};
use keyshell_client::keys::device_key::DeviceKey;
use keyshell_client::keys::recovery::RecoveryCode;

use crate::commands::given_key::KeyIn;
use crate::commands::new_password;
use crate::commands::sheet::{Sheet, SheetOptions};
use crate::error::{Error, Result};
use crate::shell::Shell;

/// Create an account on the server.
///
/// A recovery code is shown once, or written to a file. Without the password and without the code, the data cannot be
/// decrypted. --with-key also creates a device key, which is mixed into the password: each new device asks for it once,
/// and an attacker who has all data of the server, its key file included, cannot guess the password.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  register\n  register --recovery-file sheet.svg   # a page to print\n  register --with-key"
)]
pub struct Register {
    #[command(flatten)]
    sheet: SheetOptions,
    /// Accept the password even if it is easy to guess.
    #[arg(long)]
    force: bool,
    /// Also create a device key, which each new device asks for once.
    #[arg(long)]
    with_key: bool,
    #[command(flatten)]
    place: KeyIn,
    /// The invite code, if the server requires one.
    #[arg(long, value_name = "CODE")]
    invite: Option<String>,
}

impl Register {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let made = Box::pin(self.make(shell)).await;
        shell.account.device.choose_key(KeyChoice::Stored);
        made
    }

    async fn make(&self, shell: &mut Shell) -> Result<()> {
        let account = shell.account.name()?;
        if shell.account.device.pins_file(&account).load()?.is_some() {
            return Err(Error::exists(format!(
                "this profile has an account `{account}` already; choose another --profile or --account"
            )));
        }
        match (self.with_key, shell.account.device.device_key(&account)?) {
            (true, None) => {
                let place = self.place.choose(&shell.context)?;
                shell
                    .account
                    .device
                    .choose_key(KeyChoice::Given(DeviceKey::random(), place));
            }
            (false, None) if self.place.named().is_some() => {
                return Err(Error::usage("--key-in requires --with-key"));
            }
            (false, Some(_)) => {
                return Err(Error::exists(format!(
                    "this profile has a device key for `{account}` from a registration with unknown outcome: try `login`; if \
                    it is refused, `register --with-key`"
                )));
            }
            (true, Some(_)) | (false, None) => {}
        }
        self.sheet.announce(&shell.context);
        let connected = shell.account.connector.connect(Purpose::Register).await?;
        let passwords = &shell.context.passwords;
        let password = new_password::strong(passwords, account.as_str(), self.force)?;
        let password = shell.account.device.mixed(&account, password)?;
        let recovery = RecoveryCode::random();
        let invite = self.invite.clone();
        let prepared = shell
            .account
            .prepare_registration(connected, password, &recovery, invite);
        let mut prepared = prepared.await?;
        let anchor = prepared.anchor();
        // The sheet is written before the account exists: a code that cannot be kept must never be needed.
        let mut sheet = Sheet::new(
            shell,
            prepared.connected(),
            &account,
            &recovery,
            Some(anchor),
        )?;
        let kept = sheet.keep(&self.sheet)?;
        // The account cannot be opened without the device key, so the key is stored before the account exists.
        if let Err(error) = shell.account.device.store_key(&account) {
            kept.discard();
            return Err(error.into());
        }
        if let Err(error) = shell.account.complete_registration(&mut prepared).await {
            // The account may exist, and this is its recovery code.
            kept.report(shell, &mut sheet)?;
            return Err(Error::from(error).with(
                "it is unknown whether the account was created: if `login` works, it was, and this recovery code is valid",
            ));
        }
        let text = format!("account `{account}` created");
        shell.context.out.note(&text);
        let opened = Box::pin(shell.account.log_in_registered(prepared)).await;
        // The account exists, whether or not the login went well.
        kept.report(shell, &mut sheet)?;
        Ok(opened?)
    }
}
