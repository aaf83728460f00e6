//! Tables of logins, as browsers and password managers write them (RFC 4180).
//!
//! A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula. On the way out such cells get a `'`
//! before them, and a last column of ours says which, so that they come in again as they were; other programs take the
//! sign for a part of the value, so each is a loss that is listed.

mod bitwarden;
mod chrome;
mod firefox;
mod lastpass;

use std::io::{self, Read, Take};

pub use bitwarden::BitwardenCsv;
pub use chrome::ChromeCsv;
use csv::{ReaderBuilder, StringRecord, WriterBuilder};
pub use firefox::FirefoxCsv;
pub use lastpass::LastPassCsv;
use shared::secret::{SecretBytes, SecretWriter};

use crate::error::FormatError;
use crate::format::{Incoming, Written};
use crate::input::source::{Peek, Source};
use crate::model::item::Item;
use crate::model::item::Loss;
use crate::model::record::Record;
use crate::registry::VAULTS;

/// Longest table, in bytes.
const MAX_LEN: u64 = 512 * 1024 * 1024;
/// Longest row, in bytes.
const MAX_ROW: usize = 4 * 1024 * 1024;
/// Our column that says which cells of a row were made harmless.
const GUARDED: &str = "keyshell_guarded";
/// Our column that says what a value without fields is: its media type, or [`VALUE`] for none.
const KIND: &str = "keyshell_kind";
/// What [`KIND`] says of a value without a media type.
const VALUE: &str = "value";
/// What is put before a cell that a spreadsheet would take for a formula.
const GUARD: char = '\'';

/// A row of a table.
pub struct Row<'a> {
    header: &'a StringRecord,
    cells: StringRecord,
}

impl Row<'_> {
    /// The cell in the column of this name; empty if there is none.
    pub fn get(&self, column: &str) -> &str {
        let place = self.header.iter().position(|own| own == column);
        let cell = place.and_then(|place| self.cells.get(place));
        let cell = cell.unwrap_or_default();
        if self.is_guarded(column) {
            cell.strip_prefix(GUARD).unwrap_or(cell)
        } else {
            cell
        }
    }

    fn is_guarded(&self, column: &str) -> bool {
        let place = self.header.iter().position(|own| own == GUARDED);
        let guarded = place.and_then(|place| self.cells.get(place));
        guarded.is_some_and(|guarded| guarded.split(' ').any(|own| own == column))
    }

    /// Cells of columns other than these that are not empty.
    pub fn others<'a>(&'a self, known: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let columns = self.header.iter().filter(move |column| {
            ![GUARDED, KIND].contains(column)
                && !known.contains(column)
                && !self.get(column).is_empty()
        });
        columns.map(|column| (column, self.get(column)))
    }
}

/// Whether the first line names columns, and one of them is that of passwords.
pub fn is_table_of_passwords(peek: &Peek) -> bool {
    let line = peek.first_line().unwrap_or_default();
    let line = line.trim_start_matches('\u{feff}');
    let columns: Vec<_> = line.split([',', ';', '\t']).collect();
    let is_password = |column: &&str| column.trim_matches('"').eq_ignore_ascii_case("password");
    columns.len() > 2 && columns.iter().any(is_password)
}

/// Whether the first line has all of these columns.
fn has_columns(peek: &Peek, wanted: &[&str]) -> bool {
    let Some(line) = peek.first_line() else {
        return false;
    };
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .from_reader(line.trim_start_matches('\u{feff}').as_bytes());
    let Some(Ok(header)) = reader.records().next() else {
        return false;
    };
    wanted
        .iter()
        .all(|column| header.iter().any(|own| own == *column))
}

