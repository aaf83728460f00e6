//! Fields of structured items: parsing `NAME#FIELD`, finding, setting and showing fields.

use keyshell_base::names::SecretName;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::index::{Index, Secret, VersionInfo};
use keyshell_client::vault::Vault;
use keyshell_client::vault::commit::Change;
use keyshell_formats::Portable;
use keyshell_formats::item::TEXT;
use keyshell_formats::record::{self, Field, Record, field};
use rmpv::Value;
use shared::ids::Version;
use shared::secret::SecretBytes;

use crate::commands::value;
use crate::error::{Error, Result};

/// The separator between a name and a field.
pub const MARK: char = '#';
/// The metadata key of an item's list of field addresses.
const FIELDS: &str = "fields";
/// Longest list of field addresses in metadata, in bytes.
const MAX_LISTED: usize = 4096;

/// One version of a secret, or a field of that version.
#[derive(Debug)]
pub struct Place<'a, 'n> {
    /// The secret.
    pub secret: &'a Secret,
    /// The version.
    pub info: &'a VersionInfo,
    /// The field; `None` for the whole value.
    pub field: Option<&'n str>,
}

/// Splits `NAME#FIELD` into the name and the field. If a secret has the whole text as its name, there is no field.
pub fn split(
    name: &SecretName,
    exists: impl Fn(&SecretName) -> bool,
) -> (SecretName, Option<&str>) {
    let text = name.as_str();
    if !exists(name) {
        for (place, mark) in text.match_indices(MARK) {
            let (base, rest) = text.split_at(place);
            if let Ok(base) = SecretName::parse(base)
                && exists(&base)
            {
                return (base, rest.strip_prefix(mark));
            }
        }
    }
    (name.clone(), None)
}

/// The given version of the secret that NAME or NAME#FIELD refers to, or the newest.
///
/// # Errors
/// [`Error::no_such_secret`] with a similar name; [`Error::no_such_version`].
pub fn find<'a, 'n>(
    index: &'a Index,
    name: &'n SecretName,
    version: Option<Version>,
) -> Result<Place<'a, 'n>> {
    let (base, field) = split(name, |name| index.find(name).is_some());
    let (secret, info) = value::find_version(index, &base, version)?;
    Ok(Place {
        secret,
        info,
        field,
    })
}

/// The versions that several names refer to.
///
/// # Errors
/// The names that refer to no existing version.
pub fn find_all<'a, 'n>(
    index: &'a Index,
    names: &'n [SecretName],
    version: Option<Version>,
) -> Result<Vec<Place<'a, 'n>>, Vec<SecretName>> {
    let mut missing = Vec::new();
    let mut found = Vec::new();
    for name in names {
        match find(index, name, version) {
            Ok(place) => found.push(place),
            Err(_) => missing.push(name.clone()),
        }
    }
    if missing.is_empty() {
        Ok(found)
    } else {
        Err(missing)
    }
}

/// The content of a field of a value; the whole value if `field` is `None`.
///
/// # Errors
/// [`Error::NoSuchField`] with the fields that exist.
pub fn take(name: &str, value: SecretBytes, field: Option<&str>) -> Result<SecretBytes> {
    let Some(field) = field else {
        return Ok(value);
    };
    let missing =
        |there: &str| Error::NoSuchField(name.to_owned(), field.to_owned(), there.to_owned());
    let record = Record::decode(value.expose())
        .map_err(|_| missing("the secret is not an item with fields"))?;
    match record.at(field) {
        Some(field) => Ok(SecretBytes::from(field.value.as_bytes())),
        None => Err(missing(&format!(
            "it has {}",
            record.addresses().join(", ")
        ))),
    }
}

/// The secret with its value reduced to a field, as [`take`] does.
///
/// # Errors
/// As [`take`].
pub fn select(secret: Portable, field: Option<&str>) -> Result<Portable> {
    let Some(field) = field else {
        return Ok(secret);
    };
    let name = secret.name.clone().unwrap_or_default();
    Ok(Portable {
        name: Some(format!("{name}{MARK}{field}")),
        value: take(&name, secret.value, Some(field))?,
        content_type: Some(TEXT.into()),
        ..secret
    })
}

/// The item that a secret contains, if its content type is that of items.
pub fn record(secret: &Portable) -> Option<Record> {
    let is_record = secret.content_type.as_deref() == Some(record::CONTENT_TYPE);
    is_record.then(|| Record::decode(secret.value.expose()).ok())?
}

/// Whether a secret is a structured item.
pub fn is_item(metadata: &Metadata) -> bool {
    metadata.content_type.as_deref() == Some(record::CONTENT_TYPE)
}

/// Whether the secret or the field of this name exists.
pub fn is_taken(index: &Index, name: &SecretName) -> bool {
    match find(index, name, None) {
        Ok(Place { field: None, .. }) => true,
        Ok(Place { secret, field, .. }) => noted(&secret.metadata)
            .iter()
            .any(|known| Some(*known) == field),
        Err(_) => false,
    }
}

