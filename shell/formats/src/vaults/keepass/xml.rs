//! Writes the XML of a database.

use std::io::Write;

use data_encoding::BASE64;
use quick_xml::escape::escape;
use zeroize::Zeroizing;

use super::stream::InnerStream;
use super::tree::Element;
use crate::error::FormatError;

const DECLARATION: &[u8] = b"<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\"?>\n";

/// Writes a document; what is marked as protected is sealed.
///
/// # Errors
/// Those of writing.
pub fn write(
    out: &mut dyn Write,
    root: &Element,
    stream: &mut InnerStream,
) -> Result<(), FormatError> {
    out.write_all(DECLARATION).map_err(failed)?;
    element(out, root, stream)
}

fn failed(error: std::io::Error) -> FormatError {
    FormatError::library(error)
}

// As deep as names have components.
fn element(
    out: &mut dyn Write,
    this: &Element,
    stream: &mut InnerStream,
) -> Result<(), FormatError> {
    let name = &this.name;
    write!(out, "<{name}").map_err(failed)?;
    for (key, value) in &this.attributes {
        write!(out, " {key}=\"{}\"", attribute(value)).map_err(failed)?;
    }
    write!(out, ">").map_err(failed)?;
    if this.is("Protected") {
        let mut sealed = Zeroizing::new(this.text.as_bytes().to_vec());
        stream.apply(&mut sealed)?;
        out.write_all(BASE64.encode(&sealed).as_bytes())
            .map_err(failed)?;
    } else {
        let text = Zeroizing::new(escape(held(&this.text).as_str()).into_owned());
        out.write_all(text.as_bytes()).map_err(failed)?;
    }
    for child in &this.children {
        element(out, child, stream)?;
    }
    write!(out, "</{name}>").map_err(failed)
}

/// The value of an attribute, where white space stays what it is only as a reference.
fn attribute(value: &str) -> String {
    let value = held(value);
    let escaped = escape(value.as_str());
    escaped.replace('\t', "&#9;").replace('\n', "&#10;")
}

/// Whether XML can hold a text as it is.
pub fn holds(text: &str) -> bool {
    text.chars().all(is_held)
}

/// A text with signs in the place of letters that XML cannot hold.
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
