//! Strings of a JSON document are read whole: this bounds how long one may be.

use std::io::{self, Read};

/// Longest string, in bytes: a value of 1 MiB with each byte escaped, twice over.
pub const MAX_STRING: usize = 16 * 1024 * 1024;

/// Where in a document the next byte is.
#[derive(Debug, Clone, Copy)]
enum Place {
    Outside,
    /// In a string that is so long by now.
    Inside(usize),
    /// Behind a backslash in it.
    Escaped(usize),
}

/// A reader of JSON that fails where a string is too long.
#[derive(Debug)]
pub struct Bounded<R> {
    inner: R,
    place: Place,
}

impl<R: Read> Bounded<R> {
    /// At the beginning of a document.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            place: Place::Outside,
        }
    }
}

impl Place {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Outside, b'"') => Self::Inside(0),
            (Self::Outside, _) | (Self::Inside(_), b'"') => Self::Outside,
            (Self::Inside(len), b'\\') => Self::Escaped(len + 1),
            (Self::Inside(len) | Self::Escaped(len), _) => Self::Inside(len + 1),
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        for byte in buffer.iter().take(len) {
            self.place = self.place.after(*byte);
            if matches!(self.place, Place::Inside(MAX_STRING..)) {
                let text = format!("a string has more than {} MiB", MAX_STRING >> 20);
                return Err(io::Error::other(text));
            }
        }
        Ok(len)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(json: &str) -> io::Result<String> {
        io::read_to_string(Bounded::new(json.as_bytes()))
    }

    #[test]
    fn long_strings_end_it_and_long_documents_do_not() {
        let many = r#"{"a\"b":"\\","c":[1,2]},"#.repeat(2 * 1024 * 1024);
        assert_eq!(read(&many).unwrap(), many);
        let long = format!(r#"{{"a":"{}"#, "x".repeat(MAX_STRING));
        assert!(read(&long).unwrap_err().to_string().contains("16 MiB"));
        let escaped = format!(r#"{{"a":"{}"#, r#"\""#.repeat(MAX_STRING / 2));
        assert!(read(&escaped).is_err());
    }
}
