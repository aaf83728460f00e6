//! The XML of a database as a tree: of bounded depth and size, without document types and entities of its own.

use data_encoding::BASE64;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde::{Deserialize, Serialize};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use super::stream::InnerStream;
use crate::error::FormatError;

/// Deepest nesting of elements: groups are one level each, and a name of 255 bytes has 127 of them.
const MAX_DEPTH: usize = 256;
/// Most memory that a document may take as a tree, in bytes: 100,000 entries take less.
const MAX_TREE: usize = 512 * 1024 * 1024;
/// Least memory of an allocation, in bytes.
const MIN_ALLOCATION: usize = 32;

/// An element. Its JSON form is kept in records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Element {
    /// The name.
    pub name: String,
    /// The attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
    /// The text; protected text is decrypted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: Zeroizing<String>,
    /// The elements inside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
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

    /// An element with elements of text in it.
    pub fn of_texts(name: &str, texts: &[(&str, &str)]) -> Self {
        let texts = texts.iter().map(|(name, text)| Self::text(name, text));
        Self::new(name, texts.collect())
    }

    /// The first element inside that has this name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// As [`Self::child`], to be changed.
    pub fn child_mut(&mut self, name: &str) -> Option<&mut Self> {
        self.children.iter_mut().find(|child| child.name == name)
    }

    /// All elements inside that have this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the first element inside that has this name; `None` for empty text.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        let text = self.child(name)?.text.as_str();
        (!text.is_empty()).then_some(text)
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether an attribute has the value `true`.
    pub fn is(&self, attribute: &str) -> bool {
        self.attribute(attribute)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The number of elements in this subtree.
    pub fn count(&self) -> usize {
        1 + self.children.iter().map(Self::count).sum::<usize>()
    }

    /// The depth of this subtree: 1 without elements inside. The recursion is as deep as the tree, which is bounded.
    pub fn depth(&self) -> usize {
        let inner = self.children.iter().map(Self::depth);
        1 + inner.max().unwrap_or_default()
    }

    /// The element without attributes and elements whose names XML does not allow. JSON that was read nests at most 128
    /// levels, and so does an element from JSON.
    pub fn checked(mut self) -> Option<Self> {
        self.attributes.retain(|(key, _)| is_name(key));
        let children = std::mem::take(&mut self.children);
        self.children = children.into_iter().filter_map(Self::checked).collect();
        is_name(&self.name).then_some(self)
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

/// As [`parse`], with another limit on memory, in bytes.
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
        match reader.read_event().map_err(no_xml)? {
            Event::Start(_) | Event::Empty(_) if root.is_some() => {
                let text = "the XML has more than one document in it";
                return Err(FormatError::malformed(text));
            }
            Event::Start(start) => {
                let what = "the XML nests too deep";
                FormatError::check_size(what, open.len() + 1, MAX_DEPTH, "levels")?;
                open.push(element(&start, &mut budget)?);
            }
            Event::Empty(start) => {
                let element = element(&start, &mut budget)?;
                close(element, &mut open, &mut root, &mut budget);
            }
            Event::End(_) => {
                let unopened = || no_xml("an end without a beginning");
                let mut element = open.pop().ok_or_else(unopened)?;
                if element.is("Protected") {
                    let is_in_file = open.last().is_some_and(|outer| outer.name == "Binary");
                    let is_binary = element.name == "Binary" || is_in_file;
                    unprotect(&mut element, is_binary, stream.as_deref_mut())?;
                }
                close(element, &mut open, &mut root, &mut budget);
            }
            Event::Text(text) => {
                let text = text.xml10_content().map_err(no_xml)?;
                add(&mut open, &text, &mut budget)?;
            }
            Event::CData(text) => {
                let text = text.xml10_content().map_err(no_xml)?;
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
        _ => Err(no_xml("it is cut off")),
    }
}

/// The memory that a tree may still take.
struct Budget {
    left: usize,
    most: usize,
}

impl Budget {
    fn take(&mut self, bytes: usize) -> Result<(), FormatError> {
        let used = (self.most - self.left).saturating_add(bytes) as u64;
        FormatError::check_mib("the XML takes too much memory", used, self.most as u64)?;
        self.left -= bytes;
        Ok(())
    }
}

/// The memory of a text.
fn size(text: &str) -> usize {
    text.len().max(MIN_ALLOCATION)
}

fn no_xml(error: impl std::fmt::Display) -> FormatError {
    // The text of the library may quote the file.
    let text: String = error.to_string().chars().take(200).collect();
    FormatError::not_this_format(format!("this is not XML: {}", text.escape_debug()))
}

fn element(start: &BytesStart<'_>, budget: &mut Budget) -> Result<Element, FormatError> {
    let name = std::str::from_utf8(start.name().into_inner()).map_err(no_xml)?;
    budget.take(size_of::<Element>() + size(name))?;
    let mut element = Element {
        name: name.to_owned(),
        ..Element::default()
    };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(no_xml)?;
        let name = std::str::from_utf8(attribute.key.into_inner()).map_err(no_xml)?;
        // Resolves the five predefined entities only.
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        let value = value.map_err(no_xml)?;
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
    // Text between elements is white space for readers.
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
        None => return Err(no_xml("text outside of all elements")),
    }
    Ok(())
}

fn resolved(reference: &BytesRef<'_>) -> Result<String, FormatError> {
    if let Some(letter) = reference.resolve_char_ref().map_err(no_xml)? {
        return Ok(letter.to_string());
    }
    let name = reference.decode().map_err(no_xml)?;
    let text = resolve_xml_entity(&name).ok_or_else(|| {
        FormatError::unsupported("the XML defines entities, which exports of KeePass do not do")
    })?;
    Ok(text.to_owned())
}

/// Decrypts a value: text, or the content of an attachment, which stays in base64.
fn unprotect(
    element: &mut Element,
    is_binary: bool,
    stream: Option<&mut InnerStream>,
) -> Result<(), FormatError> {
    let Some(stream) = stream else {
        let text = "the XML has protected values, which only the database can decrypt: export it without protection";
        return Err(FormatError::unsupported(text));
    };
    let bad = |_| FormatError::malformed("a protected value is damaged");
    let sealed = BASE64.decode(element.text.trim().as_bytes());
    let mut value = Zeroizing::new(sealed.map_err(bad)?);
    stream.apply(&mut value)?;
    if is_binary {
        element.text = Zeroizing::new(BASE64.encode(&value));
        return Ok(());
    }
    let text = std::str::from_utf8(&value)
        .map_err(|_| FormatError::malformed("a protected value is not UTF-8"))?;
    element.text = Zeroizing::new(text.to_owned());
    Ok(())
}
