//! Where a device key comes from, on a device that does not keep it yet, and where it is kept then.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use keyshell_client::account::{KeyChoice, KeyPlace};
use keyshell_client::device::keyring;
use keyshell_client::keys::device_key::DeviceKey;
use shared::names::AccountName;

use crate::context::Context;
use crate::error::Error;
use crate::prompt::Prompt;
use crate::shell::Shell;

const QUESTION: &str =
    "This desktop has a keyring. Keep the device key in it, instead of in a file?";

/// Where a device keeps its device key, as an argument.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Place {
    /// In a file of mode 0600.
    File,
    /// In the desktop's keyring.
    Keyring,
}

// The same holds here as below.
#[derive(Debug, Clone, Copy, Args)]
pub struct KeyIn {
    /// Where this device keeps the device key; asked on a terminal where there is a keyring, else a file.
    #[arg(long, value_name = "PLACE")]
    key_in: Option<Place>,
}

impl KeyIn {
    /// What was asked for.
    pub fn named(self) -> Option<KeyPlace> {
        self.key_in.map(|place| match place {
            Place::File => KeyPlace::File,
            Place::Keyring => KeyPlace::Keyring,
        })
    }

    /// The place; asks where none was named and there is a choice.
    ///
    /// # Errors
    /// [`Error::Failed`] for a keyring that is not there, [`Error::Interrupted`].
    pub fn choose(self, context: &Context) -> Result<KeyPlace, Error> {
        match self.named() {
            Some(KeyPlace::Keyring) => {
                let unusable = |error| Error::Failed(format!("{error}; choose --key-in file"));
                keyring::look().map_err(unusable)?;
                Ok(KeyPlace::Keyring)
            }
            Some(place) => Ok(place),
            None if context.prompt == Prompt::Nobody || keyring::look().is_err() => {
                Ok(KeyPlace::File)
            }
            None if context.prompt.confirm(QUESTION, "give --key-in")? => Ok(KeyPlace::Keyring),
            None => Ok(KeyPlace::File),
        }
    }
}

// Options of the commands that take a device key. A doc comment would take the place of what is explained of those
// commands.
#[derive(Debug, Clone, Args)]
pub struct GivenKey {
    /// Ask for the device key of an account that was made --with-key, and keep it on this device.
    #[arg(long)]
    with_key: bool,
    /// Read the device key from this file: a recovery sheet, or the key in its first line.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    place: KeyIn,
}

impl GivenKey {
    /// The key, if one is given or is to be kept elsewhere; asks where it is to be typed. `on_sheet` is one that was
    /// found with something else.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no key, and where nobody can be asked.
    pub fn get(
        &self,
        shell: &Shell,
        account: &AccountName,
        on_sheet: Option<DeviceKey>,
    ) -> Result<Option<KeyChoice>, Error> {
        let key = self.given(&shell.context, account)?.or(on_sheet);
        let key = match (key, self.place.named()) {
            (None, Some(_)) => shell.account.device.device_key(account)?,
            (key, _) => key,
        };
        let Some(key) = key else {
            return match self.place.named() {
                None => Ok(None),
                Some(_) => Err(Error::Usage(
                    "there is no device key here to keep: give --with-key or --key-file".into(),
                )),
            };
        };
        Ok(Some(KeyChoice::Given(
            key,
            self.place.choose(&shell.context)?,
        )))
    }

    fn given(&self, context: &Context, account: &AccountName) -> Result<Option<DeviceKey>, Error> {
        if let Some(path) = &self.key_file {
            return Ok(DeviceKey::from_file(path).map(Some)?);
        }
        if !self.with_key {
            return Ok(None);
        }
        context.prompt.need_person("give --key-file")?;
        let typed = context
            .prompt
            .hidden(&format!("Device key of {account}: "))?;
        Ok(DeviceKey::parse(&typed).map(Some)?)
    }
}
