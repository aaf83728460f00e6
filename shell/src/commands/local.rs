//! The local store: `--local`, `--save`, and copies that are used while the server cannot be reached.

use keyshell_base::names::SecretName;
use keyshell_base::time::now_ms;
use keyshell_client::device::local::{LocalSecret, Origin};
use keyshell_client::error::Error as ClientError;
use keyshell_client::index::{Secret, VersionInfo};
use keyshell_formats::Portable;
use serde::Serialize;
use shared::ids::Version;
use shared::secret::SecretBytes;

use crate::commands::row::{Here, Row};
use crate::commands::value::{self, Attributes};
use crate::commands::{field, naming};
use crate::error::{Error, Result};
use crate::line::words::argument;
use crate::server::OwnAccount;
use crate::shell::Shell;
use crate::time;

/// A secret of the local store.
#[derive(Debug)]
pub struct LocalVersion {
    /// Version; of a copy, the version on the server.
    pub version: Version,
    /// The secret with its value.
    pub secret: Portable,
    /// How it is stored here.
    pub state: StoreState,
}

/// How a secret is stored on this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StoreState {
    /// Whether it was read because the server cannot be reached.
    pub offline: bool,
    /// Whether it is a copy of a version on the server.
    pub saved: bool,
    /// Time at which it was written here, in milliseconds since 1970-01-01 UTC.
    pub saved_ms: u64,
}

/// Stores a value on this device only. Tags and note that are not given stay unchanged. Returns the version.
///
/// # Errors
/// [`Error::exists`] without `force`; those of opening the store.
pub fn store(
    account: &mut OwnAccount,
    name: &SecretName,
    value: &SecretBytes,
    attributes: &Attributes,
    force: bool,
) -> Result<Version> {
    let mut version = Version::default();
    account.local_store()?.put_with(name.as_str(), |before| {
        if before.is_some() && !force {
            return Err(value::exists(name));
        }
        version = before
            .map(|secret| secret.version)
            .unwrap_or_default()
            .next();
        let tags = before.filter(|_| attributes.tags.is_empty());
        let note = before.filter(|_| attributes.note.is_none());
        Ok(LocalSecret {
            name: name.to_string(),
            tags: tags.map_or_else(|| attributes.tags.clone(), |known| known.tags.clone()),
            note: note.map_or_else(
                || attributes.note.clone().unwrap_or_default(),
                |known| known.note.clone(),
            ),
            content_type: attributes.content_type.clone(),
            origin: Origin::Local,
            version,
            changed_ms: now_ms(),
            value: value.clone(),
        })
    })?;
    Ok(version)
}

/// A local copy of a version on the server, with the present time.
pub fn copy(secret: &Secret, info: &VersionInfo, value: SecretBytes) -> LocalSecret {
    LocalSecret {
        name: secret.metadata.name.to_string(),
        tags: secret.metadata.tags.clone(),
        note: secret.metadata.note.clone(),
        content_type: secret.metadata.content_type.clone(),
        origin: Origin::Saved(secret.id, info.version),
        version: info.version,
        changed_ms: now_ms(),
        value,
    }
}

/// Stores a verified copy of a version on the server; with `force`, it may replace a local secret.
///
/// # Errors
/// [`Error::exists`] if a local secret of the same name would be lost.
pub fn save(
    account: &mut OwnAccount,
    secret: &Secret,
    info: &VersionInfo,
    value: &SecretBytes,
    force: bool,
) -> Result<()> {
    let name = &secret.metadata.name;
    account.local_store()?.put_with(name.as_str(), |before| {
        if !force && before.is_some_and(|known| known.origin == Origin::Local) {
            let named = argument(name.as_str());
            return Err(Error::exists(format!(
                "`{name}` is a local secret, which a copy would replace; `mv --local {named} NEW` renames it, `rm --local \
                 {named}` removes it"
            )));
        }
        Ok(copy(secret, info, value.clone()))
    })
}

/// Reads a secret from the local store.
///
/// # Errors
/// [`Error::no_such_secret`]; [`Error::no_such_version`] for a version that is not in the store.
pub fn get(
    account: &mut OwnAccount,
    name: &SecretName,
    version: Option<u64>,
) -> Result<LocalVersion> {
    let store = account.local_store()?;
    let (name, field) = field::split(name, |name| store.get(name.as_str()).is_some());
    let secret = find(account, &name)?;
    if let Some(version) = version.filter(|version| *version != secret.version.0) {
        return Err(Error::no_such_version(format!(
            "this device has no version {version} of `{name}`, only version {}",
            secret.version
        )));
    }
    Ok(LocalVersion {
        version: secret.version,
        state: StoreState {
            offline: false,
            saved: matches!(secret.origin, Origin::Saved(..)),
            saved_ms: secret.changed_ms,
        },
        secret: field::select(
            Portable {
                name: Some(secret.name.clone()),
                tags: secret.tags.clone(),
                note: secret.note.clone(),
                content_type: secret.content_type.clone(),
                value: secret.value.clone(),
                lost: Vec::new(),
            },
            field,
        )?,
    })
}

