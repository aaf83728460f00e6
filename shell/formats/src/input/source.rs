//! Sources of imports, which can be read several times, and the properties that formats are detected by.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use keyshell_base::files;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::error::FormatError;
use crate::input::{ReadSeek, age_file, json_stream};

/// The length of the beginning that is read for detection, in bytes.
const HEAD: u64 = 4096;
/// The byte order mark, which some programs put before a text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// Longest text in UTF-16, in bytes: it is converted in memory.
const MAX_UTF16: u64 = 128 * 1024 * 1024;

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
        files::read_all(self.reader()?, limit).map_err(FormatError::unreadable)
    }

    /// Reads a text from the beginning as UTF-8: a byte order mark is passed over, and UTF-16 behind a mark is converted.
    ///
    /// # Errors
    /// [`FormatError`], also for UTF-16 that is malformed or longer than 128 MiB.
    pub fn text(&self) -> Result<Box<dyn Read + '_>, FormatError> {
        let mut reader = self.reader()?;
        let mut mark = Vec::new();
        let read = reader.by_ref().take(3).read_to_end(&mut mark);
        read.map_err(FormatError::unreadable)?;
        let len = match mark.as_slice() {
            [0xff, 0xfe, ..] => return Ok(Box::new(self.utf16(u16::from_le_bytes)?)),
            [0xfe, 0xff, ..] => return Ok(Box::new(self.utf16(u16::from_be_bytes)?)),
            BYTE_ORDER_MARK => BYTE_ORDER_MARK.len(),
            _ => 0,
        };
        let begun = reader.seek(SeekFrom::Start(len as u64));
        begun.map_err(FormatError::unreadable)?;
        Ok(reader)
    }

    /// As [`Self::text`], the whole text; at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Self::text`], and naming the limit if there is more.
    pub fn whole_text(&self, limit: u64) -> Result<SecretBytes, FormatError> {
        files::read_all(self.text()?, limit).map_err(FormatError::unreadable)
    }

    fn utf16(&self, unit: fn([u8; 2]) -> u16) -> Result<Cursor<Zeroizing<String>>, FormatError> {
        let bytes = self.bytes(MAX_UTF16)?;
        let (pairs, odd) = bytes.expose().as_chunks();
        let mut text = Zeroizing::new(String::with_capacity(bytes.len() / 2 * 3));
        for unit in char::decode_utf16(pairs.iter().copied().map(unit).skip(1)) {
            text.push(unit.map_err(|_| malformed_utf16())?);
        }
        if !odd.is_empty() {
            return Err(malformed_utf16());
        }
        Ok(Cursor::new(text))
    }

    /// The properties of the content.
    ///
    /// # Errors
    /// [`FormatError`] for sources that cannot be read.
    pub fn peek(&self) -> Result<Peek, FormatError> {
        if self.is_folder() {
            return Ok(Peek::default());
        }
        let begin = |reader: Box<dyn Read + '_>| {
            let mut head = Vec::new();
            let read = reader.take(HEAD).read_to_end(&mut head);
            read.map(|_| head).map_err(FormatError::unreadable)
        };
        let head = begin(Box::new(self.reader()?))?;
        // Bytes that only begin like UTF-16 are no text.
        let text = self.text().and_then(begin).unwrap_or_default();
        let (mut keys, mut paths) = (BTreeSet::new(), BTreeSet::new());
        let top = begins_as_json(&text).then(|| self.text()).transpose()?;
        let read = top.map(|reader| Shape::of(reader, &mut keys, &mut paths));
        let damage = read.and_then(Result::err).map(|error| error.to_string());
        if damage.is_some() {
            (keys, paths) = Default::default();
        }
        Ok(Peek {
            head,
            text,
            keys,
            paths,
            damage,
        })
    }
}

fn malformed_utf16() -> FormatError {
    FormatError::malformed("the text is not valid UTF-16: save it as UTF-8")
}

/// The bytes behind a byte order mark.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// Whether a text begins like JSON: other texts may begin with a brace or bracket, but not with the byte after it.
fn begins_as_json(text: &[u8]) -> bool {
    let Some((first, rest)) = text.trim_ascii_start().split_first() else {
        return false;
    };
    let second = rest.trim_ascii_start().first();
    matches!(
        (first, second),
        (b'{', Some(b'"' | b'}')) | (b'[', Some(b'{' | b'[' | b'"'))
    )
}

/// The properties of a source that formats are detected by.
#[derive(Debug, Default)]
pub struct Peek {
    /// The first bytes, at most 4096.
    pub head: Vec<u8>,
    /// The first bytes of the text, at most 4096, as [`Source::text`] reads it.
    text: Vec<u8>,
    /// The keys of a JSON object, at most 1024; empty for other content.
    keys: BTreeSet<String>,
    /// The keys of JSON objects with the keys above them, at most 1024.
    paths: BTreeSet<String>,
    /// The error of the parser for content that begins like JSON and is not valid.
    pub damage: Option<String>,
}

impl Peek {
    /// Whether the content is a JSON object with all of these keys.
    pub fn has_keys(&self, keys: &[&str]) -> bool {
        keys.iter().all(|key| self.keys.contains(*key))
    }

    /// Whether the content is JSON that has a member at this path, such as `items.*.name`: at most three keys, with `*` for
    /// the elements of a list.
    pub fn has_path(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// Whether the content is JSON that has a member of this name three keys deep at most, in an element of a list.
    pub fn has_in_list(&self, key: &str) -> bool {
        let is_it = |path: &String| {
            path.split('.').any(|own| own == "*") && path.rsplit('.').next() == Some(key)
        };
        self.paths.iter().any(is_it)
    }

    /// The first bytes of the text, where they are UTF-8.
    pub fn text(&self) -> &str {
        let whole = std::str::from_utf8(&self.text);
        let valid = whole.map_or_else(|error| error.valid_up_to(), str::len);
        let text = self.text.get(..valid).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }

    /// The first line that is not empty.
    pub fn first_line(&self) -> Option<&str> {
        self.text()
            .split(['\n', '\r'])
            .map(str::trim_end)
            .find(|line| !line.is_empty())
    }
}

/// Collects the keys of a JSON document.
struct Shape<'a> {
    keys: &'a mut BTreeSet<String>,
    paths: &'a mut BTreeSet<String>,
    /// The keys above, each with a `.` behind it.
    above: String,
    depth: usize,
}

impl Shape<'_> {
    /// Most keys that are kept: a document with more is of no known format.
    const MAX: usize = 1024;
    const MAX_DEPTH: usize = 3;

    fn of(
        reader: impl Read,
        keys: &mut BTreeSet<String>,
        paths: &mut BTreeSet<String>,
    ) -> serde_json::Result<()> {
        let reader = BufReader::new(json_stream::short_texts(reader));
        let mut json = serde_json::Deserializer::from_reader(reader);
        let all = Shape {
            keys,
            paths,
            above: String::new(),
            depth: 0,
        };
        all.deserialize(&mut json)?;
        json.end()
    }

    fn under(&mut self, key: &str) -> Shape<'_> {
        Shape {
            above: format!("{}{key}.", self.above),
            depth: self.depth + 1,
            keys: &mut *self.keys,
            paths: &mut *self.paths,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Shape<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.depth == Self::MAX_DEPTH {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ());
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shape<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            map.next_value_seed(self.under(&key))?;
            if self.paths.len() < Self::MAX {
                self.paths.insert(format!("{}{key}", self.above));
            }
            if self.depth == 0 && self.keys.len() < Self::MAX {
                self.keys.insert(key);
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self.under("*"))?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
