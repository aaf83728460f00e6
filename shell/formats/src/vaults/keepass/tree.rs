//! The XML of a database as a tree: of bounded depth and size, without document types and entities of its own.

use data_encoding::BASE64;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde_json::{Map, Value, json};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use super::stream::InnerStream;
use crate::error::FormatError;

/// How deep elements may nest: groups are one level each, and a name of 255 bytes has 127 of them.
const MAX_DEPTH: usize = 256;
/// Most memory that a document may take as a tree, in bytes: 100,000 entries take less.
const MAX_TREE: usize = 512 * 1024 * 1024;
/// What an allocation takes at least, in bytes.
const MIN_ALLOCATION: usize = 32;

/// An element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: Vec<(String, String)>,
    /// Its text, opened where it was protected.
    pub text: Zeroizing<String>,
    /// What is in it.
    pub children: Vec<Element>,
}

/// A document and its attachments.
pub struct Document {
    /// The XML.
    pub root: Element,
    /// Attachments, by number.
    pub binaries: Vec<SecretBytes>,
}

impl Element {
    /// An element with elements in it.
    pub fn new(name: &str, children: Vec<Self>) -> Self {
        Self {
            name: name.to_owned(),
            children,
            ..Self::default()
        }
    }

    /// An element with text in it.
    pub fn text(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: Zeroizing::new(text.to_owned()),
            ..Self::default()
        }
    }

    /// The first element of this name in it.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// All elements of this name in it.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the first element of this name in it, unless it is empty.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        let text = self.child(name)?.text.as_str();
        (!text.is_empty()).then_some(text)
    }

    /// An attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let mut found = self.attributes.iter().filter(|(own, _)| own == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// Whether an attribute says so.
    pub fn is(&self, attribute: &str) -> bool {
        self.attribute(attribute)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// How many elements it is, with all in it.
    pub fn count(&self) -> usize {
        1 + self.children.iter().map(Self::count).sum::<usize>()
    }

    /// How deep it nests: 1 without elements in it. Recurses as deep as the tree is, which is bounded.
    pub fn depth(&self) -> usize {
        let inner = self.children.iter().map(Self::depth);
        1 + inner.max().unwrap_or_default()
    }

    /// As JSON, to be kept.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("name".into(), self.name.as_str().into());
        if !self.attributes.is_empty() {
            map.insert("attributes".into(), json!(self.attributes));
        }
        if !self.text.is_empty() {
            map.insert("text".into(), self.text.as_str().into());
        }
        if !self.children.is_empty() {
            let children = self.children.iter().map(Self::to_json);
            map.insert("children".into(), children.collect());
        }
        Value::Object(map)
    }

    /// What [`Self::to_json`] made. JSON that was read nests 128 levels at most, and so does this.
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let children = value.get("children").and_then(Value::as_array);
        let attributes = value.get("attributes").cloned();
        let attributes: Option<Vec<(String, String)>> =
            attributes.and_then(|attributes| serde_json::from_value(attributes).ok());
        let attributes = attributes.into_iter().flatten();
        Some(Self {
            name: text("name").filter(|name| is_name(name))?.to_owned(),
            attributes: attributes.filter(|(key, _)| is_name(key)).collect(),
            text: Zeroizing::new(text("text").unwrap_or_default().to_owned()),
            children: children
                .into_iter()
                .flatten()
                .filter_map(Self::from_json)
                .collect(),
        })
    }
}

/// Whether this may be written as the name of an element.
fn is_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Reads a document; `stream` opens protected values.
///
/// # Errors
/// [`FormatError`]: no XML, a document type, entities, too deep, too much, protected values without a stream.
pub fn parse(document: &[u8], stream: Option<&mut InnerStream>) -> Result<Element, FormatError> {
    parse_within(document, stream, MAX_TREE)
}

