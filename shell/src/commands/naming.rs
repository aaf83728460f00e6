//! Resolves the names of secrets as they are typed: whole, or abbreviated in the REPL.

use keyshell_base::names::SecretName;
use keyshell_client::vault::Vault;

use crate::commands::field;
use crate::commands::value::name;
use crate::error::Result;
use crate::shell::Shell;

/// Resolves the name of an existing secret on the server. In the REPL it may be abbreviated; a notice then shows the
/// full name.
///
/// # Errors
/// [`Error::usage`](crate::error::Error::usage) for an invalid name or an ambiguous abbreviation; those of opening the vault.
pub async fn existing(shell: &mut Shell, text: &str) -> Result<SecretName> {
    let typed = name(text)?;
    if shell.context.abbreviations.is_none() {
        return Ok(typed);
    }
    let is_there = |vault: &Vault| {
        let exists = |name: &SecretName| vault.index().find(name).is_some();
        exists(&typed) || field::split(&typed, exists).1.is_some()
    };
    if shell.account.open_vault().is_some_and(is_there) || is_there(shell.account.vault().await?) {
        return Ok(typed);
    }
    if let Some((base, field)) = text.split_once(field::MARK)
        && let Ok(base) = name(base)
    {
        let base = resolved(shell, base, shell.account.secret_names())?;
        return name(&format!("{base}{}{field}", field::MARK));
    }
    resolved(shell, typed.clone(), shell.account.secret_names())
}

/// Resolves the name of an existing secret in the local store, like [`existing`].
///
/// # Errors
/// [`Error::usage`](crate::error::Error::usage) for an invalid name or an ambiguous abbreviation; those of opening the store.
pub fn existing_local(shell: &mut Shell, text: &str) -> Result<SecretName> {
    let typed = name(text)?;
    if shell.context.abbreviations.is_none()
        || shell.account.local_store()?.get(typed.as_str()).is_some()
    {
        return Ok(typed);
    }
    resolved(shell, typed, shell.account.device.local_names().into_iter())
}

fn resolved<'a>(
    shell: &'a Shell,
    typed: SecretName,
    names: impl Iterator<Item = &'a str>,
) -> Result<SecretName> {
    let known = shell.context.abbreviations.as_ref();
    let found = known.map_or(Ok(None), |known| known.resolve(typed.as_str(), names))?;
    let Some(found) = found else {
        return Ok(typed);
    };
    shell.context.out.note(&format!("{typed} is {found}"));
    name(found)
}
