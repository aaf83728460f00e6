//! Checks of this device's items in the desktop's keyring; a locked keyring is not unlocked.

use keyshell_client::device::keyring::{self, Item, KeyringError};

use super::Check;
use crate::context::Context;
use crate::shell::Shell;

/// Advice for a missing or unreachable secret of the local store.
const STORE: &str = "the local store opens only while the server can be reached; `keyring on` then stores a new secret";
/// Advice for a missing or unreachable device key.
const KEY: &str = "run `login --with-key` and type the key from the recovery sheet";

/// Checks of the local store's secret and of the device key.
pub(super) fn checks(shell: &mut Shell) -> Vec<Check> {
    let Some(account) = shell.known_account().ok().flatten() else {
        return vec![unused(&shell.context)];
    };
    let mut checks = vec![match shell.account.device.store_item(&account) {
        Ok(Some(item)) => kept("keyring", "the local store's secret", STORE, item),
        Ok(None) => unused(&shell.context),
        Err(error) => Check::fail("keyring", error.to_string()),
    }];
    match shell.account.device.key_item(&account) {
        Ok(Some(item)) => checks.push(kept("device key", "the device key", KEY, item)),
        Ok(None) => {}
        Err(error) => checks.push(Check::fail("device key", error.to_string())),
    }
    checks
}

fn unused(context: &Context) -> Check {
    let text = match (keyring::look(), context.profile.get().keyring) {
        (Err(KeyringError::Absent(_)), _) => "no keyring; the local store does not need one",
        (Err(error), _) => {
            return Check::warn(
                "keyring",
                format!("{error}; the local store does not need it"),
            );
        }
        (Ok(()), Some(false)) => {
            "present, and switched off for the local store; `keyring on` uses it"
        }
        (Ok(()), Some(true)) => "present; the next `login` stores the local store's secret in it",
        (Ok(()), None) => "present, and not used; `keyring on` protects the local store with it",
    };
    Check::ok("keyring", text)
}

fn kept(name: &'static str, what: &str, next: &str, item: Item) -> Check {
    match keyring::has(item) {
        Ok(true) => Check::ok(name, format!("the keyring holds {what}")),
        Ok(false) => Check::fail(
            name,
            format!("{what} is not in the keyring any more: {next}"),
        ),
        Err(error) => Check::warn(name, format!("{error}; it holds {what}: {next}")),
    }
}
