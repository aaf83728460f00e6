//! Where files on their way in are read from, as often as needed, and what they are by their content.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use shared::secret::SecretBytes;

use crate::error::FormatError;
use crate::input::{ReadSeek, age_file, json_stream};

/// How much of the beginning is looked at, in bytes.
const HEAD: u64 = 4096;
/// Longest text at the top of a JSON document that is looked at, in bytes.
const MAX_TEXT: usize = 256;
/// What some programs put before a text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A file, a folder, or what came through a pipe.
#[derive(Debug)]
pub struct Source {
    content: Content,
    /// Opens the age file that it is.
    key: Option<age_file::Key>,
    /// What the format made of a passphrase, which takes its time.
    stretched: OnceLock<SecretBytes>,
    /// What to call it in messages.
    pub shown: String,
}

#[derive(Debug)]
enum Content {
    File(PathBuf),
    Memory(SecretBytes),
}

impl Source {
    /// A file or folder.
    pub fn path(path: &Path) -> Self {
        Self {
            content: Content::File(path.to_owned()),
            key: None,
            stretched: OnceLock::new(),
            shown: path.display().to_string(),
        }
    }

    /// What is in memory already.
    pub fn memory(bytes: SecretBytes, shown: &str) -> Self {
        Self {
            content: Content::Memory(bytes),
            key: None,
            stretched: OnceLock::new(),
            shown: shown.to_owned(),
        }
    }

    /// The same source, read through the age file that it is.
    pub fn open_with(&mut self, key: impl Into<age_file::Key>) {
        self.key = Some(key.into());
    }

    /// The key that its format makes of a passphrase; made at the first time, and checked by whoever makes it.
    ///
    /// # Errors
    /// Those of `make`.
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

    /// Where it lies, if it is a file or a folder.
    pub fn location(&self) -> Option<&Path> {
        match &self.content {
            Content::File(path) => Some(path),
            Content::Memory(_) => None,
        }
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.location().is_some_and(Path::is_dir)
    }

    /// Length in bytes, before anything is opened.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn size(&self) -> Result<u64, FormatError> {
        match &self.content {
            Content::File(path) => Ok(std::fs::metadata(path)
                .map_err(FormatError::unreadable)?
                .len()),
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

    /// All of it, up to `limit` bytes.
    ///
    /// # Errors
    /// [`FormatError`], naming the limit if there is more.
    pub fn bytes(&self, limit: u64) -> Result<SecretBytes, FormatError> {
        keyshell_base::files::read_all(self.reader()?, limit).map_err(FormatError::unreadable)
    }

    /// Looks at the content.
    ///
    /// # Errors
    /// [`FormatError`] where nothing can be read.
    pub fn peek(&self) -> Result<Peek, FormatError> {
        if self.is_folder() {
            return Ok(Peek::default());
        }
        let mut head = Vec::new();
        self.reader()?
            .take(HEAD)
            .read_to_end(&mut head)
            .map_err(FormatError::unreadable)?;
        let (mut json, mut damage) = (None, None);
        match begins_as_json(&head) {
            Some(Top::Object) => match Shape::of(self.reader()?) {
                Ok(shape) => json = Some(shape),
                Err(error) => damage = Some(error.to_string()),
            },
            Some(Top::List) => {
                damage = whole_list(self.reader()?)
                    .err()
                    .map(|error| error.to_string());
            }
            None => {}
        }
        Ok(Peek { head, json, damage })
    }
}

/// What a JSON document is at its top.
enum Top {
    Object,
    List,
}

/// Whether a file can hardly be anything else than JSON: other files too begin with a brace or a bracket.
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

/// What the content looks like.
#[derive(Debug, Default)]
pub struct Peek {
    /// The first bytes, at most 4096.
    pub head: Vec<u8>,
    /// The top of the JSON object that it is, if so.
    pub json: Option<Shape>,
    /// What is wrong with it, where it begins as JSON and is none.
    pub damage: Option<String>,
}

impl Peek {
    /// Whether it is a JSON object with all of these keys at its top.
    pub fn has_keys(&self, keys: &[&str]) -> bool {
        let Some(json) = &self.json else {
            return false;
        };
        keys.iter().all(|key| json.keys.contains(*key))
    }

    /// A short text at the top of the JSON object.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.json.as_ref()?.texts.get(key).map(String::as_str)
    }

    /// The first line, where it is UTF-8.
    pub fn first_line(&self) -> Option<&str> {
        let line = self.head.split(|byte| *byte == b'\n').next()?;
        std::str::from_utf8(line).ok().map(str::trim_end)
    }
}

/// The top of a JSON object.
#[derive(Debug, Default)]
pub struct Shape {
    /// Its keys.
    pub keys: BTreeSet<String>,
    /// Those of its values that are short texts.
    pub texts: BTreeMap<String, String>,
}

impl Shape {
    /// Most keys that are looked at; what has more is a map of somebody's own.
    const MAX_KEYS: usize = 1024;

    fn of(reader: impl Read) -> serde_json::Result<Self> {
        let reader = BufReader::new(json_stream::short_texts(reader));
        let mut json = serde_json::Deserializer::from_reader(reader);
        let shape = json.deserialize_map(ShapeVisitor)?;
        json.end()?;
        Ok(shape)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut shape = Shape::default();
        while let Some(key) = map.next_key::<String>()? {
            let value: ShortText = map.next_value()?;
            if shape.keys.len() < Shape::MAX_KEYS {
                if let ShortText(Some(text)) = value {
                    shape.texts.insert(key.clone(), text);
                }
                shape.keys.insert(key);
            }
        }
        Ok(shape)
    }
}

/// A short text, or anything else.
struct ShortText(Option<String>);

impl<'de> serde::Deserialize<'de> for ShortText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Short;
        impl<'de> Visitor<'de> for Short {
            type Value = ShortText;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("anything")
            }
            fn visit_str<E>(self, text: &str) -> Result<ShortText, E> {
                Ok(ShortText((text.len() <= MAX_TEXT).then(|| text.to_owned())))
            }
            fn visit_bool<E>(self, _: bool) -> Result<ShortText, E> {
                Ok(ShortText(None))
            }
            fn visit_i64<E>(self, _: i64) -> Result<ShortText, E> {
                Ok(ShortText(None))
            }
            fn visit_u64<E>(self, _: u64) -> Result<ShortText, E> {
                Ok(ShortText(None))
            }
            fn visit_f64<E>(self, _: f64) -> Result<ShortText, E> {
                Ok(ShortText(None))
            }
            fn visit_unit<E>(self) -> Result<ShortText, E> {
                Ok(ShortText(None))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<ShortText, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(ShortText(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ShortText, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(ShortText(None))
            }
        }
        deserializer.deserialize_any(Short)
    }
}
