//! From items to the tree of a database.

use std::collections::{BTreeSet, HashMap};

use keyshell_base::time;
use sha2::{Digest as _, Sha256};
use shared::secret::{SecretBytes, SecretWriter};

use super::entry::{self, Version};
use super::foreign::Kept;
use super::stream::{CHACHA20, InnerStream};
use super::tree::{self, Document, Element};
use super::{differences, entry_write, read, references, xml};
use crate::error::FormatError;
use crate::folders::Folder;
use crate::model::item::{Attachment, Item, ItemVersion, Loss};
use crate::names;

/// The state of an export.
#[derive(Default)]
struct Writing {
    binaries: Vec<SecretBytes>,
    /// Numbers of attachments by the hash of their content.
    numbers: HashMap<[u8; 32], usize>,
    uuids: BTreeSet<String>,
    losses: Vec<Loss>,
}

/// The document of all items, and what it leaves out.
///
/// # Errors
/// [`FormatError`] for field references that stand for too much text.
pub fn document(items: &[Item]) -> Result<(Document, Vec<Loss>), FormatError> {
    let mut writing = Writing::default();
    let mut root = Folder::default();
    for item in items {
        let entry = writing.entry(item);
        root.at(item.path().0).items.extend(entry);
    }
    let now = entry::time_text(time::now_ms());
    let texts = [
        ("Generator", "keyshell"),
        ("DatabaseName", "keyshell"),
        ("DatabaseNameChanged", &now),
        ("RecycleBinEnabled", "True"),
        ("RecycleBinUUID", "AAAAAAAAAAAAAAAAAAAAAA=="),
        // Other programs should not delete versions.
        ("HistoryMaxItems", "-1"),
        ("HistoryMaxSize", "-1"),
    ];
    let meta = Element::of_texts("Meta", &texts);
    let group = group(root, "Root", "");
    let mut root = Element::new("KeePassFile", vec![meta, Element::new("Root", vec![group])]);
    references::restore(&mut root)?;
    let binaries = writing.binaries;
    Ok((Document { root, binaries }, writing.losses))
}

/// The group of a folder. The recursion is as deep as names have components: at most 127 levels.
fn group(folder: Folder<Element>, name: &str, above: &str) -> Element {
    let path = format!("{above}/{name}");
    let mut children = vec![
        Element::text("UUID", &entry::uuid_of(&format!("group {path}"))),
        Element::text("Name", &names::title(name)),
    ];
    children.extend(folder.items);
    let inner = folder.folders.into_iter();
    children.extend(inner.map(|(name, folder)| group(folder, &name, &path)));
    Element::new("Group", children)
}

impl Writing {
    /// The entry of an item, with the exact copy if needed; parts that the import would lose are losses.
    fn entry(&mut self, item: &Item) -> Option<Element> {
        let newest = item.newest()?;
        let kept = Kept::of(&version(item, newest));
        let uuid = kept.uuid.filter(|uuid| !self.uuids.contains(uuid));
        let uuid = uuid.unwrap_or_else(|| entry::uuid_of(&item.name));
        self.uuids.insert(uuid.clone());
        let files = item.attachments.iter();
        let files: Vec<_> = files
            .map(|file| self.attachment(&file.name, &file.content))
            .collect();
        let plain = element(item, &uuid, &files, false)?;
        if self.lost(item, &plain).is_empty() {
            return Some(plain);
        }
        let exact = element(item, &uuid, &files, true)?;
        let lost = self.lost(item, &exact).into_iter();
        self.losses
            .extend(lost.map(|what| Loss::new(&item.name, what)));
        Some(exact)
    }

    fn attachment(&mut self, name: &str, content: &SecretBytes) -> Element {
        let next = self.binaries.len();
        let hash = Sha256::digest(content.expose()).into();
        let number = *self.numbers.entry(hash).or_insert(next);
        if number == next {
            self.binaries.push(content.clone());
        }
        let mut value = Element::new("Value", Vec::new());
        value.attributes.push(("Ref".into(), number.to_string()));
        Element::new("Binary", vec![Element::text("Key", name), value])
    }

    /// The parts of an item that the import of its entry would lose.
    fn lost(&self, item: &Item, entry: &Element) -> Vec<String> {
        match self.again(item, entry) {
            Ok(again) => differences::differences(item, &again),
            Err(error) => vec![format!("it cannot be read again: {error}")],
        }
    }

    /// The item that an entry comes in as.
    fn again(&self, item: &Item, entry: &Element) -> Result<Item, FormatError> {
        let stream = || InnerStream::new(CHACHA20, &[]);
        let mut xml = SecretWriter::default();
        xml::write(&mut xml, entry, &mut stream()?).map_err(FormatError::library)?;
        let entry = tree::parse(xml.finish().expose(), Some(&mut stream()?))?;
        let (folder, _) = item.path();
        let folder = xml::held(folder.unwrap_or_default());
        read::item(&entry, &folder, &mut |binary| {
            let number = binary
                .child("Value")
                .and_then(|value| value.attribute("Ref"));
            let number = number.and_then(|number| number.parse::<usize>().ok());
            let content = number.and_then(|number| self.binaries.get(number)).cloned();
            let name = binary.text_of("Key").unwrap_or_default().to_owned();
            Ok(content.map(|content| Attachment { name, content }))
        })
    }
}

fn version(item: &Item, version: &ItemVersion) -> Version {
    Version {
        created_ms: version.created_ms,
        content_type: item.content_type.clone(),
        value: version.value.clone(),
        note: item.note.clone(),
        tags: item.tags.clone(),
    }
}

/// The entry of an item with its history.
fn element(item: &Item, uuid: &str, files: &[Element], is_exact: bool) -> Option<Element> {
    let title = names::title(item.path().1);
    let (newest, former) = item.versions.split_last()?;
    let first = item.versions.iter().filter_map(|one| one.created_ms).min();
    let created = Kept::of(&version(item, newest)).created_ms.or(first);
    let element = |one: &ItemVersion| {
        let version = version(item, one);
        let mut entry = entry_write::composed(&version, &title, created, is_exact);
        entry.children.insert(0, Element::text("UUID", uuid));
        let kept = Kept::of(&version);
        if let Some(reference) = &kept.title {
            entry::refer(&mut entry, "Title", reference);
        }
        merge(&mut entry, kept.elements);
        entry
    };
    let mut entry = element(newest);
    entry.children.extend_from_slice(files);
    if !former.is_empty() {
        let former = former.iter().map(element).collect();
        entry.children.push(Element::new("History", former));
    }
    Some(entry)
}

/// Adds the elements that were kept; custom data are one element.
fn merge(entry: &mut Element, elements: Vec<Element>) {
    for element in elements {
        let own = entry
            .children
            .iter_mut()
            .find(|child| child.name == "CustomData" && child.name == element.name);
        match own {
            Some(own) => own.children.extend(element.children),
            None => entry.children.push(element),
        }
    }
}
