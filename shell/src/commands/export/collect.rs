//! Fetches the secrets of an export in batches.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use keyshell_base::time::now_ms;
use keyshell_client::frontend::Progress as _;
use keyshell_client::index::Secret;
use keyshell_client::vault::Vault;
use keyshell_formats::item::{Attachment, Item, ItemVersion};
use keyshell_formats::native::{
    Base64Value, SecretDocument, VaultWriter, VersionDocument, encode_field,
};
use shared::secret::SecretBytes;

use crate::commands::import::{link, provenance};
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Values per request, each at most 1 MiB.
const AT_ONCE: usize = 16;

/// Number of secrets and number of versions.
type Counts = (usize, usize);

/// Fetches all secrets with all their versions, oldest first, in batches. Returns the names of the secrets that another
/// device removed during the export.
async fn each(
    vault: &mut Vault,
    mut sink: impl FnMut(Secret, Vec<SecretBytes>) -> Result<()>,
) -> Result<Vec<String>> {
    let secrets: Vec<Secret> = vault.index().secrets().into_iter().cloned().collect();
    let (mut done, total) = (0, secrets.len() as u64);
    let mut progress = Progress::new("exporting", total);
    let mut secrets = secrets.into_iter().peekable();
    let mut removed = Vec::new();
    while secrets.peek().is_some() {
        let (mut batch, mut wanted) = (Vec::new(), Vec::new());
        while let Some(secret) = secrets.next_if(|_| wanted.len() < AT_ONCE) {
            wanted.extend(secret.versions.iter().map(|info| (secret.id, *info)));
            batch.push(secret);
        }
        let mut values = vault.fetch(&wanted).await?.into_iter();
        done += batch.len() as u64;
        progress.reach(done, total);
        for secret in batch {
            // Takes the values of this secret even if one is missing, so that the next values belong to the next
            // secret.
            let own: Vec<_> = values.by_ref().take(secret.versions.len()).collect();
            match own.into_iter().collect() {
                Some(own) => sink(secret, own)?,
                None => removed.push(secret.metadata.name.to_string()),
            }
        }
    }
    Ok(removed)
}

/// Writes all secrets in keyshell's own format; also returns the names of secrets removed during the export.
///
/// # Errors
/// Those of fetching; those of writing, converted by `failed`.
pub async fn write<W: Write>(
    vault: &mut Vault,
    out: W,
    failed: &impl Fn(io::Error) -> Error,
) -> Result<(W, Counts, Vec<String>)> {
    let mut writer = VaultWriter::begin(out, now_ms()).map_err(failed)?;
    let mut counts = (0, 0);
    let removed = each(vault, |secret, values| {
        counts = (counts.0 + 1, counts.1 + values.len());
        writer.secret(&document(secret, values)?).map_err(failed)
    });
    let removed = removed.await?;
    Ok((writer.finish().map_err(failed)?, counts, removed))
}

fn document(secret: Secret, values: Vec<SecretBytes>) -> Result<SecretDocument> {
    let mut fields = BTreeMap::new();
    for (key, value) in &secret.metadata.other {
        // The provenance of an import refers to this vault and has no meaning in another.
        if key == provenance::KEY {
            continue;
        }
        let encoded = encode_field(value).map_err(Error::failed)?;
        fields.insert(key.clone(), encoded);
    }
    let versions = secret.versions.iter().zip(values);
    let versions = versions.map(|(info, value)| VersionDocument {
        version: info.version.0,
        created_ms: info.created_ms,
        value: Base64Value(value),
    });
    Ok(SecretDocument {
        versions: versions.collect(),
        name: secret.metadata.name.to_string(),
        tags: secret.metadata.tags,
        note: secret.metadata.note,
        content_type: secret.metadata.content_type,
        fields,
    })
}

/// All secrets as items with their attachments; also returns the names of secrets removed during the export.
///
/// # Errors
/// Those of fetching.
pub async fn items(vault: &mut Vault) -> Result<(Vec<Item>, Vec<String>)> {
    let mut items = Vec::new();
    let removed = each(vault, |secret, values| {
        items.push(item(secret, values));
        Ok(())
    });
    let removed = removed.await?;
    Ok((gathered(items), removed))
}

fn item(secret: Secret, values: Vec<SecretBytes>) -> Item {
    let versions = secret.versions.iter().zip(values);
    let versions = versions.map(|(info, value)| ItemVersion {
        created_ms: Some(info.created_ms),
        value,
    });
    let mut kept = secret.metadata.other;
    kept.remove(provenance::KEY);
    Item {
        versions: versions.collect(),
        name: secret.metadata.name.to_string(),
        tags: secret.metadata.tags,
        note: secret.metadata.note,
        content_type: secret.metadata.content_type,
        kept,
        ..Item::default()
    }
}

