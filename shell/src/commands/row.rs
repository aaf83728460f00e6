//! A row of `ls`: a secret on the server, on this device, or both.

use keyshell_client::index::Secret;
use serde::{Serialize, Serializer};
use serde_json::json;
use shared::ids::Version;

use crate::commands::field;

/// One row.
#[derive(Debug, Serialize)]
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
    #[serde(flatten)]
    pub here: Here,
}

/// The state of a secret on this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// Not on this device, or not checked.
    Nothing,
    /// Only on this device.
    Only,
    /// A copy of this version on the server; its freshness is unknown where no session is open.
    Copy(Version, Option<Freshness>),
}

/// A copy's relation to the newest version on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Freshness {
    /// The copy is the newest version.
    Current,
    /// The copy is older.
    Stale,
    /// The secret was removed on the server.
    Removed,
}

impl Here {
    /// The state of a copy of `version`, compared with the server's secret.
    pub fn copy(version: Version, secret: Option<&Secret>) -> Self {
        let freshness = match secret.and_then(Secret::newest) {
            None => Freshness::Removed,
            Some(info) if info.version == version => Freshness::Current,
            Some(_) => Freshness::Stale,
        };
        Self::Copy(version, Some(freshness))
    }

    pub fn text(self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Only => "only here".to_owned(),
            Self::Copy(_, Some(Freshness::Current) | None) => "copy".to_owned(),
            Self::Copy(version, Some(Freshness::Stale)) => format!("stale copy ({version})"),
            Self::Copy(_, Some(Freshness::Removed)) => "copy, removed on the server".to_owned(),
        }
    }
}

impl Serialize for Here {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let object = match self {
            Self::Nothing => json!({}),
            Self::Only => json!({"saved": false}),
            Self::Copy(version, state) => {
                json!({"saved": true, "saved_version": version, "saved_state": state})
            }
        };
        object.serialize(to)
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
