//! Sources of imports, which can be read several times, and the properties that formats are detected by.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use shared::secret::SecretBytes;

use crate::error::FormatError;
use crate::input::{ReadSeek, age_file, json_stream};

/// The length of the beginning that is read for detection, in bytes.
const HEAD: u64 = 4096;
/// The byte order mark, which some programs put before a text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A file, a folder, or bytes in memory.
#[derive(Debug)]
pub struct Source {
    content: Content,
    /// The key of a source that is an age file.
    key: Option<age_file::Key>,
    /// The key that a format derived from a passphrase: the derivation takes long.
    stretched: OnceLock<SecretBytes>,
    /// The name in messages.
    pub shown: String,
}

#[derive(Debug)]
enum Content {
    File(PathBuf),
    Memory(SecretBytes),
}

impl Source {
    fn new(content: Content, shown: String) -> Self {
        Self {
            content,
            key: None,
            stretched: OnceLock::new(),
            shown,
        }
    }

    /// A file or folder.
    pub fn path(path: &Path) -> Self {
        Self::new(Content::File(path.to_owned()), path.display().to_string())
    }

    /// Bytes in memory.
    pub fn memory(bytes: SecretBytes, shown: &str) -> Self {
        Self::new(Content::Memory(bytes), shown.to_owned())
    }

    /// Sets the key of a source that is an age file: it is then read decrypted.
    pub fn open_with(&mut self, key: impl Into<age_file::Key>) {
        self.key = Some(key.into());
    }

    /// The key that a format derives from a passphrase; `make` derives and checks it once.
    ///
    /// # Errors
    /// Errors of `make`.
    pub fn stretched(
        &self,
        make: impl FnOnce() -> Result<SecretBytes, FormatError>,
    ) -> Result<&SecretBytes, FormatError> {
        if let Some(key) = self.stretched.get() {
            return Ok(key);
        }
        let key = make()?;
        Ok(self.stretched.get_or_init(|| key))
    }

    /// The path of a file or folder.
    pub fn location(&self) -> Option<&Path> {
        match &self.content {
            Content::File(path) => Some(path),
            Content::Memory(_) => None,
        }
    }

    /// The name of the file, without its folder; the name in messages for bytes in memory.
    pub fn file_name(&self) -> String {
        let name = self.location().and_then(Path::file_name);
        name.map_or_else(
            || self.shown.clone(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// The path, if it is that of a folder.
    pub fn folder(&self) -> Option<&Path> {
        self.location().filter(|path| path.is_dir())
    }

    /// Whether the source is a folder.
    pub fn is_folder(&self) -> bool {
        self.folder().is_some()
    }

    /// The length in bytes, before decryption.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn size(&self) -> Result<u64, FormatError> {
        match &self.content {
            Content::File(path) => std::fs::metadata(path)
                .map(|about| about.len())
                .map_err(FormatError::unreadable),
            Content::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// Reads from the beginning.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn reader(&self) -> Result<Box<dyn ReadSeek + '_>, FormatError> {
        let raw: Box<dyn ReadSeek + '_> = match &self.content {
            Content::File(path) => Box::new(BufReader::new(
                File::open(path).map_err(FormatError::unreadable)?,
            )),
            Content::Memory(bytes) => Box::new(Cursor::new(bytes.expose())),
        };
        match &self.key {
            None => Ok(raw),
            Some(key) => Ok(Box::new(BufReader::new(age_file::reader(raw, key)?))),
        }
    }

    /// The whole content, at most `limit` bytes.
    ///
    /// # Errors
    /// [`FormatError`], naming the limit if there is more.
    pub fn bytes(&self, limit: u64) -> Result<SecretBytes, FormatError> {
        keyshell_base::files::read_all(self.reader()?, limit).map_err(FormatError::unreadable)
    }

    /// The properties of the content.
    ///
    /// # Errors
    /// [`FormatError`] for sources that cannot be read.
    pub fn peek(&self) -> Result<Peek, FormatError> {
        if self.is_folder() {
            return Ok(Peek::default());
        }
        let mut head = Vec::new();
        self.reader()?
            .take(HEAD)
            .read_to_end(&mut head)
            .map_err(FormatError::unreadable)?;
        let keys = match begins_as_json(&head) {
            Some(Top::Object) => Keys::of(self.reader()?),
            Some(Top::List) => whole_list(self.reader()?).map(|()| BTreeSet::new()),
            None => Ok(BTreeSet::new()),
        };
        let (keys, damage) = match keys {
            Ok(keys) => (keys, None),
            Err(error) => (BTreeSet::new(), Some(error.to_string())),
        };
        Ok(Peek { head, keys, damage })
    }
}

/// The type of the value that a JSON document is.
enum Top {
    Object,
    List,
}

/// Whether a file begins like JSON: other files may begin with a brace or bracket, but not with the byte after it.
fn begins_as_json(head: &[u8]) -> Option<Top> {
    let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    let (first, rest) = text.trim_ascii_start().split_first()?;
    match (first, rest.trim_ascii_start().first()) {
        (b'{', Some(b'"' | b'}')) => Some(Top::Object),
        (b'[', Some(b'{' | b'[' | b'"')) => Some(Top::List),
        _ => None,
    }
}

fn whole_list(reader: impl Read) -> serde_json::Result<()> {
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(reader));
    json.deserialize_seq(IgnoredAny)?;
    json.end()
}

/// The properties of a source that formats are detected by.
#[derive(Debug, Default)]
pub struct Peek {
    /// The first bytes, at most 4096.
    pub head: Vec<u8>,
    /// The keys of a JSON object, at most 1024; empty for other content.
    keys: BTreeSet<String>,
    /// The error of the parser for content that begins like JSON and is not valid.
    pub damage: Option<String>,
}

impl Peek {
    /// Whether the content is a JSON object with all of these keys.
    pub fn has_keys(&self, keys: &[&str]) -> bool {
        keys.iter().all(|key| self.keys.contains(*key))
    }

    /// The first line, where it is UTF-8.
    pub fn first_line(&self) -> Option<&str> {
        let line = self.head.split(|byte| *byte == b'\n').next()?;
        std::str::from_utf8(line).ok().map(str::trim_end)
    }
}

/// The keys of a JSON object.
struct Keys;

impl Keys {
    /// Most keys that are kept: an object with more is not a document of a known format.
    const MAX: usize = 1024;

    fn of(reader: impl Read) -> serde_json::Result<BTreeSet<String>> {
        let reader = BufReader::new(json_stream::short_texts(reader));
        let mut json = serde_json::Deserializer::from_reader(reader);
        let keys = json.deserialize_map(Self)?;
        json.end()?;
        Ok(keys)
    }
}

impl<'de> Visitor<'de> for Keys {
    type Value = BTreeSet<String>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BTreeSet<String>, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some((key, IgnoredAny)) = map.next_entry::<String, _>()? {
            if keys.len() < Self::MAX {
                keys.insert(key);
            }
        }
        Ok(keys)
    }
}
