//! QR codes, for terminals and for paper.

use std::fmt::Write as _;
use std::path::Path;

use keyshell_base::text::printable;
use qrcode::bits::Bits;
use qrcode::render::svg;
use qrcode::types::QrError;
use qrcode::{Color, EcLevel, QrCode, Version};
use shared::secret::{SecretBytes, SecretWriter};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::output::table;
use crate::output::terminal::Size;

/// Light modules around it; readers want so many.
const QUIET: usize = 4;
/// Size of a module in the picture, in its units.
const MODULE: u32 = 8;
/// Number of this encoding among those that codes can name.
const UTF_8: u32 = 26;
/// What the largest one holds, in bytes; a little less where it is not ASCII.
const MAX_LEN: usize = 2953;
/// Black on white, whatever the terminal's own colours are.
const BLACK_ON_WHITE: &str = "\u{1b}[38;5;16m\u{1b}[48;5;231m";
const RESET: &str = "\u{1b}[0m";

/// The format that is a picture.
pub const QR: &str = "qr";

/// A QR code.
pub struct Qr(QrCode);

impl Qr {
    /// A code of these bytes, with as much correction of errors as is usual, or less where they would not fit.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub fn new(value: &SecretBytes) -> Result<Self, Error> {
        let code = encode(value, EcLevel::M).or_else(|_| encode(value, EcLevel::L));
        code.map(Self).map_err(|_| {
            Error::Limit(format!(
                "it is too long for a QR code, which holds {MAX_LEN} bytes at most"
            ))
        })
    }

    /// Columns that [`Self::text`] takes.
    pub fn columns(&self) -> usize {
        self.0.width() + 2 * QUIET
    }

    /// Lines that it takes.
    pub fn rows(&self) -> usize {
        self.columns().div_ceil(2)
    }

    /// Lines of half blocks, two rows of modules each. Without colours the dark modules are what is not printed, for
    /// terminals that are dark.
    pub fn text(&self, colours: bool) -> Zeroizing<String> {
        let size = self.columns();
        let mut text = String::with_capacity(size * size * 2);
        for row in (0..size).step_by(2) {
            if colours {
                text.push_str(BLACK_ON_WHITE);
            }
            for column in 0..size {
                let (above, below) = (self.is_dark(column, row), self.is_dark(column, row + 1));
                text.push(half_block(above == colours, below == colours));
            }
            let end = if colours { RESET } else { "" };
            let _ = writeln!(text, "{end}");
        }
        Zeroizing::new(text)
    }

    /// A page with the code and its name, for a terminal that writes nothing but what it is told; `None` where there is no
    /// room for it.
    pub fn page(&self, name: &str, room: Size, colours: bool) -> Option<Zeroizing<String>> {
        let is_room = self.columns() <= room.columns && self.rows() < room.rows;
        is_room.then(|| {
            let lines = self.text(colours);
            let name = table::cut(&printable(name), room.columns);
            // Room for all line ends, so that growing leaves no copies behind.
            let mut page = Zeroizing::new(String::with_capacity(name.len() + lines.len() * 2));
            page.push_str(&name);
            for line in lines.lines() {
                page.push_str("\r\n");
                page.push_str(line);
            }
            page
        })
    }

    /// A picture of it.
    pub fn svg(&self) -> SecretBytes {
        SecretBytes::new(self.picture().into_bytes())
    }

    /// The same in pixels: a PNG, black and white.
    ///
    /// # Errors
    /// [`Error::Failed`]; there is none in memory.
    pub fn png(&self) -> Result<SecretBytes, Error> {
        let failed = |error: png::EncodingError| Error::Failed(format!("PNG: {error}"));
        let scale = MODULE as usize;
        let size = self.columns() * scale;
        let pixels = (0..size * size).map(|at| {
            let is_dark = self.is_dark(at % size / scale, at / size / scale);
            if is_dark { 0 } else { u8::MAX }
        });
        let pixels: Zeroizing<Vec<u8>> = Zeroizing::new(pixels.collect());
        let across = u32::try_from(size).unwrap_or(u32::MAX);
        let mut out = SecretWriter::default();
        let mut encoder = png::Encoder::new(&mut out, across, across);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&pixels).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(out.finish())
    }

    /// The same as a part of another picture, which has said already what it is; so wide and high in that one's units.
    pub fn element(&self, x: f64, y: f64, size: f64) -> Zeroizing<String> {
        let picture = Zeroizing::new(self.picture());
        let (_, element) = picture.split_once("?>").unwrap_or(("", &picture));
        let scale = size / f64::from(u32::try_from(self.columns()).unwrap_or(u32::MAX) * MODULE);
        let begin = format!("<g transform=\"translate({x} {y}) scale({scale})\">");
        Zeroizing::new([&begin, element, "</g>\n"].concat())
    }

    fn picture(&self) -> String {
        self.0
            .render::<svg::Color<'_>>()
            .module_dimensions(MODULE, MODULE)
            .build()
    }

    fn is_dark(&self, column: usize, row: usize) -> bool {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < self.0.width());
        match (inside(column), inside(row)) {
            (Some(x), Some(y)) => self.0[(x, y)] == Color::Dark,
            _ => false,
        }
    }
}

