//! The zip around an export: its directory, its JSON and its files, bounded by what they really come to.

use std::collections::BTreeMap;
use std::io;

use keyshell_base::files;
use serde::de::DeserializeOwned;
use shared::secret::SecretBytes;
use shared::wire::limits::MAX_VALUE_LEN;
use zip::read::{ArchiveOffset, Config, OwnedZipFileEntry};
use zip::result::ZipError;
use zip::{ZipArchive, ZipReadOptions};

use crate::format::{FormatError, Source};
use crate::input::ReadSeek;
use crate::input::json_stream;
use crate::input::read_budget::{Budgeted, ReadBudget};

/// The first bytes of a zip.
const MAGIC: &[u8] = b"PK\x03\x04";
/// The offset of the name of the first entry.
const NAME_AT: usize = 30;
/// The entry of the JSON document.
const DATA: &str = "export.data";
/// The entry with the version of the format and the time of the export.
const ATTRIBUTES: &str = "export.attributes";
/// The folder of files.
const FILES: &str = "files/";
/// The separator of the id and the name of a file; some versions write one more underscore.
const BEHIND_ID: &str = "__";
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

/// Whether a file with this beginning is a zip with an export. For files over the limit, the first entry decides.
pub fn is_export(source: &Source, head: &[u8]) -> bool {
    if !head.starts_with(MAGIC) {
        return false;
    }
    if source.size().is_ok_and(|size| size > MAX_FILE) {
        let first = head.get(NAME_AT..).unwrap_or_default();
        return [DATA, ATTRIBUTES, FILES]
            .iter()
            .any(|name| first.starts_with(name.as_bytes()));
    }
    directory(source, |zip| Ok(zip.index_for_name(DATA).is_some())).is_ok_and(|found| found)
}

/// Opens an export: its JSON and its files.
///
/// # Errors
/// [`FormatError`]: no zip, too many entries, two of one name, no JSON in it.
pub fn open(source: &Source) -> Result<(Data<'_>, Files<'_>), FormatError> {
    let mut entries = directory(source, |zip| {
        let what = "the zip has too many entries";
        FormatError::check_size(what, zip.len(), MAX_ENTRIES, "entries")?;
        if zip.has_duplicate_names() {
            return Err(FormatError::malformed(
                "the zip has two entries of the same name",
            ));
        }
        entries(zip)
    })?;
    let entry = entries.remove(DATA);
    let entry =
        entry.ok_or_else(|| FormatError::malformed(format!("there is no {DATA} in the zip")))?;
    entries.remove(ATTRIBUTES);
    let entries = entries
        .into_iter()
        .map(|(name, entry)| (name, (entry, false)));
    let files = Files {
        reader: source.reader()?,
        entries: entries.collect(),
        budget: ReadBudget::new(MAX_PLAIN, u64::MAX),
    };
    Ok((Data { source, entry }, files))
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

/// The entry of the JSON document.
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

/// The place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The file with this id.
    Id(String),
    /// The file at this path in the zip.
    Path(String),
}

/// The file at a place.
pub enum Found {
    /// A file.
    Content(SecretBytes),
    /// A file that is longer than a value can be.
    TooLong,
    /// Nothing.
    Nothing,
}

/// The other entries of the zip.
pub struct Files<'a> {
    reader: Reader<'a>,
    /// By name, each with whether it was read.
    entries: BTreeMap<String, (OwnedZipFileEntry, bool)>,
    budget: ReadBudget,
}

impl Files<'_> {
    /// The content of a file.
    ///
    /// # Errors
    /// [`FormatError`] for damaged files, and for files that together are over the limit.
    pub fn get(&mut self, place: &Place) -> Result<Found, FormatError> {
        let Some(name) = self.name(place) else {
            return Ok(Found::Nothing);
        };
        let Some((entry, is_used)) = self.entries.get_mut(&name) else {
            return Ok(Found::Nothing);
        };
        *is_used = true;
        let options = ZipReadOptions::new();
        let plain = entry.as_ref().with_reader(&mut self.reader, options);
        let limit = MAX_VALUE_LEN as u64;
        let failed = |error: io::Error| {
            FormatError::malformed(format!("`{}`: {error}", name.escape_debug()))
        };
        match files::read_all(self.budget.reader(plain.map_err(bad)?), limit) {
            Ok(content) => Ok(Found::Content(content)),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(Found::TooLong),
            Err(error) => Err(failed(error)),
        }
    }

    fn name(&self, place: &Place) -> Option<String> {
        match place {
            Place::Id(id) if id.is_empty() => None,
            Place::Id(id) => {
                let prefix = format!("{FILES}{id}{BEHIND_ID}");
                let (name, _) = self.entries.range(prefix.clone()..).next()?;
                name.starts_with(&prefix).then(|| name.clone())
            }
            Place::Path(path) => [path.clone(), format!("{FILES}{path}")]
                .into_iter()
                .find(|name| self.entries.contains_key(name)),
        }
    }

    /// The names of files that were not read.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        let left = self.entries.iter().filter(|(_, (_, is_used))| !is_used);
        left.map(|(name, _)| name.as_str())
    }
}
