//! Converts items of a file to secrets of the vault: valid names, sizes within the limits, attachments as own secrets.

use keyshell_base::names::SecretName;
use keyshell_client::index::metadata::{MAX_TAGS, Metadata};
use keyshell_formats::FormatError;
use keyshell_formats::item::{Attachment, Item, Loss};
use sha2::{Digest as _, Sha256};
use shared::ids::Digest;
use shared::secret::SecretBytes;
use shared::wire::limits::MAX_VALUE_LEN;
use unicode_normalization::UnicodeNormalization as _;

use super::{link, provenance};
use crate::commands::field;

/// Name of an item without a name.
const UNNAMED: &str = "unnamed";

/// One secret, ready to be written.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Its metadata.
    pub metadata: Metadata,
    /// Its versions, oldest first; never empty.
    pub versions: Vec<(Option<u64>, SecretBytes)>,
    /// SHA-256 of metadata and versions.
    pub digest: Digest,
    /// Room left in its metadata, in bytes.
    pub room: usize,
    /// The group of secrets in which attachment links are resolved.
    pub group: u64,
}

/// The kind of names in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Names of a keyshell vault, where `..` has no special meaning.
    Ours,
    /// Folders and titles of another program.
    Foreign,
}

/// The secrets for an item and its attachments, and the data that cannot be represented.
///
/// # Errors
/// [`FormatError`] for names of a keyshell vault that are invalid, and for metadata that exceed the limits.
pub fn prepare(
    item: Item,
    names: Names,
    under: Option<&SecretName>,
) -> Result<(Vec<Prepared>, Vec<Loss>), FormatError> {
    let Named { name, changed } = match names {
        Names::Ours => shortened(&item.name)?,
        Names::Foreign => fitted(&item.name)?,
    }
    .under(under)?;
    let record = item.as_record();
    let shown = name.to_string();
    let mut losses: Vec<Loss> = Vec::new();
    let mut lose = |what: String| losses.push(Loss::new(shown.clone(), what));
    item.losses.into_iter().for_each(&mut lose);
    changed.into_iter().for_each(&mut lose);
    let mut metadata = Metadata::named(name);
    let (tags, excess) = fitting_tags(item.tags);
    if excess > 0 {
        lose(format!("{excess} tags, which are too many or too long"));
    }
    metadata.set_tags(tags);
    metadata.note = item.note;
    metadata.content_type = item.content_type;
    metadata.other = item.kept;
    metadata.other.remove(provenance::KEY);
    if let Some(record) = &record {
        field::note(&mut metadata, record);
    }
    // If the newest value is too long, an older one must not become the current value.
    let too_long = |value: &SecretBytes| value.len() > MAX_VALUE_LEN;
    if let Some(newest) = item.versions.last().filter(|one| too_long(&one.value)) {
        let len = newest.value.len();
        lose(format!(
            "the whole secret, because its value of {len} bytes is longer than 1 MiB"
        ));
        for file in item.attachments {
            lose(format!(
                "attachment `{}`, because its item is left out",
                file.name
            ));
        }
        return Ok((Vec::new(), losses));
    }
    let mut versions = Vec::with_capacity(item.versions.len());
    for version in item.versions {
        if too_long(&version.value) {
            let len = version.value.len();
            lose(format!(
                "an earlier value of {len} bytes, which is longer than 1 MiB"
            ));
        } else {
            versions.push((version.created_ms, version.value));
        }
    }
    let mut files = Vec::new();
    for attachment in item.attachments {
        if too_long(&attachment.content) {
            let Attachment { name, content } = attachment;
            let len = content.len();
            lose(format!(
                "attachment `{name}` of {len} bytes, which is longer than 1 MiB"
            ));
        } else {
            files.push(attachment);
        }
    }
    let mut prepared = vec![finished(metadata, versions)?];
    if !files.is_empty() {
        hang(&mut prepared, files, &mut losses)?;
    }
    Ok((prepared, losses))
}

/// Adds the attachments as secrets of their own, linked to their item by its uid.
fn hang(
    prepared: &mut Vec<Prepared>,
    files: Vec<Attachment>,
    losses: &mut Vec<Loss>,
) -> Result<(), FormatError> {
    let Some(item) = prepared.first_mut() else {
        return Ok(());
    };
    let known = link::uid(&item.metadata.other).map(str::to_owned);
    let uid = known.unwrap_or_else(|| link::short(&item.digest));
    link::set_uid(&mut item.metadata.other, &uid);
    item.room = provenance::room(encoded(&item.metadata)?.len());
    let folder = item.metadata.name.clone();
    for file in files {
        let Named { name, changed } = hung(&folder, &file.name)?;
        losses.extend(changed.map(|what| Loss::new(name.to_string(), what)));
        let mut metadata = Metadata::named(name);
        link::hang(&mut metadata.other, &uid, &file.name);
        prepared.push(finished(metadata, vec![(None, file.content)])?);
    }
    Ok(())
}

