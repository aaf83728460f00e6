//! What `--local` and `--save` do.

use shared::ids::Version;
use shared::secret::SecretBytes;

use crate::commands::list::Row;
use crate::commands::value::{self, Attributes};
use crate::error::Error;
use crate::formats::Portable;
use crate::local::{LocalSecret, Origin};
use crate::shell::Shell;
use crate::time::now_ms;
use crate::vault::index::{Secret, VersionInfo};
use crate::vault::names::SecretName;

/// Keeps a value on this device only. Returns the version.
///
/// # Errors
/// [`Error::Exists`] without `force`, those of opening the store.
pub fn store(
    shell: &mut Shell,
    name: &SecretName,
    value: &SecretBytes,
    attributes: &Attributes,
    force: bool,
) -> Result<Version, Error> {
    let mut version = Version::default();
    shell.local_store()?.put_with(name.as_str(), |before| {
        if before.is_some() && !force {
            return Err(value::exists(name));
        }
        version = before
            .map(|secret| secret.version)
            .unwrap_or_default()
            .next();
        Ok(LocalSecret {
            name: name.to_string(),
            tags: attributes.tags.clone(),
            note: attributes.note.clone().unwrap_or_default(),
            content_type: attributes.content_type.clone(),
            origin: Origin::Local,
            version,
            changed_ms: now_ms(),
            value: value.clone(),
        })
    })?;
    Ok(version)
}

/// Keeps a verified copy of a version that the server holds.
///
/// # Errors
/// [`Error::Exists`] where a local secret of the same name would be lost.
pub fn save(
    shell: &mut Shell,
    secret: &Secret,
    info: &VersionInfo,
    value: &SecretBytes,
) -> Result<(), Error> {
    let name = &secret.metadata.name;
    shell.local_store()?.put_with(name.as_str(), |before| {
        if before.is_some_and(|known| known.origin == Origin::Local) {
            return Err(Error::Exists(format!(
                "`{name}` exists in the local store with a value of its own; `rm {name} --local` removes that"
            )));
        }
        Ok(LocalSecret {
            name: name.to_string(),
            tags: secret.metadata.tags.clone(),
            note: secret.metadata.note.clone(),
            content_type: secret.metadata.content_type.clone(),
            origin: Origin::Saved(secret.id, info.version),
            version: info.version,
            changed_ms: now_ms(),
            value: value.clone(),
        })
    })
}

/// Reads a secret from the local store.
///
/// # Errors
/// [`Error::NoSuchSecret`], [`Error::Usage`] for a version that is not kept here.
pub fn get(
    shell: &mut Shell,
    name: &SecretName,
    version: Option<u64>,
) -> Result<(Version, Portable), Error> {
    let store = shell.local_store()?;
    let secret = store
        .get(name.as_str())
        .ok_or_else(|| Error::NoSuchSecret(name.to_string()))?;
    if version.is_some_and(|version| version != secret.version.0) {
        let text = format!("only version {} of `{name}` is kept here", secret.version);
        return Err(Error::Usage(text));
    }
    let portable = Portable {
        name: Some(secret.name.clone()),
        tags: secret.tags.clone(),
        note: secret.note.clone(),
        content_type: secret.content_type.clone(),
        value: secret.value.clone(),
    };
    let (version, changed_ms, origin) = (secret.version, secret.changed_ms, secret.origin);
    if matches!(origin, Origin::Saved(..)) {
        let saved = crate::time::for_reader(changed_ms, true);
        shell
            .out
            .note(&format!("{name}: version {version}, saved {saved}"));
    }
    Ok((version, portable))
}

/// Removes a secret from the local store.
///
/// # Errors
/// [`Error::NoSuchSecret`].
pub fn remove(shell: &mut Shell, name: &SecretName) -> Result<(), Error> {
    if shell.local_store()?.remove(name.as_str())? {
        Ok(())
    } else {
        Err(Error::NoSuchSecret(name.to_string()))
    }
}

/// What the local store holds.
///
/// # Errors
/// Those of opening the store.
pub fn rows(shell: &mut Shell) -> Result<Vec<Row>, Error> {
    let secrets = shell.local_store()?.secrets().iter();
    Ok(secrets
        .map(|secret| Row {
            name: secret.name.clone(),
            version: secret.version.0,
            changed_ms: secret.changed_ms,
            tags: secret.tags.clone(),
            note: secret.note.clone(),
            saved: Some(matches!(secret.origin, Origin::Saved(..))),
        })
        .collect())
}
