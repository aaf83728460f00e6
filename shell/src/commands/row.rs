//! A row of `ls`: a secret on the server, on this device, or on both.

use keyshell_client::index::Secret;
use serde_json::{Value, json};
use shared::ids::Version;

use crate::commands::field;
use crate::output::add;

/// One row, wherever it comes from.
#[derive(Debug)]
pub struct Row {
    /// Name.
    pub name: String,
    /// Newest version.
    pub version: u64,
    /// When it was last changed.
    pub changed_ms: u64,
    /// Tags.
    pub tags: Vec<String>,
    /// Note.
    pub note: String,
    /// How the fields of an item are addressed.
    pub fields: Vec<String>,
    /// What of it is on this device.
    pub here: Here,
}

/// What of a secret is on this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// Nothing, or nobody looked.
    Nothing,
    /// All there is of it.
    Only,
    /// A copy of this version on the server.
    Copy(Version, Freshness),
}

/// How a copy stands to the server's newest version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The same.
    Current,
    /// Older.
    Stale,
    /// The server has none any more.
    Removed,
    /// There is no session to tell.
    Unknown,
}

impl Here {
    /// A copy of `version`, beside the secret as the server has it.
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
            Self::Copy(_, Freshness::Removed) => "copy of a removed one".to_owned(),
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