fn finished(
    metadata: Metadata,
    versions: Vec<(Option<u64>, SecretBytes)>,
) -> Result<Prepared, FormatError> {
    let encoded = encoded(&metadata)?;
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
        room: provenance::room(encoded.len()),
        group: 0,
    })
}

/// Encodes metadata to check that they can be read back, before anything of the file is written.
fn encoded(metadata: &Metadata) -> Result<SecretBytes, FormatError> {
    let encoded = metadata.encode();
    encoded.map_err(|error| FormatError::cannot_carry(format!("`{}`: {error}", metadata.name)))
}

fn fitting_tags(mut tags: Vec<String>) -> (Vec<String>, usize) {
    let all = tags.len();
    tags.retain(|tag| tag.len() <= SecretName::MAX_LEN);
    tags.truncate(MAX_TAGS);
    let excess = all - tags.len();
    (tags, excess)
}

/// A valid name, and how it differs from the name in the file.
struct Named {
    name: SecretName,
    changed: Option<String>,
}

impl Named {
    fn under(self, folder: Option<&SecretName>) -> Result<Self, FormatError> {
        let Some(folder) = folder else {
            return Ok(self);
        };
        let whole = shortened(&format!("{folder}/{}", self.name))?;
        Ok(Self {
            changed: self.changed.or(whole.changed),
            ..whole
        })
    }
}

/// The folder of `--under`.
///
/// # Errors
/// [`FormatError`].
pub fn folder(typed: &str) -> Result<SecretName, FormatError> {
    if typed.trim().is_empty() {
        return Err(FormatError::cannot_carry(
            "the folder name is empty; leave out the option to import without a folder",
        ));
    }
    let is_odd = |part: &str| matches!(part.trim(), "." | "..");
    if typed.chars().any(char::is_control) || typed.split('/').any(is_odd) {
        return Err(FormatError::cannot_carry(format!(
            "the folder name `{}` contains control characters, `.` or `..`",
            typed.escape_debug()
        )));
    }
    fitted(typed).map(|named| named.name)
}

/// The name of an attachment under the name of its item. Its link keeps the file name unchanged.
fn hung(item: &SecretName, file: &str) -> Result<Named, FormatError> {
    fitted(&file.replace('/', "_"))?.under(Some(item))
}

/// A valid name from a name of another program: control characters become spaces, and the components `.` and `..` are
/// written with `_`. Every change is reported, except for Unicode normalisation (NFC), which is invisible.
fn fitted(name: &str) -> Result<Named, FormatError> {
    let composed: String = name.nfc().collect();
    let visible = composed.replace(char::is_control, " ");
    let components = visible.split('/').map(str::trim);
    let components = components.filter(|part| !part.is_empty());
    let components: Vec<_> = components
        .map(|part| match part {
            "." | ".." => part.replace('.', "_"),
            part => part.to_owned(),
        })
        .collect();
    let whole = match components.join("/") {
        empty if empty.is_empty() => UNNAMED.to_owned(),
        whole => whole,
    };
    let fitted = shortened(&whole)?;
    let shown = name.escape_debug();
    let renamed =
        (whole != composed).then(|| format!("renamed: the name in the file is `{shown}`"));
    Ok(Named {
        changed: fitted.changed.or(renamed),
        ..fitted
    })
}

