//! The quotes of a table. Text behind a closing quote and a quote without an end are errors: a reader that guesses would
//! take other rows for a part of a cell.

use std::io::{self, Read};

/// The position in a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Begin,
    /// In a cell without quotes.
    Plain,
    /// In a cell with quotes.
    Quoted,
    /// Behind a quote, which ends the cell or is the first of two.
    Quote,
}

/// Checks the quotes of a table while it is read.
pub struct Quotes<R> {
    inner: R,
    delimiter: u8,
    at: At,
    /// The current line, from 1, and the line of the last opening quote.
    line: u64,
    opened: u64,
    /// Whether the previous byte is a carriage return.
    is_return: bool,
}

impl<R: Read> Quotes<R> {
    /// Of the table that `inner` reads.
    pub fn new(inner: R, delimiter: u8) -> Self {
        Self {
            inner,
            delimiter,
            at: At::Begin,
            line: 1,
            opened: 0,
            is_return: false,
        }
    }

    fn step(&mut self, byte: u8) -> io::Result<()> {
        let is_end = byte == self.delimiter || matches!(byte, b'\n' | b'\r');
        self.at = match (self.at, byte) {
            (At::Begin, b'"') => {
                self.opened = self.line;
                At::Quoted
            }
            (At::Quoted, b'"') => At::Quote,
            (At::Quote, b'"') | (At::Quoted, _) => At::Quoted,
            (_, _) if is_end => At::Begin,
            (At::Quote, _) => {
                return Err(Self::error(
                    self.line,
                    "text is behind the closing quote of a cell",
                ));
            }
            (At::Begin | At::Plain, _) => At::Plain,
        };
        // Lines end with LF, CR or CR LF.
        self.line += u64::from(byte == b'\r' || byte == b'\n' && !self.is_return);
        self.is_return = byte == b'\r';
        Ok(())
    }

    fn error(line: u64, what: &str) -> io::Error {
        io::Error::other(format!(
            "line {line}: {what}; write a quote in a cell twice, and the cell in quotes"
        ))
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        for byte in buffer.iter().take(len) {
            self.step(*byte)?;
        }
        if len == 0 && !buffer.is_empty() && self.at == At::Quoted {
            return Err(Self::error(
                self.opened,
                "the quote that begins here is not closed",
            ));
        }
        Ok(len)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checked(table: &str) -> Result<String, String> {
        let mut text = String::new();
        let read = Quotes::new(table.as_bytes(), b',').read_to_string(&mut text);
        read.map(|_| text).map_err(|error| error.to_string())
    }

    #[test]
    fn quotes_that_are_not_well_formed_are_errors_that_name_the_line() {
        for (bad, says) in [
            (
                "a,b\n1,\"no end\n2,3\n",
                "line 2: the quote that begins here",
            ),
            (
                "a,b\r\n\r\n1,\"x\r\ny\"\r\n2,\"",
                "line 5: the quote that begins here",
            ),
            ("a\r1\r\"2", "line 3: the quote that begins here"),
            ("a,b\n1,\"p\"q\n", "line 2: text is behind"),
            ("a,b\n1,\"x\ny\" \n", "line 3: text is behind"),
            ("\"\"abc#)!def\"\n", "line 1: text is behind"),
            ("a\n\"ab\"cd\"\n", "line 2: text is behind"),
            // The quote of the third row closes that of the second.
            ("a,b\n1,\"x\n2,\"y\"\n", "line 3: text is behind"),
        ] {
            let error = checked(bad).unwrap_err();
            assert!(error.starts_with(says), "{bad:?}: {error}");
        }
    }

    #[test]
    fn other_quotes_are_read() {
        for good in [
            "",
            "a\n",
            "\"\"",
            "a,\"\"\"b\"\"\"\r\n",
            "a\"b,ab\"\"cd\n",
            "\"a\"\r\"b\",\"\n\"",
            " \"a\"\n",
        ] {
            assert_eq!(checked(good).unwrap(), good);
        }
    }

    proptest! {
        #[test]
        fn what_a_writer_of_tables_writes_is_well_formed(cells in prop::collection::vec("[a\",\r\n;]{0,4}", 1..9)) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(&cells).unwrap();
            let table = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(checked(&table).unwrap(), table);
        }
    }
}
