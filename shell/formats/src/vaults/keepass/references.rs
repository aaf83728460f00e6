//! Field references (<https://keepass.info/help/base/fieldrefs.html>): `{REF:P@I:46C9B1FFBD4ABC4BBB260C6190BAD20C}` stands
//! for the password of the entry with this UUID.
//!
//! The import replaces each reference by the text that it stands for, and keeps the reference in an attribute of the value,
//! which files do not have. The export writes the reference again where it still stands for that text.

use std::collections::HashMap;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use zeroize::Zeroizing;

use super::entry;
use super::tree::Element;
use crate::error::FormatError;

/// The attribute that holds what is in the file instead of the text.
const ATTRIBUTE: &str = "keyshell-reference";
const BEGIN: &str = "{REF:";
/// Deepest nesting of references, as in KeePass.
const MAX_DEPTH: usize = 12;
/// Longest text that references are replaced in, and the longest result, in bytes: the longest value.
const MAX_TEXT: usize = 1024 * 1024;
/// Most text that references of one file are replaced by, in bytes.
const MAX_ADDED: usize = 256 * 1024 * 1024;
/// Most references and placeholders of one file that are followed.
const MAX_STEPS: usize = 1_000_000;
/// Most text that is searched for what references of one file name, in bytes.
const MAX_SEARCHED: usize = 256 * 1024 * 1024;
/// Placeholders of the same entry that a referenced text may have.
const LOCAL: [(&str, &str); 5] = [
    ("{TITLE}", "Title"),
    ("{USERNAME}", "UserName"),
    ("{PASSWORD}", "Password"),
    ("{URL}", "URL"),
    ("{NOTES}", "Notes"),
];
const LOCAL_CUSTOM: &str = "{S:";

/// The reference whose text a value has.
pub fn of(value: &Element) -> Option<&str> {
    value.attribute(ATTRIBUTE)
}

/// Marks a value whose text a reference stands for.
pub fn mark(value: &mut Element, reference: &str) {
    value
        .attributes
        .push((ATTRIBUTE.to_owned(), reference.to_owned()));
}

/// Whether a text has a reference in it.
pub fn is_in(text: &str) -> bool {
    find(text, BEGIN).is_some()
}

/// Whether KeePass fills in a part of a text from other fields of the entry.
pub fn has_local(text: &str) -> bool {
    let mut names = LOCAL.iter().map(|(name, _)| *name).chain([LOCAL_CUSTOM]);
    text.contains('{') && names.any(|name| find(text, name).is_some())
}

/// Finds ASCII text, whatever its case.
fn find(text: &str, what: &str) -> Option<usize> {
    let mut windows = text.as_bytes().windows(what.len());
    windows.position(|window| window.eq_ignore_ascii_case(what.as_bytes()))
}

/// Replaces all references in a document that lead to a field.
///
/// # Errors
/// [`FormatError`] for a document whose references stand for too much text.
pub fn resolve(root: &mut Element) -> Result<(), FormatError> {
    let mut found = resolved(root)?.into_iter();
    values(root, &mut |value| {
        value.attributes.retain(|(key, _)| key != ATTRIBUTE);
        if is_in(&value.text)
            && let Some(Some(text)) = found.next()
        {
            let reference = std::mem::replace(&mut value.text, text);
            mark(value, &reference);
        }
    });
    Ok(())
}

