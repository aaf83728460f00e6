//! What hangs on what: an item has a `uid` in its metadata, and the files that hang on it name that.

use std::collections::{BTreeMap, HashMap, HashSet};

use keyshell_client::index::{Index, Secret};
use rmpv::Value;
use sha2::{Digest as _, Sha256};
use shared::ids::Digest;

use super::settle::{Decision, Summary};

/// The key in the metadata of an item that others hang on.
const UID: &str = "uid";
/// The key in the metadata of a file that hangs on an item: its map has `of` and `name`.
pub const ATTACHMENT: &str = "attachment";
/// Length of a uid that we make, in bytes.
const UID_LEN: usize = 16;

/// A uid made of a digest.
pub fn short(digest: &Digest) -> String {
    data_encoding::HEXLOWER.encode(digest.as_bytes().split_at(UID_LEN).0)
}

/// Metadata without fields of their own.
type Other = BTreeMap<String, Value>;

/// By what others name an item.
pub fn uid(other: &Other) -> Option<&str> {
    other.get(UID)?.as_str()
}

/// Of a file that hangs on an item: that item's uid, and the file's name there.
pub fn hangs_on(other: &Other) -> Option<(&str, &str)> {
    let link = other.get(ATTACHMENT)?.as_map()?;
    let text = |key: &str| {
        let mut entries = link.iter();
        let found = entries.find(|(own, _)| own.as_str() == Some(key));
        found.and_then(|(_, value)| value.as_str())
    };
    Some((text("of")?, text("name")?))
}

/// Says by what others name an item.
pub fn set_uid(other: &mut Other, uid: &str) {
    other.insert(UID.into(), uid.into());
}

/// Has a file hang on an item.
pub fn hang(other: &mut Other, of: &str, name: &str) {
    let link = vec![("of".into(), of.into()), ("name".into(), name.into())];
    other.insert(ATTACHMENT.into(), Value::Map(link));
}

/// How a secret of a file is bound to others of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bond {
    /// Among which of them: what other programs hang on one item, or all of a file of ours.
    group: u64,
    uid: Option<String>,
    of: Option<String>,
    /// By how many bytes it is longer than in the file.
    pub longer: usize,
}

impl Bond {
    /// That of a secret with these metadata; most have none.
    pub fn new(group: u64, other: &Other) -> Option<Self> {
        let bond = Self {
            group,
            uid: uid(other).map(str::to_owned),
            of: hangs_on(other).map(|(of, _)| of.to_owned()),
            longer: 0,
        };
        (bond.uid.is_some() || bond.of.is_some()).then_some(bond)
    }

    /// Binds metadata so.
    pub fn tie(&self, other: &mut Other) {
        if let Some(uid) = &self.uid {
            set_uid(other, uid);
        }
        if let (Some(of), Some(Value::Map(link))) = (&self.of, other.get_mut(ATTACHMENT)) {
            for (key, value) in link {
                if key.as_str() == Some("of") {
                    *value = of.as_str().into();
                }
            }
        }
    }
}

/// Gives each uid of the files the one that it has in the vault: where its item is there, that item's; where another
/// secret has it, a fresh one. So nothing hangs on what it does not belong to, and what an import brings in several
/// pieces holds together.
pub fn settle(index: &Index, summaries: &mut [Summary], decisions: &[Decision], import: &str) {
    let mut actual: HashMap<(u64, String), String> = HashMap::new();
    for (summary, decision) in summaries.iter().zip(decisions) {
        if let Some(Bond {
            group,
            uid: Some(own),
            ..
        }) = &summary.bond
            && let Some(there) = there(index, summary, own, decision)
        {
            let known = actual.entry((*group, own.clone()));
            known.or_insert_with(|| there.to_owned());
        }
    }
    let held = index.secrets().into_iter();
    let held = held.filter_map(|secret| uid(&secret.metadata.other).map(str::to_owned));
    let mut held: HashSet<String> = held.collect();
    for bond in summaries.iter().filter_map(|one| one.bond.as_ref()) {
        if let Some(own) = &bond.uid {
            let known = actual.entry((bond.group, own.clone()));
            known.or_insert_with(|| {
                if held.insert(own.clone()) {
                    own.clone()
                } else {
                    fresh(import, bond.group, own)
                }
            });
        }
    }
    for bond in summaries.iter_mut().filter_map(|one| one.bond.as_mut()) {
        for name in [&mut bond.uid, &mut bond.of].into_iter().flatten() {
            if let Some(actual) = actual.get(&(bond.group, name.clone())) {
                bond.longer += actual.len().saturating_sub(name.len());
                name.clone_from(actual);
            }
        }
    }
}

/// The uid in the vault of an item that is there.
fn there<'a>(
    index: &'a Index,
    summary: &Summary,
    own: &str,
    decision: &'a Decision,
) -> Option<&'a str> {
    let of = |secret: &'a Secret| uid(&secret.metadata.other);
    match decision {
        Decision::Unchanged(id) => of(index.get(id)?),
        Decision::Onto(secret) | Decision::Rest(secret, _) => of(secret),
        // What is there may be another item of that name.
        Decision::Skipped => of(index.find(&summary.name)?).filter(|uid| *uid == own),
        Decision::New(_) => None,
    }
}

/// The same for the same import, which may be broken off and go on.
fn fresh(import: &str, group: u64, uid: &str) -> String {
    let mut hash = Sha256::new();
    for part in [import.as_bytes(), &group.to_be_bytes(), uid.as_bytes()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    short(&Digest::new(hash.finalize().into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use keyshell_formats::item::{Attachment, Item};
    use shared::secret::SecretBytes;

    use super::*;
    use crate::commands::import::prepare::{Names, prepare};

    /// Two equal items, each with a file.
    fn summaries() -> Vec<Summary> {
        let mut all = Vec::new();
        for group in 1..=2 {
            let mut item = Item::text("site", "x", None);
            item.attachments.push(Attachment {
                name: "k".into(),
                content: SecretBytes::from([7].as_slice()),
            });
            let (mut prepared, _) = prepare(item, Names::Foreign, None).unwrap();
            for new in &mut prepared {
                new.group = group;
                all.push(Summary::new(new, new.digest));
            }
        }
        all
    }

    fn settled(import: &str) -> Vec<Bond> {
        let mut summaries = summaries();
        let decisions: Vec<_> = summaries
            .iter()
            .map(|one| Decision::New(one.name.clone()))
            .collect();
        settle(&Index::new(), &mut summaries, &decisions, import);
        summaries.into_iter().filter_map(|one| one.bond).collect()
    }

    #[test]
    fn equal_items_get_uids_of_their_own() {
        let bonds = settled("0");
        assert_eq!(bonds.len(), 4);
        for (item, file) in [(0, 1), (2, 3)] {
            assert!(bonds[item].uid.is_some());
            assert_eq!(bonds[item].uid, bonds[file].of);
        }
        assert_ne!(bonds[0].uid, bonds[2].uid);
        // An import that goes on binds as it did.
        assert_eq!(settled("0"), bonds);
    }

    #[test]
    fn what_is_tied_names_the_same_file() {
        let mut other = Other::new();
        set_uid(&mut other, "own");
        hang(&mut other, "item", "k");
        let mut bond = Bond::new(1, &other).unwrap();
        bond.uid = Some("x".into());
        bond.of = Some("y".into());
        bond.tie(&mut other);
        assert_eq!(
            (uid(&other), hangs_on(&other)),
            (Some("x"), Some(("y", "k")))
        );
        assert_eq!(Bond::new(1, &Other::new()), None);
    }
}
