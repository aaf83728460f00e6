//! From what a file has to what the vault takes: names that are names, sizes that fit, attachments as secrets of their own.

use rmpv::Value;
use sha2::{Digest as _, Sha256};
use shared::ids::Digest;
use shared::secret::SecretBytes;
use shared::wire::limits::MAX_VALUE_LEN;
use unicode_normalization::UnicodeNormalization as _;

use super::mark;
use crate::commands::field;
use crate::formats::FormatError;
use crate::formats::item::{Attachment, Item, Loss};
use crate::vault::metadata::{MAX_TAGS, Metadata};
use crate::vault::names::SecretName;

/// The key in the metadata of an item that others hang on.
pub const UID: &str = "uid";
/// The key in the metadata of a file that hangs on an item: its map has `of` and `name`.
pub const ATTACHMENT: &str = "attachment";
/// What an item is called that has no name.
const UNNAMED: &str = "unnamed";

/// One secret on its way in.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Its metadata.
    pub metadata: Metadata,
    /// Its versions, oldest first; never empty.
    pub versions: Vec<(Option<u64>, SecretBytes)>,
    /// SHA-256 of all of it.
    pub digest: Digest,
}

/// What an item comes to: itself and its attachments, and what of it has no place.
///
/// # Errors
/// [`FormatError`] for what nobody writes in good faith: control characters or `..` in names, metadata that no device
/// could read.
pub fn prepare(item: Item) -> Result<(Vec<Prepared>, Vec<Loss>), FormatError> {
    let (name, shortened) = fitted(&item.name)?;
    let record = item.as_record();
    let shown = name.to_string();
    let mut losses: Vec<Loss> = Vec::new();
    let mut lose = |what: String| losses.push(Loss::new(shown.clone(), what));
    item.losses.into_iter().for_each(&mut lose);
    if shortened {
        lose("its name is shortened to 255 bytes".into());
    }
    let mut metadata = Metadata::named(name);
    let (tags, excess) = fitting_tags(item.tags);
    if excess > 0 {
        lose(format!("{excess} tags: too many or too long"));
    }
    metadata.set_tags(tags);
    metadata.note = item.note;
    metadata.content_type = item.content_type;
    metadata.other = item.kept;
    metadata.other.remove(mark::KEY);
    if let Some(record) = &record {
        field::note(&mut metadata, record);
    }
    let mut versions = Vec::with_capacity(item.versions.len());
    for version in item.versions {
        if version.value.len() > MAX_VALUE_LEN {
            let len = version.value.len();
            lose(format!("a value of {len} bytes: the most is 1 MiB"));
        } else {
            versions.push((version.created_ms, version.value));
        }
    }
    let mut files = Vec::new();
    for attachment in item.attachments {
        if attachment.content.len() > MAX_VALUE_LEN {
            let Attachment { name, content } = attachment;
            let len = content.len();
            lose(format!(
                "attachment `{name}` of {len} bytes: the most is 1 MiB"
            ));
        } else {
            files.push(attachment);
        }
    }
    if versions.is_empty() {
        return Ok((Vec::new(), losses));
    }
    let mut prepared = vec![finished(metadata, versions)?];
    if !files.is_empty() {
        hang(&mut prepared, files, &mut losses)?;
    }
    Ok((prepared, losses))
}

/// Attachments are secrets beside their item, which they name by its uid.
fn hang(
    prepared: &mut Vec<Prepared>,
    files: Vec<Attachment>,
    losses: &mut Vec<Loss>,
) -> Result<(), FormatError> {
    let Some(item) = prepared.first_mut() else {
        return Ok(());
    };
    let known = item.metadata.other.get(UID).and_then(Value::as_str);
    let uid = known.map_or_else(
        || data_encoding::HEXLOWER.encode(item.digest.as_bytes().split_at(16).0),
        str::to_owned,
    );
    item.metadata.other.insert(UID.into(), uid.as_str().into());
    let folder = item.metadata.name.to_string();
    for file in files {
        let component = file.name.replace('/', "_");
        let (name, shortened) = fitted(&format!("{folder}/{component}"))?;
        if shortened {
            losses.push(Loss::new(
                name.to_string(),
                "its name is shortened to 255 bytes",
            ));
        }
        let mut metadata = Metadata::named(name);
        let link = vec![
            ("of".into(), uid.as_str().into()),
            ("name".into(), file.name.into()),
        ];
        metadata.other.insert(ATTACHMENT.into(), Value::Map(link));
        prepared.push(finished(metadata, vec![(None, file.content)])?);
    }
    Ok(())
}

