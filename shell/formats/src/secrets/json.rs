//! `json`: one secret with its metadata, in our own versioned JSON.

use keyshell_base::json;
use serde::{Deserialize, Serialize};
use shared::secret::SecretBytes;

use crate::document::{Base64Value, check_head};
use crate::format::{Ask, FormatError, Portable, SecretFormat, bounded};

/// The value of the member `format`.
const DOCUMENT: &str = "keyshell-secret";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    version: u32,
    name: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    note: String,
    content_type: Option<String>,
    value: Base64Value,
}

/// The format.
pub const FORMAT: SecretFormat = SecretFormat {
    recognises: |bytes| check_head(bytes, DOCUMENT, VERSION).is_ok(),
    ..SecretFormat::new(
        "json",
        "our JSON of one secret, with its name, tags and note",
        encode,
        decode,
    )
};

fn encode(secret: &Portable, _: &dyn Ask) -> Result<SecretBytes, FormatError> {
    let document = Document {
        format: DOCUMENT.into(),
        version: VERSION,
        name: secret.name.clone(),
        tags: secret.tags.clone(),
        note: secret.note.clone(),
        content_type: secret.content_type.clone(),
        value: Base64Value(secret.value.clone()),
    };
    json::encode(&document).map_err(FormatError::library)
}

fn decode(bytes: &[u8], _: &dyn Ask) -> Result<Portable, FormatError> {
    check_head(bytes, DOCUMENT, VERSION)?;
    let document: Document = serde_json::from_slice(bytes).map_err(|error| {
        FormatError::not_this_format(format!("this is not {DOCUMENT} JSON: {error}"))
    })?;
    Ok(Portable {
        name: document.name,
        tags: document.tags,
        note: document.note,
        content_type: document.content_type,
        value: bounded(document.value.0.expose().to_vec())?,
        lost: Vec::new(),
    })
}
