//! A row of `ls`: a secret on the server, on this device, or both.

use keyshell_client::index::Secret;
use serde_json::{Value, json};
use shared::ids::Version;

use crate::commands::field;
use crate::output::add;

/// One row.
#[derive(Debug)]
pub struct Row {
    /// Name.
    pub name: String,
    /// Newest version.
    pub version: u64,
    /// Time of the last change, in milliseconds since 1970-01-01 UTC.
    pub changed_ms: u64,
    /// Tags.
    pub tags: Vec<String>,
    /// Note.
    pub note: String,
    /// Addresses of an item's fields.
    pub fields: Vec<String>,
    /// The state of the secret on this device.
    pub here: Here,
}

/// The state of a secret on this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// Not on this device, or not checked.
    Nothing,
    /// Only on this device.
    Only,
    /// A copy of this version on the server.
    Copy(Version, Freshness),
}

/// A copy's relation to the newest version on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The copy is the newest version.
    Current,
    /// The copy is older.
    Stale,
    /// The secret was removed on the server.
    Removed,
    /// Unknown, because no session is open.
    Unknown,
}

impl Here {
    /// The state of a copy of `version`, compared with the server's secret.
    pub fn copy(version: Version, secret: Option<&Secret>) -> Self {
        let freshness = match secret.and_then(Secret::newest) {
            None => Freshness::Removed,
            Some(info) if info.version == version => Freshness::Current,
            Some(_) => Freshness::Stale,
        };
        Self::Copy(version, freshness)
    }

    pub fn text(self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Only => "only here".to_owned(),
            Self::Copy(_, Freshness::Current | Freshness::Unknown) => "copy".to_owned(),
            Self::Copy(version, Freshness::Stale) => format!("stale copy ({version})"),
            Self::Copy(_, Freshness::Removed) => "copy, removed on the server".to_owned(),
        }
    }
}

impl Freshness {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Current => Some("current"),
            Self::Stale => Some("stale"),
            Self::Removed => Some("removed"),
            Self::Unknown => None,
        }
    }
}

impl From<&Secret> for Row {
    fn from(secret: &Secret) -> Self {
        Self {
            name: secret.metadata.name.to_string(),
            version: secret.newest().map_or(0, |info| info.version.0),
            changed_ms: secret.changed_ms,
            tags: secret.metadata.tags.clone(),
            note: secret.metadata.note.clone(),
            fields: field::noted(&secret.metadata)
                .into_iter()
                .map(str::to_owned)
                .collect(),
            here: Here::Nothing,
        }
    }
}

impl Row {
    pub fn to_json(&self) -> Value {
        let mut object = json!({
            "name": self.name,
            "version": self.version,
            "changed_ms": self.changed_ms,
            "tags": self.tags,
            "note": self.note,
            "fields": self.fields,
        });
        match self.here {
            Here::Nothing => {}
            Here::Only => add(&mut object, "saved", json!(false)),
            Here::Copy(version, freshness) => {
                add(&mut object, "saved", json!(true));
                add(&mut object, "saved_version", json!(version));
                add(&mut object, "saved_state", json!(freshness.name()));
            }
        }
        object
    }
}
