//! The fields of an entry on their way out.

use std::collections::HashMap;

use super::tree::Element;
use super::xml::holds;

/// Fields on their way out: each key once.
#[derive(Default)]
pub struct Strings {
    elements: Vec<Element>,
    /// How many of a key there are already.
    keys: HashMap<String, usize>,
}

impl Strings {
    /// Whether a key is taken.
    pub fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Under this key if it is free, else under one that says which it is.
    pub fn add(&mut self, key: &str, value: &str, is_protected: bool) {
        let key = if key.is_empty() { "field" } else { key };
        let mut free = key.to_owned();
        while self.has(&free) {
            let number = self.keys.entry(key.to_owned()).or_insert(1);
            *number += 1;
            free = format!("{key} ({number})");
        }
        let mut text = Element::text("Value", value);
        if is_protected || !holds(value) {
            text.attributes.push(("Protected".into(), "True".into()));
        }
        self.elements.push(Element::new(
            "String",
            vec![Element::text("Key", &free), text],
        ));
        self.keys.insert(free, 1);
    }

    /// All of them, in the order in which they were added.
    pub fn finish(self) -> Vec<Element> {
        self.elements
    }
}
