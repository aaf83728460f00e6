//! What several commands do with names and values.

use std::path::Path;

use keyshell_base::files;
use keyshell_base::names::SecretName;
use keyshell_client::account::Account;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::index::{Index, Secret, VersionInfo};
use keyshell_client::vault::Vault;
use keyshell_client::vault::commit::Change;
use keyshell_formats::{FolderFile, Portable};
use serde::{Serialize, Serializer};
use shared::ids::{SecretId, Version};
use shared::secret::SecretBytes;
use shared::wire::limits::MAX_VALUE_LEN;
use zeroize::Zeroizing;

use crate::commands::field;
use crate::error::Error;
use crate::repl::resolve;
use crate::server::NamedServer;
use crate::shell::Shell;

/// Longest value, as a limit for reading.
pub const MAX_VALUE: u64 = MAX_VALUE_LEN as u64;

/// Reads a secret's name.
///
/// # Errors
/// [`Error::Usage`].
pub fn name(text: &str) -> Result<SecretName, Error> {
    SecretName::parse(text).map_err(|error| Error::Usage(format!("`{text}`: {error}")))
}

/// Reads the name of a secret that should exist. In the REPL it may be abbreviated; then it says what it was taken for.
///
/// # Errors
/// [`Error::Usage`], also for an abbreviation of several; those of opening the vault.
pub async fn existing(shell: &mut Shell, text: &str) -> Result<SecretName, Error> {
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
        let secrets = shell
            .account
            .open_vault()
            .map(|vault| vault.index().secrets());
        let names = secrets.into_iter().flatten();
        let base = resolved(
            shell,
            base,
            names.map(|secret| secret.metadata.name.as_str()),
        )?;
        return name(&format!("{base}{}{field}", field::MARK));
    }
    let secrets = shell
        .account
        .open_vault()
        .map(|vault| vault.index().secrets());
    let secrets = secrets.into_iter().flatten();
    resolved(
        shell,
        typed.clone(),
        secrets.map(|secret| secret.metadata.name.as_str()),
    )
}

/// The same for a secret of the local store.
///
/// # Errors
/// [`Error::Usage`], and those of opening the store.
pub fn existing_local(shell: &mut Shell, text: &str) -> Result<SecretName, Error> {
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
) -> Result<SecretName, Error> {
    let known = shell.context.abbreviations.as_ref();
    let found = known.map_or(Ok(None), |known| known.resolve(typed.as_str(), names))?;
    let Some(found) = found else {
        return Ok(typed);
    };
    shell.context.out.note(&format!("{typed} is {found}"));
    name(found)
}

/// The secret of this name.
///
/// # Errors
/// [`Error::NoSuchSecret`].
pub fn find<'a>(index: &'a Index, name: &SecretName) -> Result<&'a Secret, Error> {
    index.find(name).ok_or_else(|| {
        let secrets = index.secrets();
        let names = secrets.iter().map(|secret| secret.metadata.name.as_str());
        match resolve::nearest(name.as_str(), names) {
            Some(near) => Error::NoSuchSecretBut(name.to_string(), near.to_owned()),
            None => Error::NoSuchSecret(name.to_string()),
        }
    })
}

/// A certain version of the secret of this name, the newest if none is named.
///
/// # Errors
/// [`Error::NoSuchSecret`]; [`Error::NoSuchVersion`], naming the newest one.
pub fn find_version<'a>(
    index: &'a Index,
    name: &SecretName,
    version: Option<Version>,
) -> Result<(&'a Secret, &'a VersionInfo), Error> {
    let secret = find(index, name)?;
    let info = secret.version(version).ok_or_else(|| {
        let newest = secret.newest().map(|info| info.version).unwrap_or_default();
        let wanted = version.unwrap_or_default();
        Error::NoSuchVersion(format!(
            "`{name}` has no version {wanted}; the newest is {newest}, and `history` lists them"
        ))
    })?;
    Ok((secret, info))
}