/// The same with another bound, in bytes.
///
/// # Errors
/// As [`parse`].
pub fn parse_within(
    document: &[u8],
    mut stream: Option<&mut InnerStream>,
    most: usize,
) -> Result<Element, FormatError> {
    let mut reader = Reader::from_reader(document);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    let mut budget = Budget { left: most, most };
    loop {
        let event = reader.read_event();
        let event = event.map_err(|error| no_xml(&error))?;
        match event {
            Event::Start(_) | Event::Empty(_) if root.is_some() => {
                return Err(FormatError::malformed(
                    "the XML has more than one document in it",
                ));
            }
            Event::Start(start) => {
                if open.len() >= MAX_DEPTH {
                    let what = "the XML nests too deep";
                    return Err(FormatError::too_large(what, MAX_DEPTH as u64, "levels"));
                }
                open.push(element(&start, &mut budget)?);
            }
            Event::Empty(start) => {
                let element = element(&start, &mut budget)?;
                close(element, &mut open, &mut root, &mut budget);
            }
            Event::End(_) => {
                let mut element = open
                    .pop()
                    .ok_or_else(|| no_xml(&"an end without a beginning"))?;
                if element.is("Protected") {
                    unprotect(&mut element, stream.as_deref_mut())?;
                }
                close(element, &mut open, &mut root, &mut budget);
            }
            Event::Text(text) => {
                let text = text.xml10_content().map_err(|error| no_xml(&error))?;
                add(&mut open, &text, &mut budget)?;
            }
            Event::CData(text) => {
                let text = text.xml10_content().map_err(|error| no_xml(&error))?;
                add(&mut open, &text, &mut budget)?;
            }
            Event::GeneralRef(reference) => {
                add(&mut open, &resolved(&reference)?, &mut budget)?;
            }
            Event::DocType(_) => {
                let text = "the XML has a document type, which exports of KeePass do not have";
                return Err(FormatError::unsupported(text));
            }
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    match root {
        Some(root) if open.is_empty() => Ok(root),
        _ => Err(no_xml(&"it is cut off")),
    }
}

/// What a tree may still take.
struct Budget {
    left: usize,
    most: usize,
}

impl Budget {
    fn take(&mut self, bytes: usize) -> Result<(), FormatError> {
        let most = self.most >> 20;
        let left = self.left.checked_sub(bytes).ok_or_else(|| {
            FormatError::too_large("the XML takes too much memory", most as u64, "MiB")
        })?;
        self.left = left;
        Ok(())
    }
}

/// What a text takes.
fn size(text: &str) -> usize {
    text.len().max(MIN_ALLOCATION)
}

fn no_xml(error: &dyn std::fmt::Display) -> FormatError {
    // What quick-xml says may repeat what is in the file.
    let text: String = error.to_string().chars().take(200).collect();
    FormatError::not_this_format(format!("this is not XML: {}", text.escape_debug()))
}

fn element(start: &BytesStart<'_>, budget: &mut Budget) -> Result<Element, FormatError> {
    let name = std::str::from_utf8(start.name().into_inner()).map_err(|error| no_xml(&error))?;
    budget.take(size_of::<Element>() + size(name))?;
    let mut element = Element {
        name: name.to_owned(),
        ..Element::default()
    };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| no_xml(&error))?;
        let name = std::str::from_utf8(attribute.key.into_inner());
        let name = name.map_err(|error| no_xml(&error))?;
        // Knows the five entities that every document has, and no others.
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        let value = value.map_err(|error| no_xml(&error))?;
        budget.take(size_of::<(String, String)>() + size(name) + size(&value))?;
        element
            .attributes
            .push((name.to_owned(), value.into_owned()));
    }
    Ok(element)
}

fn close(
    mut element: Element,
    open: &mut [Element],
    root: &mut Option<Element>,
    budget: &mut Budget,
) {
    // What is between elements is only there for the eye.
    if !element.children.is_empty() {
        budget.left += element.text.len();
        element.text = Zeroizing::default();
        element.children.shrink_to_fit();
    }
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None => *root = Some(element),
    }
}

fn add(open: &mut [Element], text: &str, budget: &mut Budget) -> Result<(), FormatError> {
    match open.last_mut() {
        Some(element) => {
            budget.take(text.len())?;
            element.text.push_str(text);
        }
        None if text
            .trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
            .is_empty() => {}
        None => return Err(no_xml(&"text outside of all elements")),
    }
    Ok(())
}

fn resolved(reference: &BytesRef<'_>) -> Result<String, FormatError> {
    let number = reference
        .resolve_char_ref()
        .map_err(|error| no_xml(&error))?;
    if let Some(letter) = number {
        return Ok(letter.to_string());
    }
    let name = reference.decode().map_err(|error| no_xml(&error))?;
    match &*name {
        "lt" => Ok("<".into()),
        "gt" => Ok(">".into()),
        "amp" => Ok("&".into()),
        "quot" => Ok("\"".into()),
        "apos" => Ok("'".into()),
        _ => Err(FormatError::unsupported(
            "the XML defines entities, which exports of KeePass do not do",
        )),
    }
}

fn unprotect(element: &mut Element, stream: Option<&mut InnerStream>) -> Result<(), FormatError> {
    let Some(stream) = stream else {
        let text = "the XML has protected values, which only the database can decrypt: export it without protection";
        return Err(FormatError::unsupported(text));
    };
    let bad = || FormatError::malformed("a protected value is damaged");
    let sealed = BASE64
        .decode(element.text.trim().as_bytes())
        .map_err(|_| bad())?;
    let mut value = Zeroizing::new(sealed);
    stream.apply(&mut value)?;
    let text = std::str::from_utf8(&value)
        .map_err(|_| FormatError::malformed("a protected value is not UTF-8"))?;
    element.text = Zeroizing::new(text.to_owned());
    Ok(())
}