/// The secret with this name in the local store.
///
/// # Errors
/// [`Error::no_such_secret`]; those of opening the store.
pub fn find<'a>(account: &'a mut OwnAccount, name: &SecretName) -> Result<&'a LocalSecret> {
    let store = account.local_store()?;
    let found = store.get(name.as_str());
    found.ok_or_else(|| Error::no_such_secret(name))
}

/// The local copy of a secret whose server cannot be reached, as `error` describes; asks for the password if the store
/// is closed.
///
/// # Errors
/// `error` if there is no copy, or no password to open the store with; [`ClientError::WrongPassword`].
pub fn fallback(
    shell: &mut Shell,
    text: &str,
    version: Option<u64>,
    error: Error,
) -> Result<LocalVersion> {
    shell.note_reached(&Err::<(), _>(error.clone()));
    let account = shell.account.name()?;
    if !shell.account.device.has_local_store(&account)? {
        return Err(error);
    }
    if !shell.account.is_local_open() && shell.context.prompt.is_interactive {
        // The error itself, with its advice, is reported if no copy is found.
        let text = "the server cannot be reached; looking in this device's local store";
        shell.context.out.note(text);
    }
    match shell.account.local_store() {
        // There is no password, but the unreachable server is the problem to report.
        Err(ClientError::Usage(_)) => return Err(error),
        opened => opened?,
    };
    let name = naming::existing_local(shell, text)?;
    let mut found = match get(&mut shell.account, &name, version) {
        Err(Error::Client(ClientError::NoSuchSecret(_) | ClientError::NoSuchVersion(_))) => {
            let text = format!("this device has no copy of `{name}`");
            return Err(match version {
                Some(version) => error.with(&format!("{text} in version {version}")),
                None => error.with(&text),
            });
        }
        found => found?,
    };
    found.state.offline = true;
    shell.context.out.detail(&error.to_string());
    let (version, saved) = (found.version, time::ago(found.state.saved_ms));
    shell.context.out.say(&if found.state.saved {
        format!(
            "{name}: version {version} as of {saved}; the server cannot be reached and may have a newer version"
        )
    } else {
        format!("{name}: only on this device; the server cannot be reached")
    });
    Ok(found)
}

/// Renames a secret of the local store.
///
/// # Errors
/// [`Error::no_such_secret`]; [`Error::exists`]; [`Error::usage`] for a copy, which is renamed on the server.
pub fn rename(account: &mut OwnAccount, old: &SecretName, new: &SecretName) -> Result<()> {
    account.local_store()?.change(|secrets| {
        if old != new && secrets.iter().any(|secret| secret.name == new.as_str()) {
            return Err(Error::exists(format!("`{new}` exists already; choose another name")));
        }
        let found = secrets
            .iter_mut()
            .find(|secret| secret.name == old.as_str());
        let secret = found.ok_or_else(|| Error::no_such_secret(old))?;
        if matches!(secret.origin, Origin::Saved(..)) {
            let (from, to) = (argument(old.as_str()), argument(new.as_str()));
            // One `--` is enough for both.
            let to = to.trim_start_matches("-- ");
            return Err(Error::usage(format!(
                "`{old}` is a copy of a secret on the server: rename that with `mv {from} {to}`, then the copy with `sync`"
            )));
        }
        secret.name = new.to_string();
        Ok(())
    })
}

/// Removes a secret from the local store.
///
/// # Errors
/// [`Error::no_such_secret`].
pub fn remove(account: &mut OwnAccount, name: &SecretName) -> Result<()> {
    if account.local_store()?.remove(name.as_str())? {
        Ok(())
    } else {
        Err(Error::no_such_secret(name))
    }
}

/// The secrets in the local store as rows of `ls`.
///
/// # Errors
/// Those of opening the store.
pub fn rows(account: &mut OwnAccount) -> Result<Vec<Row>> {
    let secrets = account.local_store()?.secrets().to_vec();
    let index = account
        .open_vault()
        .map(keyshell_client::vault::Vault::index);
    let rows = secrets.into_iter().map(|secret| Row {
        here: match secret.origin {
            Origin::Local => Here::Only,
            Origin::Saved(id, version) => index.map_or(Here::Copy(version, None), |index| {
                Here::copy(version, index.get(&id))
            }),
        },
        name: secret.name,
        version: secret.version.0,
        changed_ms: secret.changed_ms,
        tags: secret.tags,
        note: secret.note,
        fields: Vec::new(),
    });
    Ok(rows.collect())
}
