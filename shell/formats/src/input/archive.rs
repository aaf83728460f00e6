//! Zips of exports: the directory, JSON that is read in parts, and files, bounded by their real lengths.

use std::collections::BTreeMap;
use std::io;

use keyshell_base::files;
use serde::de::DeserializeOwned;
use shared::secret::SecretBytes;
use shared::wire::limits::MAX_VALUE_LEN;
use zip::read::{ArchiveOffset, Config, OwnedZipFileEntry};
use zip::result::ZipError;
use zip::{ZipArchive, ZipReadOptions};

use crate::error::FormatError;
use crate::input::read_budget::{Budgeted, ReadBudget};
use crate::input::source::Source;
use crate::input::{ReadSeek, json_stream};
use crate::model::item::{Attachment, Item};

/// The first bytes of a zip.
const MAGIC: &[u8] = b"PK\x03\x04";
/// The offset of the name of the first entry.
const NAME_AT: usize = 30;
/// Longest file, in bytes.
const MAX_FILE: u64 = 512 * 1024 * 1024;
/// Longest directory of a zip, in bytes: what says which entries there are.
const MAX_DIRECTORY: u64 = 16 * 1024 * 1024;
/// Most entries.
const MAX_ENTRIES: usize = 100_000;
/// Most that the JSON may come to when it is inflated, and the files together, in bytes.
const MAX_PLAIN: u64 = 512 * 1024 * 1024;
/// Longest item, in bytes of JSON: it is taken in as a whole.
pub const MAX_ITEM: u64 = 16 * 1024 * 1024;
/// Longest document that is taken in as a whole, in bytes.
const MAX_DOCUMENT: u64 = 128 * 1024 * 1024;

type Reader<'a> = Box<dyn ReadSeek + 'a>;

fn bad(error: ZipError) -> FormatError {
    match error {
        ZipError::Io(error) => FormatError::unreadable(error),
        other => FormatError::malformed(format!("the zip is damaged or not supported: {other}")),
    }
}

/// Reads the directory of a zip, and not a byte of its entries.
fn directory<T>(
    source: &Source,
    with: impl FnOnce(&ZipArchive<Budgeted<'_, Reader<'_>>>) -> Result<T, FormatError>,
) -> Result<T, FormatError> {
    FormatError::check_mib("the file is too long", source.size()?, MAX_FILE)?;
    let budget = ReadBudget::new(MAX_DIRECTORY, u64::MAX);
    let reader = budget.reader(source.reader()?);
    // The zip begins with the first entry, so its beginning need not be searched for.
    let archive_offset = ArchiveOffset::Known(0);
    let zip = ZipArchive::with_config(Config { archive_offset }, reader).map_err(bad)?;
    with(&zip)
}

/// Whether a file with this beginning is a zip with the first of these entries. For files over the limit, the name of the
/// first entry decides, which begins like one of them.
pub fn has(source: &Source, head: &[u8], names: &[&str]) -> bool {
    if !head.starts_with(MAGIC) {
        return false;
    }
    if source.size().is_ok_and(|size| size > MAX_FILE) {
        let first = head.get(NAME_AT..).unwrap_or_default();
        return names.iter().any(|name| first.starts_with(name.as_bytes()));
    }
    let found = directory(source, |zip| {
        Ok(names
            .first()
            .is_some_and(|name| zip.index_for_name(name).is_some()))
    });
    found.is_ok_and(|found| found)
}

/// All entries that are not folders, by name; bytes of names that are not UTF-8 are replaced.
fn entries<R: io::Read + io::Seek>(
    zip: &ZipArchive<R>,
) -> Result<BTreeMap<String, OwnedZipFileEntry>, FormatError> {
    let mut entries = BTreeMap::new();
    for number in 0..zip.len() {
        let entry = zip.by_index_data(number).map_err(bad)?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        if !name.ends_with('/') {
            entries.insert(name, entry.into());
        }
    }
    Ok(entries)
}

/// The entry of a JSON document.
pub struct Data<'a> {
    source: &'a Source,
    entry: OwnedZipFileEntry,
}

impl Data<'_> {
    /// As [`json_stream::each`]; elements of at most `most` bytes.
    ///
    /// # Errors
    /// [`FormatError`]; those of `sink`.
    pub fn each<T: DeserializeOwned>(
        &self,
        path: &[&str],
        most: u64,
        sink: &mut dyn FnMut(T) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let mut reader = self.source.reader()?;
        let entry = self.entry.as_ref();
        let plain = entry
            .with_reader(&mut reader, ZipReadOptions::new())
            .map_err(bad)?;
        let budget = ReadBudget::new(MAX_PLAIN, most);
        json_stream::each(budget.reader(plain), path, &mut |element| {
            budget.next_piece();
            sink(element)
        })
    }
}