/// Puts each reference in the place of its text, where it still stands for that text, and removes the marks.
///
/// # Errors
/// As [`resolve`].
pub fn restore(root: &mut Element) -> Result<(), FormatError> {
    let mut count = 0_usize;
    values(root, &mut |value| {
        if let Some(place) = of(value).map(str::to_owned) {
            count += 1;
            let text = std::mem::replace(&mut value.text, Zeroizing::new(place));
            value.attributes.retain(|(key, _)| key != ATTRIBUTE);
            mark(value, &text);
        }
    });
    // A reference that is taken back may be what another one leads to.
    for last in (0..MAX_DEPTH).rev() {
        if count == 0 {
            break;
        }
        let mut found = resolved(root)?.into_iter();
        let (mut left, mut is_changed) = (0, false);
        values(root, &mut |value| {
            let is_same = |text: Zeroizing<String>| of(value) == Some(text.as_str());
            let stands = is_in(&value.text) && found.next().flatten().is_some_and(is_same);
            let Some(text) = of(value).map(str::to_owned) else {
                return;
            };
            if stands && last > 0 {
                left += 1;
                return;
            }
            value.text = Zeroizing::new(text);
            value.attributes.retain(|(key, _)| key != ATTRIBUTE);
            is_changed = true;
        });
        count = left;
        if !is_changed {
            break;
        }
    }
    values(root, &mut |value| {
        value.attributes.retain(|(key, _)| key != ATTRIBUTE);
    });
    Ok(())
}

/// Calls `each` with the value of each string. The recursion is as deep as the tree, which is bounded.
fn values(element: &mut Element, each: &mut impl FnMut(&mut Element)) {
    let is_string = element.name == "String";
    for child in &mut element.children {
        match is_string {
            true if child.name == "Value" => each(child),
            true => {}
            false => values(child, each),
        }
    }
}

/// For each value with a reference, in the order of [`values`], the text without references; `None` where one of them
/// leads nowhere.
fn resolved(root: &Element) -> Result<Vec<Option<Zeroizing<String>>>, FormatError> {
    let mut texts = Vec::new();
    references(root, &mut texts);
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let mut entries = Entries::default();
    entries.collect(root);
    let mut resolver = Resolver {
        entries: &entries,
        searched: 0,
        steps: 0,
    };
    let (mut found, mut added) = (Vec::with_capacity(texts.len()), 0_usize);
    for text in texts {
        let new = resolver.expanded(text, None, MAX_DEPTH);
        added = added.saturating_add(new.as_ref().map_or(0, |new| new.len()));
        let what = "the field references of the database stand for too much text";
        FormatError::check_mib(what, added as u64, MAX_ADDED as u64)?;
        found.push(new);
    }
    Ok(found)
}

fn references<'a>(element: &'a Element, found: &mut Vec<&'a str>) {
    let is_string = element.name == "String";
    for child in &element.children {
        match is_string {
            true if child.name == "Value" && is_in(&child.text) => found.push(&child.text),
            true => {}
            false => references(child, found),
        }
    }
}

/// The entries of a document, without earlier versions.
#[derive(Default)]
struct Entries<'a> {
    all: Vec<&'a Element>,
    by_uuid: HashMap<&'a str, usize>,
}

impl<'a> Entries<'a> {
    fn collect(&mut self, element: &'a Element) {
        for child in &element.children {
            match child.name.as_str() {
                "Entry" => {
                    let uuid = child.text_of("UUID").unwrap_or_default();
                    self.by_uuid.entry(uuid).or_insert(self.all.len());
                    self.all.push(child);
                }
                "Root" | "Group" => self.collect(child),
                _ => {}
            }
        }
    }
}

struct Resolver<'a> {
    entries: &'a Entries<'a>,
    searched: usize,
    steps: usize,
}

