//! What hangs on what: an item has a `uid` in its metadata, and the files that hang on it name that.

use std::collections::BTreeMap;

use rmpv::Value;
use shared::ids::Digest;

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
pub(super) type Other = BTreeMap<String, Value>;

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
    pub(super) group: u64,
    pub(super) uid: Option<String>,
    pub(super) of: Option<String>,
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
