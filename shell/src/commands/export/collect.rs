//! What there is to export: fetched a few secrets at a time.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use shared::secret::SecretBytes;

use crate::commands::import::mark;
use crate::commands::import::prepare::{ATTACHMENT, UID};
use crate::error::Error;
use crate::formats::item::{Attachment, Item, ItemVersion};
use crate::formats::vault::{
    Base64Value, SecretDocument, VaultWriter, VersionDocument, encode_field,
};
use crate::progress::Progress;
use crate::vault::Vault;
use crate::vault::index::Secret;

/// How many values are fetched at once, of at most 1 MiB each.
const AT_ONCE: usize = 16;

/// Secrets and versions.
type Counts = (usize, usize);

/// A secret with all its values, oldest first; `None` if another device removed it meanwhile.
type Found = (Secret, Option<Vec<SecretBytes>>);

/// Fetches all secrets with all versions, a few at a time.
struct Fetching {
    secrets: std::vec::IntoIter<Secret>,
    progress: Progress,
    done: u64,
    total: u64,
}

impl Fetching {
    fn new(vault: &Vault) -> Self {
        let secrets: Vec<Secret> = vault.index().secrets().into_iter().cloned().collect();
        let total = secrets.len() as u64;
        Self {
            secrets: secrets.into_iter(),
            progress: Progress::new("exporting", total),
            done: 0,
            total,
        }
    }

    /// The next few; none at the end.
    async fn next(&mut self, vault: &mut Vault) -> Result<Vec<Found>, Error> {
        let mut secrets = Vec::new();
        let mut wanted = Vec::new();
        while wanted.len() < AT_ONCE {
            let Some(secret) = self.secrets.next() else {
                break;
            };
            wanted.extend(secret.versions.iter().map(|info| (secret.id, *info)));
            secrets.push(secret);
        }
        let mut values = vault.fetch(&wanted).await?.into_iter();
        self.done += secrets.len() as u64;
        self.progress.reach(self.done, self.total);
        let found = secrets.into_iter().map(|secret| {
            // All are taken, so that the next secret's are its own.
            let own: Vec<_> = values.by_ref().take(secret.versions.len()).collect();
            (secret, own.into_iter().collect())
        });
        Ok(found.collect())
    }
}

/// Writes all secrets in our own format; also returns the names of those that were removed meanwhile.
///
/// # Errors
/// Those of fetching, and of writing through `failed`.
pub async fn write<W: Write>(
    vault: &mut Vault,
    mut writer: VaultWriter<W>,
    failed: &impl Fn(io::Error) -> Error,
) -> Result<(VaultWriter<W>, Counts, Vec<String>), Error> {
    let mut fetching = Fetching::new(vault);
    let (mut counts, mut removed) = ((0, 0), Vec::new());
    loop {
        let found = fetching.next(vault).await?;
        if found.is_empty() {
            return Ok((writer, counts, removed));
        }
        for (secret, values) in found {
            let Some(values) = values else {
                removed.push(secret.metadata.name.to_string());
                continue;
            };
            counts = (counts.0 + 1, counts.1 + values.len());
            writer.secret(&document(secret, values)?).map_err(failed)?;
        }
    }
}

fn document(secret: Secret, values: Vec<SecretBytes>) -> Result<SecretDocument, Error> {
    let mut fields = BTreeMap::new();
    for (key, value) in &secret.metadata.other {
        // Of an import into this vault; it says nothing elsewhere.
        if key == mark::KEY {
            continue;
        }
        let encoded = encode_field(value).map_err(|error| Error::Failed(error.to_string()))?;
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

/// All secrets as items, with what hangs on them; also returns the names of those that were removed meanwhile.
///
/// # Errors
/// Those of fetching.
pub async fn items(vault: &mut Vault) -> Result<(Vec<Item>, Vec<String>), Error> {
    let mut fetching = Fetching::new(vault);
    let (mut items, mut removed) = (Vec::new(), Vec::new());
    loop {
        let found = fetching.next(vault).await?;
        if found.is_empty() {
            return Ok((gathered(items), removed));
        }
        for (secret, values) in found {
            match values {
                Some(values) => items.push(item(secret, values)),
                None => removed.push(secret.metadata.name.to_string()),
            }
        }
    }
}

fn item(secret: Secret, values: Vec<SecretBytes>) -> Item {
    let versions = secret.versions.iter().zip(values);
    let versions = versions.map(|(info, value)| ItemVersion {
        created_ms: Some(info.created_ms),
        value,
    });
    let mut kept = secret.metadata.other;
    kept.remove(mark::KEY);
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

/// Puts attachments back to the items that they hang on. What hangs on nothing stays an item of its own.
fn gathered(items: Vec<Item>) -> Vec<Item> {
    let uid = |item: &Item| Some(item.kept.get(UID)?.as_str()?.to_owned());
    let mut hanging: HashMap<String, Vec<Attachment>> = HashMap::new();
    let known: std::collections::HashSet<String> = items.iter().filter_map(uid).collect();
    let mut others = Vec::with_capacity(items.len());
    for item in items {
        match hangs_on(&item).filter(|(of, _)| known.contains(of)) {
            Some((of, name)) => {
                let content = item.newest().map(|newest| newest.value.clone());
                let content = content.unwrap_or_default();
                let files = hanging.entry(of).or_default();
                files.push(Attachment { name, content });
            }
            None => others.push(item),
        }
    }
    for item in &mut others {
        if let Some(files) = uid(item).and_then(|uid| hanging.remove(&uid)) {
            item.attachments = files;
        }
    }
    others
}

fn hangs_on(item: &Item) -> Option<(String, String)> {
    let link = item.kept.get(ATTACHMENT)?;
    let text = |key: &str| {
        let entries = link.as_map()?.iter();
        let mut found = entries.filter(|(own, _)| own.as_str() == Some(key));
        found
            .next()
            .and_then(|(_, value)| value.as_str())
            .map(str::to_owned)
    };
    Some((text("of")?, text("name")?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::commands::import::prepare::prepare;

    #[test]
    fn attachments_come_back_to_their_items() {
        let mut item = Item::text("site", "x", None);
        item.attachments.push(Attachment {
            name: "a/b".into(),
            content: SecretBytes::from([7].as_slice()),
        });
        let Ok((prepared, _)) = prepare(item.clone()) else {
            panic!("it fits");
        };
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
        let again = gathered(items.collect());
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].attachments, item.attachments);
    }
}
