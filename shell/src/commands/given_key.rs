//! The source of a device key on a device that does not store it yet, and the place where it is stored.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use keyshell_client::account::{KeyChoice, KeyPlace};
use keyshell_client::device::keyring;
use keyshell_client::keys::device_key::DeviceKey;
use shared::names::AccountName;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::shell::Shell;

const QUESTION: &str =
    "This desktop has a keyring. Store the device key in it instead of in a file?";

/// Where a device stores its device key, as an argument.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Place {
    /// In a file of mode 0600.
    File,
    /// In the desktop's keyring.
    Keyring,
}

// No doc comment, as for `GivenKey`.
#[derive(Debug, Clone, Copy, Args)]
pub struct KeyIn {
    /// Where this device stores the device key. Without the option, keyshell asks if there is a terminal and a keyring,
    /// and uses a file otherwise.
    #[arg(long, value_name = "PLACE")]
    key_in: Option<Place>,
}

impl KeyIn {
    /// The place that the option names.
    pub fn named(self) -> Option<KeyPlace> {
        self.key_in.map(|place| match place {
            Place::File => KeyPlace::File,
            Place::Keyring => KeyPlace::Keyring,
        })
    }

    /// The place that the option names; without the option, asks if there is a choice.
    ///
    /// # Errors
    /// [`Error::failed`] if the keyring is not available; [`Error::interrupted`].
    pub fn choose(self, context: &Context) -> Result<KeyPlace> {
        match self.named() {
            Some(KeyPlace::Keyring) => {
                let unusable = |error| Error::failed(format!("{error}; choose --key-in file"));
                keyring::look().map_err(unusable)?;
                Ok(KeyPlace::Keyring)
            }
            Some(place) => Ok(place),
            None if !context.prompt.is_interactive || keyring::look().is_err() => {
                Ok(KeyPlace::File)
            }
            None if context.prompt.confirm(QUESTION, "give --key-in")? => Ok(KeyPlace::Keyring),
            None => Ok(KeyPlace::File),
        }
    }
}

// Options of the commands that take a device key. A doc comment would replace the help text of the commands that
// flatten them.
#[derive(Debug, Clone, Args)]
pub struct GivenKey {
    /// Ask for the device key of an account that was registered --with-key, and store it on this device.
    #[arg(long)]
    with_key: bool,
    /// Read the device key from this file: a recovery sheet, or a file whose first line is the key.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    place: KeyIn,
}

impl GivenKey {
    /// The device key and its new place, if the options give a key or move the stored one; asks for the key with
    /// --with-key. `on_sheet` is the key from the recovery sheet, used if the options give none.
    ///
    /// # Errors
    /// [`Error::usage`] if the text is no device key, if there is none to move, or if there is no terminal to ask on.
    pub fn get(
        &self,
        shell: &Shell,
        account: &AccountName,
        on_sheet: Option<DeviceKey>,
    ) -> Result<Option<KeyChoice>> {
        let key = self.given(&shell.context, account)?.or(on_sheet);
        let key = match (key, self.place.named()) {
            (None, Some(_)) => shell.account.device.device_key(account)?,
            (key, _) => key,
        };
        let Some(key) = key else {
            return match self.place.named() {
                None => Ok(None),
                Some(_) => Err(Error::usage(
                    "this device has no device key that --key-in could move: give --with-key or --key-file",
                )),
            };
        };
        Ok(Some(KeyChoice::Given(
            key,
            self.place.choose(&shell.context)?,
        )))
    }

    fn given(&self, context: &Context, account: &AccountName) -> Result<Option<DeviceKey>> {
        if let Some(path) = &self.key_file {
            return Ok(DeviceKey::from_file(path).map(Some)?);
        }
        if !self.with_key {
            return Ok(None);
        }
        context.prompt.require("give --key-file")?;
        let typed = context
            .prompt
            .hidden(&format!("Device key of {account}: "))?;
        Ok(DeviceKey::parse(&typed).map(Some)?)
    }
}