/// What a value is stored with.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    /// Tags; kept as they are where none are given.
    pub tags: Vec<String>,
    /// Note; kept as it is where none is given.
    pub note: Option<String>,
    /// Media type.
    pub content_type: Option<String>,
}

/// Stores a value on the server: a new secret, or with `force` a new version of one. Returns the version.
///
/// # Errors
/// [`Error::Exists`], and those of a commit.
pub async fn store(
    account: &mut Account<NamedServer>,
    name: &SecretName,
    value: &SecretBytes,
    attributes: &Attributes,
    force: bool,
) -> Result<Version, Error> {
    let vault = account.vault().await?;
    let is_item = |name: &SecretName| {
        let secret = vault.index().find(name);
        secret.is_some_and(|secret| field::is_item(&secret.metadata))
    };
    if vault.index().find(name).is_none()
        && let (base, Some(field)) = field::split(name, is_item)
    {
        return field::store(vault, &base, field, value, force).await;
    }
    let fresh = SecretId::random();
    vault
        .commit(|index| {
            let before = index.find(name);
            if before.is_some() && !force {
                return Err(exists(name));
            }
            let mut metadata = before.map_or_else(
                || Metadata::named(name.clone()),
                |secret| secret.metadata.clone(),
            );
            metadata.created_ms = None;
            metadata.content_type.clone_from(&attributes.content_type);
            if !attributes.tags.is_empty() {
                metadata.set_tags(attributes.tags.clone());
            }
            if let Some(note) = &attributes.note {
                metadata.note.clone_from(note);
            }
            Ok(vec![Change::Put {
                secret: before.map_or(fresh, |secret| secret.id),
                metadata,
                value: value.clone(),
            }])
        })
        .await?;
    let newest = find(vault.index(), name)?.newest();
    Ok(newest.map(|info| info.version).unwrap_or_default())
}

/// The error for a name that is taken.
pub fn exists(name: &SecretName) -> Error {
    Error::Exists(format!(
        "`{name}` exists already; --force adds a new version"
    ))
}

/// A secret on its way out.
pub fn portable(metadata: Metadata, value: SecretBytes) -> Portable {
    Portable {
        name: Some(metadata.name.into()),
        tags: metadata.tags,
        note: metadata.note,
        content_type: metadata.content_type,
        value,
        lost: Vec::new(),
    }
}

/// A value for programs: base64, and as text where it is UTF-8. Wiped after use, as a JSON tree would not be.
#[derive(Serialize)]
pub struct JsonValue<'a> {
    #[serde(serialize_with = "text")]
    base64: Zeroizing<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

fn text<S: Serializer>(text: &Zeroizing<String>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

impl<'a> From<&'a SecretBytes> for JsonValue<'a> {
    fn from(value: &'a SecretBytes) -> Self {
        Self {
            base64: Zeroizing::new(data_encoding::BASE64.encode(value.expose())),
            text: std::str::from_utf8(value.expose()).ok(),
        }
    }
}

/// Writes a value to a new file of mode 0600.
///
/// # Errors
/// [`Error::Exists`] if there is such a file, [`Error::Failed`].
pub fn write_out(path: &Path, value: &[u8]) -> Result<(), Error> {
    files::create_new(path, value).map_err(|error| not_written(path, &error))
}

/// Why a new file was not written.
pub fn not_written(path: &Path, error: &std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::AlreadyExists {
        Error::Exists(format!(
            "{} exists already; nothing was written",
            path.display()
        ))
    } else {
        Error::io(&format!("writing {}", path.display()), error)
    }
}

/// Writes files into a new folder of mode 0700: all or none.
///
/// # Errors
/// As [`write_out`].
pub fn write_folder(path: &Path, files: &[FolderFile]) -> Result<(), Error> {
    keyshell_formats::create_folder(path, files).map_err(|error| {
        let is_taken = error.kind() == std::io::ErrorKind::AlreadyExists;
        if is_taken && path.symlink_metadata().is_ok() {
            return not_written(path, &error);
        }
        let text = format!("writing {}: {error}; nothing was written", path.display());
        Error::Failed(text)
    })
}
