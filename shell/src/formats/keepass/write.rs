//! From items to the tree of a database.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};
use shared::secret::SecretBytes;

use super::entry::{self, Kept, Version};
use super::tree::Element;
use crate::formats::item::{Item, Loss};
use crate::formats::names;
use crate::time;

/// Length of a UUID, in bytes.
const UUID_LEN: usize = 16;

/// A document and its attachments.
pub struct Document {
    /// The XML.
    pub root: Element,
    /// Attachments, by number.
    pub binaries: Vec<SecretBytes>,
}

/// A group on its way out.
#[derive(Default)]
struct Group {
    entries: Vec<Element>,
    groups: BTreeMap<String, Group>,
}

/// What is the same for all items.
#[derive(Default)]
struct Writing {
    binaries: Vec<SecretBytes>,
    uuids: BTreeSet<String>,
    losses: Vec<Loss>,
}

/// The document of all items, and what it leaves out.
pub fn document(items: &[Item]) -> (Document, Vec<Loss>) {
    let mut writing = Writing::default();
    let mut root = Group::default();
    for item in items {
        let mut group = &mut root;
        if let (Some(folder), _) = item.path() {
            for component in folder.split('/') {
                group = group.groups.entry(component.to_owned()).or_default();
            }
        }
        group.entries.extend(writing.entry(item));
    }
    let now = entry::time_text(time::now_ms());
    let texts = [
        ("Generator", "keyshell"),
        ("DatabaseName", "keyshell"),
        ("DatabaseNameChanged", &now),
        ("RecycleBinEnabled", "True"),
        ("RecycleBinUUID", "AAAAAAAAAAAAAAAAAAAAAA=="),
        // Nobody should take versions away by itself.
        ("HistoryMaxItems", "-1"),
        ("HistoryMaxSize", "-1"),
    ];
    let meta = texts.iter().map(|(name, text)| Element::text(name, text));
    let meta = Element::new("Meta", meta.collect());
    let group = root.element("Root", "");
    let root = Element::new("KeePassFile", vec![meta, Element::new("Root", vec![group])]);
    let Writing {
        binaries, losses, ..
    } = writing;
    (Document { root, binaries }, losses)
}

impl Group {
    // As deep as a name of 255 bytes can be.
    fn element(self, name: &str, above: &str) -> Element {
        let path = format!("{above}/{name}");
        let mut children = vec![
            Element::text("UUID", &uuid_of(&format!("group {path}"))),
            Element::text("Name", &names::title(name)),
        ];
        children.extend(self.entries);
        let inner = self.groups.into_iter();
        children.extend(inner.map(|(name, group)| group.element(&name, &path)));
        Element::new("Group", children)
    }
}

/// The UUID, in base64, of an entry that has no other.
pub fn uuid_of(name: &str) -> String {
    let hash = Sha256::digest(name.as_bytes());
    BASE64.encode(hash.get(..UUID_LEN).unwrap_or_default())
}

impl Writing {
    fn entry(&mut self, item: &Item) -> Option<Element> {
        let title = names::title(item.path().1);
        let version = |version: &crate::formats::item::ItemVersion| Version {
            created_ms: version.created_ms,
            content_type: item.content_type.clone(),
            value: version.value.clone(),
            note: item.note.clone(),
            tags: item.tags.clone(),
        };
        let (newest, former) = item.versions.split_last()?;
        let newest = version(newest);
        let kept = Kept::of(&newest);
        let uuid = kept.uuid.clone().filter(|uuid| !self.uuids.contains(uuid));
        let uuid = uuid.unwrap_or_else(|| uuid_of(&item.name));
        self.uuids.insert(uuid.clone());
        let first = item.versions.first().and_then(|first| first.created_ms);
        let created = kept.created_ms.or(first);
        let finish = |mut entry: Element, elements: Vec<Element>| {
            let times = entry
                .children
                .iter_mut()
                .find(|child| child.name == "Times");
            let times = times.into_iter().flat_map(|times| &mut times.children);
            for time in times {
                if let (true, Some(created)) = (time.name == "CreationTime", created) {
                    *time = Element::text("CreationTime", &entry::time_text(created));
                }
            }
            entry.children.insert(0, Element::text("UUID", &uuid));
            merge(&mut entry, elements);
            entry
        };
        let mut entry = finish(entry::composed(&newest, &title), kept.elements);
        for file in &item.attachments {
            entry
                .children
                .push(self.attachment(&file.name, &file.content));
        }
        if !former.is_empty() {
            let former = former.iter().map(version);
            let former =
                former.map(|version| finish(entry::composed(&version, &title), Vec::new()));
            entry
                .children
                .push(Element::new("History", former.collect()));
        }
        Some(entry)
    }

    fn attachment(&mut self, name: &str, content: &SecretBytes) -> Element {
        let number = self.binaries.iter().position(|known| known == content);
        let number = number.unwrap_or_else(|| {
            self.binaries.push(content.clone());
            self.binaries.len() - 1
        });
        let mut value = Element::new("Value", Vec::new());
        value.attributes.push(("Ref".into(), number.to_string()));
        Element::new("Binary", vec![Element::text("Key", name), value])
    }
}

/// Puts back what was kept; custom data are one element.
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
