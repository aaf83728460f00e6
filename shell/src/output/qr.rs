//! QR codes as text for terminals, and as SVG and PNG.

use std::fmt::Write as _;
use std::path::Path;

use keyshell_base::text::printable;
use qrcode::bits::Bits;
use qrcode::render::svg;
use qrcode::types::QrError;
use qrcode::{Color, EcLevel, QrCode, Version};
use shared::secret::{SecretBytes, SecretWriter};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::output::table;
use crate::output::terminal::Size;

/// Width of the light border, in modules, as the standard requires.
const QUIET: usize = 4;
/// Size of a module in pictures, in pixels.
const MODULE: u32 = 8;
/// ECI designator of UTF-8.
const UTF_8: u32 = 26;
/// Capacity of the largest code, in bytes; a few less for text that is not ASCII.
const MAX_LEN: usize = 2953;
/// Sets black on white, independent of the terminal's colours.
const BLACK_ON_WHITE: &str = "\u{1b}[38;5;16m\u{1b}[48;5;231m";
const RESET: &str = "\u{1b}[0m";

/// Name of the format.
pub const QR: &str = "qr";

/// A QR code.
pub struct Qr(QrCode);

impl Qr {
    /// Encodes bytes with error correction level M, or L if they do not fit.
    ///
    /// # Errors
    /// [`Error::limit`] for more than 2953 bytes.
    pub fn new(value: &SecretBytes) -> Result<Self> {
        let code = encode(value, EcLevel::M).or_else(|_| encode(value, EcLevel::L));
        code.map(Self).map_err(|_| {
            Error::limit(format!(
                "the value is too long for a QR code, which holds {MAX_LEN} bytes at most"
            ))
        })
    }

    /// Width of [`Self::text`], in columns.
    pub fn columns(&self) -> usize {
        self.0.width() + 2 * QUIET
    }

    /// Height of [`Self::text`], in lines.
    pub fn rows(&self) -> usize {
        self.columns().div_ceil(2)
    }

    /// The code as lines of half blocks, two rows of modules per line. Without colours light modules are printed and dark
    /// ones are not, for terminals with a dark background.
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

    /// A page with name and code for a terminal in raw mode (lines end with CR LF); `None` if it does not fit.
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

    /// The code as an SVG document.
    pub fn svg(&self) -> SecretBytes {
        SecretBytes::new(self.picture().into_bytes())
    }

    /// The code as a black-and-white PNG.
    ///
    /// # Errors
    /// [`Error::failed`] if the encoder fails.
    pub fn png(&self) -> Result<SecretBytes> {
        let failed = |error: png::EncodingError| Error::failed(format!("PNG: {error}"));
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

    /// The code as an SVG element for another document: at `x`, `y`, and `size` wide and high, in units of that document.
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

/// Whether a path has the extension of an SVG file.
pub fn is_picture(path: &Path) -> bool {
    path.extension()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("svg"))
}

/// Encodes text that is not ASCII with an ECI designator, without which readers guess the character set.
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