/// Whether a file of this name is to hold a picture.
pub fn is_picture(path: &Path) -> bool {
    path.extension()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("svg"))
}

/// Readers guess the encoding of what is not ASCII, wrongly at times, unless they are told.
fn encode(value: &SecretBytes, level: EcLevel) -> Result<QrCode, QrError> {
    let value = value.expose();
    if value.is_ascii() {
        return QrCode::with_error_correction_level(value, level);
    }
    let mut outcome = Err(QrError::DataTooLong);
    for version in (1..=40).map(Version::Normal) {
        let mut bits = Bits::new(version);
        bits.push_eci_designator(UTF_8)?;
        outcome = bits
            .push_optimal_data(value)
            .and_then(|()| bits.push_terminator(level))
            .and_then(|()| QrCode::with_bits(bits, level));
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn half_block(above: bool, below: bool) -> char {
    match (above, below) {
        (true, true) => '\u{2588}',
        (true, false) => '\u{2580}',
        (false, true) => '\u{2584}',
        (false, false) => ' ',
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_value_fits_and_a_longer_one_is_refused() {
        let longest = Qr::new(&SecretBytes::new(vec![b'x'; MAX_LEN])).unwrap();
        assert_eq!(longest.columns(), 177 + 2 * QUIET);
        let error = Qr::new(&SecretBytes::new(vec![b'x'; MAX_LEN + 1])).map(|_| ());
        assert_eq!(error.unwrap_err().status(), 8);
        let other = SecretBytes::new("é".repeat(MAX_LEN / 2 - 2).into_bytes());
        assert_eq!(Qr::new(&other).unwrap().columns(), 177 + 2 * QUIET);
    }

    #[test]
    fn a_page_has_the_code_and_its_name_where_there_is_room() {
        let qr = Qr::new(&SecretBytes::from(&b"value"[..])).unwrap();
        let page = |columns, rows| qr.page("name", Size { columns, rows }, false);
        let text = page(qr.columns(), qr.rows() + 1).unwrap();
        assert!(text.starts_with("name\r\n"));
        assert_eq!(text.split("\r\n").count(), qr.rows() + 1);
        assert!(page(qr.columns(), qr.rows()).is_none());
        assert!(page(qr.columns() - 1, 80).is_none());
    }

    #[test]
    fn every_line_is_as_wide_as_it_says() {
        let qr = Qr::new(&SecretBytes::from(&b"value"[..])).unwrap();
        let text = qr.text(false);
        assert!(
            text.lines()
                .all(|line| line.chars().count() == qr.columns())
        );
        assert_eq!(text.lines().count(), qr.rows());
        let coloured = qr.text(true);
        assert!(
            coloured
                .lines()
                .all(|line| line.starts_with(BLACK_ON_WHITE) && line.ends_with(RESET))
        );
    }
}