/// Reads a table row by row.
fn read(
    source: &Source,
    sink: &mut dyn FnMut(Incoming) -> Result<(), FormatError>,
    item: impl Fn(&Row<'_>) -> Item,
) -> Result<(), FormatError> {
    if source.size()? > MAX_LEN {
        return Err(FormatError::new("a table is at most 512 MiB long"));
    }
    let mut text: Take<_> = source.reader()?.take(MAX_LEN);
    skip_mark(&mut text)?;
    let rows = Rows::new(text);
    let mut reader = ReaderBuilder::new().flexible(false).from_reader(rows);
    let bad = |error: csv::Error| FormatError::new(format!("this is no such table: {error}"));
    let header = reader.headers().map_err(bad)?.clone();
    let mut cells = StringRecord::new();
    while reader.read_record(&mut cells).map_err(bad)? {
        reader.get_mut().begin();
        let row = Row {
            header: &header,
            cells: cells.clone(),
        };
        sink(Incoming::Item(Box::new(item(&row))))?;
    }
    Ok(())
}

/// Counts the bytes of a row while it is read, so that a longer one is refused before it is in memory. What is read ahead
/// counts for the row before.
struct Rows<R> {
    inner: R,
    left: usize,
}

impl<R> Rows<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            left: MAX_ROW,
        }
    }

    /// The next row begins.
    fn begin(&mut self) {
        self.left = MAX_ROW;
    }
}

impl<R: Read> Read for Rows<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        let Some(left) = self.left.checked_sub(len) else {
            return Err(io::Error::other("a row is longer than 4 MiB"));
        };
        self.left = left;
        Ok(len)
    }
}

/// The byte order mark that some programs write.
fn skip_mark(text: &mut Take<Box<dyn crate::input::ReadSeek + '_>>) -> Result<(), FormatError> {
    let mut mark = [0; 3];
    let failed = |error: io::Error| FormatError::new(format!("it cannot be read: {error}"));
    let len = text.read(&mut mark).map_err(failed)?;
    if mark.get(..len) != Some(b"\xef\xbb\xbf") {
        text.get_mut().rewind().map_err(failed)?;
        text.set_limit(MAX_LEN);
    }
    Ok(())
}

/// Writes a table; each row with the name of its item.
fn write(
    header: &[&str],
    rows: Vec<(String, Vec<String>)>,
    losses: &mut Vec<Loss>,
) -> Result<Written, FormatError> {
    let mut guarded = Vec::with_capacity(rows.len());
    for (name, cells) in rows {
        guarded.push(guard(&name, header, cells, losses));
    }
    let any = guarded.iter().any(|(_, columns)| !columns.is_empty());
    let mut writer = WriterBuilder::new().from_writer(SecretWriter::default());
    let failed = |error: csv::Error| FormatError::new(error.to_string());
    let last = any.then_some(GUARDED);
    writer
        .write_record(header.iter().copied().chain(last))
        .map_err(failed)?;
    for (cells, columns) in guarded {
        let last = any.then_some(columns);
        writer
            .write_record(cells.into_iter().chain(last))
            .map_err(failed)?;
    }
    let bytes: SecretBytes = writer
        .into_inner()
        .map_err(|error| FormatError::new(error.to_string()))?
        .finish();
    Ok(Written::File(bytes))
}

