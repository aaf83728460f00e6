//! From the tree of a database to items.

use std::collections::{HashMap, HashSet};

use data_encoding::BASE64;
use keyshell_base::text::plural;
use shared::secret::SecretBytes;

use super::container::{self, MAX_PLAIN};
use super::entry::{self, Version};
use super::foreign::Usual;
use super::tree::Element;
use super::{entry_read, foreign, references};
use crate::format::{FormatError, Incoming, Sink};
use crate::model::item::{Attachment, Item, ItemVersion, Loss};
use crate::names;

/// Most losses that are listed one by one.
const MAX_LOSSES: usize = 10_000;
/// Longest name, in bytes: those of the vault are shorter, and an item whose name is shortened for it says so.
const MAX_NAME: usize = 4096;

/// The state of an import.
struct Walk<'a, 'b> {
    binaries: HashMap<String, SecretBytes>,
    bin: Option<String>,
    /// Attachments so far, in bytes: one may be named by any number of entries.
    attached: usize,
    /// Losses so far.
    lost: usize,
    sink: &'a mut Sink<'b>,
}

/// Calls `sink` with each entry.
///
/// # Errors
/// [`FormatError`] for a tree of another shape; those of `sink`.
pub fn all(
    mut tree: Element,
    binaries: Vec<SecretBytes>,
    sink: &mut Sink<'_>,
) -> Result<(), FormatError> {
    references::resolve(&mut tree)?;
    let root = tree.child("Root").and_then(|root| root.child("Group"));
    let root = match root {
        Some(root) if tree.name == "KeePassFile" => root,
        _ => {
            return Err(FormatError::not_this_format(
                "the XML is not an export of KeePass",
            ));
        }
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
        check_attached(inflated)?;
        let id = binary.attribute("ID").unwrap_or_default();
        all.insert(id.to_owned(), content);
    }
    let bin = meta.and_then(|meta| meta.text_of("RecycleBinUUID"));
    let mut walk = Walk {
        binaries: all,
        bin: bin.map(str::to_owned),
        attached: 0,
        lost: 0,
        sink,
    };
    walk.group(root, "", true)
}

/// The content of an attachment that is in the XML.
fn content(binary: &Element) -> Result<SecretBytes, FormatError> {
    let bad = |_| FormatError::malformed("an attachment in the XML is damaged");
    let text: Vec<u8> = binary
        .text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let content = SecretBytes::new(BASE64.decode(&text).map_err(bad)?);
    if binary.is("Compressed") {
        return container::inflated(&content, MAX_PLAIN);
    }
    Ok(content)
}

fn check_attached(len: usize) -> Result<(), FormatError> {
    FormatError::check_mib(
        "the attachments are too large",
        len as u64,
        MAX_PLAIN as u64,
    )
}

impl Walk<'_, '_> {
    // The recursion is as deep as the tree, which is bounded.
    fn group(&mut self, group: &Element, folder: &str, is_root: bool) -> Result<(), FormatError> {
        let said = foreign::of_group(group).join(", ");
        let name = group.text_of("Name").filter(|_| is_root);
        let shown = name.map_or_else(|| folder.to_owned(), |name| named("", name));
        if !said.is_empty() {
            self.lose(&shown, &format!("the {said} of the group"))?;
        }
        let has = |name: &str| group.child(name).is_some();
        if !is_root && !has("Entry") && !has("Group") {
            self.lose(&shown, "the group, which has nothing in it")?;
        }
        for entry in group.all("Entry") {
            self.entry(entry, folder)?;
        }
        for inner in group.all("Group") {
            let name = inner.text_of("Name").unwrap_or_default();
            let folder = named(folder, name);
            let is_bin = self.bin.is_some() && inner.text_of("UUID") == self.bin.as_deref();
            if is_bin {
                self.leave(inner, &folder)?;
            } else {
                self.group(inner, &folder, false)?;
            }
        }
        Ok(())
    }

    /// Reports a loss, up to a limit: a file may state any number.
    fn lose(&mut self, item: &str, what: &str) -> Result<(), FormatError> {
        self.lost += 1;
        match self.lost {
            0..MAX_LOSSES => (self.sink)(Incoming::Lost(Loss::new(item, what))),
            MAX_LOSSES => {
                let text =
                    format!("the last of {MAX_LOSSES} losses that are listed: there are more");
                (self.sink)(Incoming::Lost(Loss::new(item, text)))
            }
            _ => Ok(()),
        }
    }