impl<'a> Resolver<'a> {
    /// A text without references, and without placeholders of `own` where the text is one of its fields.
    fn expanded(
        &mut self,
        text: &str,
        own: Option<&'a Element>,
        depth: usize,
    ) -> Option<Zeroizing<String>> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let mut new = Zeroizing::new(String::with_capacity(text.len()));
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            new.push_str(before);
            let place = rest.get(before.len()..).unwrap_or_default();
            let end = place.find('}').map_or(0, |end| end + 1);
            let (placeholder, after) = place.split_at_checked(end).unwrap_or_default();
            match self.target(placeholder, own) {
                Target::None => {
                    new.push('{');
                    rest = behind;
                }
                Target::Nowhere => return None,
                Target::Text(target, entry) => {
                    let inner = self.expanded(&target, Some(entry), depth.checked_sub(1)?)?;
                    new.push_str(&inner);
                    rest = after;
                }
            }
            if new.len() > MAX_TEXT {
                return None;
            }
        }
        new.push_str(rest);
        Some(new)
    }

    fn target(&mut self, placeholder: &str, own: Option<&'a Element>) -> Target<'a> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Target::Nowhere;
        }
        if let Some(own) = own {
            let is_it = |(name, _): &&(&str, &str)| name.eq_ignore_ascii_case(placeholder);
            if let Some((_, key)) = LOCAL.iter().find(is_it) {
                return Target::field(own, key);
            }
            if let Some(key) = inside(placeholder, LOCAL_CUSTOM) {
                return Target::field(own, key);
            }
        }
        let Some(inside) = inside(placeholder, BEGIN) else {
            return Target::None;
        };
        self.referenced(inside).unwrap_or(Target::Nowhere)
    }

    /// The field that `P@I:TEXT` names.
    fn referenced(&mut self, inside: &str) -> Option<Target<'a>> {
        let (wanted, search) = inside.split_once('@')?;
        let (place, text) = search.split_once(':')?;
        let entry = if place.eq_ignore_ascii_case("I") {
            let uuid = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok()?;
            let at = self.entries.by_uuid.get(BASE64.encode(&uuid).as_str())?;
            *self.entries.all.get(*at)?
        } else {
            self.search(place, text)?
        };
        if wanted.eq_ignore_ascii_case("I") {
            let uuid = BASE64.decode(entry.text_of("UUID")?.as_bytes()).ok()?;
            let uuid = data_encoding::HEXUPPER.encode(&uuid);
            return Some(Target::Text(Zeroizing::new(uuid), entry));
        }
        Some(Target::field(entry, key(wanted)?))
    }

    /// The first entry with this text in a field, or else the first with it in a part of the field, whatever the case.
    fn search(&mut self, place: &str, text: &str) -> Option<&'a Element> {
        let key = match place {
            "O" | "o" => None,
            other => Some(key(other)?),
        };
        let fields = |entry: &'a Element| {
            entry::strings(entry).filter(move |(own, _)| match key {
                Some(key) => *own == key,
                None => !entry::KNOWN.contains(own),
            })
        };
        let (entries, lower) = (self.entries, text.to_lowercase());
        let mut searched = self.searched;
        let mut first = |is_it: &dyn Fn(&str) -> bool| {
            let mut all = entries.all.iter().copied();
            all.find(|entry| {
                fields(entry).any(|(_, value)| {
                    searched = searched.saturating_add(value.text.len());
                    searched <= MAX_SEARCHED && is_it(&value.text)
                })
            })
        };
        let found = first(&|own| own == text);
        let found = found.or_else(|| first(&|own| own.to_lowercase().contains(&lower)));
        self.searched = searched;
        found
    }
}

/// What a placeholder leads to.
enum Target<'a> {
    /// It is no placeholder.
    None,
    /// A reference that leads to no field.
    Nowhere,
    /// The text of a field of an entry.
    Text(Zeroizing<String>, &'a Element),
}

impl<'a> Target<'a> {
    fn field(entry: &'a Element, key: &str) -> Self {
        Self::Text(Zeroizing::new(entry::string(entry, key).to_owned()), entry)
    }
}

/// The text of a placeholder behind its beginning.
fn inside<'a>(placeholder: &'a str, begin: &str) -> Option<&'a str> {
    let (start, rest) = placeholder.split_at_checked(begin.len())?;
    let rest = rest.strip_suffix('}')?;
    start.eq_ignore_ascii_case(begin).then_some(rest)
}

/// The key of a field that a letter stands for.
fn key(letter: &str) -> Option<&'static str> {
    Some(match letter {
        "T" | "t" => "Title",
        "U" | "u" => "UserName",
        "P" | "p" => "Password",
        "A" | "a" => "URL",
        "N" | "n" => "Notes",
        _ => return None,
    })
}
