//! Assigns each item of a file a uid that is unique in the vault, so that attachments link to their own item only.

use std::collections::{HashMap, HashSet};

use keyshell_client::index::{Index, Secret};
use sha2::{Digest as _, Sha256};
use shared::ids::Digest;

use super::decision::{Decision, Summary};
use super::link::{Bond, short, uid};

/// Maps each uid of the files to a uid in the vault: the uid of the existing item if the item exists, or a new uid if
/// another secret has it. Attachments then never link to a foreign item, and an import in several runs keeps its links.
pub fn assign(index: &Index, summaries: &mut [Summary], decisions: &[Decision], import: &str) {
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

/// The uid of an item that exists in the vault.
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
        // The existing secret of that name may be another item.
        Decision::Skipped => of(index.find(&summary.name)?).filter(|uid| *uid == own),
        Decision::New(_) => None,
    }
}

/// A new uid, derived from the import's id so that a continued import gets the same one.
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

    use super::super::link::{Other, hang, hangs_on, set_uid};
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

    fn assigned(import: &str) -> Vec<Bond> {
        let mut summaries = summaries();
        let decisions: Vec<_> = summaries
            .iter()
            .map(|one| Decision::New(one.name.clone()))
            .collect();
        assign(&Index::new(), &mut summaries, &decisions, import);
        summaries.into_iter().filter_map(|one| one.bond).collect()
    }

    #[test]
    fn equal_items_get_uids_of_their_own() {
        let bonds = assigned("0");
        assert_eq!(bonds.len(), 4);
        for (item, file) in [(0, 1), (2, 3)] {
            assert!(bonds[item].uid.is_some());
            assert_eq!(bonds[item].uid, bonds[file].of);
        }
        assert_ne!(bonds[0].uid, bonds[2].uid);
        // An import that goes on binds as it did.
        assert_eq!(assigned("0"), bonds);
    }

    #[test]
    fn tied_metadata_name_the_same_file() {
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
