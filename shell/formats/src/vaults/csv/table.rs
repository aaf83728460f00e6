//! Tables: rows by column, formulas made harmless, and the check that an item comes back from its row.

use csv::{ErrorKind, ReaderBuilder, StringRecord, WriterBuilder};
use shared::secret::{SecretBytes, SecretWriter};

use super::quotes::Quotes;
use crate::format::{FormatError, Incoming, Item, Loss, Peek, Sink, Source, Written};
use crate::input::read_budget::ReadBudget;
use crate::model::record::{Field, Record};
use crate::round_trip;

/// Longest table, in bytes.
const MAX_LEN: u64 = 512 * 1024 * 1024;
/// Longest row, in bytes.
const MAX_ROW: usize = 4 * 1024 * 1024;
/// Our column that says which cells of a row were made harmless.
const GUARDED: &str = "keyshell_guarded";
/// Our column that says what a value without fields is: its media type, or [`VALUE`] for none.
pub const KIND: &str = "keyshell_kind";
/// The cell of [`KIND`] for a value without a media type.
pub const VALUE: &str = "value";
/// The character before a cell that a spreadsheet would take for a formula.
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

    /// Custom fields for the cells of columns other than these that are not empty.
    pub fn others<'a>(&'a self, known: &'a [&str]) -> impl Iterator<Item = Field> {
        let mut seen = Vec::new();
        let columns = self.header.iter().zip(&self.cells).enumerate();
        columns.filter_map(move |(place, (column, cell))| {
            // The second of two columns of one name is no known column.
            let is_known = known.contains(&column) && !seen.contains(&column);
            seen.push(column);
            let is_first = self.header.iter().position(|own| own == column) == Some(place);
            let cell = if is_first { self.get(column) } else { cell };
            let is_own = is_known || [GUARDED, KIND].contains(&column);
            (!is_own && !cell.is_empty()).then(|| Field::custom(column, cell, false))
        })
    }

    /// All cells.
    pub fn cells(&self) -> impl Iterator<Item = &str> {
        self.cells.iter()
    }

    /// The row with its cells changed.
    pub fn with(&self, change: impl Fn(&str) -> String) -> Self {
        Row {
            header: self.header,
            cells: self.cells.iter().map(change).collect(),
        }
    }

    /// The cells beyond the last column.
    pub fn extra(&self) -> impl Iterator<Item = &str> {
        self.cells.iter().skip(self.header.len())
    }
}

/// The header of a table, and its delimiter; `None` where the first line is none.
fn header(line: &str) -> Option<(StringRecord, u8)> {
    let count = |delimiter: &u8| line.bytes().filter(|byte| byte == delimiter).count();
    // Of equally many, the last is chosen.
    let delimiter = *b"\t;,".iter().max_by_key(|one| count(one))?;
    let reader = ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .from_reader(line.as_bytes());
    let header = reader.into_records().next()?.ok()?;
    Some((header, delimiter))
}

/// Whether the first line names columns, and one of them is that of passwords.
pub fn is_table_of_passwords(peek: &Peek) -> bool {
    let header = peek.first_line().and_then(header);
    header.is_some_and(|(header, _)| {
        let is_password = |column: &str| column.trim().eq_ignore_ascii_case("password");
        header.len() > 2 && header.iter().any(is_password)
    })
}

/// The columns of a table.
pub fn columns(peek: &Peek) -> Option<Vec<String>> {
    let (header, _) = header(peek.first_line()?)?;
    Some(header.iter().map(str::to_owned).collect())
}

/// Whether the first line has all of these columns.
pub fn has_columns(peek: &Peek, wanted: &[&str]) -> bool {
    let header = peek.first_line().and_then(header);
    header.is_some_and(|(header, _)| {
        let has = |column: &&str| header.iter().any(|own| own == *column);
        wanted.iter().all(has)
    })
}

