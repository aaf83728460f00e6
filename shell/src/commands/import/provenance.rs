//! The provenance in the metadata of imported secrets, with which an import is recognised, continued and reverted.

use keyshell_client::index::metadata::{MAX_LEN, Metadata};
use rmpv::Value;
use shared::ids::Digest;

/// The metadata key.
pub const KEY: &str = "import";
/// Keys of the mark's map.
const BEFORE: &str = "before";
const VERSION: &str = "version";

/// Longest metadata, nested marks of earlier imports included, that the next import keeps whole, in bytes.
const NESTED: usize = 8 * 1024;
/// Most bytes that a mark, a uid and the number after a name add to metadata.
const ROOM: usize = 512;

/// The mark that an import leaves in the metadata of a secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Id of the import: 16 random bytes in hexadecimal.
    pub import: String,
    /// Start of the import, in milliseconds since 1970-01-01 UTC.
    pub began_ms: u64,
    /// SHA-256 over the content of the import's files.
    pub files: Option<Digest>,
    /// Versions of the whole import that were not written yet.
    pub to_come: u64,
    /// SHA-256 of this secret's content in the file.
    pub digest: Digest,
    /// Versions of this secret that were not written yet.
    pub left: u64,
    /// The version that the import wrote.
    pub version: u64,
    /// If the secret existed before: its newest version then, and its metadata if there was room for them.
    pub before: Option<(u64, Option<Metadata>)>,
}

impl Mark {
    /// The mark in metadata.
    pub fn of(metadata: &Metadata) -> Option<Self> {
        let map = metadata.other.get(KEY)?;
        let field = |name: &str| {
            let entries = map.as_map()?;
            let found = entries.iter().find(|(key, _)| key.as_str() == Some(name));
            found.map(|(_, value)| value)
        };
        let digest = |name: &str| Digest::from_slice(field(name)?.as_slice()?);
        let number = |name: &str| field(name).and_then(Value::as_u64);
        let former = field(BEFORE).and_then(|value| Metadata::decode(value.as_slice()?).ok());
        Some(Self {
            import: field("id")?.as_str()?.to_owned(),
            began_ms: number("ms")?,
            files: digest("files"),
            to_come: number("to_come").unwrap_or_default(),
            digest: digest("digest")?,
            left: number("left").unwrap_or_default(),
            version: number(VERSION)?,
            before: number("onto").map(|version| (version, former)),
        })
    }

    /// Writes the mark into metadata, in place of an earlier one.
    pub fn put(&self, metadata: &mut Metadata) {
        let digest = |digest: &Digest| Value::Binary(digest.as_bytes().to_vec());
        let mut entries = vec![
            ("id".into(), self.import.as_str().into()),
            ("ms".into(), self.began_ms.into()),
            ("digest".into(), digest(&self.digest)),
            (VERSION.into(), self.version.into()),
            ("as".into(), digest(&shape(metadata))),
        ];
        if let Some(files) = &self.files {
            entries.push(("files".into(), digest(files)));
        }
        for (key, number) in [("to_come", self.to_come), ("left", self.left)] {
            if number > 0 {
                entries.push((key.into(), number.into()));
            }
        }
        if let Some((version, former)) = &self.before {
            entries.push(("onto".into(), (*version).into()));
            let former = former.as_ref().and_then(|former| former.encode().ok());
            if let Some(former) = former {
                entries.push((BEFORE.into(), Value::Binary(former.expose().to_vec())));
            }
        }
        metadata.other.insert(KEY.into(), Value::Map(entries));
    }

    /// Whether metadata are unchanged since the import.
    pub fn is_untouched(metadata: &Metadata) -> bool {
        let entries = metadata.other.get(KEY).and_then(Value::as_map);
        let mut entries = entries.into_iter().flatten();
        let left = entries.find(|(key, _)| key.as_str() == Some("as"));
        left.and_then(|(_, value)| value.as_slice()) == Some(shape(metadata).as_bytes())
    }

    /// The metadata of an existing secret that an import keeps for `import undo`, if there is room for them. They
    /// contain the mark of an earlier import, so that it can be reverted too, with that mark's own former metadata if
    /// short.
    pub fn former(metadata: &Metadata, room: usize) -> Option<Metadata> {
        let whole = metadata.encode().ok()?.len();
        if whole <= NESTED && whole + ROOM <= room {
            return Some(metadata.clone());
        }
        let mut former = metadata.clone();
        if let Some(Value::Map(entries)) = former.other.get_mut(KEY) {
            entries.retain(|(key, _)| key.as_str() != Some(BEFORE));
        }
        let len = former.encode().ok()?.len();
        (len + ROOM <= room).then_some(former)
    }

