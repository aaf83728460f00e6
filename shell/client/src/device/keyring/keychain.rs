//! The keychain of macOS, which itself asks the person to unlock it.

use security_framework::base::Error;
use security_framework::passwords::{
    PasswordOptions, delete_generic_password, generic_password, set_generic_password,
};
use shared::secret::SecretBytes;

use super::{APPLICATION, Item, KeyringError, Unlocking};

const NOT_FOUND: i32 = -25300;
const LOCKED: [i32; 3] = [
    -25308, // the person cannot be asked here
    -25293, // wrong password
    -128,   // the person declined
];

#[allow(clippy::unnecessary_wraps)]
pub(super) fn look() -> Result<(), KeyringError> {
    Ok(())
}

pub(super) fn has(item: Item) -> Result<bool, KeyringError> {
    read(item, Unlocking::Never).map(|found| found.is_some())
}

pub(super) fn read(item: Item, _: Unlocking) -> Result<Option<SecretBytes>, KeyringError> {
    let options = PasswordOptions::new_generic_password(APPLICATION, &name(item));
    match generic_password(options) {
        Ok(secret) => Ok(Some(SecretBytes::new(secret))),
        Err(error) if error.code() == NOT_FOUND => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

pub(super) fn write(item: Item, secret: &SecretBytes, _: Unlocking) -> Result<(), KeyringError> {
    set_generic_password(APPLICATION, &name(item), secret.expose()).map_err(failed)
}

pub(super) fn remove(item: Item, _: Unlocking) -> Result<(), KeyringError> {
    match delete_generic_password(APPLICATION, &name(item)) {
        Err(error) if error.code() != NOT_FOUND => Err(failed(error)),
        _ => Ok(()),
    }
}

fn name(item: Item) -> String {
    format!("{} {}", item.kind.name(), item.id)
}

fn failed(error: Error) -> KeyringError {
    if LOCKED.contains(&error.code()) {
        return KeyringError::Locked;
    }
    KeyringError::Failed(error.to_string())
}