/// Whether an item comes back from its row.
fn comes_back(
    item: &Item,
    (header, cells): (&[&str], &[String]),
    read: impl Fn(&Row<'_>) -> Item,
) -> bool {
    let row = Row {
        header: &StringRecord::from(header),
        cells: StringRecord::from(cells),
    };
    is_same(item, &read(&row))
}

/// Lists an item of which nothing is listed so far, though it does not come back from its row as it is.
fn list_changed(item: &Item, losses: &mut Vec<Loss>) {
    if !losses.iter().any(|loss| loss.item == item.name) {
        let what = "how some of its fields are laid out: they come back as others";
        losses.push(Loss::new(&item.name, what));
    }
}

/// Whether two items are the same: a table has an order of its own, and nothing that other formats keep for themselves.
fn is_same(one: &Item, other: &Item) -> bool {
    let value = |item: &Item| item.newest().map(|newest| newest.value.clone());
    let is_same_value = match (one.as_record(), other.as_record()) {
        (Some(one), Some(other)) => in_order(one) == in_order(other),
        _ => value(one) == value(other),
    };
    is_same_value
        && one.name == other.name
        && one.content_type == other.content_type
        && one.is_favourite() == other.is_favourite()
}

fn in_order(mut record: Record) -> Record {
    let is_foreign = |key: &str| {
        let mut names = VAULTS
            .iter()
            .filter_map(|format| key.strip_prefix(format.name()));
        names.any(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    record.foreign.clear();
    record
        .fields
        .retain(|field| field.custom || !field.value.is_empty());
    for field in &mut record.fields {
        field.other.retain(|key, _| !is_foreign(key));
    }
    // The owner's own are behind the others, as they are.
    record.fields.sort_by_key(|field| {
        let name = if field.custom { "" } else { &field.name };
        (field.custom, name.to_owned())
    });
    record
}

/// The host of a URL, to name an item by.
fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    crate::names::component(host)
}

/// Makes cells harmless; also returns in which columns.
fn guard(
    name: &str,
    header: &[&str],
    mut cells: Vec<String>,
    losses: &mut Vec<Loss>,
) -> (Vec<String>, String) {
    let mut columns = Vec::new();
    for (column, cell) in header.iter().zip(&mut cells) {
        if cell.starts_with(['=', '+', '-', '@', '\t', '\r', GUARD]) {
            cell.insert(0, GUARD);
            columns.push(*column);
            losses.push(Loss::new(
                name,
                format!(
                    "`{column}` is written with a {GUARD} before it, so that no spreadsheet runs it; only keyshell takes that away again"
                ),
            ));
        }
    }
    (cells, columns.join(" "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_made_harmless_and_come_back() {
        let mut losses = Vec::new();
        let cells = ["=1+1", "'x", "a,\"b\"\nc"].map(str::to_owned).to_vec();
        let rows = vec![("one".to_owned(), cells.clone())];
        let written = write(&["a", "b", "c"], rows, &mut losses).unwrap();
        let Written::File(bytes) = written else {
            panic!("it is a file");
        };
        assert!(
            bytes
                .expose()
                .starts_with(b"a,b,c,keyshell_guarded\n'=1+1,''x,")
        );
        assert_eq!(losses.len(), 2);
        let source = Source::memory(bytes, "");
        let read = read(&source, &mut |_| Ok(()), |row| {
            let cells = ["a", "b", "c"].map(|column| row.get(column).to_owned());
            assert_eq!(cells.to_vec(), ["=1+1", "'x", "a,\"b\"\nc"]);
            assert_eq!(row.others(&["a", "b", "c"]).count(), 0);
            Item::default()
        });
        read.unwrap();
    }

    #[test]
    fn a_row_is_bounded_and_the_table_is_not() {
        // Whatever of it would be in memory: it has no end.
        let row = b"a,b\n1,\"".chain(io::repeat(b'x'));
        let mut reader = ReaderBuilder::new().from_reader(Rows::new(row));
        let error = reader.records().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("longer than 4 MiB"), "{error}");
        let long = format!("1,{}\n", "x".repeat(MAX_ROW / 2));
        let table = format!("a,b\n{long}{long}{long}");
        let source = Source::memory(SecretBytes::from(table.as_bytes()), "");
        let mut rows = 0;
        let mut sink = |_| {
            rows += 1;
            Ok(())
        };
        read(&source, &mut sink, |_| Item::default()).unwrap();
        assert_eq!(rows, 3);
        let row = format!("a,b\n1,{}\n", "x".repeat(MAX_ROW));
        let source = Source::memory(SecretBytes::from(row.as_bytes()), "");
        let error = read(&source, &mut |_| Ok(()), |_| Item::default());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("longer than 4 MiB"), "{error}");
    }

    #[test]
    fn a_byte_order_mark_is_passed_over_and_ragged_tables_are_refused() {
        let source = Source::memory(SecretBytes::from(b"\xef\xbb\xbfa,b\n1,2\n".as_slice()), "");
        let item = |row: &Row<'_>| {
            assert_eq!(row.get("a"), "1");
            Item::default()
        };
        read(&source, &mut |_| Ok(()), item).unwrap();
        for bad in [b"a,b\n1\n".as_slice(), b"a,b\n\xff,2\n"] {
            let source = Source::memory(SecretBytes::from(bad), "");
            assert!(read(&source, &mut |_| Ok(()), |_| Item::default()).is_err());
        }
    }
}
