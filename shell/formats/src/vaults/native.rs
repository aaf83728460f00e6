//! A whole vault in our own versioned JSON: every secret with every version. Written and read one secret at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use data_encoding::BASE64;
use rmpv::Value;
use serde::{Deserialize, Serialize};
use shared::wire::limits::MAX_VALUE_LEN;

pub use crate::document::Base64Value;
use crate::document::Head;
use crate::format::{FormatError, Incoming, NATIVE, Sink, Source, VaultFormat};
use crate::input::json_stream;
use crate::model::item::{Item, ItemVersion};

/// The name on the command line.
pub const NAME: &str = NATIVE;
/// Value of the field `format`.
pub const FORMAT: &str = "keyshell-vault";
const VERSION: u32 = 1;

/// One secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretDocument {
    /// Name.
    pub name: String,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Note.
    #[serde(default)]
    pub note: String,
    /// Media type of the newest version.
    pub content_type: Option<String>,
    /// Metadata that this program does not know, as base64 of MessagePack, by key.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// Versions, oldest first.
    pub versions: Vec<VersionDocument>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionDocument {
    /// The number, from 1.
    pub version: u64,
    /// The time of creation, in milliseconds since 1970-01-01 UTC.
    pub created_ms: u64,
    /// The value.
    pub value: Base64Value,
}

/// Writes the document as its secrets come.
#[derive(Debug)]
pub struct VaultWriter<W> {
    out: W,
    is_first: bool,
}

impl<W: Write> VaultWriter<W> {
    /// Begins; `exported_ms` is now, in milliseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// Errors of writing.
    pub fn begin(mut out: W, exported_ms: u64) -> std::io::Result<Self> {
        write!(
            out,
            "{{\n\"format\": \"{FORMAT}\",\n\"version\": {VERSION},\n\"exported_ms\": {exported_ms},\n\"secrets\": ["
        )?;
        Ok(Self {
            out,
            is_first: true,
        })
    }

    /// The next secret.
    ///
    /// # Errors
    /// Errors of writing.
    pub fn secret(&mut self, secret: &SecretDocument) -> std::io::Result<()> {
        self.out
            .write_all(if self.is_first { b"\n" } else { b",\n" })?;
        self.is_first = false;
        serde_json::to_writer(&mut self.out, secret)?;
        Ok(())
    }

    /// Ends the document and returns what it was written to.
    ///
    /// # Errors
    /// Errors of writing.
    pub fn finish(mut self) -> std::io::Result<W> {
        self.out.write_all(b"\n]\n}\n")?;
        Ok(self.out)
    }
}

/// The first member `format` of a JSON object, if it is a text.
fn format_of(source: &Source) -> Option<String> {
    let mut format = None;
    // The error ends the reading.
    let _ = json_stream::each(source.text().ok()?, &["format"], &mut |text| {
        format = Some(text);
        Err(FormatError::malformed("found"))
    });
    format
}

/// Our own format of a whole vault.
pub const VAULT: VaultFormat = VaultFormat::new(
    NAME,
    "our JSON of a whole vault, in an age file unless told otherwise: everything",
    |source, peek| peek.has_keys(&["format"]) && format_of(source).as_deref() == Some(FORMAT),
    |source, _, sink| read(source, sink),
);

fn read(source: &Source, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    json_stream::each_outline(source.text()?, &[], &mut |head: Head| {
        head.check(FORMAT, VERSION)
    })?;
    let mut names = BTreeSet::new();
    json_stream::each(
        source.text()?,
        &["secrets", "*"],
        &mut |secret: SecretDocument| {
            secret.check()?;
            if !names.insert(secret.name.clone()) {
                let text = format!("`{}` is in the file more than once", secret.name);
                return Err(FormatError::malformed(text));
            }
            sink(Incoming::Item(Box::new(secret.into_item()?)))
        },
    )
}

impl SecretDocument {
    fn into_item(self) -> Result<Item, FormatError> {
        let mut kept = BTreeMap::new();
        for (key, encoded) in self.fields {
            let value = decode_field(&encoded).ok_or_else(|| {
                FormatError::malformed(format!("`{}`: field `{key}` is malformed", self.name))
            })?;
            kept.insert(key, value);
        }
        let versions = self.versions.into_iter().map(|version| ItemVersion {
            created_ms: Some(version.created_ms),
            value: version.value.0,
        });
        Ok(Item {
            name: self.name,
            tags: self.tags,
            note: self.note,
            content_type: self.content_type,
            kept,
            versions: versions.collect(),
            ..Item::default()
        })
    }

    fn check(&self) -> Result<(), FormatError> {
        let name = &self.name;
        let mut expected = 1..;
        for version in &self.versions {
            if expected.next() != Some(version.version) {
                let text = format!("`{name}`: versions must be 1, 2, 3 and so on");
                return Err(FormatError::malformed(text));
            }
            let what = format_args!("`{name}`: a value is too long");
            FormatError::check_size(what, version.value.0.len(), MAX_VALUE_LEN, "bytes")?;
        }
        if self.versions.is_empty() {
            return Err(FormatError::malformed(format!("`{name}` has no versions")));
        }
        Ok(())
    }
}

/// Deepest nesting of metadata.
const MAX_DEPTH: usize = 16;

fn decode_field(encoded: &str) -> Option<Value> {
    let bytes = BASE64.decode(encoded.as_bytes()).ok()?;
    let mut rest = bytes.as_slice();
    let value = rmpv::decode::read_value_with_max_depth(&mut rest, MAX_DEPTH).ok()?;
    rest.is_empty().then_some(value)
}

/// Metadata without a field of their own, as [`SecretDocument::fields`] has them.
///
/// # Errors
/// Errors of encoding; writing to memory has none.
pub fn encode_field(value: &Value) -> Result<String, rmpv::encode::Error> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, value)?;
    Ok(BASE64.encode(&bytes))
}