/// A file of a zip.
pub enum Found {
    /// The content.
    Content(SecretBytes),
    /// A file that is longer than a value can be.
    TooLong,
    /// There is none.
    Nothing,
}

impl Found {
    /// Attaches the file to an item, or lists it as a loss of the item.
    pub fn attach(self, name: String, item: &mut Item) {
        match self {
            Self::Content(content) => item.attachments.push(Attachment { name, content }),
            Self::TooLong => {
                let loss = format!("attachment `{name}`: longer than 1 MiB");
                item.losses.push(loss);
            }
            Self::Nothing => {
                let loss = format!("attachment `{name}`, which is not in the file");
                item.losses.push(loss);
            }
        }
    }
}

/// A zip.
pub struct Archive<'a> {
    source: &'a Source,
    reader: Reader<'a>,
    /// By name, each with whether it was read.
    entries: BTreeMap<String, (OwnedZipFileEntry, bool)>,
    budget: ReadBudget,
}

impl<'a> Archive<'a> {
    /// Opens a zip.
    ///
    /// # Errors
    /// [`FormatError`]: no zip, too many entries, two of one name.
    pub fn open(source: &'a Source) -> Result<Self, FormatError> {
        let entries = directory(source, |zip| {
            let what = "the zip has too many entries";
            FormatError::check_size(what, zip.len(), MAX_ENTRIES, "entries")?;
            if zip.has_duplicate_names() {
                let text = "the zip has two entries of the same name";
                return Err(FormatError::malformed(text));
            }
            entries(zip)
        })?;
        let entries = entries
            .into_iter()
            .map(|(name, entry)| (name, (entry, false)));
        Ok(Self {
            source,
            reader: source.reader()?,
            entries: entries.collect(),
            budget: ReadBudget::new(MAX_PLAIN, u64::MAX),
        })
    }

    /// Takes out a JSON document.
    ///
    /// # Errors
    /// [`FormatError`] if there is none of this name.
    pub fn data(&mut self, name: &str) -> Result<Data<'a>, FormatError> {
        let (entry, _) = self
            .entries
            .remove(name)
            .ok_or_else(|| FormatError::malformed(format!("there is no {name} in the zip")))?;
        Ok(Data {
            source: self.source,
            entry,
        })
    }

    /// Leaves out an entry that says nothing about items.
    pub fn skip(&mut self, name: &str) {
        self.entries.remove(name);
    }

    /// The content of a file, at most as long as a value can be.
    ///
    /// # Errors
    /// [`FormatError`] for damaged files, and for files that together are over the limit.
    pub fn get(&mut self, name: &str) -> Result<Found, FormatError> {
        self.read(name, MAX_VALUE_LEN as u64)
    }

    /// The content of a whole document, at most 128 MiB.
    ///
    /// # Errors
    /// As [`Self::get`], and for documents that are missing or too long.
    pub fn document(&mut self, name: &str) -> Result<SecretBytes, FormatError> {
        match self.read(name, MAX_DOCUMENT)? {
            Found::Content(content) => Ok(content),
            Found::TooLong => Err(FormatError::too_large(
                format!("{name} is too long"),
                MAX_DOCUMENT >> 20,
                "MiB",
            )),
            Found::Nothing => Err(FormatError::malformed(format!(
                "there is no {name} in the zip"
            ))),
        }
    }

    fn read(&mut self, name: &str, limit: u64) -> Result<Found, FormatError> {
        let Some((entry, is_used)) = self.entries.get_mut(name) else {
            return Ok(Found::Nothing);
        };
        *is_used = true;
        let options = ZipReadOptions::new();
        let plain = entry.as_ref().with_reader(&mut self.reader, options);
        let failed = |error: io::Error| {
            FormatError::malformed(format!("`{}`: {error}", name.escape_debug()))
        };
        match files::read_all(self.budget.reader(plain.map_err(bad)?), limit) {
            Ok(content) => Ok(Found::Content(content)),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(Found::TooLong),
            Err(error) => Err(failed(error)),
        }
    }

    /// The names of entries that begin with this text.
    pub fn under<'b>(&'b self, prefix: &'b str) -> impl Iterator<Item = &'b str> {
        let from = self.entries.range(prefix.to_owned()..);
        let names = from.map(|(name, _)| name.as_str());
        names.take_while(move |name| name.starts_with(prefix))
    }

    /// The names of entries that were not read.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        let left = self.entries.iter().filter(|(_, (_, is_used))| !is_used);
        left.map(|(name, _)| name.as_str())
    }
}