/// Moves attachments into the items that they belong to. An attachment without an item, or with more data than a file
/// can represent, stays an item of its own.
fn gathered(items: Vec<Item>) -> Vec<Item> {
    // A uid that two items share is ambiguous; and moving an attachment that has attachments itself would lose those.
    let mut bears: HashMap<String, bool> = HashMap::new();
    for item in &items {
        if let Some(uid) = link::uid(&item.kept) {
            let alone = bears
                .entry(uid.to_owned())
                .and_modify(|bears| *bears = false);
            alone.or_insert_with(|| link::hangs_on(&item.kept).is_none());
        }
    }
    let mut hanging: HashMap<String, Vec<Attachment>> = HashMap::new();
    let mut others = Vec::with_capacity(items.len());
    for item in items {
        match attachment(&item).filter(|(of, _)| bears.get(of) == Some(&true)) {
            Some((of, file)) => hanging.entry(of).or_default().push(file),
            None => others.push(item),
        }
    }
    for item in &mut others {
        if let Some(files) = link::uid(&item.kept).and_then(|uid| hanging.remove(uid)) {
            item.attachments = files;
        }
    }
    others
}

/// The attachment that a secret represents and the uid of its item; `None` if the secret has other data too.
fn attachment(item: &Item) -> Option<(String, Attachment)> {
    let (of, name) = link::hangs_on(&item.kept)?;
    let content = &item.newest()?.value;
    let is_plain = item.tags.is_empty()
        && item.note.is_empty()
        && item.content_type.is_none()
        && item.kept.len() == 1
        && item.versions.iter().all(|one| one.value == *content);
    let file = Attachment {
        name: name.to_owned(),
        content: content.clone(),
    };
    is_plain.then(|| (of.to_owned(), file))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::commands::import::prepare::{Names, prepare};

    fn with_file(name: &str) -> Item {
        let mut item = Item::text(name, "x", None);
        item.attachments.push(Attachment {
            name: "a/b".into(),
            content: SecretBytes::from([7].as_slice()),
        });
        item
    }

    /// As it is in the vault: item and file.
    fn stored(item: Item) -> Vec<Item> {
        let (prepared, losses) = prepare(item, Names::Foreign, None).unwrap();
        assert!(losses.is_empty());
        let items = prepared.into_iter().map(|new| Item {
            name: new.metadata.name.to_string(),
            kept: new.metadata.other,
            versions: new
                .versions
                .into_iter()
                .map(|(created_ms, value)| ItemVersion { created_ms, value })
                .collect(),
            ..Item::default()
        });
        items.collect()
    }

    fn names(items: &[Item]) -> Vec<(&str, usize)> {
        let items = items.iter();
        let names = items.map(|item| (item.name.as_str(), item.attachments.len()));
        names.collect()
    }

    #[test]
    fn attachments_come_back_to_their_items() {
        let again = gathered(stored(with_file("site")));
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].attachments, with_file("site").attachments);
    }

    #[test]
    fn attachments_with_more_to_them_are_items() {
        let changes: [fn(&mut Item); 5] = [
            |file| file.tags.push("t".into()),
            |file| file.note.push('n'),
            |file| file.content_type = Some("image/png".into()),
            |file| link::set_uid(&mut file.kept, "own"),
            |file| {
                let value = SecretBytes::from([8].as_slice());
                let version = file.versions[0].clone();
                file.versions.push(ItemVersion { value, ..version });
            },
        ];
        for change in changes {
            let mut items = stored(with_file("site"));
            change(&mut items[1]);
            let other = items[1].clone();
            let again = gathered(items);
            assert_eq!(names(&again), [("site", 0), ("site/a_b", 0)]);
            assert_eq!(again[1], other);
        }
        // The same value again is nothing that a file could not have.
        let mut items = stored(with_file("site"));
        let version = items[1].versions[0].clone();
        items[1].versions.push(version);
        assert_eq!(names(&gathered(items)), [("site", 1)]);
    }

    #[test]
    fn attachments_of_themselves_or_of_attachments_stay_items() {
        let hanging = |name: &str, uid: &str, of: &str| {
            let mut item = Item::text(name, name, None);
            item.content_type = None;
            link::set_uid(&mut item.kept, uid);
            link::hang(&mut item.kept, of, "f");
            item
        };
        let mut leaf = hanging("leaf", "", "u2");
        leaf.kept.remove("uid");
        let items = vec![
            hanging("self", "u1", "u1"),
            hanging("chain", "u2", "u1"),
            leaf,
        ];
        assert_eq!(gathered(items.clone()), items);
    }

    #[test]
    fn attachments_of_an_ambiguous_uid_stay_items() {
        // Equal but for their names: of one uid.
        let mut items = stored(with_file("site"));
        items.extend(stored(with_file("site")));
        items[2].name = "site (2)".into();
        assert_eq!(gathered(items.clone()), items);
    }
}