fn finished(
    metadata: Metadata,
    versions: Vec<(Option<u64>, SecretBytes)>,
) -> Result<Prepared, FormatError> {
    // What could not be read back must not come into the log; before anything of the file is written.
    let encoded = metadata
        .encode()
        .map_err(|error| FormatError::new(format!("`{}`: {error}", metadata.name)))?;
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(encoded.expose());
    for (created, value) in &versions {
        part(&created.unwrap_or_default().to_be_bytes());
        part(value.expose());
    }
    Ok(Prepared {
        digest: Digest::new(hash.finalize().into()),
        metadata,
        versions,
    })
}

fn fitting_tags(mut tags: Vec<String>) -> (Vec<String>, usize) {
    let all = tags.len();
    tags.retain(|tag| tag.len() <= SecretName::MAX_LEN);
    tags.truncate(MAX_TAGS);
    let excess = all - tags.len();
    (tags, excess)
}

/// A name that the vault takes, and whether it had to be shortened.
fn fitted(name: &str) -> Result<(SecretName, bool), FormatError> {
    let shown = || name.escape_debug().to_string();
    if name.chars().any(char::is_control) {
        let text = format!("`{}` has control characters in its name", shown());
        return Err(FormatError::new(text));
    }
    let composed: String = name.nfc().collect();
    let components = composed.split('/').map(str::trim);
    let components: Vec<_> = components.filter(|part| !part.is_empty()).collect();
    if components.iter().any(|part| matches!(*part, "." | "..")) {
        let text = format!("`{}` has `.` or `..` for a folder in its name", shown());
        return Err(FormatError::new(text));
    }
    let whole = match components.join("/") {
        empty if empty.is_empty() => UNNAMED.to_owned(),
        whole => whole,
    };
    let mut len = whole.len().min(SecretName::MAX_LEN);
    while !whole.is_char_boundary(len) {
        len -= 1;
    }
    let (short, rest) = whole.split_at(len);
    let name = SecretName::parse(short.trim_end_matches(|c: char| c == '/' || c.is_whitespace()));
    let name = name.map_err(|error| FormatError::new(format!("`{}`: {error}", shown())))?;
    Ok((name, !rest.is_empty()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<(String, bool), FormatError> {
        fitted(text).map(|(name, shortened)| (name.to_string(), shortened))
    }

    #[test]
    fn names_are_made_to_fit() {
        assert_eq!(
            name(" Work // mail / ").unwrap(),
            ("Work/mail".into(), false)
        );
        assert_eq!(name("").unwrap(), ("unnamed".into(), false));
        assert_eq!(name("cafe\u{301}").unwrap(), ("café".into(), false));
        let (short, shortened) = name(&"é".repeat(200)).unwrap();
        assert_eq!((short, shortened), ("é".repeat(127), true));
    }

    #[test]
    fn names_of_bad_faith_are_refused() {
        for bad in ["../x", "a/../b", "a\u{1b}[2J", "a\nb", "./x"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn attachments_are_secrets_that_know_their_item() {
        let mut item = Item::text("site", "x", Some(7));
        item.attachments.push(Attachment {
            name: "key/file.bin".into(),
            content: SecretBytes::from([1, 2].as_slice()),
        });
        let (prepared, losses) = prepare(item.clone()).unwrap();
        assert!(losses.is_empty());
        let names: Vec<_> = prepared
            .iter()
            .map(|new| new.metadata.name.as_str())
            .collect();
        assert_eq!(names, ["site", "site/key_file.bin"]);
        let uid = prepared[0]
            .metadata
            .other
            .get(UID)
            .unwrap()
            .as_str()
            .unwrap();
        let link = prepared[1].metadata.other.get(ATTACHMENT).unwrap();
        assert_eq!(link["of"].as_str(), Some(uid));
        assert_eq!(link["name"].as_str(), Some("key/file.bin"));
        assert_eq!(prepare(item).unwrap().0[0].digest, prepared[0].digest);
    }

    #[test]
    fn what_is_too_long_is_listed() {
        let long = SecretBytes::new(vec![0; MAX_VALUE_LEN + 1]);
        let (prepared, losses) = prepare(Item::plain("big", long.clone(), None)).unwrap();
        assert!(prepared.is_empty());
        assert_eq!(losses.len(), 1);
        let mut item = Item::text("site", "x", None);
        item.attachments.push(Attachment {
            name: "film".into(),
            content: long,
        });
        let (prepared, losses) = prepare(item).unwrap();
        assert_eq!((prepared.len(), losses.len()), (1, 1));
        assert!(losses[0].to_string().contains("film"));
    }
}