/// Reads a table row by row.
pub fn read(
    source: &Source,
    sink: &mut Sink<'_>,
    item: impl Fn(&Row<'_>) -> Item,
) -> Result<(), FormatError> {
    rows(source, false, &mut |row| {
        sink(Incoming::Item(Box::new(item(row))))
    })
}

/// As [`read`], for rows that are no items; `is_ragged` allows rows of more or fewer cells than the header has.
pub fn rows(
    source: &Source,
    is_ragged: bool,
    sink: &mut dyn FnMut(&Row<'_>) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    FormatError::check_mib("the table is too long", source.size()?, MAX_LEN)?;
    let peek = source.peek()?;
    let (_, delimiter) = peek.first_line().and_then(header).unwrap_or_default();
    // Bytes that are read ahead count for the row before.
    let budget = ReadBudget::new(MAX_LEN, MAX_ROW as u64);
    let text = budget.reader(Quotes::new(source.text()?, delimiter));
    let mut reader = ReaderBuilder::new()
        .flexible(is_ragged)
        .delimiter(delimiter)
        .from_reader(text);
    let header = reader.headers().map_err(bad)?.clone();
    let mut cells = StringRecord::new();
    while reader.read_record(&mut cells).map_err(bad)? {
        budget.next_piece();
        let row = Row {
            header: &header,
            cells: cells.clone(),
        };
        sink(&row)?;
    }
    Ok(())
}

/// The error for a table that cannot be read, naming the line where that is known.
fn bad(error: csv::Error) -> FormatError {
    let line = error.position().map_or(1, csv::Position::line);
    let text = match error.kind() {
        ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("line {line} has {len} cells, but the first line has {expected_len}"),
        ErrorKind::Utf8 { .. } => format!("line {line} is not UTF-8"),
        _ => error.to_string(),
    };
    FormatError::not_this_format(format!("the table cannot be read: {text}"))
}

/// Writes a table; each row with the name of its item.
pub fn write(
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
    let failed = |error: csv::Error| FormatError::library(error);
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
    let bytes: SecretBytes = writer.into_inner().map_err(FormatError::library)?.finish();
    Ok(Written::File(bytes))
}

/// Whether an item comes back from its row.
pub fn comes_back(
    item: &Item,
    (header, cells): (&[&str], &[String]),
    read: impl Fn(&Row<'_>) -> Item,
) -> bool {
    let row = Row {
        header: &StringRecord::from(header),
        cells: StringRecord::from(cells),
    };
    // A table has an order of its own, and nothing that other formats keep for themselves.
    let again = read(&row);
    let is_same_value = match (item.as_record(), again.as_record()) {
        (Some(one), Some(other)) => in_order(one) == in_order(other),
        _ => item.has_value_of(&again),
    };
    is_same_value && item.name == again.name && item.is_favourite() == again.is_favourite()
}

/// Lists an item of which nothing is listed so far, though it does not come back from its row as it is.
pub fn list_changed(item: &Item, losses: &mut Vec<Loss>) {
    if !losses.iter().any(|loss| loss.item == item.name) {
        let what = "how some of its fields are laid out: they come back as others";
        losses.push(Loss::new(&item.name, what));
    }
}

fn in_order(mut record: Record) -> Record {
    record.foreign.clear();
    record
        .fields
        .retain(|field| field.custom || !field.value.is_empty());
    for field in &mut record.fields {
        field.other.retain(|key, _| !round_trip::is_foreign(key));
    }
    // The owner's own are behind the others, as they are.
    record.fields.sort_by_key(|field| {
        let name = if field.custom { "" } else { &field.name };
        (field.custom, name.to_owned())
    });
    record
}

/// Guards cells that are formulas; also returns the names of their columns.
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
    use std::io::{self, Read as _};

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
        // The row has no end.
        let row = b"a,b\n1,\"".chain(io::repeat(b'x'));
        let budget = ReadBudget::new(MAX_LEN, MAX_ROW as u64);
        let mut reader = ReaderBuilder::new().from_reader(budget.reader(row));
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
        for (bad, says) in [
            (b"a,b\n1,2\n1\n".as_slice(), "line 3 has 1 cells"),
            (b"a,b\n\xff,2\n", "line 2 is not UTF-8"),
        ] {
            let source = Source::memory(SecretBytes::from(bad), "");
            let error = read(&source, &mut |_| Ok(()), |_| Item::default()).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn delimiters_empty_lines_and_utf16_are_recognised() {
        let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            let units = std::iter::once(0xfeff).chain(text.encode_utf16());
            units.flat_map(bytes).collect()
        };
        let table = "\r\n\na,b c,\"d\"\r\n1,\"x\ny\",é\u{1f600}\r\n";
        for bytes in [
            table.as_bytes().to_vec(),
            table.replace(',', ";").into_bytes(),
            table.replace(',', "\t").into_bytes(),
            utf16(table, u16::to_le_bytes),
            utf16(table, u16::to_be_bytes),
        ] {
            let source = Source::memory(SecretBytes::new(bytes), "");
            assert!(has_columns(&source.peek().unwrap(), &["a", "b c", "d"]));
            let mut found = Vec::new();
            let mut row = |row: &Row<'_>| {
                found.push([row.get("a"), row.get("b c"), row.get("d")].map(str::to_owned));
                Ok(())
            };
            rows(&source, false, &mut row).unwrap();
            assert_eq!(found, [["1", "x\ny", "é\u{1f600}"]]);
        }
        let odd = [0xff, 0xfe, b'a', 0, b'b'];
        let lone = [0xff, 0xfe, 0, 0xd8, b'b', 0];
        for bad in [odd.as_slice(), &lone] {
            let source = Source::memory(SecretBytes::from(bad), "");
            let error = rows(&source, false, &mut |_| Ok(())).unwrap_err();
            assert!(error.to_string().contains("UTF-16"), "{error}");
        }
    }

    #[test]
    fn columns_of_one_name_are_both_read() {
        let source = Source::memory(SecretBytes::from(b"a,a,b,b\n1,2,3,4\n".as_slice()), "");
        let mut fields = Vec::new();
        let mut row = |row: &Row<'_>| {
            fields.extend(row.others(&["a"]).map(|field| (field.name, field.value)));
            Ok(())
        };
        rows(&source, false, &mut row).unwrap();
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(fields, [("a", "2"), ("b", "3"), ("b", "4")]);
    }
}
