//! Writes the XML of a database.

use std::io::{self, Write};

use data_encoding::BASE64;
use quick_xml::escape::escape;
use zeroize::Zeroizing;

use super::stream::InnerStream;
use super::tree::Element;

const DECLARATION: &[u8] = b"<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\"?>\n";

/// Writes a document; text that is marked as protected is encrypted with `stream`.
///
/// # Errors
/// Errors of `out` and of `stream`.
pub fn write(out: &mut dyn Write, root: &Element, stream: &mut InnerStream) -> io::Result<()> {
    out.write_all(DECLARATION)?;
    element(out, root, stream)
}

// The recursion is as deep as names have components: at most 127 levels.
fn element(out: &mut dyn Write, this: &Element, stream: &mut InnerStream) -> io::Result<()> {
    let name = &this.name;
    write!(out, "<{name}")?;
    for (key, value) in &this.attributes {
        write!(out, " {key}=\"{}\"", attribute(value))?;
    }
    write!(out, ">")?;
    if this.is("Protected") {
        let mut sealed = Zeroizing::new(this.text.as_bytes().to_vec());
        stream.apply(&mut sealed).map_err(io::Error::other)?;
        out.write_all(BASE64.encode(&sealed).as_bytes())?;
    } else {
        let text = Zeroizing::new(escape(held(&this.text).as_str()).into_owned());
        out.write_all(text.as_bytes())?;
    }
    for child in &this.children {
        element(out, child, stream)?;
    }
    write!(out, "</{name}>")
}

/// The value of an attribute: line breaks and tabs are written as references, because readers normalise them.
fn attribute(value: &str) -> String {
    let value = held(value);
    let escaped = escape(value.as_str());
    escaped.replace('\t', "&#9;").replace('\n', "&#10;")
}

/// Whether XML can carry a text unchanged.
pub fn holds(text: &str) -> bool {
    text.chars().all(is_held)
}

/// A text with U+FFFD in place of each character that XML cannot carry.
pub fn held(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.replace(|c| !is_held(c), "\u{fffd}"))
}

fn is_held(c: char) -> bool {
    match c {
        '\t' | '\n' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        // A carriage return would come back as a line feed.
        c => c >= ' ',
    }
}
