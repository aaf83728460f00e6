//! Where a device key comes from, on a device that does not keep it yet.

use std::path::PathBuf;

use clap::Args;
use shared::names::AccountName;

use crate::device_key::DeviceKey;
use crate::error::Error;
use crate::shell::Shell;

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
}

impl GivenKey {
    /// The key, if one is given; asks where it is to be typed.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no key, and where nobody can be asked.
    pub fn get(&self, shell: &Shell, account: &AccountName) -> Result<Option<DeviceKey>, Error> {
        if let Some(path) = &self.key_file {
            return DeviceKey::from_file(path).map(Some);
        }
        if !self.with_key {
            return Ok(None);
        }
        shell.prompt.need_person("give --key-file")?;
        let typed = shell.prompt.hidden(&format!("Device key of {account}: "))?;
        DeviceKey::parse(&typed).map(Some)
    }
}
