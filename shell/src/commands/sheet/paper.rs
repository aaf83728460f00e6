//! The sheet as a file: text, or a page to print.

use std::fmt::Write as _;

use keyshell_base::text::printable;
use keyshell_client::keys::anchor;
use keyshell_client::keys::device_key::{DeviceKey, ON_SHEET};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::commands::sheet::Sheet;
use crate::error::Result;
use crate::output::qr::Qr;

/// Size of the page in millimetres, as all lengths below; its content fits both A4 and US letter paper.
const WIDTH: f64 = 205.0;
const HEIGHT: f64 = 275.0;
const MARGIN: f64 = 15.0;
/// Font sizes of the code, which must stay readable on poor copies, and of most other text.
const CODE_LETTERS: f64 = 6.0;
const LETTERS: f64 = 2.8;
/// Distance between the baselines of two lines.
const LINE: f64 = 6.0;
/// Width of a letter as a fraction of the font size; no common monospace font is wider.
const LETTER_WIDTH: f64 = 0.62;
/// Width and height of a QR code with its quiet zone.
const QR: f64 = 70.0;
/// Capacity for the whole text, in bytes, so that growth leaves no copies of the code in memory.
const CAPACITY: usize = 64 * 1024;

/// A QR code with its caption.
pub(super) struct Code {
    /// Caption of the QR code.
    pub name: &'static str,
    /// QR code of exactly the text that one prompt accepts.
    pub qr: Qr,
}

impl Sheet {
    /// The QR codes on the sheet: one per prompt that accepts one.
    ///
    /// # Errors
    /// [`Error::limit`](crate::error::Error::limit).
    pub(super) fn codes(&self) -> Result<Vec<Code>> {
        let code = |name, text: Zeroizing<String>| {
            let qr = Qr::new(&SecretBytes::from(text.as_bytes()));
            qr.map(|qr| Code { name, qr })
        };
        let mut codes = vec![code("recovery code", self.code.text())?];
        if let Some(key) = self.key.as_ref().map(DeviceKey::text) {
            codes.push(code(ON_SHEET, key)?);
        }
        if let Some(anchor) = &self.anchor {
            codes.push(code(anchor::ON_SHEET, Zeroizing::new(anchor.text()))?);
        }
        Ok(codes)
    }

    /// The sheet as text. Its commands work on a device that knows nothing of the account.
    pub(super) fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2048));
        let new = &self.new_device;
        let code = self.code.text();
        text.push_str(&code);
        text.push_str("\n\nkeyshell recovery sheet: keep it on paper, and nowhere else\n\n");
        let mut row = |label: &str, content: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{label:<15} {content}");
        };
        row("account", new.account.as_str());
        row("server", new.server.as_deref().unwrap_or("--embedded"));
        if let Some(pin) = &new.pin {
            row("server key", pin);
        }
        let mut login = "login".to_owned();
        if let Some(key) = &self.key {
            row(ON_SHEET, key.text().as_str());
            login.push_str(" --with-key");
        }
        if let Some(anchor) = &self.anchor {
            let code = anchor.text();
            row(anchor::ON_SHEET, &code);
            login.push_str(" --expect ");
            login.push_str(&code);
        }
        let _ = write!(
            text,
            "\nThe first line is the recovery code. With it, anyone can set a new password.\nWithout it and without the \
             password, the data cannot be decrypted.\nWith the password, a new device logs in by:\n  {}\nWith the code, it sets \
             a new password by `recover` in place of `login`.\n",
            new.command(&login, " \\\n    "),
        );
        text
    }

    /// The sheet as an SVG picture of one page. Each line of the text is a line of the file, so that `--code-file`
    /// reads both alike.
    ///
    /// # Errors
    /// [`Error::limit`](crate::error::Error::limit).
    pub(super) fn page(&self) -> Result<Zeroizing<String>> {
        let mut page = Zeroizing::new(String::with_capacity(CAPACITY));
        // Writing to a string does not fail.
        let _ = writeln!(
            page,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}mm\" height=\"{HEIGHT}mm\" viewBox=\"0 0 {WIDTH} \
             {HEIGHT}\" font-family=\"monospace\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>"
        );
        let mut y = MARGIN;
        let text = self.text();
        for (number, line) in text.lines().enumerate() {
            y += LINE;
            let size = if number == 0 { CODE_LETTERS } else { LETTERS };
            if !line.is_empty() {
                write_line(&mut page, MARGIN, y, size, line);
            }
        }
        y += 2.0 * LINE;
        let mut x = MARGIN;
        for code in self.codes()? {
            if x + QR > WIDTH {
                x = MARGIN;
                y += QR + 2.0 * LINE;
            }
            write_line(&mut page, x, y, LETTERS, code.name);
            page.push_str(&code.qr.element(x, y + LINE / 2.0, QR));
            x += QR + MARGIN;
        }
        page.push_str("</svg>\n");
        Ok(page)
    }
}

/// Writes a line of text, with a smaller font if the line is too long for the page.
fn write_line(page: &mut Zeroizing<String>, x: f64, y: f64, size: f64, line: &str) {
    let letters = u32::try_from(line.chars().count()).unwrap_or(u32::MAX);
    let fitting = (WIDTH - 2.0 * MARGIN) / (f64::from(letters) * LETTER_WIDTH);
    let size = size.min(fitting);
    let _ = writeln!(
        page,
        "<text x=\"{x}\" y=\"{y}\" font-size=\"{size:.2}\" xml:space=\"preserve\">"
    );
    for c in Zeroizing::new(printable(line)).chars() {
        match c {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            other => page.push(other),
        }
    }
    page.push_str("\n</text>\n");
}
