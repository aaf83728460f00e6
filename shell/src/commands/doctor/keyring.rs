//! What this device keeps in the desktop's keyring, which is not asked to be unlocked.

use keyshell_client::device::keyring::{self, Item, KeyringError};
use shared::names::AccountName;

use super::Check;
use crate::context::Context;
use crate::shell::Shell;

/// What to do about a secret of the local store that is gone or away.
const STORE: &str =
    "the local store opens only while the server is reached; then `keyring on` makes a new secret";
/// The same for a device key.
const KEY: &str = "`login --with-key` asks for it again; it is on the recovery sheet";

/// Checks of the local store's secret and of the device key.
pub(super) fn checks(shell: &Shell) -> Vec<Check> {
    let account = shell.context.known_account();
    let account = account.and_then(|name| AccountName::parse(&name).ok());
    let Some(account) = account else {
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
        (Err(KeyringError::Absent(_)), _) => "there is none: the local store does without",
        (Err(error), _) => {
            return Check::warn("keyring", format!("{error}; the local store does without"));
        }
        (Ok(()), Some(false)) => "there is one, which is not to be used: `keyring on` undoes that",
        (Ok(()), Some(true)) => {
            "there is one: the next `login` puts the local store's secret into it"
        }
        (Ok(()), None) => "there is one: `keyring on` protects the local store with it",
    };
    Check::ok("keyring", text)
}

fn kept(name: &'static str, what: &str, next: &str, item: Item) -> Check {
    match keyring::has(item) {
        Ok(true) => Check::ok(name, format!("the keyring holds {what}")),
        Ok(false) => Check::fail(name, format!("{what} is not there any more: {next}")),
        Err(error) => Check::warn(name, format!("{error}, which has {what}: {next}")),
    }
}