/// Sets a field of an item by writing a new version. Returns the version.
///
/// # Errors
/// [`Error::exists`] if the field exists and `force` is not set, or if another device wrote a version at the same time;
/// [`Error::usage`] if the value is not UTF-8 text.
pub async fn store(
    vault: &mut Vault,
    name: &SecretName,
    field: &str,
    value: &SecretBytes,
    force: bool,
) -> Result<Version> {
    let text = std::str::from_utf8(value.expose())
        .map_err(|_| Error::usage("the value is not UTF-8 text, and a field holds only text"))?;
    let (secret, info) = value::find_version(vault.index(), name, None)?;
    let (id, info) = (secret.id, *info);
    let before = vault.fetch_one(id, &info).await?;
    let mut record = Record::decode(before.expose())?;
    if record.at(field).is_some() && !force {
        return Err(Error::exists(format!(
            "`{name}` has a field `{field}` already; --force replaces its value in a new version"
        )));
    }
    record.set(field, text.to_owned());
    let value = record.encode();
    replace(vault, name, info.version, &value, |metadata| {
        note(metadata, &record);
    })
    .await
}

/// Stores a new version of a secret whose newest version is `known`. Returns the version.
///
/// # Errors
/// [`Error::exists`] if another device wrote a version at the same time.
pub async fn replace(
    vault: &mut Vault,
    name: &SecretName,
    known: Version,
    value: &SecretBytes,
    change: impl Fn(&mut Metadata),
) -> Result<Version> {
    vault
        .commit(|index| {
            let secret = value::find(index, name)?;
            if secret.newest().map(|newest| newest.version) != Some(known) {
                let text = format!("another device changed `{name}` at the same time; try again");
                return Err(Error::exists(text));
            }
            let mut metadata = secret.metadata.clone();
            metadata.created_ms = None;
            change(&mut metadata);
            Ok(vec![Change::Put {
                secret: secret.id,
                metadata,
                value: value.clone(),
            }])
        })
        .await?;
    Ok(known.next())
}

/// The seed for one-time codes: the field `totp` of an item, or the value itself.
pub fn seed(value: SecretBytes) -> SecretBytes {
    match Record::decode(value.expose()) {
        Ok(record) => match record.get(field::TOTP) {
            Some(seed) => SecretBytes::from(seed.as_bytes()),
            None => value,
        },
        Err(_) => value,
    }
}

/// An item as text for a terminal, one field per line.
pub fn lines(record: &Record) -> SecretBytes {
    let addresses = record.addresses();
    let width = addresses.iter().map(|own| own.chars().count()).max();
    let width = width.unwrap_or_default();
    let mut text = zeroize::Zeroizing::new(String::new());
    for (address, Field { value, .. }) in addresses.iter().zip(&record.fields) {
        let indented = value
            .trim_end()
            .replace('\n', &format!("\n{:width$}  ", ""));
        text.push_str(&zeroize::Zeroizing::new(format!(
            "{address:width$}  {indented}\n"
        )));
    }
    SecretBytes::from(text.as_bytes())
}

/// Writes the addresses of an item's fields, not their values, into metadata, for completion and `ls --long`.
pub fn note(metadata: &mut Metadata, record: &Record) {
    metadata.other.remove(FIELDS);
    let addresses = record.addresses();
    if !addresses.is_empty() && addresses.iter().map(String::len).sum::<usize>() <= MAX_LISTED {
        let list = addresses.into_iter().map(Value::from).collect();
        metadata.other.insert(FIELDS.into(), Value::Array(list));
    }
}

/// The field addresses that [`note`] wrote.
pub fn noted(metadata: &Metadata) -> Vec<&str> {
    let list = metadata.other.get(FIELDS).and_then(Value::as_array);
    let list = list.into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn split_among(names: &[&str], typed: &str) -> (String, Option<String>) {
        let typed = SecretName::parse(typed).unwrap();
        let (base, field) = split(&typed, |name| names.contains(&name.as_str()));
        (base.to_string(), field.map(str::to_owned))
    }

    #[test]
    fn a_field_follows_the_name_of_a_secret() {
        let found = |base: &str, field: &str| (base.to_owned(), Some(field.to_owned()));
        assert_eq!(split_among(&["a"], "a#b"), found("a", "b"));
        assert_eq!(split_among(&["a"], "a#b#c"), found("a", "b#c"));
        assert_eq!(split_among(&["a#b"], "a#b#c"), found("a#b", "c"));
        assert_eq!(split_among(&["a", "a#b"], "a#b"), ("a#b".into(), None));
        assert_eq!(split_among(&[], "a#b"), ("a#b".into(), None));
    }

    #[test]
    fn the_error_for_a_missing_field_lists_the_existing_ones() {
        let mut record = Record::new("login");
        record.push(field::USERNAME, "anna");
        record.push(field::PASSWORD, "x");
        let value = record.encode();
        let taken = take("site", value.clone(), Some("username")).unwrap();
        assert_eq!(taken.expose(), b"anna");
        let error = take("site", value, Some("pin")).unwrap_err().to_string();
        assert!(error.contains("username, password"), "{error}");
        let plain = SecretBytes::from(b"x".as_slice());
        assert!(take("site", plain, Some("pin")).is_err());
    }

    #[test]
    fn an_item_is_shown_with_one_field_per_line() {
        let mut record = Record::new("login");
        record.push(field::USERNAME, "anna");
        record.push(field::URL, "a\nb");
        let lines = lines(&record);
        assert_eq!(
            lines.expose(),
            b"username  anna\nurl       a\n          b\n"
        );
    }
}
