//! Links between items and attachments: an item has a `uid` in its metadata, and its attachments name that uid.

use std::collections::BTreeMap;

use rmpv::Value;
use shared::ids::Digest;

/// The metadata key of an item with attachments.
const UID: &str = "uid";
/// The metadata key of an attachment; its map has `of`, the uid of the item, and `name`, the file name.
pub const ATTACHMENT: &str = "attachment";
/// Length of a uid that keyshell generates, in bytes.
const UID_LEN: usize = 16;

/// A uid from the first bytes of a digest, in hexadecimal.
pub fn short(digest: &Digest) -> String {
    data_encoding::HEXLOWER.encode(digest.as_bytes().split_at(UID_LEN).0)
}

/// Metadata entries that [`Metadata`](keyshell_client::index::metadata::Metadata) has no member for.
pub(super) type Other = BTreeMap<String, Value>;

/// The uid of an item.
pub fn uid(other: &Other) -> Option<&str> {
    other.get(UID)?.as_str()
}

/// The uid of an attachment's item, and the attachment's file name.
pub fn hangs_on(other: &Other) -> Option<(&str, &str)> {
    let link = other.get(ATTACHMENT)?.as_map()?;
    let text = |key: &str| {
        let mut entries = link.iter();
        let found = entries.find(|(own, _)| own.as_str() == Some(key));
        found.and_then(|(_, value)| value.as_str())
    };
    Some((text("of")?, text("name")?))
}

/// Sets the uid of an item.
pub fn set_uid(other: &mut Other, uid: &str) {
    other.insert(UID.into(), uid.into());
}

/// Links an attachment to the item with uid `of`.
pub fn hang(other: &mut Other, of: &str, name: &str) {
    let link = vec![("of".into(), of.into()), ("name".into(), name.into())];
    other.insert(ATTACHMENT.into(), Value::Map(link));
}

/// The links of a secret to other secrets of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bond {
    /// The group in which uids are unique: one item of another program's file, or a whole keyshell file.
    pub(super) group: u64,
    pub(super) uid: Option<String>,
    pub(super) of: Option<String>,
    /// Bytes by which the links are longer than in the file.
    pub longer: usize,
}

impl Bond {
    /// The links in these metadata; `None` if there are none.
    pub fn new(group: u64, other: &Other) -> Option<Self> {
        let bond = Self {
            group,
            uid: uid(other).map(str::to_owned),
            of: hangs_on(other).map(|(of, _)| of.to_owned()),
            longer: 0,
        };
        (bond.uid.is_some() || bond.of.is_some()).then_some(bond)
    }

    /// Writes the links into metadata.
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