/// The name in Unicode NFC, shortened to the longest valid length.
fn shortened(name: &str) -> Result<Named, FormatError> {
    let composed: String = name.nfc().collect();
    let len = composed.floor_char_boundary(SecretName::MAX_LEN);
    let (mut short, rest) = composed.split_at(len);
    if !rest.is_empty() {
        short = short.trim_end_matches(|c: char| c == '/' || c.is_whitespace());
    }
    let name = SecretName::parse(short).map_err(|error| {
        FormatError::cannot_carry(format!("`{}`: {error}", name.escape_debug()))
    })?;
    let changed = (!rest.is_empty()).then(|| "renamed: shortened to 255 bytes".to_owned());
    Ok(Named { name, changed })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use keyshell_formats::item::ItemVersion;

    use super::*;

    fn name(text: &str) -> Result<(String, Option<String>), FormatError> {
        fitted(text).map(|named| (named.name.to_string(), named.changed))
    }

    #[test]
    fn foreign_names_are_adapted() {
        for (theirs, ours) in [
            (" Work // mail / ", "Work/mail"),
            ("/etc/x", "etc/x"),
            ("", "unnamed"),
        ] {
            let (fitted, changed) = name(theirs).unwrap();
            assert_eq!(fitted, ours);
            assert!(changed.unwrap().contains(&format!("`{theirs}`")));
        }
        assert_eq!(name("Work/mail").unwrap(), ("Work/mail".into(), None));
        assert_eq!(name("cafe\u{301}").unwrap(), ("café".into(), None));
        let (short, changed) = name(&"é".repeat(200)).unwrap();
        assert_eq!(short, "é".repeat(127));
        assert!(changed.unwrap().contains("shortened"));
    }

    #[test]
    fn odd_names_are_changed_and_listed() {
        for (theirs, ours) in [
            ("../x", "__/x"),
            ("a/../b", "a/__/b"),
            ("./x", "_/x"),
            (".", "_"),
            ("..", "__"),
            ("a\u{1b}[2J", "a [2J"),
            ("a\nb", "a b"),
            ("ends\r\n", "ends"),
            ("tab\there", "tab here"),
            ("\0", "unnamed"),
            ("a/\u{85}/b", "a/b"),
        ] {
            let (fitted, changed) = name(theirs).unwrap();
            assert_eq!(fitted, ours);
            let shown = theirs.escape_debug().to_string();
            assert!(changed.unwrap().contains(&shown), "{theirs:?}");
        }
        for bad in ["../x", "a\tb", "a/./b", " "] {
            assert!(folder(bad).is_err(), "{bad:?}");
        }
        // A name of ours was checked when it was given.
        for bad in ["a\u{1b}[2J", "", " a"] {
            assert!(shortened(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn odd_names_of_attachments_are_changed_and_listed() {
        for (theirs, ours) in [("a\tb", "site/a b"), ("..", "site/__"), (" x ", "site/x")] {
            let mut item = Item::text("site", "x", None);
            item.attachments.push(Attachment {
                name: theirs.into(),
                content: SecretBytes::from([1].as_slice()),
            });
            let (prepared, losses) = prepare(item, Names::Foreign, None).unwrap();
            assert_eq!(prepared[1].metadata.name.as_str(), ours);
            let (_, file) = link::hangs_on(&prepared[1].metadata.other).unwrap();
            assert_eq!(file, theirs);
            assert_eq!(losses.len(), 1, "{losses:?}");
        }
    }

    #[test]
    fn keyshell_names_are_unchanged() {
        for own in ["../shared/db", "./x", "a//b", "/etc/x", "x/", ".."] {
            let named = shortened(own).unwrap();
            assert_eq!((named.name.as_str(), named.changed), (own, None));
        }
        let long = shortened(&"x/".repeat(200)).unwrap();
        assert_eq!(long.name.as_str().len(), 255);
        assert!(long.changed.unwrap().contains("shortened"));
    }

    #[test]
    fn attachments_become_secrets_linked_to_their_item() {
        let mut item = Item::text("site", "x", Some(7));
        item.attachments.push(Attachment {
            name: "key/file.bin".into(),
            content: SecretBytes::from([1, 2].as_slice()),
        });
        let (prepared, losses) = prepare(item.clone(), Names::Foreign, None).unwrap();
        assert!(losses.is_empty());
        let names: Vec<_> = prepared
            .iter()
            .map(|new| new.metadata.name.as_str())
            .collect();
        assert_eq!(names, ["site", "site/key_file.bin"]);
        let uid = link::uid(&prepared[0].metadata.other).unwrap();
        let link = link::hangs_on(&prepared[1].metadata.other).unwrap();
        assert_eq!(link, (uid, "key/file.bin"));
        assert_eq!(
            prepare(item, Names::Foreign, None).unwrap().0[0].digest,
            prepared[0].digest
        );
    }

    #[test]
    fn values_that_are_too_long_are_listed() {
        let long = SecretBytes::new(vec![0; MAX_VALUE_LEN + 1]);
        let (prepared, losses) =
            prepare(Item::plain("big", long.clone(), None), Names::Foreign, None).unwrap();
        assert!(prepared.is_empty());
        assert_eq!(losses.len(), 1);
        // Neither does an old value become the current one, nor does a file go without a word.
        let mut item = Item::text("site", "old", None);
        item.versions.push(ItemVersion {
            created_ms: None,
            value: long.clone(),
        });
        item.attachments.push(Attachment {
            name: "film".into(),
            content: SecretBytes::from([1].as_slice()),
        });
        let (prepared, losses) = prepare(item.clone(), Names::Foreign, None).unwrap();
        assert!(prepared.is_empty());
        let losses: Vec<_> = losses.iter().map(ToString::to_string).collect();
        assert!(losses[0].contains("the whole secret") && losses[1].contains("film"));
        item.versions.reverse();
        let (prepared, losses) = prepare(item, Names::Foreign, None).unwrap();
        assert_eq!(prepared[0].versions.len(), 1);
        assert_eq!((prepared.len(), losses.len()), (2, 1));
        let mut item = Item::text("site", "x", None);
        item.attachments.push(Attachment {
            name: "film".into(),
            content: long,
        });
        let (prepared, losses) = prepare(item, Names::Foreign, None).unwrap();
        assert_eq!((prepared.len(), losses.len()), (1, 1));
        assert!(losses[0].to_string().contains("film"));
    }
}
