//! Names and values, as several commands use them.

use std::path::Path;

use keyshell_base::files;
use keyshell_base::names::SecretName;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::index::{Index, Secret, VersionInfo};
use keyshell_formats::{FolderFile, Portable};
use serde::{Serialize, Serializer};
use shared::ids::Version;
use shared::secret::SecretBytes;
use shared::wire::limits::MAX_VALUE_LEN;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// The file name that stands for standard output.
const PIPE: &str = "-";
use crate::abbreviations;

/// Longest value, in bytes.
pub const MAX_VALUE: u64 = MAX_VALUE_LEN as u64;

/// Parses the name of a secret.
///
/// # Errors
/// [`Error::usage`].
pub fn name(text: &str) -> Result<SecretName> {
    SecretName::parse(text).map_err(|error| Error::usage(format!("`{text}`: {error}")))
}

/// The secret with this name.
///
/// # Errors
/// [`Error::no_such_secret`].
pub fn find<'a>(index: &'a Index, name: &SecretName) -> Result<&'a Secret> {
    index.find(name).ok_or_else(|| {
        let secrets = index.secrets();
        let names = secrets.iter().map(|secret| secret.metadata.name.as_str());
        Error::no_such_secret_but(name, abbreviations::nearest(name.as_str(), names))
    })
}

/// The given version of the secret with this name, or the newest.
///
/// # Errors
/// [`Error::no_such_secret`]; [`Error::no_such_version`] with the newest version.
pub fn find_version<'a>(
    index: &'a Index,
    name: &SecretName,
    version: Option<Version>,
) -> Result<(&'a Secret, &'a VersionInfo)> {
    let secret = find(index, name)?;
    let info = secret.version(version).ok_or_else(|| {
        let newest = secret.newest().map(|info| info.version).unwrap_or_default();
        let wanted = version.unwrap_or_default();
        Error::no_such_version(format!(
            "`{name}` has no version {wanted}; the newest is {newest}, and `history` lists them"
        ))
    })?;
    Ok((secret, info))
}

/// The attributes that a value is stored with.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    /// Tags; if empty, the present tags are kept.
    pub tags: Vec<String>,
    /// Note; if `None`, the present note is kept.
    pub note: Option<String>,
    /// Media type.
    pub content_type: Option<String>,
}

/// The error for a name that exists.
pub fn exists(name: &SecretName) -> Error {
    Error::exists(format!(
        "`{name}` exists already; --force adds a new version"
    ))
}

/// A secret with its value, for output and export.
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

/// A value in JSON output: base64, and text if it is UTF-8. It is wiped after use, unlike a `serde_json::Value`.
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
/// [`Error::exists`] if the file exists; [`Error::failed`].
pub fn write_out(path: &Path, value: &[u8]) -> Result<()> {
    files::create_new(path, value).map_err(|error| not_written(path, error))
}

/// The error for a new file that could not be written.
pub fn not_written(path: &Path, error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::AlreadyExists {
        Error::exists(format!(
            "{} exists already; nothing was written; choose a new file",
            path.display()
        ))
    } else {
        Error::writing(path)(error)
    }
}

/// Writes files to a new folder of mode 0700: all or none.
///
/// # Errors
/// As [`write_out`].
pub fn write_folder(path: &Path, files: &[FolderFile]) -> Result<()> {
    keyshell_formats::create_folder(path, files).map_err(|error| {
        let is_taken = error.kind() == std::io::ErrorKind::AlreadyExists;
        if is_taken && path.symlink_metadata().is_ok() {
            return not_written(path, error);
        }
        let text = format!("writing {}: {error}; nothing was written", path.display());
        Error::failed(text)
    })
}

/// Whether this path stands for standard output.
pub fn is_pipe(path: &Path) -> bool {
    path == Path::new(PIPE)
}
