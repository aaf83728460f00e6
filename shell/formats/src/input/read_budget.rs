//! Limits on the bytes that are read of a file and of each entry. They count bytes as they are read, because the lengths
//! that a file states may be wrong.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};

/// The number of bytes that may still be read.
#[derive(Debug)]
pub struct ReadBudget {
    total: Cell<u64>,
    piece: Cell<u64>,
    /// The limits on all bytes and on one piece, in bytes.
    most: (u64, u64),
}

impl ReadBudget {
    /// At most this many bytes, and at most `piece` of them without a [`Self::next_piece`].
    pub fn new(total: u64, piece: u64) -> Self {
        Self {
            total: Cell::new(total),
            piece: Cell::new(piece),
            most: (total, piece),
        }
    }

    /// Starts the next piece: its budget is full again.
    pub fn next_piece(&self) {
        self.piece.set(self.most.1);
    }

    /// A reader that counts its bytes against this budget.
    pub fn reader<R: Read>(&self, inner: R) -> Budgeted<'_, R> {
        Budgeted {
            inner,
            budget: self,
        }
    }

    /// Counts bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::QuotaExceeded`], stating the limit.
    pub fn spend(&self, bytes: u64) -> io::Result<()> {
        let too_long = |what: &str, most: u64| {
            let text = format!("{what} longer than {} MiB", most >> 20);
            io::Error::new(io::ErrorKind::QuotaExceeded, text)
        };
        let total = self.total.get().checked_sub(bytes);
        let total = total.ok_or_else(|| too_long("it is", self.most.0))?;
        let piece = self.piece.get().checked_sub(bytes);
        let piece = piece.ok_or_else(|| too_long("one entry is", self.most.1))?;
        self.total.set(total);
        self.piece.set(piece);
        Ok(())
    }
}

/// A reader whose bytes are counted.
#[derive(Debug)]
pub struct Budgeted<'a, R> {
    inner: R,
    budget: &'a ReadBudget,
}

impl<R: Read> Read for Budgeted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        self.budget.spend(len as u64)?;
        Ok(len)
    }
}

impl<R: Seek> Seek for Budgeted<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reading_stops_at_the_limits() {
        let read = |budget: &ReadBudget, len: u64| {
            let mut reader = budget.reader(io::repeat(b'x').take(len));
            io::copy(&mut reader, &mut io::sink())
        };
        let budget = ReadBudget::new(100, 60);
        assert_eq!(read(&budget, 60).unwrap(), 60);
        let error = read(&budget, 1).unwrap_err().to_string();
        assert!(error.contains("one entry"), "{error}");
        budget.next_piece();
        assert_eq!(read(&budget, 40).unwrap(), 40);
        let error = read(&budget, 1).unwrap_err().to_string();
        assert!(error.contains("it is longer"), "{error}");
    }
}