    /// Lists the entries of the recycle bin as losses.
    fn leave(&mut self, group: &Element, folder: &str) -> Result<(), FormatError> {
        for entry in group.all("Entry") {
            let name = named(folder, entry::string(entry, "Title"));
            self.lose(&name, "it is in the recycle bin")?;
        }
        for inner in group.all("Group") {
            let name = inner.text_of("Name").unwrap_or_default();
            self.leave(inner, &named(folder, name))?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Element, folder: &str) -> Result<(), FormatError> {
        if former(entry).chain([entry]).any(foreign::has_too_many) {
            let name = named(folder, entry::string(entry, "Title"));
            let text = format!("it has more than {} fields", entry::MAX_STRINGS);
            return self.lose(&name, &text);
        }
        let (binaries, attached) = (&self.binaries, &mut self.attached);
        let item = item(entry, folder, &mut |binary| {
            let attachment = attachment(binary, binaries)?;
            let len = attachment.as_ref().map_or(0, |file| file.content.len());
            *attached = attached.saturating_add(len);
            check_attached(*attached)?;
            Ok(attachment)
        })?;
        (self.sink)(Incoming::Item(Box::new(item)))
    }
}

/// Finds the attachment that an entry names; `None` if the file does not have it.
pub type Attach<'a> = dyn FnMut(&Element) -> Result<Option<Attachment>, FormatError> + 'a;

/// An entry as an item.
///
/// # Errors
/// Errors of `attach`.
pub fn item(entry: &Element, folder: &str, attach: &mut Attach<'_>) -> Result<Item, FormatError> {
    let former: Vec<_> = former(entry).collect();
    let name = named(folder, entry::string(entry, "Title"));
    let versions = versions(entry, &former, &name);
    let newest = versions.last().cloned().unwrap_or_default();
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
    item.losses = foreign::losses(entry, &former, item.is_record());
    let mut missing = 0_usize;
    for binary in entry.all("Binary") {
        match attach(binary)? {
            Some(attachment) => item.attachments.push(attachment),
            None => missing += 1,
        }
    }
    if missing > 0 {
        let text = format!(
            "{} that the file does not have",
            plural(missing, "attachment")
        );
        item.losses.push(text);
    }
    let now: HashSet<_> = entry.all("Binary").map(file).collect();
    let mut files = former.iter().flat_map(|former| former.all("Binary"));
    if !files.all(|binary| now.contains(&file(binary))) {
        item.losses.push("attachments of earlier versions".into());
    }
    Ok(item)
}

/// The earlier versions of an entry, oldest first.
fn former(entry: &Element) -> impl Iterator<Item = &Element> {
    let history = entry.child("History");
    history.into_iter().flat_map(|all| all.all("Entry"))
}

/// The identity of an attachment: its name, and its number or content.
fn file(binary: &Element) -> (Option<&str>, Option<&str>, Option<&str>) {
    let number = binary.child("Value");
    let number = number.and_then(|value| value.attribute("Ref"));
    (binary.text_of("Key"), number, binary.text_of("Value"))
}

/// A component of a name behind its folder, of bounded length.
fn named(folder: &str, title: &str) -> String {
    let mut name = names::joined(folder, title);
    name.truncate(name.floor_char_boundary(MAX_NAME));
    name
}

fn attachment(
    binary: &Element,
    binaries: &HashMap<String, SecretBytes>,
) -> Result<Option<Attachment>, FormatError> {
    let Some(value) = binary.child("Value") else {
        return Ok(None);
    };
    let content = match value.attribute("Ref") {
        Some(number) => match binaries.get(number) {
            Some(content) => content.clone(),
            None => return Ok(None),
        },
        None => content(value)?,
    };
    let name = binary.text_of("Key").unwrap_or("attachment").to_owned();
    Ok(Some(Attachment { name, content }))
}

/// The versions of an entry, oldest first. Values of one item are of one kind: where an earlier version of ours is not of
/// the kind that the newest one is now, all are read as KeePass has them.
fn versions(entry: &Element, former: &[&Element], name: &str) -> Vec<Version> {
    let all: Vec<&Element> = former.iter().copied().chain([entry]).collect();
    let last = all.len() - 1;
    let usual = Usual {
        uuid: entry::uuid_of(name),
        created_ms: all.iter().filter_map(|entry| entry::modified(entry)).min(),
    };
    let usual = |number: usize| (number == last).then_some(&usual);
    let is_bare = all.iter().all(|entry| entry_read::is_bare_note(entry));
    let plain = |(number, entry): (usize, &&Element)| {
        if is_bare {
            entry_read::bare_note(entry)
        } else {
            entry_read::as_record(entry, usual(number))
        }
    };
    let mut is_exact = true;
    let numbered = || all.iter().enumerate();
    let mut versions: Vec<_> = numbered()
        .map(|(number, entry)| {
            entry_read::exact(entry, usual(number)).unwrap_or_else(|| {
                is_exact = false;
                plain((number, entry))
            })
        })
        .collect();
    let kind = versions.last().map(|last| last.content_type.clone());
    let is_one_kind = |version: &Version| Some(&version.content_type) == kind.as_ref();
    if !versions.iter().all(is_one_kind) {
        is_exact = false;
        versions = numbered().map(plain).collect();
    }
    if let Some((_, former)) = versions.split_last_mut()
        && !is_exact
    {
        former.sort_by_key(|version| version.created_ms);
    }
    versions
}
