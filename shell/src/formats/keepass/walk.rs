//! From the tree of a database to items.

use std::collections::HashMap;

use data_encoding::BASE64;
use shared::secret::SecretBytes;

use super::entry::{self, Usual, Version};
use super::tree::Element;
use super::{MAX_PLAIN, Sink, container, write};
use crate::formats::item::{Attachment, Item, ItemVersion, Loss};
use crate::formats::{FormatError, Incoming, names};

/// What is the same for all entries.
struct Walk<'a, 'b> {
    binaries: HashMap<String, SecretBytes>,
    bin: Option<String>,
    /// Attachments so far, in bytes: one may be named by any number of entries.
    attached: usize,
    sink: &'a mut Sink<'b>,
}

/// Hands over all entries.
///
/// # Errors
/// [`FormatError`] for a tree of another shape; those of `sink`.
pub fn all(
    tree: Element,
    binaries: Vec<SecretBytes>,
    sink: &mut Sink<'_>,
) -> Result<(), FormatError> {
    let root = tree.child("Root").and_then(|root| root.child("Group"));
    let root = match root {
        Some(root) if tree.name == "KeePassFile" => root,
        _ => return Err(FormatError::new("the XML is not KeePass's")),
    };
    let meta = tree.child("Meta");
    let mut all: HashMap<_, _> = (0_usize..)
        .zip(binaries)
        .map(|(number, content)| (number.to_string(), content))
        .collect();
    let listed = meta.and_then(|meta| meta.child("Binaries"));
    let listed = listed.into_iter().flat_map(|listed| listed.all("Binary"));
    let mut inflated = 0_usize;
    for binary in listed {
        let content = content(binary)?;
        inflated = inflated.saturating_add(content.len());
        bound(inflated)?;
        let id = binary.attribute("ID").unwrap_or_default();
        all.insert(id.to_owned(), content);
    }
    let bin = meta.and_then(|meta| meta.text_of("RecycleBinUUID"));
    let mut walk = Walk {
        binaries: all,
        bin: bin.map(str::to_owned),
        attached: 0,
        sink,
    };
    walk.group(root, "")
}

/// The content of an attachment that is in the XML.
fn content(binary: &Element) -> Result<SecretBytes, FormatError> {
    let bad = |_| FormatError::new("an attachment in the XML is damaged");
    let text: Vec<u8> = binary
        .text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let content = SecretBytes::new(BASE64.decode(&text).map_err(bad)?);
    if binary.is("Compressed") {
        return container::inflated(&content);
    }
    Ok(content)
}

fn bound(bytes: usize) -> Result<(), FormatError> {
    if bytes > MAX_PLAIN {
        let text = format!("its attachments come to more than {} MiB", MAX_PLAIN >> 20);
        return Err(FormatError::new(text));
    }
    Ok(())
}

impl Walk<'_, '_> {
    // As deep as the tree is: that is bounded.
    fn group(&mut self, group: &Element, folder: &str) -> Result<(), FormatError> {
        if group.text_of("Notes").is_some() && !folder.is_empty() {
            self.lose(folder, "the notes of the group")?;
        }
        for entry in group.all("Entry") {
            self.entry(entry, folder)?;
        }
        for inner in group.all("Group") {
            let name = inner.text_of("Name").unwrap_or_default();
            let folder = names::joined(folder, name);
            let is_bin = self.bin.is_some() && inner.text_of("UUID") == self.bin.as_deref();
            if is_bin {
                self.leave(inner, &folder)?;
            } else {
                self.group(inner, &folder)?;
            }
        }
        Ok(())
    }

    fn lose(&mut self, item: &str, what: &str) -> Result<(), FormatError> {
        (self.sink)(Incoming::Lost(Loss::new(item, what)))
    }

    /// What was thrown away stays where it is.
    fn leave(&mut self, group: &Element, folder: &str) -> Result<(), FormatError> {
        for entry in group.all("Entry") {
            let name = names::joined(folder, entry::string(entry, "Title"));
            self.lose(&name, "it is in the recycle bin")?;
        }
        for inner in group.all("Group") {
            let name = inner.text_of("Name").unwrap_or_default();
            self.leave(inner, &names::joined(folder, name))?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Element, folder: &str) -> Result<(), FormatError> {
        let former: Vec<_> = entry
            .child("History")
            .into_iter()
            .flat_map(|all| all.all("Entry"))
            .collect();
        let name = names::joined(folder, entry::string(entry, "Title"));
        let versions = versions(entry, &former, &name);
        let Some(newest) = versions.last().cloned() else {
            return Ok(());
        };
        let mut item = Item {
            name,
            tags: newest.tags,
            note: newest.note,
            content_type: newest.content_type,
            ..Item::default()
        };
        item.versions = versions
            .into_iter()
            .map(|version| ItemVersion {
                created_ms: version.created_ms,
                value: version.value,
            })
            .collect();
        if entry.child("CustomIconUUID").is_some() {
            item.losses.push("its own icon".into());
        }
        for binary in entry.all("Binary") {
            match self.attachment(binary)? {
                Some(attachment) => item.attachments.push(attachment),
                None => item
                    .losses
                    .push("an attachment that the file does not have".into()),
            }
        }
        let files = |entry: &Element| entry.all("Binary").cloned().collect::<Vec<_>>();
        let now = files(entry);
        if former
            .iter()
            .any(|former| files(former).iter().any(|file| !now.contains(file)))
        {
            item.losses.push("attachments of earlier versions".into());
        }
        (self.sink)(Incoming::Item(Box::new(item)))
    }

    fn attachment(&mut self, binary: &Element) -> Result<Option<Attachment>, FormatError> {
        let Some(value) = binary.child("Value") else {
            return Ok(None);
        };
        let content = match value.attribute("Ref") {
            Some(number) => match self.binaries.get(number) {
                Some(content) => content.clone(),
                None => return Ok(None),
            },
            None => content(value)?,
        };
        self.attached = self.attached.saturating_add(content.len());
        bound(self.attached)?;
        let name = binary.text_of("Key").unwrap_or("attachment").to_owned();
        Ok(Some(Attachment { name, content }))
    }
}

/// The versions of an entry, oldest first: all read in the same way.
fn versions(entry: &Element, former: &[&Element], name: &str) -> Vec<Version> {
    let all: Vec<&Element> = former.iter().copied().chain([entry]).collect();
    let last = all.len() - 1;
    let usual = Usual {
        uuid: write::uuid_of(name),
        created_ms: all.iter().filter_map(|entry| entry::modified(entry)).min(),
    };
    let usual = |number: usize| (number == last).then_some(&usual);
    let exact: Option<Vec<Version>> = all
        .iter()
        .enumerate()
        .map(|(number, entry)| {
            // What one of ours is without custom data is exact in itself.
            let has_ours = entry.child("CustomData").is_some();
            has_ours
                .then(|| entry::exact(entry, usual(number)))
                .flatten()
        })
        .collect();
    let mut versions = exact.filter(|versions| {
        versions.iter().all(|version| {
            Some(&version.content_type) == versions.last().map(|last| &last.content_type)
        })
    });
    let versions = versions.get_or_insert_with(|| {
        let is_bare = all.iter().all(|entry| entry::is_bare_note(entry));
        let read = |(number, entry): (usize, &&Element)| {
            if is_bare {
                entry::bare_note(entry)
            } else {
                entry::as_record(entry, usual(number))
            }
        };
        all.iter().enumerate().map(read).collect()
    });
    if let Some((_, former)) = versions.split_last_mut() {
        former.sort_by_key(|version| version.created_ms);
    }
    std::mem::take(versions)
}
