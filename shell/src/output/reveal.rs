//! Shows a value on the terminal's alternate screen, which has no scrollback, until a key is pressed.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use unicode_width::UnicodeWidthChar as _;
use zeroize::Zeroizing;

use crate::alternate_screen;
use crate::error::{Error, Result};
use crate::output::terminal::{self, Size};

const ENTER_ALTERNATE_SCREEN: &[u8] = b"\x1b[?1049h";
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";
/// Maximum width of a tab, in columns.
const TAB: usize = 8;

/// Shows pages one by one, until a key other than space is pressed or the time is over; a time of zero means no limit.
/// `pages` makes them for the given size.
///
/// # Errors
/// [`Error::usage`] without a terminal, [`Error::failed`].
pub fn reveal(at_most: Duration, pages: impl FnOnce(Size) -> Vec<Zeroizing<String>>) -> Result<()> {
    let no_terminal = |_| Error::usage("showing a value until a key is pressed needs a terminal");
    let terminal = terminal::own().map_err(no_terminal)?;
    let at_most = Some(at_most).filter(|time| !time.is_zero());
    let shown = AlternateScreen::enter(&terminal).and_then(|screen| {
        let pages = pages(screen.room()?);
        screen.show(&pages, at_most)
    });
    shown.map_err(Error::io("showing the value"))
}

/// The size of a page on a terminal of this size; two rows less, for the line that names the keys.
pub fn room(size: Size) -> Size {
    Size {
        columns: size.columns,
        rows: usize::max(size.rows, 3) - 2,
    }
}

/// The alternate screen, without echo and signal keys; dropping it restores the terminal.
struct AlternateScreen<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> AlternateScreen<'a> {
    fn enter(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut keys = before.clone();
        keys.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        keys.special_codes[SpecialCodeIndex::VMIN] = 1;
        keys.special_codes[SpecialCodeIndex::VTIME] = 0;
        let screen = Self { terminal, before };
        tcsetattr(terminal, OptionalActions::Flush, &keys)?;
        alternate_screen::note(terminal.try_clone()?);
        screen.write(ENTER_ALTERNATE_SCREEN)?;
        Ok(screen)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut terminal = self.terminal;
        terminal.write_all(bytes)
    }

    fn room(&self) -> io::Result<Size> {
        let size = tcgetwinsize(self.terminal)?;
        let (columns, rows) = match (size.ws_col, size.ws_row) {
            (0, _) | (_, 0) => (80, 24),
            (columns, rows) => (columns.into(), rows.into()),
        };
        Ok(room(Size { columns, rows }))
    }

    fn show(&self, pages: &[Zeroizing<String>], at_most: Option<Duration>) -> io::Result<()> {
        for (number, page) in pages.iter().enumerate() {
            let is_last = number + 1 == pages.len();
            self.write(CLEAR)?;
            self.write(page.as_bytes())?;
            let next = if is_last {
                "any key hides it"
            } else {
                "space shows the next page, any other key hides it"
            };
            let line = format!("\r\n[{}/{}: {next}]", number + 1, pages.len());
            self.write(line.as_bytes())?;
            if self.key(at_most)? != Some(b' ') {
                break;
            }
        }
        Ok(())
    }

    /// Waits for a key; `None` after the time.
    fn key(&self, at_most: Option<Duration>) -> io::Result<Option<u8>> {
        let time = at_most.and_then(|time| Timespec::try_from(time).ok());
        let mut waiting = [PollFd::new(self.terminal, PollFlags::IN)];
        while let Err(error) = poll(&mut waiting, time.as_ref()) {
            // A change of the window's size is a signal.
            if error != rustix::io::Errno::INTR {
                return Err(error.into());
            }
        }
        if waiting.iter().all(|fd| fd.revents().is_empty()) {
            return Ok(None);
        }
        let mut key = [0];
        let mut terminal = self.terminal;
        let read = terminal.read(&mut key)?;
        Ok((read == 1).then_some(key[0]))
    }
}

impl Drop for AlternateScreen<'_> {
    fn drop(&mut self) {
        // The value must not stay visible, whatever else fails. Pending keys were typed for this screen and are discarded.
        alternate_screen::leave();
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// Cuts text without control characters into pages; lines that are too long take several rows.
pub fn pages(text: &str, room: Size) -> Vec<Zeroizing<String>> {
    let mut pages = Vec::new();
    let mut page = new_page(text);
    let (mut row, mut column) = (1, 0);
    for c in text.trim_end_matches('\n').chars() {
        let width = match c {
            '\t' => TAB,
            c => c.width().unwrap_or(0),
        };
        let wraps = c != '\n' && column + width > room.columns;
        if c == '\n' || wraps {
            (row, column) = (row + 1, 0);
            if row > room.rows {
                pages.push(std::mem::replace(&mut page, new_page(text)));
                row = 1;
            } else {
                page.push_str("\r\n");
            }
        }
        if c != '\n' {
            column += width;
            page.push(c);
        }
    }
    pages.push(page);
    pages
}

/// An empty page with capacity for the text and its line ends, so that it never grows and leaves no copies.
fn new_page(text: &str) -> Zeroizing<String> {
    Zeroizing::new(String::with_capacity(text.len() * 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<String> {
        let room = Size {
            columns: 4,
            rows: 2,
        };
        let pages = pages(text, room);
        pages.iter().map(|page| page.to_string()).collect()
    }

    #[test]
    fn long_values_take_several_pages() {
        assert_eq!(cut(""), [""]);
        assert_eq!(cut("ab\n"), ["ab"]);
        assert_eq!(cut("a\nb"), ["a\r\nb"]);
        assert_eq!(cut("a\nb\nc"), ["a\r\nb", "c"]);
        assert_eq!(cut("abcdefghij"), ["abcd\r\nefgh", "ij"]);
        assert_eq!(cut("漢字漢"), ["漢字\r\n漢"]);
        assert_eq!(cut("abcd\nef"), ["abcd\r\nef"]);
    }
}
