//! What an import leaves in the metadata of what it brought: enough to know it again, to go on, and to take it back.

use rmpv::Value;
use shared::ids::Digest;

use crate::vault::metadata::Metadata;

/// The key in the metadata.
pub const KEY: &str = "import";

/// Of which import a secret is.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// The import: 16 random bytes in hexadecimal.
    pub import: String,
    /// When it began, in milliseconds since 1970-01-01 UTC.
    pub began_ms: u64,
    /// SHA-256 of what the file had.
    pub digest: Digest,
    /// How many versions of it are still to come.
    pub left: u64,
    /// Which version the import made.
    pub version: u64,
    /// Where it came onto a secret that was there: which version was the newest, and its metadata if they had room.
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
        let digest = field("digest")?.as_slice()?;
        let former = field("before").and_then(|value| Metadata::decode(value.as_slice()?).ok());
        Some(Self {
            import: field("id")?.as_str()?.to_owned(),
            began_ms: field("ms")?.as_u64()?,
            digest: Digest::from_slice(digest)?,
            left: field("left").and_then(Value::as_u64).unwrap_or_default(),
            version: field("version")?.as_u64()?,
            before: field("onto")
                .and_then(Value::as_u64)
                .map(|version| (version, former)),
        })
    }

    /// Puts the mark into metadata, in place of another.
    pub fn put(&self, metadata: &mut Metadata) {
        let mut entries = vec![
            ("id".into(), self.import.as_str().into()),
            ("ms".into(), self.began_ms.into()),
            (
                "digest".into(),
                Value::Binary(self.digest.as_bytes().to_vec()),
            ),
            ("version".into(), self.version.into()),
            (
                "as".into(),
                Value::Binary(shape(metadata).as_bytes().to_vec()),
            ),
        ];
        if self.left > 0 {
            entries.push(("left".into(), self.left.into()));
        }
        if let Some((version, former)) = &self.before {
            entries.push(("onto".into(), (*version).into()));
            let former = former.as_ref().and_then(|former| former.encode().ok());
            if let Some(former) = former {
                entries.push(("before".into(), Value::Binary(former.expose().to_vec())));
            }
        }
        metadata.other.insert(KEY.into(), Value::Map(entries));
        // What was before must not be why the new cannot be written.
        if metadata.encode().is_err() && self.before.as_ref().is_some_and(|b| b.1.is_some()) {
            let short = Self {
                before: self.before.as_ref().map(|(version, _)| (*version, None)),
                ..self.clone()
            };
            short.put(metadata);
        }
    }

    /// Whether metadata are still as the import left them.
    pub fn is_untouched(metadata: &Metadata) -> bool {
        let entries = metadata.other.get(KEY).and_then(Value::as_map);
        let mut entries = entries.into_iter().flatten();
        let left = entries.find(|(key, _)| key.as_str() == Some("as"));
        left.and_then(|(_, value)| value.as_slice()) == Some(shape(metadata).as_bytes())
    }

    /// Takes the mark out.
    pub fn clear(metadata: &mut Metadata) {
        metadata.other.remove(KEY);
    }
}

/// SHA-256 of metadata without the mark and the time.
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
    use super::*;
    use crate::vault::names::SecretName;

    fn metadata(note: usize) -> Metadata {
        let mut metadata = Metadata::named(SecretName::parse("a").unwrap());
        metadata.note = "n".repeat(note);
        metadata
    }

    fn mark(former: Metadata) -> Mark {
        Mark {
            import: "00".into(),
            began_ms: 1,
            digest: Digest::of(b"x"),
            left: 2,
            version: 4,
            before: Some((3, Some(former))),
        }
    }

    #[test]
    fn a_mark_is_read_as_it_was_put() {
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
    fn former_metadata_that_have_no_room_are_left_out() {
        let mut marked = metadata(30 * 1024);
        mark(metadata(30 * 1024)).put(&mut marked);
        assert_eq!(Mark::of(&marked).unwrap().before, Some((3, None)));
        marked.encode().unwrap();
    }
}