    /// Updates the version in the mark of metadata that are restored, because their value is written as version `to`.
    pub fn follow(metadata: &mut Metadata, from: u64, to: u64) {
        if Self::is_untouched(metadata)
            && let Some(Value::Map(entries)) = metadata.other.get_mut(KEY)
        {
            for (key, version) in entries {
                if key.as_str() == Some(VERSION) && version.as_u64() == Some(from) {
                    *version = to.into();
                }
            }
        }
    }

    /// Removes the mark.
    pub fn clear(metadata: &mut Metadata) {
        metadata.other.remove(KEY);
    }
}

/// Room left in metadata of this encoded length, in bytes.
pub fn room(encoded: usize) -> usize {
    MAX_LEN.saturating_sub(encoded)
}

/// Whether a mark fits into this room, in bytes.
pub fn fits(room: usize) -> bool {
    room >= ROOM
}

/// SHA-256 of metadata without the mark and the creation time.
pub fn shape(metadata: &Metadata) -> Digest {
    let mut bare = metadata.clone();
    Mark::clear(&mut bare);
    bare.created_ms = None;
    let encoded = bare.encode().unwrap_or_default();
    Digest::of(encoded.expose())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use keyshell_base::names::SecretName;

    use super::*;
    use crate::commands::import::link;

    fn metadata(note: usize) -> Metadata {
        let mut metadata = Metadata::named(SecretName::parse("a").unwrap());
        metadata.note = "n".repeat(note);
        metadata
    }

    fn mark(former: Metadata) -> Mark {
        Mark {
            import: "00".into(),
            began_ms: 1,
            files: Some(Digest::of(b"all")),
            to_come: 7,
            digest: Digest::of(b"x"),
            left: 2,
            version: 4,
            before: Some((3, Some(former))),
        }
    }

    #[test]
    fn a_mark_is_read_back_unchanged() {
        let mark = mark(metadata(10));
        let mut marked = metadata(0);
        mark.put(&mut marked);
        assert_eq!(Mark::of(&marked), Some(mark));
        assert!(Mark::is_untouched(&marked));
        marked.note.push('x');
        assert!(!Mark::is_untouched(&marked));
        marked.note.clear();
        Mark::clear(&mut marked);
        assert_eq!(marked, metadata(0));
    }

    #[test]
    fn former_metadata_are_kept_if_there_is_room() {
        let (mut new, old) = (metadata(20 * 1024), metadata(30 * 1024));
        let room_of = |metadata: &Metadata| room(metadata.encode().unwrap().len());
        let former = Mark::former(&old, room_of(&new)).unwrap();
        assert_eq!(former, old);
        mark(former).put(&mut new);
        new.encode().unwrap();
        assert_eq!(Mark::former(&old, room_of(&metadata(30 * 1024))), None);
        // The mark of the previous import is kept, with its own former metadata if those are short.
        let mut little = metadata(0);
        mark(metadata(10)).put(&mut little);
        assert_eq!(Mark::former(&little, MAX_LEN), Some(little));
        let outer = Mark::former(&new, MAX_LEN).unwrap();
        assert!(Mark::is_untouched(&outer));
        assert_eq!(Mark::of(&outer).unwrap().before, Some((3, None)));
    }

    #[test]
    fn the_largest_mark_fits() {
        let largest = Mark {
            import: "0".repeat(32),
            began_ms: u64::MAX,
            to_come: u64::MAX,
            left: u64::MAX,
            version: u64::MAX,
            before: Some((u64::MAX, None)),
            ..mark(metadata(0))
        };
        let mut marked = metadata(0);
        let bare = marked.encode().unwrap().len();
        marked.name = SecretName::parse(&format!("a ({})", u32::MAX)).unwrap();
        marked.created_ms = Some(u64::MAX);
        let uid = "0".repeat(32);
        link::set_uid(&mut marked.other, &uid);
        link::hang(&mut marked.other, &uid, "name");
        largest.put(&mut marked);
        assert!(marked.encode().unwrap().len() - bare <= ROOM);
    }

    #[test]
    fn a_mark_follows_its_value() {
        let mut marked = metadata(1);
        mark(metadata(0)).put(&mut marked);
        let version = |metadata: &Metadata| Mark::of(metadata).unwrap().version;
        Mark::follow(&mut marked, 3, 9);
        assert_eq!(version(&marked), 4);
        Mark::follow(&mut marked, 4, 9);
        assert_eq!(version(&marked), 9);
        // Metadata that the owner changed no longer match the mark.
        marked.note.push('x');
        Mark::follow(&mut marked, 9, 10);
        assert_eq!(version(&marked), 9);
    }
}
